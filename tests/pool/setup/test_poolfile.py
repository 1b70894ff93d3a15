"""pool.toml: values put into the example's places, and nothing else of it changed."""

import tomllib
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.pool import config as configuration
from backburn.pool.setup import kit, poolfile
from backburn.pool.setup.request import Request

EXAMPLE = """# Top
[github]
url = "https://github.com/your-team" # whose
app-id = 123456
private-key = "credential:app.pem" # a #
# token = "credential:token"

[pool]
name = "lab1"
image = "a # b" # keep
labels = [
  "self-hosted", # one
  "gpu",
]
#[slots.no]
[slots]
gpus = ["GPU-1", 'GPU-2']
#cpu = 1
"""
APP = Request(url="https://github.com/acme", app_id="12", key=Path("/k"), name="mine", cpu=1)
TOKEN = Request(url="https://github.com/acme/digits", token_file=Path("/t"), group="gpu trusted")
GPUS = ("GPU-6f1a0b2c-0000-4000-8000-000000000001",)


@pytest.mark.parametrize("example", [EXAMPLE, kit.files()["pool.example.toml"].decode()], ids=["here", "the kit's"])
def test_what_comes_out_is_a_pool(example):
    app = configuration.parse(poolfile.composed(example, APP, GPUS, "sha256:1", "credential:app.pem"), Path("p"))
    assert (app.github.url, app.github.app_id, app.github.private_key) == (APP.url, 12, "credential:app.pem")
    assert (app.github.token, app.pool.name, app.pool.image, app.slots.gpus) == ("", "mine", "sha256:1", GPUS)
    assert app.slots.cpu == 1 and "gpu" in app.pool.labels and 1 <= app.limits.cpus and app.limits.memory > 256 << 20
    token = configuration.parse(poolfile.composed(example, TOKEN, GPUS, "sha256:1", "file:/t"), Path("p"))
    assert (token.github.token, token.github.app_id, token.github.runner_group) == ("file:/t", "", "gpu trusted")
    assert token.pool.name == "pool"


def test_a_pool_without_gpus_does_not_say_that_it_has_some():
    made = configuration.parse(poolfile.composed(EXAMPLE, APP, (), "x", "file:/k"), Path("p"))
    assert made.pool.labels == ("self-hosted", "linux", "x64") and not made.slots.gpus


def test_the_rest_of_the_text_stays():
    text = poolfile.put(EXAMPLE, "pool", "image", "sha256:1")
    assert text == EXAMPLE.replace('"a # b"', '"sha256:1"')
    assert poolfile.put(EXAMPLE, "slots", "cpu", 3) == EXAMPLE.replace("#cpu = 1", "cpu = 3")
    assert poolfile.drop(EXAMPLE, "github", "token") == EXAMPLE.replace('# token = "credential:token"\n', "")
    assert poolfile.drop(EXAMPLE, "none", "token") == EXAMPLE


@pytest.mark.parametrize(
    ("table", "key", "value"), [("pool", "host", "b"), ("limits", "cpus", 2.0), ("slots", "gpus", [])]
)
def test_a_key_that_is_not_there_yet(table, key, value):
    whole = tomllib.loads(poolfile.put(EXAMPLE, table, key, value))
    before = tomllib.loads(EXAMPLE)
    assert whole[table][key] == value and whole["github"] == before["github"]


def test_a_value_cannot_break_out_of_its_string():
    hostile = 'x"\n[docker]\nhost = "tcp://evil'
    assert tomllib.loads(poolfile.put(EXAMPLE, "pool", "image", hostile))["pool"]["image"] == hostile


def test_the_difference_is_two_lines_and_a_head():
    said = poolfile.difference(EXAMPLE, poolfile.put(EXAMPLE, "pool", "image", "new"), Path("/etc/pool.toml"))
    assert said.splitlines()[3:] == ['-image = "a # b" # keep', '+image = "new" # keep'] and "/etc/pool.toml" in said


def test_who_asks_for_something_else_than_the_file_says_is_told():
    config = configuration.parse(poolfile.composed(EXAMPLE, APP, GPUS, "x", "file:/k"), Path("p"))
    poolfile.agree(config, APP, Path("/p"))
    poolfile.agree(config, Request(gpus=GPUS, url="https://github.com/acme/"), Path("/p"))
    with pytest.raises(UserError, match=r"(?s)--url.*--app-id 9: the file says 12.*--name.*--gpus none.*--cpu 7"):
        asked = Request(url="https://github.com/x", app_id="9", name="y", gpus=("none",), cpu=7)
        poolfile.agree(config, asked, Path("/p"))
