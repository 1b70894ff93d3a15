"""Text of unknown origin as Markdown that renders as itself: it pings nobody, links nothing, ends no fence or cell."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_GONE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # control, bidi and zero-width characters, surrogates, separators


def line(text: str, limit: int = 300) -> str:
    r"""One line of at most `limit` characters, without control, bidi or invisible characters.

    >>> line("loss\u202e is\n\x1b[31mnan")
    'loss is [31mnan'
    """
    shown = "".join(" " if unicodedata.category(one) in _GONE else one for one in text[: 4 * limit])
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def code(text: str, limit: int = 300) -> str:
    """A code span, in which GitHub reads no mention, reference, link, HTML or emphasis; empty text stays empty.

    >>> code("`@all` | #1")
    "`'@all' ¦ #1`"
    """
    shown = line(text, limit).replace("`", "'").replace("|", "¦")  # what ends a span, and what ends a table's cell
    return f"`{shown}`" if shown else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
