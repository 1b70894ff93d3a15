"""The verbs as they are typed: what they refuse, ask and print. What they do is in setup/test_installation.py."""

import json
import random

import pytest

from backburn import cli
from backburn.errors import UserError
from backburn.pool import installing
from backburn.pool.clock import SystemClock
from backburn.pool.engine import Declined
from backburn.pool.setup import request
from backburn.pool.setup.user import Failed
from backburn.pool.simulation.hub import Hub

from .rig import TOKEN
from .server import Server


@pytest.fixture
def url():
    with Server(Hub(SystemClock(), random.Random(0), limit=0, points=0)) as server:
        yield f"{server.url}/acme"


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(TOKEN)
    return path


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Not this machine's own files, whatever goes wrong."""
    made = {"etc": tmp_path / "etc", "units": tmp_path / "units", "toolkit": tmp_path / "opt"}
    places = request.Places(**made, command=tmp_path / "backburn")
    monkeypatch.setattr(request, "Places", lambda: places)
    monkeypatch.chdir(tmp_path)


def typed(capsys, *words):
    code = cli._guarded(["pool", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_doctor_works_before_there_is_a_pool_toml(capsys, url, token, tmp_path):
    """This machine may have an engine or not: only what was asked is judged here."""
    code, out, _ = typed(capsys, "doctor", "--url", url, "--token-file", token, "--gpus", "none", "--cpu", 1, "--json")
    found = json.loads(out)
    rows = {row["check"]: row["verdict"] for row in found["checks"]}
    assert rows["credential"] == rows["group"] == rows["github"] == "ok" and rows["folders"] == "not asked"
    assert found["kind"] == "pool-doctor" and found["exit_code"] == code and code in (0, 3)
    code, out, _ = typed(capsys, "doctor", "--url", url, "--token-file", token, "--cpu", 1, "--group", "open")
    assert code == 2 and "allows public repositories" in out and " wrong.\n" in out
    assert not (tmp_path / "etc").exists()


def test_doctor_reads_the_file_where_there_is_one(capsys, url, token, tmp_path):
    text = f'[github]\nurl = "{url}"\ntoken = "file:{token}"\n[pool]\nname = "a"\nimage = "x"\n[slots]\ncpu = 1\n'
    (tmp_path / "pool.toml").write_text(text)
    assert "may register runners" in typed(capsys, "doctor")[1]
    (tmp_path / "pool.toml").write_text(text + "unknwon = 1\n")
    code, _, err = typed(capsys, "doctor")
    assert code == 2 and "unknown key" in err
    (tmp_path / "pool.toml").unlink()
    code, _, err = typed(capsys, "doctor")
    assert code == 2 and "no such file" in err and "setup.sh --url" in err and "doctor --url" in err


def test_a_github_that_cannot_be_reached_is_the_machines_fault(capsys, token):
    code, out, _ = typed(capsys, "doctor", "--url", "http://127.0.0.1:9/acme", "--token-file", token, "--cpu", 1)
    said = " ".join(out.split())  # as wide as a terminal is
    assert code == 3 and "did not answer whether runners may be registered" in said and "DELETE" not in said


@pytest.mark.parametrize("verb", ["setup", "uninstall"])
def test_only_root_may(capsys, monkeypatch, verb):
    monkeypatch.setattr(installing.os, "geteuid", lambda: 1000)
    code, _, err = typed(capsys, verb)
    assert code == 2 and "only root may" in err and f"sudo backburn pool {verb}" in err


def test_what_is_wrong_stops_setup_before_anything(capsys, monkeypatch, url, token, tmp_path):
    monkeypatch.setattr(installing.os, "geteuid", lambda: 0)
    words = ("setup", "--url", url, "--token-file", token, "--gpus", "none", "--cpu", 1, "--no-service")
    code, out, err = typed(capsys, *words, "--group", "open")
    assert code == 2 and "Nothing was changed." in err and "This will change" not in out
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    key.write_text("no key")
    words = ("setup", "--url", url, "--app-id", 1, "--key", key, "--gpus", "none", "--cpu", 1, "--no-service")
    code, out, err = typed(capsys, *words)
    assert code == 2 and "not a PEM private key" in out
    key.chmod(0o644)
    code, out, err = typed(capsys, *words)
    assert code == 2 and "chmod 6" in out
    code, _, err = typed(capsys, "setup", "--url", url, "--token-file", token, "--image", "x:1")
    assert code == 2 and "by its digest only" in err
    assert not (tmp_path / "etc").exists()


def test_nothing_to_take_back(capsys, monkeypatch):
    monkeypatch.setattr(installing.os, "geteuid", lambda: 0)
    assert typed(capsys, "uninstall") == (0, "Setup has made nothing here.\n", "")


@pytest.mark.parametrize("error", [Failed("no", "do"), Declined("no", "do")])
def test_what_could_not_be_done_is_three_and_says_how_to_go_on(capsys, error):
    with installing.told() as codes:
        raise error
    assert (
        codes == [3]
        and capsys.readouterr().err
        == "error: no\n  do\n  Then the same command again: it goes on where this stopped.\n"
    )
    with pytest.raises(UserError), installing.told():
        raise UserError("asked wrongly")


def test_without_a_terminal_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(installing.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(installing.click, "confirm", lambda question: False)
    assert installing._agreed(True) and not installing._agreed(False)
    monkeypatch.setattr(installing.sys.stdin, "isatty", lambda: False, raising=False)
    assert installing._agreed(False)


def test_gpus_may_be_named_one_by_one_or_together():
    assert installing._request(gpus=("a,b", "c")).gpus == ("a", "b", "c")
    assert installing._request(gpus=()).automatic
