import os
import signal
import subprocess
import sys
import time

import pytest

from backburn import process


def python(code, tmp_path, **options):
    return process.run([sys.executable, "-c", code], cwd=tmp_path, log=tmp_path / "log", **options)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_whole_output_is_in_the_file_and_its_end_in_the_tail(tmp_path):
    done = python("import sys; print('x' * 10**6); print('é', file=sys.stderr); sys.exit(3)", tmp_path)
    assert (done.code, done.timed_out) == (3, False)
    assert (tmp_path / "log").stat().st_size > 10**6
    assert done.tail(1) == "é"


def test_a_tail_has_no_control_sequences_and_only_the_last_state_of_a_bar(tmp_path):
    (tmp_path / "log").write_bytes(b"\x1b[31mred\x1b[0m\n1%\r50%\r100%\n\xff\r\n")
    assert process.tail(tmp_path / "log") == "red\n100%\n\ufffd"
    assert process.tail(tmp_path / "none") == ""


def test_a_program_that_is_not_there_is_code_127_with_its_name(tmp_path):
    done = process.run(["no-such-program"], cwd=tmp_path, log=tmp_path / "log")
    assert done.code == 127
    assert "no-such-program" in done.tail()


def test_time_out_ends_the_whole_group_and_a_hung_python_says_where(tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "def stuck(): time.sleep(60)\n"
        "stuck()\n"
    )
    started = time.monotonic()
    done = python(code, tmp_path, timeout=4.0, env={**os.environ, "PYTHONFAULTHANDLER": "1"})
    assert done.timed_out
    assert time.monotonic() - started < 4 + 5
    assert "in stuck" in done.tail()
    assert not alive(int((tmp_path / "log").read_text().split()[0]))


def test_what_a_program_leaves_behind_is_ended(tmp_path):
    code = "import subprocess; print(subprocess.Popen(['sleep', '60']).pid)"
    assert python(code, tmp_path).code == 0
    time.sleep(0.1)
    assert not alive(int((tmp_path / "log").read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_even_a_stubborn_group_within_five_seconds(tmp_path, number):
    stubborn = (
        "import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)]; "
        "print('up', flush=True); time.sleep(60)"
    )
    code = f"""
import signal, sys
from pathlib import Path
from backburn import process
from backburn.errors import Interrupted
try:
    process.run([sys.executable, "-c", {stubborn!r}], cwd=Path("."), log=Path({str(tmp_path / "log")!r}))
except Interrupted as error:
    sys.exit(error.exit_code)
"""
    child = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        time.sleep(0.05)
    started = time.monotonic()
    child.send_signal(number)
    assert child.wait(10) == 128 + number
    assert time.monotonic() - started < 5


def test_ticks_reach_whoever_watches(tmp_path):
    seen = []
    with process.watched_by(lambda label, seconds: seen.append((label, seconds))):
        python("import time; time.sleep(0.3)", tmp_path, label="training digits")
    assert seen[0][0] == "training digits"
    assert seen[-1][1] > 0.1


def test_capture_answers_for_a_missing_program(tmp_path):
    assert process.capture(["no-such-program"], cwd=tmp_path)[0] == 127
    assert process.capture([sys.executable, "-c", "print(1)"], cwd=tmp_path)[:2] == (0, b"1\n")
