"""The files of runner/, beside this package or in the zip that the wheel brought."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ... import toolkit
from ...errors import UserError

_IN_ZIP = "backburn/runner/"


def files() -> dict[str, bytes]:
    """Path below runner/ -> content. Raises UserError where an install has none."""
    place = toolkit.place()
    found = {} if place is None else _unpacked(place) if place.is_file() else _lying(place / "runner")
    if "Dockerfile" not in found:
        hint = "Take backburn's repository, or its wheel, and run runner/setup.sh there."
        raise UserError("this install has no runner/", hint=hint)
    return found


def _lying(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _unpacked(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as packed:
        names = [one for one in packed.namelist() if one.startswith(_IN_ZIP) and not one.endswith("/")]
        return {one.removeprefix(_IN_ZIP): packed.read(one) for one in names}
