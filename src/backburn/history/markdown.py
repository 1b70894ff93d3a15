"""Text of unknown origin as Markdown that renders as itself: it pings nobody, links nothing, ends no fence or cell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..received import line


def code(text: str, limit: int = 300) -> str:
    """A code span, in which GitHub reads no mention, reference, link, HTML or emphasis; empty text stays empty.

    >>> code("`@all` | #1")
    "`'@all' ¦ #1`"
    """
    shown = line(text, limit).replace("`", "'").replace("|", "¦")  # what ends a span, and what ends a table's cell
    return f"`{shown}`" if shown else ""


def block(rows: Sequence[str], language: str = "") -> str:
    """Lines as they are, in a block that none of them can end."""
    longest = max((len(run) for row in rows for run in re.findall("`+", row)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}{language}", *rows, fence]) if rows else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))
