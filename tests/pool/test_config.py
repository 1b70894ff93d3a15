"""The file: each key, each mistake, and that none of it starts anything."""

import math
import re
import socket

import msgspec
import pytest

from backburn.errors import UserError
from backburn.pool import config as subject
from backburn.pool.config import Bytes, Config, Injection, find, load
from tests.pool import scene

TABLES = {field.encode_name: field for field in msgspec.structs.fields(Config)}


def read(folder, text, more=""):
    return load(scene.written(folder, more, text))


def changed(folder, old, new, more=""):
    assert old in scene.TEXT
    return read(folder, scene.TEXT.replace(old, new), more)


def test_the_least_that_is_enough(tmp_path):
    config = read(tmp_path, scene.TEXT)
    assert [(slot.name, slot.device) for slot in config.all_slots] == [
        (scene.SLOT, scene.GPU),
        ("cpu0", ""),
        ("cpu1", ""),
    ]
    assert config.prefix == "lab1-box-" and config.state == tmp_path / "state"
    assert config.pool.max_job == 86400 and config.slots.injection is Injection.AUTO and config.limits.memory is None


def test_each_key_is_taken(tmp_path):
    """Every field of every table, by a value of its own kind, in one file."""
    text = """
[github]
url = "https://ghe.example/acme/digits"
api-url = "https://ghe.example/api/v3"
app-id = 12
installation-id = 34
private-key = "credential:app.pem"
runner-group = "gpus"
allow-public = true
proxy = "http://proxy:3128"
[pool]
name = "lab1"
image = "runner@sha256:00"
labels = ["gpu"]
state = "/s"
locks = "/l"
max-job = "2h"
online-within = "2m"
hang = 60
host = "Box.Example.org"
[slots]
gpus = ["MIG-6f1a0b2c-0000-4000-8000-000000000001"]
cpu = 1
injection = "cdi"
[limits]
cpus = 2.5
memory = "64g"
pids = 100
shm = "1GiB"
log = "10m"
disk-min-free = "50g"
disk-min-inodes = 1
[docker]
host = "tcp://127.0.0.1:2375"
data = "/d"
network = "n"
user = "0:0"
mounts = ["/a:/b"]
read-only = true
[metrics]
listen = "localhost:1"
[black-box]
keep = "1d"
most = 1024
[cache]
root = "/c"
names = ["uv"]
most = "1t"
promote = false
[costs]
per-hour = 1.5
currency = "EUR"
keep = "10d"
[health]
interval = "20s"
throttle-grace = "1m"
probe = "cuda"
probe-each-lease = true
[queue]
repositories = ["acme/digits"]
longer-than = "20m"
webhook = "credential:webhook"
issue = "acme/ops"
"""
    config = read(tmp_path, text.replace("{", "{{"))
    for name, field in TABLES.items():
        given, default = getattr(config, field.name), field.default
        same = [one for one in given.__struct_fields__ if getattr(given, one) == getattr(default, one)]
        assert same == (["token"] if name == "github" else []), name
    assert config.limits.shm == 1 << 30 and config.black_box.most == 1024 and config.github.app_id == 12
    assert config.prefix == "lab1-box-example-org-"


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_key_is_named_with_its_table(tmp_path, table):
    text = re.sub(r"\[{}\]\n".format(table), "", scene.TEXT)
    with pytest.raises(UserError, match=rf"\[{table}\] nonsense: unknown key"):
        (
            read(tmp_path, text, f"[{table}]\nnonsense = 1\n" if f"[{table}]" not in scene.TEXT else "")
            if (f"[{table}]" not in scene.TEXT)
            else read(tmp_path, scene.TEXT.replace(f"[{table}]", f"[{table}]\nnonsense = 1"))
        )


def test_all_unknown_keys_are_told_at_once_with_the_nearest(tmp_path):
    more = '[black_box]\nkeep = 1\n[limits]\nmemroy = "1g"\nshm-size = 1\n'
    with pytest.raises(UserError) as raised:
        read(tmp_path, scene.TEXT, more)
    said = str(raised.value)
    assert "[black_box]: unknown key" in said and "black-box" in said and "memroy" in said and "memory" in said
    assert "shm-size" in said and "Remove or correct" in said


def test_a_table_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"metrics: expected a table, \[metrics\]"):
        read(tmp_path, 'metrics = "127.0.0.1:9477"\n' + scene.TEXT)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "lab1"', 'name = "Lab 1"', r"\[pool\] name: a name of at most 20"),
        ('name = "lab1"', 'name = "-lab"', r"\[pool\] name"),
        ('name = "lab1"', f'name = "{"x" * 21}"', r"\[pool\] name"),
        ('name = "lab1"', 'name = ""', r"\[pool\] name"),
        ('image = "runner:1"', "", r"\[pool\] image: no image"),
        ('url = "https://github.com/acme"', 'url = "github.com/acme"', r"\[github\] url"),
        ('url = "https://github.com/acme"', 'url = "https://github.com"', r"\[github\] url"),
        ('url = "https://github.com/acme"', 'url = "https://github.com/a/b/c"', r"\[github\] url"),
        ('gpus = ["{gpu}"]\ncpu = 2', "", r"\[slots\]: no slot"),
        ('gpus = ["{gpu}"]', 'gpus = ["{gpu}", "{gpu}"]', "named twice"),
        ('gpus = ["{gpu}"]', 'gpus = ["0"]', "not the UUID of a GPU"),
        ('gpus = ["{gpu}"]', 'gpus = ["GPU-1234, GPU-5678"]', "not the UUID of a GPU"),
        ('gpus = ["{gpu}"]', 'gpus = ["all"]', "an index changes"),
        ("cpu = 2", 'injection = "none"', "would not hand them out"),
        ("cpu = 2", 'injection = "magic"', "One of: auto, cdi, nvidia, devices, none"),
        ("cpu = 2", 'cpu = "2"', r"\[slots\] cpu"),
        ("cpu = 2", "cpu = -2", r"\[slots\] cpu"),
        ('host = "box"', "labels = []", r"1 to 100 labels"),
        ('host = "box"', 'labels = ["gpu", " "]', r"none of them empty"),
        ('host = "box"', f"labels = {['x'] * 101!r}", r"1 to 100 labels"),
        ('host = "box"', 'host = "…"', r"\[pool\] host"),
        ('host = "box"', 'max-job = "soon"', r"\[pool\] max-job: expected a positive duration"),
        ('host = "box"', "max-job = 0", r"\[pool\] max-job"),
        ('token = "env:TOKEN"', "", r"\[github\]: give token, or app-id and private-key"),
        ('token = "env:TOKEN"', 'token = "env:T"\nprivate-key = "env:K"\napp-id = 1', "give token, or app-id"),
        ('token = "env:TOKEN"', 'private-key = "env:K"', "app-id and private-key belong together"),
        ('token = "env:TOKEN"', 'app-id = 1\ntoken = "env:T"', "app-id and private-key belong together"),
        ('token = "env:TOKEN"', 'token = "ghp_canary0123456789abcdef"', "a secret is never written here"),
        ('token = "env:TOKEN"', 'token = "env:"', "a secret is never written here"),
        ('token = "env:TOKEN"', 'app-id = 1\nprivate-key = "-----BEGIN"', r"\[github\] private-key"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as raised:
        changed(tmp_path, old, new)
    assert str(tmp_path / "pool.toml") in str(raised.value) and "canary" not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('[metrics]\nlisten = "0.0.0.0:9477"', "only a loopback address"),
        ('[metrics]\nlisten = "[::]:9477"', "only a loopback address"),
        ('[metrics]\nlisten = "127.0.0.1.evil.example:9477"', "only a loopback address"),
        ('[metrics]\nlisten = "127.0.0.1"', "only a loopback address"),
        ('[metrics]\nlisten = "127.0.0.1:99999"', r"\[metrics\] listen"),
        ('[limits]\nmemory = "lots"', r"\[limits\] memory: expected a size"),
        ('[limits]\nmemory = "0"', r"\[limits\] memory"),
        ("[limits]\nmemory = -1", r"\[limits\] memory"),
        ("[limits]\nshm = true", r"\[limits\] shm"),
        ("[limits]\ncpus = -1.0", r"\[limits\] cpus"),
        ("[limits]\ncpus = nan", r"\[limits\] cpus"),
        ("[limits]\npids = 0", r"\[limits\] pids"),
        ("[limits]\ndisk-min-inodes = 101.0", r"\[limits\] disk-min-inodes"),
        ('[cache]\nroot = "cache"', r"\[cache\] root: |a whole path"),
        ('[cache]\nroot = "/a:b"', "a whole path"),  # these two end a name in the options of a mount
        ('[cache]\nroot = "/a,upperdir=/etc"', "a whole path"),
        (f'[cache]\nroot = "/{"x" * 100}"', "a whole path"),
        ('[cache]\nroot = "/a/../etc"', "a whole path"),
        ('[cache]\nnames = ["pip", "npm"]', "some of pip, uv, hf, torch, data"),
        ('[cache]\nnames = ["pip", "pip"]', "each once"),
        ("[cache]\nnames = []", "some of"),
        ('[cache]\nmost = "0"', r"\[cache\] most"),
        ("[costs]\nper-hour = -1.0", r"\[costs\] per-hour"),
        ("[costs]\nper-hour = inf", r"\[costs\] per-hour"),
        ('[health]\ninterval = "2m"', r"\[health\] interval: expected a number from 1 to 60, got 120"),
        ('[health]\nthrottle-grace = "2h"', r"\[health\] throttle-grace"),
        ('[health]\nprobe = "gpu"', r"\[health\] probe.*\n.*One of: none, cuda"),
        ("[health]\nprobe-each-lease = true", "there is no probe"),
        ('[queue]\nrepositories = ["digits"]', r"\[queue\] repositories: expected owner/name"),
        ('[queue]\nrepositories = ["acme/.."]', r"\[queue\] repositories: expected owner/name"),
        ('[queue]\nrepositories = ["other/digits"]', r"other/digits is not of https://github.com/acme"),
        ('[queue]\nrepositories = ["acme/x"]\nissue = "ops"', r"\[queue\] issue: expected owner/name"),
        ('[queue]\nissue = "acme/ops"', r"\[queue\] repositories: nothing would ever be told"),
        ('[queue]\nwebhook = "env:HOOK"', r"\[queue\] repositories: nothing would ever be told"),
        ('[queue]\nwebhook = "https://x/canary"', r"\[queue\] webhook: a secret is never written here"),
        ("[queue]\nlonger-than = 0", r"\[queue\] longer-than: expected a positive duration"),
    ],
)
def test_what_no_machine_has(tmp_path, more, said):
    with pytest.raises(UserError, match=said) as raised:
        read(tmp_path, scene.TEXT, more)
    assert "canary" not in str(raised.value)


def test_a_repositorys_queue_is_its_own_and_an_enterprises_is_any(tmp_path):
    issue = '[queue]\nissue = "acme/ops"\n'
    url = 'url = "https://github.com/acme"'
    assert changed(tmp_path, url, 'url = "https://github.com/acme/digits"', issue).queue.issue == "acme/ops"
    many = '[queue]\nrepositories = ["one/digits", "two/words"]\n'
    assert len(changed(tmp_path, url, 'url = "https://github.com/enterprises/acme"', many).queue.repositories) == 2
    with pytest.raises(UserError, match="acme/words is not of"):
        changed(tmp_path, url, 'url = "https://github.com/acme/digits"', '[queue]\nrepositories = ["acme/words"]\n')


@pytest.mark.parametrize("listen", ["", "127.0.0.1:9477", "127.8.9.10:1", "localhost:65535"])
def test_a_loopback_address_is_taken(tmp_path, listen):
    assert read(tmp_path, scene.TEXT, f'[metrics]\nlisten = "{listen}"\n').metrics.listen == listen


@pytest.mark.parametrize("text", ["[github", "\x00", "a = 1\na = 2\n"])
def test_a_file_that_is_no_toml(tmp_path, text):
    with pytest.raises(UserError, match="Mend the file; nothing was started"):
        read(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "pool.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="Mend the file"):
        load(tmp_path / "pool.toml")
    with pytest.raises(UserError, match="Mend the file"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("said", "size"),
    [(1024, 1024), ("1k", 1024), ("500m", 500 << 20), ("16G", 16 << 30), ("1.5 TiB", 3 << 39), ("64kb", 64 << 10)],
)
def test_sizes(said, size):
    assert Bytes.parse(said) == size


@pytest.mark.parametrize("said", ["", "k", "1e3", "-1g", "1x", None, True, 0, 1 << 62, "99999999t", 1.5, "0.1"])
def test_what_is_no_size(said):
    with pytest.raises(ValueError, match="expected a size"):
        Bytes.parse(said)


def test_a_slots_name_is_its_gpus_own(tmp_path):
    """With another order in the file a running job stays where it is; any UUID gives a name that a runner may have."""
    other = "MIG-GPU-6f1a0b2c-0000-4000-8000-000000000001/1/0"
    for first, second in ((scene.GPU, other), (other, scene.GPU)):
        config = changed(tmp_path, 'gpus = ["{gpu}"]', f'gpus = ["{first}", "{second}"]')
        assert {slot.device: slot.name for slot in config.all_slots}[scene.GPU] == scene.SLOT
        assert all(re.fullmatch(r"(gpu|mig)[0-9a-f]{8}|cpu\d+", slot.name) for slot in config.all_slots)


def test_no_runners_name_is_longer_than_github_takes(tmp_path):
    config = changed(tmp_path, 'name = "lab1"', f'name = "{"x" * 20}"')
    config = msgspec.structs.replace(config, pool=msgspec.structs.replace(config.pool, host="y" * 200))
    assert max(len(f"{config.prefix}{slot.name}-00000000") for slot in config.all_slots) <= 64


def test_two_machines_with_long_names_have_prefixes_of_their_own(tmp_path):
    """Else the janitor of one takes away the idle runners of the other."""
    prefixes = set()
    for number in (1, 2):
        config = changed(tmp_path, 'host = "box"', f'host = "gpu-cluster-of-the-institute-node-{number}"')
        prefixes.add(config.prefix)
        assert re.fullmatch(r"lab1-[a-z0-9-]{1,20}-", config.prefix)
    assert len(prefixes) == 2


def test_the_machines_own_name_is_taken_where_none_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "My_Box.local")
    assert changed(tmp_path, 'host = "box"', "").prefix == "lab1-my-box-local-"


def test_the_file_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subject, "PLACES", ("pool.toml", str(tmp_path / "etc.toml")))
    with pytest.raises(UserError, match="docs/pool.md"):
        find(None)
    (tmp_path / "etc.toml").touch()
    assert find(None) == tmp_path / "etc.toml"
    (tmp_path / "pool.toml").touch()
    assert str(find(None)) == "pool.toml"
    assert find(tmp_path / "etc.toml") == tmp_path / "etc.toml"
    with pytest.raises(UserError, match="none.toml"):
        find(tmp_path / "none.toml")  # the one that was named, and no other


def test_every_default_is_one_that_holds():
    for field in TABLES.values():
        for one in msgspec.structs.fields(type(field.default)):
            assert not (isinstance(one.default, float) and not math.isfinite(one.default))
