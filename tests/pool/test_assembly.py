"""The log of the supervisor, and what ends it before it begins; its life is in test_supervisor.py."""

import io

import pytest

from backburn.errors import UserError
from backburn.pool import assembly
from backburn.pool.config import Config
from backburn.pool.config import GitHub as Given
from backburn.pool.github import GitHub

TOKEN = "ghp_canary0canary0canary0canary0canary"


def test_no_secret_is_in_the_log_and_a_reader_that_is_gone_ends_nothing():
    github = GitHub(Config(github=Given(url="https://github.com/acme", token="env:X")), read=lambda where: TOKEN)
    github._questions._right.bearer()
    stream = io.StringIO()
    log = assembly.Log(github, stream=stream)
    log.note("cpu0", "error", f"it said {TOKEN}")
    assert "cpu0" in stream.getvalue() and "it said" in stream.getvalue() and TOKEN not in stream.getvalue()
    stream.close()
    log.note("", "info", "nobody reads this")


def written(folder, more=""):
    """The path of a pool.toml whose engine is not there."""
    file = folder / "pool.toml"
    file.write_text(
        f"""[github]\nurl = "https://github.com/acme"\ntoken = "env:NO_SUCH_TOKEN"\n[pool]\nname = "lab1"\nimage = "x"
state = "{folder}/state"\nlocks = "{folder}/locks"\n[slots]\ncpu = 1\ninjection = "none"\n[metrics]\nlisten = ""
[docker]\nhost = "unix://{folder}/no.sock"\n{more}"""
    )
    return file


def test_a_secret_that_is_not_there_is_asked_wrongly_and_leaves_no_lock(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_TOKEN", raising=False)
    for _ in range(2):
        with pytest.raises(UserError, match="NO_SUCH_TOKEN"):
            assembly.main(written(tmp_path))


def test_so_is_a_webhook_that_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_SUCH_TOKEN", TOKEN)
    monkeypatch.setenv("HOOK", "http://chat.example.com/canary")
    for _ in range(2):
        with pytest.raises(UserError, match="not the URL of a webhook") as error:
            assembly.main(written(tmp_path, '[queue]\nrepositories = ["acme/digits"]\nwebhook = "env:HOOK"\n'))
        assert "canary" not in str(error.value)


def test_who_looks_at_the_queue_is_one_of_the_rounds_and_in_the_metrics(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_SUCH_TOKEN", TOKEN)
    made = []
    monkeypatch.setattr(assembly.Supervisor, "run", lambda self: made.append(self) or 0)
    monkeypatch.setattr(assembly.listening, "listen", lambda metrics, *_: made.append(metrics))
    assert assembly.main(written(tmp_path, '[queue]\nrepositories = ["acme/digits"]\n')) == 0
    metrics, supervisor = made
    (round_,) = supervisor.rounds
    assert round_.__self__.waits == metrics.sources.queued and round_() > 100
    assert assembly.main(written(tmp_path)) == 0 and not made[3].rounds and made[2].sources.queued() == (0.0, 0)
