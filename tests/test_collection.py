"""What pytest is told to collect, by layout; tests/stages/test_unit.py has real pytest obey it."""

import pytest

from backburn import collection

SRC = ("src/tiny/__init__.py", "src/tiny/core.py", "src/tiny/test_rig.py", "src/train.py", "tests/test_a.py")
FLAT = ("tiny/__init__.py", "tests/__init__.py", "tests/test_a.py", "train.py", "scripts/go.py", "conftest.py")
SKIPPED = (".venv/lib/x.py", "env/pyvenv.cfg", "env/lib/x.py", "build/lib/x.py", "node_modules/x.py")
NATIVE = {"pyproject.toml": '[tool.pytest]\ntestpaths = ["tests"]'}
INI = {"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = "tests"'}


def lay(root, names, texts=None):
    for name, text in {**dict.fromkeys(names, ""), **(texts or {})}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("names", "texts", "expected"),
    [
        # testpaths leave the source out: it is added, without what only looks like a test in it
        (SRC, INI, ["tests", "src/tiny", "--ignore=src/tiny/test_rig.py"]),
        (SRC, NATIVE, ["tests", "src/tiny", "--ignore=src/tiny/test_rig.py"]),
        (
            SRC,
            {"setup.cfg": "[tool:pytest]\ntestpaths = tests"},
            ["tests", "src/tiny", "--ignore=src/tiny/test_rig.py"],
        ),
        (SRC, {"tox.ini": "[pytest]\ntestpaths =\n  test*\n"}, ["tests", "src/tiny", "--ignore=src/tiny/test_rig.py"]),
        (SRC, {"pytest.toml": '[pytest]\ntestpaths = ["src"]'}, ["src"]),
        (FLAT, INI, ["tests", "tiny"]),
        # without testpaths pytest takes everything: scripts are left out, tests never
        (SRC, {}, ["--ignore=src/train.py"]),
        ((*FLAT, *SKIPPED), {}, ["--ignore=train.py", "--ignore=scripts/go.py", "--ignore=tests/__init__.py"]),
        (("src/__init__.py", "src/train.py", "go.py"), {}, ["--ignore=go.py"]),
        # the first file that has options decides, even an empty pytest.ini
        (SRC, {"pytest.ini": "", **INI}, ["--ignore=src/train.py"]),
        (SRC, {"pyproject.toml": '[tool.pytest.ini_options]\npython_files = "*.py"'}, []),
        (SRC, {"pyproject.toml": '[tool.pytest.ini_options]\ntestpaths = "no_such"'}, ["--ignore=src/train.py"]),
        (SRC, {"pyproject.toml": "[[[ broken"}, ["--ignore=src/train.py"]),
        ((), {}, []),
    ],
)
def test_arguments(names, texts, expected, tmp_path):
    assert sorted(collection.arguments(lay(tmp_path, names, texts))) == sorted(expected)


@pytest.mark.parametrize(
    ("path", "error", "expected"),
    [
        ("src/tiny/core.py", "ModuleNotFoundError: No module named 'onnx.helper'", True),
        ("src/tiny/core.py", "ModuleNotFoundError: No module named 'tiny.nowhere'", False),
        ("src/tiny/core.py", "ImportError: cannot import name 'x' from 'onnx'", False),
        ("src/tiny/core.py", "SyntaxError: invalid syntax", False),
        ("src/tiny/core.py", "import file mismatch: the environment has a copy", True),
        ("tests/test_a.py", "import file mismatch: the environment has a copy", False),
        ("tests/test_a.py", "ModuleNotFoundError: No module named 'onnx'", False),
    ],
)
def test_what_excuses_a_module_from_its_doctests(path, error, expected, tmp_path):
    assert collection.is_excused(lay(tmp_path, SRC), path, error) is expected
