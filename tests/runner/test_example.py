"""pool.example.toml: a file that loads, whose commented-out keys are there and show what holds without them."""

import re
import tomllib

import pytest

from backburn.pool import config as configuration

from .scratch import RUNNER

FILE = RUNNER / "pool.example.toml"
TEXT = FILE.read_text(encoding="utf-8")
UNIT = (RUNNER / "backburn-pool.service").read_text(encoding="utf-8")


def test_it_loads():
    config = configuration.load(FILE)
    assert config.github.private_key == "credential:app.pem" and config.all_slots[0].device.startswith("GPU-")


def test_its_image_looks_like_the_one_that_setup_writes():
    assert configuration.load(FILE).pool.image == "sha256:<id>" and len(TEXT.split("image = ")) == 2


def test_with_all_that_is_commented_out_it_is_the_same(tmp_path):
    """Every key is known, then: an unknown one is refused; and what is shown is the default, but for the token."""
    whole = tmp_path / "pool.toml"
    whole.write_text(re.sub(r"(?m)^# (?=[a-z-]+ = (?!\"credential:token))", "", TEXT))
    assert len(tomllib.loads(whole.read_text())["limits"]) == 5
    assert configuration.load(whole) == configuration.load(FILE)


def test_a_token_takes_the_apps_place(tmp_path):
    other = tmp_path / "pool.toml"
    text = re.sub(r"(?m)^(app-id|private-key) = .*\n", "", TEXT)
    other.write_text(text.replace("# token = ", "token = "))
    assert configuration.load(other).github.token == "credential:token"


@pytest.mark.parametrize("name", ["app.pem", "token"])
def test_the_unit_has_the_credentials_that_it_names(name):
    assert f'"credential:{name}"' in TEXT and f"\nLoadCredential={name}:/etc/backburn/{name}\n" in UNIT
