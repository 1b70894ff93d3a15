"""What a project says it needs: its dependencies, the files that name them, and the key they come to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from .errors import UserError

# What decides where packages come from. Ephemeral credentials in a URL are left out: they change, the index does not.
_INDEX = ("INDEX_URL", "EXTRA_INDEX_URL", "DEFAULT_INDEX", "INDEX", "FIND_LINKS", "NO_INDEX", "CONSTRAINT")
_BUILT = "1"  # raise it when environments are built in another way: those that are there are not used again
_OTHER_LOCKS = {"poetry.lock": "Poetry", "pdm.lock": "PDM", "Pipfile.lock": "Pipenv", "pixi.lock": "Pixi"}
_OTHER_LOCKS |= {"conda-lock.yml": "conda-lock"}
_BY_A_STEP = 'set install = "none" in [tool.backburn] and let an earlier step put the environment\'s python on PATH'

_FILES = ("requirements*.txt", "requirements*.in", "requirements/*", "constraints*.txt")
_REQUIREMENTS = ("requirements.txt", "requirements-dev.txt")
_LOCAL = re.compile(
    r"^\s*(-e\b|--editable\b|\.{0,2}/|\.\s*(\[|$)|file:)|@\s*file:|\b(editable|directory|path) = \"(?!\.\")", re.M
)


@dataclass(frozen=True, kw_only=True)
class Project:
    """One checkout's declarations; `uv` is the path of uv where a uv.lock decides, else empty: pip does."""

    root: Path
    uv: str = ""

    @cached_property
    def document(self) -> dict[str, Any]:
        """pyproject.toml; config has already said what is wrong with an invalid one."""
        with contextlib.suppress(FileNotFoundError):
            return tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        return {}

    @property
    def table(self) -> dict[str, Any]:
        """`[project]`."""
        return dict(self.document.get("project", {}))

    @property
    def groups(self) -> dict[str, list[Any]]:
        """`[dependency-groups]`."""
        return dict(self.document.get("dependency-groups", {}))

    @property
    def extras(self) -> dict[str, list[Any]]:
        """`[project.optional-dependencies]`."""
        return dict(self.table.get("optional-dependencies", {}))

    @property
    def is_built(self) -> bool:
        """Whether there is a package to install beside its dependencies (uv builds only what names a backend)."""
        if self.uv:
            return bool(self.document.get("tool", {}).get("uv", {}).get("package", "build-system" in self.document))
        return "project" in self.document or "build-system" in self.document or self._has("setup.py")

    @property
    def asks_the_build(self) -> bool:
        """Whether only a build knows the dependencies: dynamic ones, setup.py, an extra made of the project's own."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        dynamic = {"dependencies", "optional-dependencies"} & {*self.table.get("dynamic", [])}
        if "project" not in self.document or dynamic:
            return self.is_built
        own = canonicalize_name(str(self.table.get("name", "")))
        for written in (one for lines in (*self.extras.values(), *self.groups.values()) for one in lines):
            with contextlib.suppress(InvalidRequirement, TypeError):
                if canonicalize_name(Requirement(written).name) == own:
                    return True
        return False

    @property
    def files(self) -> list[Path]:
        """Every file that says what to install, those that a requirements file names included."""
        patterns = ["uv.lock"] if self.uv else [*_FILES]
        patterns += ["setup.py", "setup.cfg"] if self.asks_the_build else []
        found = [one for pattern in patterns for one in sorted(self.root.glob(pattern)) if one.is_file()]
        for file in found:  # grows as it is read
            names = re.findall(r"^\s*(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)", text_of(file), re.MULTILINE)
            found += [one for name in names if (one := (file.parent / name).resolve()).is_file() and one not in found]
        return found

    def key(self, python: str) -> str:
        """sha256 (first 24 hex digits) over all that decides what the environment holds."""
        parts = {name: self.table.get(name) for name in ("dependencies", "optional-dependencies", "requires-python")}
        declared = [parts, self.groups, self.document.get("build-system"), self.document.get("tool", {}).get("uv")]
        texts = [json.dumps(declared, sort_keys=True, default=str), *map(text_of, self.files)]
        if self.asks_the_build:
            texts.append(json.dumps(self.document, sort_keys=True, default=str))
        if any(map(_LOCAL.search, texts)):
            texts.append(str(self.root))  # a path beside the checkout: not for other checkouts
        texts += [python, _BUILT, "uv" if self.uv else "pip", json.dumps(_index(), sort_keys=True)]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]

    def _has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def arguments(self) -> list[str]:
        """What to tell `uv sync`, or `pip install`. Raises UserError where nothing says what the project needs."""
        group, extra = "dev" in self.groups, "dev" in self.extras
        if self.uv:
            return ["--extra", "dev"] if extra and not group else []  # the group is in by default
        words = ["-r" + name for name in _REQUIREMENTS if "project" not in self.document and self._has(name)]
        if self.asks_the_build:
            words.append("." if group else ".[dev]")
        else:
            words += [*self.table.get("dependencies", []), *(self.extras["dev"] if extra and not group else [])]
        words += ["--group", "dev"] if group else []
        if not words and not self.is_built:
            raise UserError(
                "nothing says what to install: no [project] in pyproject.toml, no requirements.txt, no setup.py",
                where=str(self.root),
                hint=f"Add one of them, or {_BY_A_STEP}.",
            )
        return [*words, *(["-c", "constraints.txt"] if words and self._has("constraints.txt") else [])]


def uv_for(root: Path, install: str) -> str:
    """Path of uv where the project is uv's, else empty. Raises UserError for a lock that nobody here can read."""
    locked = (root / "uv.lock").is_file()
    if install == "uv" or (install == "auto" and locked):
        if not locked:
            raise UserError('install = "uv" needs a uv.lock', where=str(root), hint="Run `uv lock` and commit it.")
        if uv := shutil.which("uv"):
            return uv
        hint = 'Add a step that installs uv, or set install = "pip" to install from pyproject.toml without the lock.'
        raise UserError("uv.lock is there but uv is not on PATH", where=str(root), hint=hint)
    for name, tool in _OTHER_LOCKS.items() if install == "auto" else ():
        if (root / name).is_file():
            hint = f'{_BY_A_STEP[0].upper()}{_BY_A_STEP[1:]}; or set install = "pip" to use pyproject.toml alone.'
            raise UserError(f'{tool}\'s lock is not read by install = "auto" yet', where=str(root / name), hint=hint)
    return ""


def _index() -> dict[str, str]:
    names = [f"{tool}_{name}" for tool in ("PIP", "UV") for name in _INDEX]
    return {name: re.sub(r"//[^/@\s]*@", "//", os.environ[name]) for name in names if os.environ.get(name)}


def text_of(file: Path) -> str:
    """A text file of the project's, whatever its bytes."""
    return file.read_text(encoding="utf-8", errors="replace")
