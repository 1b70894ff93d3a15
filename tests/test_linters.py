"""Against what the pinned versions really print: recordings/hooks.log, renewed by tests/stages/record.py."""

import re
from pathlib import Path

import pytest
import yaml

from backburn import linters
from tests.stages.record import CONFIG, FILES, ODD, RECORDED

REPOSITORY = Path(__file__).parents[1]
SH = "my script.sh"


def exists(name):
    return name in FILES or name == "link"


def recorded():
    """What each hook printed, by its id."""
    parts = re.split(r"^.*\.{3,}(?:Passed|Failed)\n- hook id: (.*)\n(?:- .*\n)*", RECORDED.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


# (file, line, column, start of the message), all that one hook complains of, in its order.
EXPECTED = {
    "black-check": [
        ("broken.py", 1, 6, "cannot parse"),
        (ODD, 0, 0, "black-check would change this file"),
        ("tests/late.py", 0, 0, "black-check would change this file"),
    ],
    "black-diff": [
        ("broken.py", 1, 6, "cannot parse"),
        (ODD, 13, 0, "black-diff would change this file"),
        ("tests/late.py", 1, 0, "black-diff would change this file"),
    ],
    "shellcheck": [
        (SH, 2, 6, "SC2086 (info): Double quote"),
        (SH, 3, 7, "SC2046 (warning): Quote this"),
        (SH, 3, 7, "SC2006 (style): Use $(...)"),
        (SH, 3, 11, "SC2086 (info): Double quote"),
        (SH, 3, 16, "SC2086 (info): Double quote"),
        (SH, 5, 1, "SC2162 (info): read without -r"),
        (SH, 6, 5, "SC2086 (info): Double quote"),
    ],
    "shellcheck-gcc": [
        (SH, 2, 6, "note: Double quote"),
        (SH, 3, 7, "warning: Quote this"),
        (SH, 3, 7, "note: Use $(...)"),
        (SH, 3, 11, "note: Double quote"),
        (SH, 3, 16, "note: Double quote"),
        (SH, 5, 1, "note: read without -r"),
        (SH, 6, 5, "note: Double quote"),
    ],
    "mypy": [
        ("tests/late.py", 4, 0, "Incompatible types in assignment"),
        ("tests/late.py", 8, 0, 'Return type "str" of "m" incompatible'),
        ("tests/late.py", 10, 0, "Incompatible types in assignment"),
        (ODD, 10, 0, 'Incompatible return value type (got "int", expected "str")  [return-value]'),
    ],
    "mypy-pretty": [
        ("tests/late.py", 4, 10, "Incompatible types in assignment"),
        ("tests/late.py", 8, 5, 'Return type "str" of "m" incompatible'),
        ("tests/late.py", 10, 18, "Incompatible types in assignment"),
        (ODD, 10, 12, 'Incompatible return value type (got "int",'),
    ],
    "mypy-syntax": [
        ("broken.py", 1, 0, "Expected a parameter"),
        ("broken.py", 2, 0, "Unexpected EOF while parsing  [syntax]"),
    ],
    "check-yaml": [
        ("at.yaml", 1, 4, "found character '@' that cannot start any token"),
        ("bad.yaml", 2, 2, "expected ',' or ']', but got ':'"),
        ("dup key.yaml", 2, 1, 'found duplicate key "a"'),
    ],
    "check-toml": [("bad.toml", 1, 5, "Invalid value (at line 1, column 5)")],
    "check-json": [("bad.json", 1, 15, "Failed to json decode")],
    "check-xml": [("bad.xml", 1, 8, "Failed to xml parse")],
    "check-ast": [("broken.py", 0, 0, "failed parsing with CPython")],
    "check-docstring-first": [("tests/late.py", 2, 0, "Module docstring appears after code")],
    "check-case-conflict": [
        ("Case.txt", 0, 0, "Case-insensitivity conflict found"),
        ("case.txt", 0, 0, "Case-insensitivity conflict found"),
    ],
    "check-symlinks": [("link", 0, 0, "Broken symlink")],
    "check-builtin-literals": [(ODD, 15, 8, "replace dict() with {}")],
    "check-executables-have-shebangs": [("run.txt", 0, 0, "marked executable but has no")],
    "check-shebang-scripts-are-executable": [(SH, 0, 0, "has a shebang but is not marked executable!")],
    "name-tests-test": [("tests/late.py", 0, 0, "does not match pattern")],
    "no-commit-to-branch": [],
    "check-added-large-files": [("big file.bin", 0, 0, "(684 KB) exceeds 500 KB.")],
    "check-merge-conflict": [
        ("merge é.txt", 2, 0, "Merge conflict string '<<<<<<<' found"),
        ("merge é.txt", 4, 0, "Merge conflict string '=======' found"),
        ("merge é.txt", 6, 0, "Merge conflict string '>>>>>>>' found"),
    ],
    "debug-statements": [
        ("broken.py", 0, 0, "Could not parse ast"),
        (ODD, 4, 0, "pdb imported"),
        (ODD, 14, 4, "breakpoint called"),
    ],
    "detect-private-key": [("key.pem", 0, 0, "Private key found")],
    "missing": [],
    "forbidden": [("big file.bin", 0, 0, "no images here")],
    "grep": [(ODD, 9, 0, "# FORBIDDEN")],
    "crash": [],
    "requirements-txt-fixer": [("requirements.txt", 0, 0, "requirements-txt-fixer changed this file")],
    "pretty-format-json": [
        ("bad.json", 0, 0, "is not a valid JSON, consider using check-json"),
        ("ugly.json", 1, 0, "pretty-format-json would change this file"),
    ],
    "mixed-line-ending": [("mixed.txt", 0, 0, "fixed mixed line endings")],
    "fix-byte-order-marker": [("bom.txt", 0, 0, "removed byte-order marker")],
    "double-quote-string-fixer": [
        (ODD, 0, 0, "double-quote-string-fixer changed this file"),
        ("tests/late.py", 0, 0, "double-quote-string-fixer changed this file"),
    ],
    "trailing-whitespace": [
        ("bad.toml", 0, 0, "trailing-whitespace changed this file"),
        (ODD, 0, 0, "trailing-whitespace changed this file"),
    ],
    "end-of-file-fixer": [
        (name, 0, 0, "end-of-file-fixer changed this file") for name in ("Case.txt", "tests/late.py", "ugly.json")
    ],
    "black": [
        ("broken.py", 1, 6, "cannot parse"),
        (ODD, 0, 0, "black changed this file"),
        ("tests/late.py", 0, 0, "black changed this file"),
    ],
}


def test_every_recorded_hook_is_expected():
    assert set(recorded()) == {*EXPECTED, "flake8"}


@pytest.mark.parametrize("hook", EXPECTED)
def test_places(hook):
    found = linters.read(recorded()[hook], hook, exists)
    # Tools that work on several files at once end in any order.
    assert sorted((one.file, one.line, one.column) for one in found) == sorted(want[:3] for want in EXPECTED[hook])
    for file, line, column, start in EXPECTED[hook]:
        assert any(
            (one.file, one.line, one.column) == (file, line, column) and one.message.startswith(start) for one in found
        ), start


def test_flake8_line_by_line():
    found = linters.read(recorded()["flake8"], "flake8", exists)
    lines = [line for line in recorded()["flake8"].splitlines() if line]
    assert [f"{one.file}:{one.line}:{one.column}: {one.message}" for one in found] == lines
    assert len(found) > 20
    assert any(one.message.startswith("B006 ") for one in found), "bugbear"
    assert any(one.message.startswith("D103 ") for one in found), "docstrings"


def test_what_explains_is_in_the_detail():
    def detail(hook, **about):
        found = linters.read(recorded()[hook], hook, exists)
        return next(one.detail for one in found if all(getattr(one, key) == value for key, value in about.items()))

    assert "Consider using" in detail("mypy", file="tests/late.py", line=10)
    assert 'x: int = "a"' in detail("mypy-pretty", file="tests/late.py", line=4)
    assert 'echo $(ls "$2")  "$3"' in detail("shellcheck", line=3, column=11)
    assert detail("black-diff", file=ODD).startswith("@@ -8,9 +8,9 @@")
    assert "-def g( y = [] ):\n+def g(y=[]):" in detail("black-diff", file=ODD)
    assert "SyntaxError" in detail("check-ast", file="broken.py")
    assert "chmod -x run.txt" in detail("check-executables-have-shebangs", file="run.txt")


def test_colours_are_no_part_of_it():
    line = "\x1b[1ma.py\x1b[0m:3: \x1b[31merror:\x1b[0m Bad  [misc]"
    (place,) = linters.read(line, "mypy", "a.py".__eq__)
    assert (place.file, place.line, place.message) == ("a.py", 3, "Bad  [misc]")


def test_black_before_26_speaks_otherwise():
    (place,) = linters.read("error: cannot format a b.py: Cannot parse: 1:6: def f(:", "black", "a b.py".__eq__)
    assert (place.file, place.line, place.column, place.message) == ("a b.py", 1, 6, "Cannot parse")


@pytest.mark.parametrize("line", ["10:30:12: starting", "Warning: nothing", "Fixing a.py", "a.py:1:2: E1 x", ""])
def test_a_shape_without_its_file_is_no_place(line):
    assert linters.read(line, "x", lambda name: False) == ()


def test_a_long_detail_is_cut():
    (place,) = linters.read("a.py:1: x\n" + "why\n" * 100, "x", "a.py".__eq__)
    assert place.detail.splitlines()[-1] == "… 40 more lines"


@pytest.mark.parametrize(
    ("diff", "line"),
    [
        ("@@ -5,3 +5,3 @@\n a\n-b\n+c\n", 6),
        ("@@ -5,2 +5,3 @@\n a\n b\n+c\n", 6),
        ("@@ -0,0 +1 @@\n+c\n", 1),
        ("@@ -7 +7 @@\n-a\n\\ No newline at end of file\n+a\n", 7),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", 0),
    ],
)
def test_the_first_changed_line(diff, line):
    assert linters.changed("x", diff, "fixer").line == line


def test_recorded_with_the_pinned_versions():
    hooks = [hook for repo in yaml.safe_load(CONFIG.read_text())["repos"] for hook in repo["hooks"]]
    used = {pin.replace("-", "_") for hook in hooks for pin in hook.get("additional_dependencies", [])}
    constraints = {line.replace("-", "_") for line in (REPOSITORY / "constraints.txt").read_text().splitlines()}
    assert used <= constraints
    assert len(used) == 7
