"""The start of a container: what it refuses, what the listener gets, and that it is the listener from then on."""

import os
import signal
import time

import pytest

from backburn.pool import exits

from .scratch import GPU, program

ENTRYPOINT = "/opt/backburn/entrypoint.sh"
SECRET = "eyJjYW5hcnkiOiAiY2FuYXJ5In0="
LISTENER = "home/runner/bin/Runner.Listener"


@pytest.fixture
def given(scratch):
    """A root with a configuration, and a listener that says what it is and what it has."""
    scratch.give("run/backburn/jit", SECRET, 0o400)
    program(
        scratch.root,
        LISTENER,
        """#!/bin/bash
echo "I am $PPID's child with $*, in $PWD; $ACTIONS_RUNNER_INPUT_JITCONFIG; $(ls /run/backburn 2>&1 | wc -l)"
tr '\\0' ' ' <"/proc/$$/cmdline"
exit "${CODE:-0}"
""",
    )
    return scratch


def test_the_listener_gets_the_configuration_and_it_is_gone(given):
    code, said = given.run(ENTRYPOINT)
    assert code == 0 and f"I am 1's child with run, in /home/runner; {SECRET}" in said
    assert not (given.here / "jit").exists()


def test_no_argument_holds_it(given):
    program(given.root, LISTENER, "#!/bin/bash\nfor one in /proc/[0-9]*/cmdline; do cat $one; echo; done | cat -v\n")
    code, said = given.run(ENTRYPOINT)
    assert code == 0 and "Runner.Listener^@run" in said and SECRET[:12] not in said


@pytest.mark.parametrize("code", [0, 1, 2, 5, 7, 100, 102, 105])
def test_its_exit_code_is_the_listeners(given, code):
    assert given.run(ENTRYPOINT, CODE=str(code))[0] == code


def test_a_signal_reaches_the_listener(given):
    program(
        given.root, LISTENER, "#!/bin/bash\ntrap 'echo heard; exit 42' TERM\necho ready\nwhile :; do sleep 0.05; done"
    )
    with given.start(ENTRYPOINT, init=False) as process:
        assert process.stdout.readline() == "ready\n"
        _signal_first(process.pid)
        said, _ = process.communicate(timeout=10)
    assert said == "heard\n" and process.returncode == 42


def _signal_first(parent):
    """The child of unshare is process 1 of the namespace: here the listener itself."""
    with open(f"/proc/{parent}/task/{parent}/children") as children:
        (child,) = children.read().split()
    os.kill(int(child), signal.SIGTERM)


@pytest.mark.parametrize("how", ["none", "empty", "another user's"])
def test_without_a_configuration_it_says_so(given, how):
    jit = given.here / "jit"
    jit.unlink()
    if how != "none":
        jit.write_text("" if how == "empty" else SECRET)
        jit.chmod(0o600)
    code, said = given.run(ENTRYPOINT)
    assert (code, said.count("\n")) == (78, 1) and "no configuration" in said and "backburn pool run" in said
    assert exits._by_code(None, code) is exits.Outcome.CRASHED  # nobody's code but ours


def test_one_that_cannot_be_removed_is_not_used(given):
    given.here.chmod(0o500)
    code, said = given.run(ENTRYPOINT)
    assert code == 78 and "second start" in said and "I am" not in said


def test_without_a_listener_it_ends_as_an_image_that_is_none(given):
    (given.root / LISTENER).unlink()
    code, _ = given.run(ENTRYPOINT)
    assert exits._by_code(None, code) is exits.Outcome.IMAGE


def test_a_gpu_that_is_not_seen_is_no_runner(given):
    code, said = given.run(ENTRYPOINT, BACKBURN_DEVICE=GPU)
    assert exits._by_code(None, code) is exits.Outcome.BLIND
    assert "does not see its GPU: there is no device node" in said and "I am" not in said
    assert not (given.here / "jit").exists(), "and it is good for no second start"


def test_a_gpu_that_is_seen_is_one(given):
    given.node("nvidia0")
    assert given.run(ENTRYPOINT, BACKBURN_DEVICE=GPU)[0] == 0


def test_a_driver_that_hangs_is_given_up_in_time(given):
    given.hasten("opt/backburn/view.sh", "--kill-after=1 10", "--kill-after=1 1")
    given.smi("trap '' TERM; while :; do sleep 1; done")
    begun = time.monotonic()
    code, said = given.run(ENTRYPOINT, BACKBURN_DEVICE=GPU)
    assert "ended with 137" in said
    assert exits._by_code(None, code) is exits.Outcome.BLIND and 2 <= time.monotonic() - begun < 8
