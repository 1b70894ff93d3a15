"""actions/setup-python's stand-in, by the real act."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backburn.rehearse import environ
from backburn.rehearse.standins import step
from backburn.report import Verdict

SETUP = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97"


def python3():
    """The version of the python3 that steps get: 3.11.7."""
    path = environ.search_path(os.environ)
    command = ["env", f"PATH={path}", "python3", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_python_and_pip_are_a_fresh_environment(steps):
    version = python3()
    here = steps(f"""
        - {{id: py, uses: {SETUP}, with: {{python-version: '{'.'.join(version.split('.')[:2])}', cache: pip}}}}
        - run: python -c "import sys; assert sys.prefix != sys.base_prefix; print('is', sys.version.split()[0])"
        - run: test "${{{{ steps.py.outputs.python-path }}}}" = "$(command -v python)"
        - run: test -x "$pythonLocation/bin/pip"
        - run: echo "put ${{{{ steps.py.outputs.python-version }}}}"; pip --version; python -m pip list
        - run: python -c "import backburn" && exit 1 || true
        """)
    assert here.rehearse().verdict is Verdict.PASS
    seen = here.log()
    assert f"| is {version}" in seen and f"| put {version}" in seen and "rehearsed with" not in seen
    assert sys.prefix not in seen


def test_another_version_is_a_warning(steps):
    here = steps(f"- {{uses: {SETUP}, with: {{python-version: '3.99'}}}}\n- run: python --version\n")
    assert here.rehearse().verdict is Verdict.PASS
    assert f"rehearsed with {'.'.join(python3().split('.')[:2])}, the workflow asks 3.99" in here.log()


@pytest.fixture
def script(monkeypatch):
    """The stand-in's module, as python3 loads it beside step.py."""
    monkeypatch.setitem(sys.modules, "step", step)
    file = Path(step.__file__).with_name("actions") / "setup-python" / "setup_python.py"
    spec = importlib.util.spec_from_file_location("setup_python", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("inputs", "files", "asked"),
    [
        ({}, {}, ""),
        ({"VERSION": "3.12"}, {}, "3.12"),
        ({"VERSION": "3.11\n3.13\n"}, {}, "3.13"),
        ({"VERSION_FILE": ".python-version"}, {".python-version": "# ours\n\n3.12.1\n"}, "3.12.1"),
        ({"VERSION_FILE": "pyproject.toml"}, {"pyproject.toml": '[project]\nrequires-python = ">=3.12"\n'}, "3.12"),
        ({"VERSION_FILE": "pyproject.toml"}, {"pyproject.toml": "[project]\n"}, ""),
    ],
)
def test_what_is_asked(script, monkeypatch, tmp_path, inputs, files, asked):
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for name, value in inputs.items():
        monkeypatch.setenv(f"STANDIN_PYTHON_{name}", value)
    assert script.asked() == asked


@pytest.mark.parametrize(
    ("asked", "differs"),
    [
        ("", False),
        ("3", False),
        ("3.11", False),
        ("3.11.7", False),
        ("3.x", False),
        (">=3.99", False),
        ("3.12-dev", False),
    ]
    + [("3.12", True), ("3.11.8", True), ("2", True), ("4.x", True), ("pypy3.11", True)],
)
def test_ranges_are_not_judged_and_versions_are(script, asked, differs):
    assert script.differs(asked, "3.11.7") is differs


def test_a_version_file_that_is_not_there_fails(steps):
    here = steps(f"- {{uses: {SETUP}, with: {{python-version-file: nope}}}}\n")
    assert here.rehearse().verdict is Verdict.FAIL
    assert "The specified python version file at: nope doesn't exist." in here.log()
