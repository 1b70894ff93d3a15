"""Where the rest of the toolkit lies, beside this package: its actions and the template of a new project."""

from __future__ import annotations

import zipfile
from pathlib import Path

_PACKAGE = Path(__file__).parent


def place() -> Path | None:
    """The checkout that this package lies in, else the zip that the wheel brought; cookiecutter takes either.

    None in what an action has installed: it needs neither.
    """
    checkout, carried = _PACKAGE.parents[1], _PACKAGE / "toolkit.zip"
    if (checkout / "actions" / "bootstrap.py").is_file():
        return checkout
    return carried if carried.is_file() else None


def unpack(archive: Path, to: Path) -> str:
    """Make `to`, which is not there yet, the toolkit as GitHub delivers it; its commit, empty where nobody knows it."""
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(to.parent)
    (to.parent / "backburn").rename(to)
    commit = to / "COMMIT"
    return commit.read_text(encoding="utf-8") if commit.is_file() else ""
