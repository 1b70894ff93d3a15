"""JUnit files as pytest writes them, and as a hostile or dying test leaves them; real ones: stages/test_unit.py."""

import pytest

from backburn import junit

WHOLE = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="3">
<testcase classname="prefix.tests.test_a.TestC" name="test_x" file="tests/test_a.py" line="4" time="0.5" />
<testcase classname="tests.test_a" name="test_y" file="tests/test_a.py" line="8" time="none">
  <failure message="boom">tests/test_a.py:3: in helper
.venv/lib/site-packages/x.py:9: in deeper
E   RuntimeError: boom</failure></testcase>
<testcase classname="tests.test_a" name="test_y" file="tests/test_a.py" line="8" time="1"></testcase>
<testcase classname="tests.test_a" name="test_z" file="tests/test_a.py" line="9" time="1">
  <error message="failed on setup">no place at all</error></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("")
    (tmp_path / ".venv" / "lib" / "site-packages").mkdir(parents=True)
    (tmp_path / ".venv" / "lib" / "site-packages" / "x.py").write_text("")
    return tmp_path


def read(root, text):
    (root / "junit.xml").write_text(text)
    return junit.read(root / "junit.xml", root)


def test_ids_outcomes_and_places(root):
    first, second, third = read(root, WHOLE)
    assert (first.id, first.outcome, first.seconds) == ("tests/test_a.py::TestC::test_x", "passed", 0.5)
    assert (second.id, second.outcome) == ("tests/test_a.py::test_y", "failed"), "the worst of one id"
    assert (second.file, second.line, second.seconds) == ("tests/test_a.py", 3, 0.0), "ours, not the library's"
    assert (third.file, third.line, third.message) == ("tests/test_a.py", 10, "test_z: failed on setup")


@pytest.mark.parametrize(
    "text", ["", WHOLE[: len(WHOLE) // 2], "garbage", '<!DOCTYPE x [<!ENTITY a "b">]><testsuites>&c;</testsuites>']
)
def test_what_is_not_whole_is_told_apart(root, text):
    with pytest.raises(ValueError, match="not whole"):
        read(root, text)


def test_a_missing_file_is_not_whole(root):
    with pytest.raises(ValueError, match="not whole"):
        junit.read(root / "none.xml", root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tests/test_a.py:7: AssertionError", ("tests/test_a.py", 7)),
        ("tests/test_a.py:7: in f\n    g()\nE   ValueError: x", ("tests/test_a.py", 7)),
        ('  File "{root}/tests/test_a.py", line 9, in f', ("tests/test_a.py", 9)),
        ('E     File "{root}/tests/test_a.py", line 2', ("tests/test_a.py", 2)),
        ("tests/test_a.py:7: in f\n/usr/lib/python3/json.py:3: in g", ("tests/test_a.py", 7)),
        ("../tests/test_a.py:7: in f", ("", 0)),
        (".venv/lib/site-packages/x.py:1: in f", ("", 0)),
        ("tests/none.py:7: in f", ("", 0)),
        ("", ("", 0)),
    ],
)
def test_the_place_is_the_last_in_the_project(root, text, expected):
    assert junit.place(text.replace("{root}", str(root)), root) == expected
