"""What somebody else may have written, a training say: nothing is believed but a small, well-formed report."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Collection
from pathlib import Path

from . import evidence
from .errors import UserError
from .report import Report

BYTES = 1 << 20  # of one report; a long night of the largest project here writes 60 kB
_GONE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, bidi and zero-width characters, surrogates, separators


def line(text: str, limit: int = 300) -> str:
    r"""One line of at most `limit` characters, without control, bidi or invisible characters.

    >>> line("loss\u202e is\n\x1b[31mnan")
    'loss is [31mnan'
    """
    shown = "".join(" " if unicodedata.category(one) in _GONE else one for one in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def lines(text: str, most: int, width: int) -> tuple[str, ...]:
    """The first lines of a longer text, indented as they are, without the tails of long ones.

    >>> lines("-    lr = 1", 8, 80)
    ('-    lr = 1',)
    """
    found = [each[:width] for each in text[: 4 * most * width].expandtabs(4).splitlines()[:most]]
    shown = ("".join(" " if unicodedata.category(one) in _GONE else one for one in each) for each in found)
    return tuple(one.rstrip() for one in shown)


def expect_plain(path: Path, most: int = BYTES) -> None:
    """Raise UserError for what is no plain file in a plain folder, or longer than `most` bytes."""
    try:
        kinds = [os.lstat(one) for one in (path.parent, path)]
    except OSError as error:
        raise UserError(f"no {path.name}: {error.strerror}") from error
    if not (stat.S_ISDIR(kinds[0].st_mode) and stat.S_ISREG(kinds[1].st_mode)):
        raise UserError("not a plain file in a plain folder")
    if kinds[1].st_size > most:
        raise UserError(f"{path.name} is over {most} bytes")


def report(path: Path, stages: Collection[str]) -> Report:
    """The report in the file `path`, of one of `stages`. Raises UserError for whatever else lies there."""
    expect_plain(path)
    found = evidence.load(path, Report)
    if found.stage not in stages:
        raise UserError(f"no stage is called {line(found.stage, 40)!r}")
    return found
