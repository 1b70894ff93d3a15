import sys

import pytest

from backburn import environment, training
from backburn.config import Training
from backburn.errors import Unjudged, UserError


def start(root, code, *, args=(), timeout=20.0, own=20.0, prepare="", **given):
    (root / "train.py").write_text(code)
    python = environment.Environment(python=sys.executable)
    one = Training(
        **{"name": "it", "command": (sys.executable, "train.py"), "prepare": prepare, "timeout": own} | given
    )
    out = root / "build" / "out"
    return training.start(one, "memorize", {}, args=args, python=python, root=root, out=out, timeout=timeout)


SAYS = """
import json, os, sys
asked = json.loads(os.environ["BACKBURN_PROBE"])
print(json.dumps([sys.argv[1:], asked["stage"], os.path.isdir(asked["settings"]["scratch"]), asked["evidence"],
                  os.environ["PYTHONPATH"].split(os.pathsep), os.environ["WANDB_MODE"], os.environ.get("MINE")]))
"""


def test_a_command_gets_its_arguments_and_the_probe(tmp_path):
    ended = start(tmp_path, SAYS, args="--a 'b c'", env={"MINE": "x", "PYTHONPATH": "own", "WANDB_MODE": "offline"})
    assert (ended.code, ended.message) == (0, "")
    out = tmp_path / "build" / "out"
    assert ended.tail == (
        f'[["--a", "b c"], "memorize", true, "{out}/probe.json", ["{training.ONPATH}", "own"], "offline", "x"]'
    )


def test_an_unbalanced_quote_is_asked_wrongly(tmp_path):
    with pytest.raises(UserError, match="No closing quotation"):
        start(tmp_path, "", args="--a 'b")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cwd": "nope"}, "cwd 'nope' does not exist"),
        ({"prepare": "pithon fetch.py"}, "there is no program 'pithon'"),
        ({"command": "bin/train"}, "there is no program 'bin/train'"),
    ],
)
def test_a_command_that_cannot_be_meant_is_asked_wrongly(tmp_path, given, said):
    with pytest.raises(UserError, match=said) as error:
        start(tmp_path, "", **given)
    assert error.value.where == "pyproject.toml: [tool.backburn.trainings.it]"
    assert not (tmp_path / "build" / "out" / "output.txt").exists()


def test_prepare_makes_the_program(tmp_path):
    make = "import os; open('it', 'w').write('#!/bin/sh\\necho made'); os.chmod('it', 0o755)"
    assert start(tmp_path, "", prepare=(sys.executable, "-c", make), command="./it").tail == "made"


def test_prepare_runs_first_and_without_a_probe(tmp_path):
    write = "import os; open('made', 'w').write(os.environ.get('BACKBURN_PROBE', 'none'))"
    ended = start(tmp_path, "print(open('made').read())", prepare=(sys.executable, "-c", write))
    assert ended.tail == "none"


SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.mark.parametrize(
    ("own", "stages", "said"),
    [
        (0.5, 20.0, "0.5 s in [tool.backburn.trainings.it]"),
        (20.0, 0.5, "0.5 s in [tool.backburn.memorize]"),
    ],
)
@pytest.mark.parametrize("hangs", ["prepare", "command"])
def test_the_smaller_time_limit_counts_for_both_and_is_named(tmp_path, hangs, own, stages, said):
    ended = start(tmp_path, "", **{hangs: SLEEPS}, timeout=stages, own=own)
    message = training.fault(ended, reached=False, whole=False).message
    assert (
        message == f"{'prepare ' * (hangs == 'prepare')}still running after {ended.seconds:.0f} s (timeout of {said})"
    )
    assert ended.seconds < 5


def test_prepare_takes_from_the_time_of_the_command(tmp_path):
    """Half the time is for the start of Python, which takes long on a busy machine."""
    prepare = (*SLEEPS[:2], "import time; time.sleep(2)")
    ended = start(tmp_path, "import time; time.sleep(60)", prepare=prepare, own=4.0)
    assert ended.timed_out and not ended.prepare and ended.seconds < 3.5


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(4)", "prepare ended with exit code 4"),
        ("print(1); raise SystemExit('no such bucket')", "prepare ended with exit code 1: no such bucket"),
        ("raise KeyError(1)", "prepare ended with exit code 1: KeyError: 1"),
    ],
)
def test_a_failing_prepare_says_so(tmp_path, code, said):
    ended = start(tmp_path, "", prepare=(sys.executable, "-c", code))
    assert training.fault(ended, reached=False, whole=False).message == said


def test_what_the_machine_lacks_in_prepare_says_so(tmp_path):
    ended = start(tmp_path, "", prepare=(sys.executable, "-c", "raise MemoryError"))
    with pytest.raises(Unjudged, match="^prepare: the machine's memory ran out"):
        training.fault(ended, reached=False, whole=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-c", "import sys; sys.exit('please set DATA_ROOT')"), "1: please set DATA_ROOT"),
        (("-m", "nosuchmod"), "1: {}: No module named nosuchmod"),
        (("nosuch.py",), "2: {}: can't open file"),
    ],
)
def test_without_a_traceback_the_last_line_tells(tmp_path, words, said):
    ended = start(tmp_path, "", command=(sys.executable, *words))
    message = training.fault(ended, reached=False, whole=False).message
    assert message.startswith(f"{sys.executable} ended with exit code {said.format(sys.executable)}")


PROJECT = """
import json


def load():
    {what}


load()
"""


def crash(root, what, **given):
    return start(root, PROJECT.format(what=what), **given)


def test_a_crash_is_placed_in_the_project_not_in_the_library(tmp_path):
    ended = crash(tmp_path, "json.loads('{')")
    assert ended.message.startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert (ended.file, ended.line, ended.lacking) == ("train.py", 6, "")
    assert ended.code == 1


def test_the_last_of_two_tracebacks_counts(tmp_path):
    ended = crash(tmp_path, "\n    try: 1 / 0\n    except ZeroDivisionError: raise LookupError('second')")
    assert ended.message == "LookupError: second"


LACKING = {
    "raise type('OutOfMemoryError', (Exception,), {})('CUDA out of memory')": "the GPU's memory ran out",
    "raise MemoryError": "the machine's memory ran out",
    "raise OSError(28, 'No space left on device')": "the disk is full",
    "raise RuntimeError('No CUDA GPUs are available')": "the GPU could not be used",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')": "a server could not be reached",
    "raise type('HTTPError', (OSError,), {})('401 Client Error: Unauthorized')": "credentials are missing or refused",
    "open('/nowhere/data.csv')": "data is missing: /nowhere/data.csv",
    "import os; os.kill(os.getpid(), 9)": "it was killed (SIGKILL), most likely because memory ran out",
}


@pytest.mark.parametrize("what", LACKING)
def test_what_the_machine_lacks_is_told_apart(tmp_path, what):
    assert crash(tmp_path, what).lacking == LACKING[what]


@pytest.mark.parametrize(
    "what",
    [
        "raise ValueError('shapes (3,) and (4,)')",
        "print('CUDA out of memory'); raise KeyError('x')",
        "open('config/train.yaml')",
        "raise SystemExit(3)",
    ],
)
def test_the_projects_own_fault_is_no_lack(tmp_path, what):
    ended = crash(tmp_path, what)
    assert ended.code and not ended.lacking


def test_a_missing_file_that_git_ignores_is_data(tmp_path):
    import subprocess

    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("data/\n")
    assert crash(tmp_path, "open('data/x.csv')").lacking == "data is missing: data/x.csv"
    assert crash(tmp_path, "open('tables/x.csv')").lacking == ""


def test_a_hang_is_placed_by_its_stack(tmp_path):
    ended = crash(tmp_path, "import time; time.sleep(60)", timeout=3.0)  # by then even a busy machine is there
    assert ended.timed_out and (ended.file, ended.line) == ("train.py", 6)
    assert "most recent call first" in ended.tail


def ended(**given):
    return training.Ended(command=("python",), seconds=1.0, **{"code": 0, "tail": "the end"} | given)


def test_a_good_end_is_no_fault():
    assert training.fault(ended(), reached=True, whole=True) is None


def test_an_exit_code_after_all_was_told_only_warns():
    assert training.fault(ended(code=139), reached=True, whole=True).level.value == "warning"


@pytest.mark.parametrize("given", [{"code": 1}, {"code": 0, "timed_out": True}, {"code": 1, "message": "x"}])
def test_a_bad_end_is_a_finding(given):
    found = training.fault(ended(file="a.py", line=3, **given), reached=False, whole=False)
    assert (found.level.value, found.file, found.line, found.detail) == ("error", "a.py", 3, "the end")


@pytest.mark.parametrize(
    ("source", "hint"), [("import nowhere", "missing from the project's requirements"), ("raise SystemExit(1)", "")]
)
def test_a_package_that_is_not_there_is_told_where_packages_come_from(tmp_path, source, hint):
    found = training.fault(start(tmp_path, source), reached=False, whole=False)
    assert hint in found.hint and bool(hint) == bool(found.hint)


@pytest.mark.parametrize("given", [{"code": 1, "lacking": "the disk is full"}, {"code": 0}])
def test_what_is_nobodys_fault_is_unjudged(given):
    with pytest.raises(Unjudged, match="the disk is full|no Trainer.fit"):
        training.fault(ended(**given), reached=False, whole=False)
