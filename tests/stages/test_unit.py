"""Real pytest in tiny projects: what passes, what fails and where, and what is no verdict at all."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backburn import pipeline
from backburn.config import Seconds
from backburn.errors import UserError
from backburn.junit import Test
from backburn.report import Level, Verdict, overall
from backburn.stages import unit
from backburn.stages.unit import Config, Evidence

OPTIONS = '[tool.pytest.ini_options]\ntestpaths = ["tests"]\naddopts = "-m \'not slow\'"\npythonpath = ["src"]\n'
PACKAGE = '''"""A package."""


def add(a, b):
    """Add.

    >>> add(1, 2)
    3
    """
    return a + b
'''
TESTS = """import pytest
from tiny import add


def test_add():
    assert add(1, 1) == 2


@pytest.mark.slow
def test_slow():
    raise RuntimeError("only a nightly comes here")
"""
SOUND_FILES = {"pyproject.toml": OPTIONS, "src/tiny/__init__.py": PACKAGE, "tests/test_add.py": TESTS}
# A script beside the package, which must never be imported: it would train.
SCRIPT = "import pathlib\npathlib.Path('imported').touch()\nraise SystemExit(1)\n"


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """`ask({file: text}, **config)` -> (evidence, {check: outcome}) of one real pytest call."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    for name in ("GITHUB_EVENT_NAME", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)

    def ask(files, **given):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
        out = tmp_path / "build" / "backburn" / "unit"
        for old in out.glob("*"):
            old.unlink()
        config = Config(install="none", **given)
        seen = unit.gather(config, tmp_path, out)
        return seen, judged(seen, config)

    return ask


def judged(seen, config):
    outcomes = pipeline.judge(unit, "unit", seen, config)
    return {outcome.check.removeprefix("unit/"): outcome for outcome in outcomes}


def verdicts(outcomes):
    return [outcome.verdict.value for outcome in outcomes.values()]


def places(outcome):
    return {(finding.file, finding.line) for finding in outcome.findings}


def test_a_sound_project_in_the_src_layout(ask, tmp_path):
    seen, outcomes = ask(SOUND_FILES | {"train.py": SCRIPT, "src/train.py": SCRIPT})
    assert verdicts(outcomes) == ["pass"] * 5
    assert not any(outcome.findings for outcome in outcomes.values())
    assert seen.tests == 2, "one test and one doctest of the package; the slow one is left to a nightly"
    assert not (tmp_path / "imported").exists()
    assert (tmp_path / "build/backburn/unit/junit.xml").stat().st_size and seen.slowest
    assert [str(one) for one in unit.measured(seen)[:3]] == ["2", "0", "0"]
    assert "strict" not in " ".join(seen.command)


def test_a_nightly_selects_what_the_push_leaves_out(ask):
    seen, outcomes = ask(SOUND_FILES, select="slow")
    assert seen.tests == 1
    assert places(outcomes["tests-pass"]) == {("tests/test_add.py", 11)}


def test_the_flat_layout_without_testpaths(ask, tmp_path):
    files = {"tiny/__init__.py": PACKAGE, "tests/test_add.py": TESTS, "train.py": SCRIPT, "docs/conf.py": SCRIPT}
    seen, outcomes = ask(files | {"check_odd.py": SCRIPT, "odd/test_far.py": "def test_far():\n    pass\n"})
    assert seen.tests == 4, "every test that pytest finds by itself, and the doctest"
    assert not (tmp_path / "imported").exists()
    assert outcomes["tests-pass"].verdict is Verdict.FAIL, "no option deselects the slow one here"


def test_a_copy_in_the_environment_is_said_and_is_no_failure(ask, tmp_path):
    # What `pip install .` leaves; pytest then finds the checkout's module under a name that is taken.
    copy = {"elsewhere/tiny/__init__.py": PACKAGE, "elsewhere/tiny/more.py": PACKAGE}
    options = OPTIONS.replace('"src"', '"elsewhere"')
    tests = TESTS.replace("import pytest", "import pytest, tiny.more")
    more = {"pyproject.toml": options, "src/tiny/more.py": PACKAGE, "tests/test_add.py": tests}
    _, outcomes = ask(SOUND_FILES | copy | more)
    assert verdicts(outcomes) == ["pass"] * 5
    findings = outcomes["doctests-were-read"].findings
    assert ("src/tiny/more.py", Level.WARNING) in {(one.file, one.level) for one in findings}
    assert all(str(tmp_path / "elsewhere") in one.message and "editable" in one.hint for one in findings)


BROKEN = {
    "src/tiny/__init__.py": PACKAGE.replace("    3\n", "    4\n")
    + '\n\ndef deep():\n    raise ValueError("far down")\n',
    "src/tiny/export.py": "import a_package_nobody_installs\n",
    "src/tiny/broken.py": "from .nowhere import thing\n",
    "tests/test_syntax.py": "def test(:\n",
    "tests/test_import.py": "\nimport not_there_either\n",
    "tests/test_many.py": """import pytest
import tiny


def test_deep():
    tiny.deep()


@pytest.fixture
def torn():
    yield
    raise RuntimeError("in teardown")


def test_torn(torn):
    assert 0, "both in the call and in teardown"


class TestGroup:
    @pytest.mark.parametrize("x", ["a b", "é\\x1b"])
    def test_odd(self, x):
        assert x == "\\x1b[31m\\0 <&>]]>" * 2_000

    @pytest.mark.xfail
    def test_known(self):
        assert 0

    @pytest.mark.skip
    def test_skipped(self):
        assert 0
""",
}


@pytest.mark.parametrize("more", ["", "-p no:randomly --tb=short -q", "--tb=native"])
def test_every_failure_is_a_finding_at_its_place(ask, more, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1" if more else "")  # which many workflows set
    seen, outcomes = ask(SOUND_FILES | BROKEN, args=more)
    assert verdicts(outcomes) == ["pass", "pass", "fail", "pass", "pass"]
    assert {one.id: (one.file, one.line) for one in seen.failed} == {
        "tests/test_syntax.py": ("tests/test_syntax.py", 1),
        "tests/test_import.py": ("tests/test_import.py", 2),
        "src/tiny/broken.py": ("src/tiny/broken.py", 1),
        "src/tiny/__init__.py::tiny.add": ("src/tiny/__init__.py", 7),
        "tests/test_many.py::test_deep": ("src/tiny/__init__.py", 14),
        "tests/test_many.py::test_torn": ("tests/test_many.py", 16),
        "tests/test_many.py::TestGroup::test_odd[a b]": ("tests/test_many.py", 22),
        "tests/test_many.py::TestGroup::test_odd[\\xe9\\x1b]": ("tests/test_many.py", 22),
    }
    assert (seen.tests, seen.skipped) == (8, 1), "uncollected files are no tests, a known failure ran"
    findings = outcomes["tests-pass"].findings
    assert all(len(finding.message) <= 500 and len(finding.detail) <= 8192 for finding in findings)
    assert any("tiny.add: expected 4, got 3" in finding.message for finding in findings)
    assert any("python -m pytest 'tests/test_many.py::TestGroup::test_odd[a b]'" in one.hint for one in findings)
    (warning,) = outcomes["doctests-were-read"].findings
    assert (warning.level, warning.file, warning.line) == (Level.WARNING, "src/tiny/export.py", 1)
    assert "a_package_nobody_installs" in warning.message


@pytest.mark.parametrize(
    ("body", "said", "line"),
    [
        ("import os\n    os._exit(0)", "exit code 0) in tests/test_end.py::test_end", 0),
        ("import ctypes\n    ctypes.string_at(0)", "signal 11) in tests/test_end.py::test_end", 6),
        ("import time\n    time.sleep(60)", "no end after 6 s in tests/test_end.py::test_end", 6),
        ("import pytest\n    pytest.exit('enough', returncode=0)", "enough", 0),
        ("raise KeyboardInterrupt", "KeyboardInterrupt", 0),
    ],
)
def test_what_is_cut_short_is_a_failure_that_names_the_test(ask, body, said, line):
    text = f"def test_first():\n    pass\n\ndef test_end():\n    {body}\n\ndef test_never():\n    pass\n"
    seen, outcomes = ask({"tests/test_end.py": text}, timeout=Seconds(6))  # pytest has to be there
    assert verdicts(outcomes) == ["fail", "skip", "skip", "skip", "skip"]
    (finding,) = outcomes["pytest-ran-to-its-end"].findings
    assert said in finding.message
    assert finding.line == line and finding.detail


@pytest.mark.parametrize(
    ("files", "said", "place"),
    [
        (
            {"tests/conftest.py": "\nimport not_there\n"},
            "could not start (exit code 4): ModuleNotFoundError: No module named 'not_there'",
            ("tests/conftest.py", 2),
        ),
        (
            {"pytest.ini": "[pytest]\naddopts = --not-an-option\n"},
            "could not start (exit code 4): unrecognized arguments: --not-an-option",
            ("", 0),
        ),
        (
            {"conftest.py": "def pytest_collection_finish():\n    raise OSError('x\\n  on two lines')\n"},
            "internal error (exit code 3): OSError: x",
            ("conftest.py", 2),
        ),
        (
            {"tests/test_end.py": "import sys\nsys.exit(3)\n"},
            "internal error (exit code 3): SystemExit: 3",
            ("tests/test_end.py", 2),
        ),
    ],
)
def test_a_project_that_pytest_cannot_start_with(ask, files, said, place):
    _, outcomes = ask(SOUND_FILES | files)
    (finding,) = outcomes["pytest-ran-to-its-end"].findings
    assert said in finding.message and (finding.file, finding.line) == place and finding.detail
    assert "\n" not in finding.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"args": "--not-an-option"}, "unrecognized arguments: --not-an-option"),
        ({"paths": ("nowhere",)}, "not found: nowhere"),
        ({"select": "slow and"}, "slow and"),
        ({"args": "'unbalanced"}, "No closing quotation"),
    ],
)
def test_options_of_ours_that_pytest_refuses_are_asked_wrongly(ask, given, said):
    with pytest.raises(UserError, match=said):
        ask(SOUND_FILES, **given)


def test_a_doctest_plugin_switched_off_says_what_to_set(ask):
    with pytest.raises(UserError, match="doctest = false"):
        ask(SOUND_FILES, args="-p no:doctest")
    _, outcomes = ask({}, args="-p no:doctest", doctest=False)
    assert outcomes["tests-pass"].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("files", "given", "said"),
    [
        ({}, {"select": "gpu"}, "collected no test with select = 'gpu'"),
        ({"src/tiny/__init__.py": "", "tests/test_add.py": ""}, {}, "collected no test"),
        ({"tests/conftest.py": "def pytest_runtest_setup(item):\n    __import__('pytest').skip('x')\n"}, {}, "skipped"),
    ],
)
def test_nothing_that_ran_is_not_a_pass(ask, files, given, said):
    _, outcomes = ask(SOUND_FILES | files, doctest=False, **given)
    outcome = outcomes["tests-were-collected"]
    assert outcome.verdict is Verdict.UNJUDGED and said in outcome.unjudged
    assert outcomes["tests-pass"].verdict is Verdict.SKIP


@pytest.mark.parametrize(
    ("event", "files", "selected", "verdict"),
    [
        ("schedule", {}, "gpu", Verdict.SKIP),
        ("workflow_dispatch", {}, "gpu", Verdict.SKIP),
        ("push", {}, "gpu", Verdict.UNJUDGED),
        ("schedule", {"tests/test_add.py": ""}, "", Verdict.UNJUDGED),
    ],
)
def test_a_nightly_of_a_project_that_leaves_nothing_to_it_does_not_nag(
    ask, monkeypatch, event, files, selected, verdict
):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_EVENT_NAME", event)
    _, outcomes = ask(SOUND_FILES | files, doctest=False, select=selected)
    assert outcomes["tests-were-collected"].verdict is verdict
    assert verdict is not Verdict.SKIP or outcomes["tests-were-collected"].skipped == "no test is selected by 'gpu'"
    assert overall(one.verdict for one in outcomes.values()) is (
        Verdict.PASS if verdict is Verdict.SKIP else Verdict.UNJUDGED
    )


def test_a_plugin_that_fails_the_session_is_heard(ask):
    hook = "def pytest_sessionfinish(session):\n    print('coverage 12 % < 90 %')\n    session.exitstatus = 1\n"
    _, outcomes = ask(SOUND_FILES | {"tests/conftest.py": hook})
    (finding,) = outcomes["tests-pass"].findings
    assert "exit code 1 although no test failed" in finding.message and "12 %" in finding.detail


def test_an_environment_without_pytest_says_what_to_do(ask, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    monkeypatch.setenv("PATH", str(tmp_path / "bare" / "bin"))
    with pytest.raises(UserError, match='no pytest\n.*"dev"'):
        ask(SOUND_FILES)


SOUND = Evidence(
    whole=True, tests=3, seconds=1.0, slowest=(Test(id="a.py::b", outcome="passed", seconds=0.5, file="a.py"),)
)
FAILED = Test(id="a.py::b", outcome="failed", file="a.py", line=3, message="b: no")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["pass"] * 5),
        ({"whole": False}, ["fail", "skip", "skip", "skip", "skip"]),
        ({"timed_out": True}, ["fail", "skip", "skip", "skip", "skip"]),
        ({"stopped": "Exit: enough"}, ["fail", "skip", "skip", "skip", "skip"]),
        ({"code": 3}, ["fail", "skip", "skip", "skip", "skip"]),
        ({"code": 2}, ["fail", "skip", "skip", "skip", "skip"]),
        ({"code": 2, "failed": (FAILED,)}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"code": 5, "tests": 0}, ["pass", "unjudged", "skip", "pass", "pass"]),
        ({"skipped": 3}, ["pass", "unjudged", "skip", "pass", "pass"]),
        ({"code": 1, "failed": (FAILED,)}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"code": 1, "failed": (FAILED,), "tests": 0}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"failed": (FAILED,)}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"code": 1}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"code": 7}, ["pass", "pass", "fail", "pass", "pass"]),
        ({"code": 1, "unread": (FAILED,)}, ["pass"] * 5),
        ({"seconds": 601.0, "event": "schedule"}, ["pass", "pass", "pass", "pass", "skip"]),
    ],
)
def test_the_checks(changes, expected):
    assert verdicts(judged(msgspec.structs.replace(SOUND, **changes), Config())) == expected


@pytest.mark.parametrize("seconds", [601.0, float("nan")])
def test_over_the_budget_warns_and_names_what_to_mark(seconds):
    outcome = judged(msgspec.structs.replace(SOUND, seconds=seconds), Config())["seconds-within-budget"]
    (finding,) = outcome.findings
    assert (outcome.verdict, finding.level) == (Verdict.PASS, Level.WARNING)
    assert finding.message.startswith(f"the tests took {seconds:.0f} s, more than the budget of 600 s; the slowest is ")
    assert "a.py::b" in finding.message and "mark.slow" in finding.hint and "0.50 s a.py::b" in finding.detail


def test_figures_of_a_cut_short_call_are_unknown():
    assert [str(one) for one in unit.measured(Evidence(seconds=2.0))] == ["unknown", "unknown", "unknown", "2 s"]
