"""What pytest is told to collect: its own choice, and the doctests of the project's packages, but no script.

`--doctest-modules` imports every Python file below what pytest collects. Below `testpaths` that leaves the source out;
without `testpaths` it takes in `train.py`, and would train. So packages are added, and scripts are left out.
"""

from __future__ import annotations

import configparser
import contextlib
import fnmatch
import glob
import os
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Where pytest looks for its options, in its order (docs.pytest.org, "Configuration file formats").
_TOML, _INI = ("pytest.toml", ".pytest.toml", "pyproject.toml"), ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg")
_FILES = (*_TOML[:2], *_INI[:2], _TOML[2], *_INI[2:])
_DEFAULTS = {
    "testpaths": [],
    "python_files": ["test_*.py", "*_test.py"],
    "norecursedirs": ["*.egg", ".*", "_darcs", "build", "CVS", "dist", "node_modules", "venv", "{arch}"],
}
# Folders that hold no product even where they are packages: setuptools' list (FlatLayoutPackageFinder), less `utils`.
_NO_PRODUCT = frozenset(
    "ci bin doc docs documentation news newsfragments changelog test tests unit_test unit_tests example examples "
    "scripts tools build benchmark benchmarks exercise exercises htmlcov tasks templates notebooks".split()
)


def arguments(root: Path) -> list[str]:
    """Words for pytest's command line, relative to `root`, its working directory: paths, and `--ignore=<file>`."""
    options = _options(root)
    chosen = sorted({path for one in options["testpaths"] for path in glob.glob(one, root_dir=root, recursive=True)})
    packages = [one for one in _packages(root, options) if not _below(one, chosen)]
    if not chosen:  # pytest collects from the root: leave out what it would import only to look for doctests
        files = _python_files(root, root, options)
        return [f"--ignore={one}" for one in files if not (_is_test(one, options) or _below(one, packages))]
    # A test file inside a package but outside testpaths is not a test for this project.
    files = (one for package in packages for one in _python_files(root, root / package, options))
    ignored = [f"--ignore={one}" for one in files if _is_test(one, options) and not _below(one, chosen)]
    return [*chosen, *packages, *ignored]


def is_excused(root: Path, path: str, error: str) -> bool:
    """Whether `path`, imported only for its doctests, could not be for a reason that is no fault of the project's.

    That is: a package is missing that is not the project's own (an extra that the tests do not need), or the
    environment has the project installed as a copy, which Python finds first.
    """
    if _is_test(path, _options(root)):
        return False
    missing = re.search(r"ModuleNotFoundError: No module named '(\w+)", error)
    return "import file mismatch" in error or (missing is not None and missing[1] not in _own_names(root))


def _own_names(root: Path) -> set[str]:
    tops = (root, root / "src")
    return {one.stem for top in tops for one in top.glob("*") if one.suffix == ".py" or one.is_dir()}


def _packages(root: Path, options: dict[str, list[str]]) -> list[str]:
    """Folders with an `__init__.py`, in the root or in `src`, that hold the product."""
    tops = [root, *([root / "src"] if not (root / "src" / "__init__.py").exists() else [])]
    folders = (one.parent for top in tops for one in sorted(top.glob("*/__init__.py")))
    return [
        one.relative_to(root).as_posix()
        for one in folders
        if one.name not in _NO_PRODUCT and not _matches(one.name, options["norecursedirs"])
    ]


def _python_files(root: Path, top: Path, options: dict[str, list[str]]) -> Iterator[str]:
    """Every `*.py` that pytest would come to below `top`, as a path relative to `root`."""
    for folder, names, files in os.walk(top):
        names[:] = sorted(name for name in names if not _is_skipped(Path(folder, name), options["norecursedirs"]))
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(folder, name).relative_to(root).as_posix()


def _is_skipped(folder: Path, patterns: Iterable[str]) -> bool:
    return _matches(folder.name, patterns) or folder.name == "__pycache__" or (folder / "pyvenv.cfg").exists()


def _is_test(path: str, options: dict[str, list[str]]) -> bool:
    name = path.rpartition("/")[2]
    return name == "conftest.py" or _matches(name, options["python_files"])


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, one) for one in patterns)


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path == one or one in (".", "") or path.startswith(one.rstrip("/") + "/") for one in folders)


def _options(root: Path) -> dict[str, list[str]]:
    """The options that matter here, from the first file that has any: a wrong file is pytest's to complain about."""
    for name in _FILES:
        with contextlib.suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, configparser.Error):
            table = _table(root / name)
            if table is not None:
                return {key: _words(table.get(key, default)) for key, default in _DEFAULTS.items()}
    return dict(_DEFAULTS)


def _table(file: Path) -> dict[str, Any] | None:
    text = file.read_text(encoding="utf-8")
    if file.name in _TOML:
        document = tomllib.loads(text)
        own = (document.get("tool", {}) if file.name == "pyproject.toml" else document).get("pytest")
        return None if own is None else dict(own.get("ini_options", own))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    section = "tool:pytest" if file.name == "setup.cfg" else "pytest"
    return dict(parser[section]) if section in parser else ({} if "pytest.ini" in file.name else None)


def _words(value: object) -> list[str]:
    return shlex.split(value) if isinstance(value, str) else [str(one) for one in value]  # type: ignore[attr-defined]
