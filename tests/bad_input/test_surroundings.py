"""An environment that is not ours to choose: variables, streams, locales, and modules that are called as ours."""

import json
import subprocess
import sys

import pytest

from .conftest import commit

CRASH = "raise KeyError('é✗')\n"
WORKS = {
    "no HOME": {"HOME": None},
    "no TMPDIR": {"TMPDIR": "/nowhere"},
    "warnings": {"PYTHONWARNINGS": "error"},
    "development mode": {"PYTHONDEVMODE": "1"},
    "python -O": {"PYTHONOPTIMIZE": "1"},
    "a PYTHONPATH of nonsense": {"PYTHONPATH": "/dev/null::,"},
    "a cache that is none": {"BACKBURN_CACHE": "/dev/null"},
    "a probe of somebody else's": {"BACKBURN_PROBE": "nonsense"},
    "git of a hook": {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere"},
    "20 columns": {"COLUMNS": "20"},
    "1 column": {"COLUMNS": "1"},
    "columns of nonsense": {"COLUMNS": "-3.5"},
}
LOCALES = {
    "C": {"LC_ALL": "C"},
    "POSIX, kept": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "none such": {"LC_ALL": "nonsense"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
}


SLOW = {
    "development mode",
    "python -O",
    "a cache that is none",
    "1 column",
    "columns of nonsense",
    "none such",
    "Latin-1",
}


def rows(table):
    return [pytest.param(row, marks=pytest.mark.slow) if row in SLOW else row for row in table]


def call(project, *words, env, before=()):
    """A whole call, some variables of the usual ones taken out."""
    out = ["env", *(word for name, value in env.items() if value is None for word in ("-u", name))]
    given = {name: value for name, value in env.items() if value is not None}
    return project.backburn(*words, before=(*before, *out), **given)


@pytest.mark.parametrize("row", rows(WORKS))
def test_it_makes_no_difference(make, row):
    done = call(make(train=CRASH), "memorize", env=WORKS[row])
    assert done.code == 1 and done.report["outcomes"][0]["findings"][0]["message"] == "KeyError: 'é✗'", done.said


@pytest.mark.parametrize("row", rows(LOCALES))
def test_a_locale_without_our_signs_ends_nothing(make, row):
    project = make(train="raise KeyError(1)\n")
    done = call(project, "memorize", env=LOCALES[row])
    assert done.code == 1 and " memorize: fail " in done.out and "train.py:1" in done.out, done.said
    child = [sys.executable, "-m", "backburn", "memorize", "--json"]
    env = project.environ(**LOCALES[row])
    assert json.loads(subprocess.run(child, cwd=project.root, env=env, capture_output=True).stdout)["verdict"] == "fail"


WRONG = {
    "unjudged": ({"BACKBURN_UNJUDGED": "nonsense"}, "'nonsense' is not one of 'fail', 'warn'"),
    "require-gpu": ({"BACKBURN_REQUIRE_GPU": "perhaps"}, "'perhaps' is not a valid boolean"),
    "rehearsal": ({"BACKBURN_REHEARSAL": "perhaps"}, "'perhaps' is not a valid boolean"),
    "working-directory": ({"BACKBURN_WORKING_DIRECTORY": "/nowhere"}, "Directory '/nowhere' does not exist"),
    "python -OO": ({"PYTHONOPTIMIZE": "2"}, "reports are made of docstrings, which python -OO leaves out"),
}


@pytest.mark.parametrize("row", WRONG)
def test_a_variable_that_cannot_be_meant(make, row):
    env, said = WRONG[row]
    done = make().ended(make(folder="other").start("memorize", **env), "memorize")
    assert done.code == 2 and said in done.err and "Traceback" not in done.err, done.said


@pytest.mark.parametrize("name", ["GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"])
@pytest.mark.parametrize("path", ["/nowhere/at/all", "/"])
def test_a_file_of_the_runners_that_cannot_be_written(make, name, path):
    project = make(train=CRASH)
    done = project.ended(project.start("memorize", GITHUB_ACTIONS="true", **{name: path}), "memorize")
    assert done.code == 2 and f"error: {path}: cannot write: " in done.err and "unset GITHUB_ACTIONS" in done.err
    assert "Traceback" not in done.err and done.report["outcomes"][0]["findings"][0]["message"] == "KeyError: 'é✗'"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize("words", ["memorize", "memorize --json", "--help"])
def test_closed_streams(make, closed, words):
    project = make(train=CRASH)
    shell = ["sh", "-c", f'"$0" -m backburn {words} {closed}', sys.executable]
    done = subprocess.run(shell, cwd=project.root, env=project.environ(), capture_output=True, text=True)
    assert done.returncode == (0 if words == "--help" else 1), done.stderr
    if words != "--help":
        report = json.loads((project.out("memorize") / "report.json").read_text())
        assert report["outcomes"][0]["findings"][0]["message"] == "KeyError: 'é✗'"
    project.expect_nobody_left()


SHADOWS = (
    "click",
    "msgspec",
    "rich",
    "signal",
    "json",
    "typing",
    "report",
    "config",
    "evidence",
    "platform",
    "tomllib",
)


def test_a_projects_own_modules_are_none_of_ours(make):
    """`train.py` imports them; we do not."""
    project = make(train="import report, config\nprint(report.MINE)\nraise KeyError('é✗')\n")
    for name in SHADOWS:
        text = "MINE = 1\n" if name in ("report", "config") else "raise RuntimeError('shadowed')\n"
        (project.root / f"{name}.py").write_text(text)
    commit(project.root)
    done = project.backburn("memorize")
    assert done.code == 1 and "shadowed" not in done.said, done.said
