"""One process from outside. What the program says is test_nvml's."""

import sys
import threading
import time

from backburn.pool.health.looker import Looker, command, environment
from backburn.pool.health.reading import Event, Look

ECHO = (
    "import sys\n"
    'sys.stdout.write(\'{"type":"event","device":"GPU-1","kind":"xid","code":31}\\n\')\n'
    'for line in sys.stdin: print(\'{"type":"look","readings":[]}\', flush=True)'
)


def heard(text):
    told, ended = [], threading.Event()
    looker = Looker([sys.executable, "-c", text], told.append, ended.set)
    return looker, told, ended


def until(condition):
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_asked_and_heard():
    looker, told, ended = heard(ECHO)
    looker.ask()
    assert looker.owes
    looker.ask()  # one at a time
    assert until(lambda: not looker.owes)
    assert told == [Event(device="GPU-1", kind="xid", code=31), Look(())]
    assert looker.code() is None and looker.end() and ended.wait(5) and looker.code() == -9


def test_one_that_says_nothing_owes_an_answer_and_can_be_ended():
    looker, told, ended = heard("import time; time.sleep(60)")
    looker.ask()
    time.sleep(0.2)
    assert looker.owes and looker.end() and ended.wait(5) and told == []


def test_one_that_is_gone_is_asked_in_vain():
    looker, _, ended = heard("import os; os._exit(3)")
    assert ended.wait(5) and until(lambda: looker.code() == 3)
    looker.ask()
    assert looker.end()


def test_what_is_no_line_of_ours_ends_the_hearing():
    looker, told, ended = heard("""print('{"type": "look"}', flush=True); import time; time.sleep(60)""")
    assert ended.wait(5) and looker.silent and told == [] and looker.code() is None and looker.end()


def test_no_secret_goes_along(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_canary")
    looker, _, ended = heard(f"import os; open({str(tmp_path / 'env')!r}, 'w').write(str(dict(os.environ)))")
    assert ended.wait(10) and "PATH" in (text := (tmp_path / "env").read_text()) and "canary" not in text
    assert until(lambda: looker.code() == 0) and looker.end()
    monkeypatch.setenv("LD_LIBRARY_PATH", "/somewhere")
    assert "canary" not in str(environment()) and environment()["LD_LIBRARY_PATH"] == "/somewhere"
    assert command(["GPU-1", "MIG-2"]) == [sys.executable, "-P", "-m", "backburn.pool.health.nvml", "GPU-1", "MIG-2"]
