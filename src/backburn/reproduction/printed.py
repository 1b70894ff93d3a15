"""What a person reads of a diff on the terminal: what is said first, then what differs, and how far."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..visible import spelled
from .diff import Diff, Metric, Side, relative

if TYPE_CHECKING:
    from rich.console import Console

LINES = 12  # of one kind of difference; the rest is counted
ROWS = 20  # of metrics and modules

Row = tuple[str, ...]


def render(one: Diff, *, width: int = 100, colour: bool = False) -> str:
    """Plain text, or with ANSI colours."""
    from rich.console import Console

    stream = io.StringIO()
    console = Console(
        file=stream, width=width, force_terminal=colour, no_color=not colour, highlight=False, markup=False, emoji=False
    )
    _said(console, headline(one), f"bold {'green' if one.same else 'red'}")
    _said(console, f"  before: {_of(one.base)}", "dim")
    _said(console, f"  now:    {_of(one.head)}", "dim")
    for line in _differing(one):
        _said(console, f"  {line}")
    _table(console, ("curve", "steps", "first difference", "largest"), [*_curves(one)])
    _table(console, ("metric", "before", "now", "change"), [*_metrics(one)])
    _table(console, (f"module, step {one.module_step}", "parameters", "identical", "size changed by"), [*_modules(one)])
    return stream.getvalue()


def headline(one: Diff) -> str:
    """The one sentence."""
    over = f"{one.compared} recorded step{'s' * (one.compared != 1)}"
    if one.same:
        return f"= the same, to the last bit: {len(one.curves)} curves, {len(one.metrics)} metrics, {over}"
    if one.divergence is None:
        return f"≠ {_since(one)}; {f'{over} are the same' if one.compared else 'they have no recorded step in common'}"
    return f"≠ they part at {one.divergence}"


def _since(one: Diff) -> str:
    """What is known where no step was recorded that differs: the first figure of a curve."""
    apart = [curve for curve in one.curves if curve.step]
    if not apart:
        return "different"
    first = min(apart, key=lambda curve: curve.step)
    return f"different from step {first.step} on: {first.name} {first.before:.6g} → {first.now:.6g}"


def _of(one: Side) -> str:
    about = (
        one.where,
        one.training,
        one.commit[:7] + "+" * one.commit.endswith("+"),
        one.hardware,
        f"{one.steps} steps" if one.steps else "",
    )
    return ", ".join(word for word in about if word)


def _differing(one: Diff) -> Iterator[str]:
    kinds = [("another environment, which changes bits by itself", one.hard)]
    for said, lines in (*kinds, *((other.said, other.lines) for other in one.others)):
        yield from (f"{said}: {line}" for line in lines[:LINES])
        if len(lines) > LINES:
            yield f"{said}: {len(lines) - LINES} more"


def _curves(one: Diff) -> Iterator[Row]:
    for curve in one.curves:
        if not curve.step:
            yield curve.name, str(curve.points), "none", ""
        else:
            first = f"step {curve.step}: {curve.before:.6g} → {curve.now:.6g}"
            yield curve.name, str(curve.points), first, f"{_share(curve.largest)} at step {curve.largest_step}"


def _metrics(one: Diff) -> Iterator[Row]:
    for metric in one.metrics:
        yield metric.name, _number(metric.before), _number(metric.now), _change(metric)


def _change(metric: Metric) -> str:
    if metric.before is None or metric.now is None:
        return "only now" if metric.before is None else "no longer"
    return _share(relative(metric.before, metric.now)) if metric.differs else "none"


def _modules(one: Diff) -> Iterator[Row]:
    for module in one.modules:
        whole = f"{100 * module.identical / module.parameters:.0f} %"
        yield module.name or "(itself)", str(module.parameters), whole, _share(module.change)


def _number(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.6g}"


def _share(value: float) -> str:
    """As people say it; a rounding has its own size.

    >>> _share(0.0), _share(0.031), _share(2.1e-7), _share(12.5), _share(math.inf)
    ('none', '3.1 %', '2.1e-05 %', '1,250 %', 'beyond all measure')
    """
    if not math.isfinite(value):
        return "beyond all measure"
    percent = 100 * value
    return f"{percent:{'.2g' if percent < 10 else ',.0f'}} %" if value else "none"


def _said(console: Console, text: str, style: str = "") -> None:
    console.print(spelled(text), style=style, soft_wrap=True)


def _table(console: Console, names: Row, rows: Sequence[Row]) -> None:
    """The first so many rows, the rest counted; nothing where there is none."""
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for number, name in enumerate(names):
        left = number == 0 or name == "first difference"
        table.add_column(f"  {name}" if number == 0 else name, justify="left" if left else "right", overflow="fold")
    for first, *rest in rows[:ROWS]:
        table.add_row(f"  {spelled(first)}", *map(spelled, rest))
    console.print(table)
    if len(rows) > ROWS:
        console.print(f"  … and {len(rows) - ROWS} more (--json has all)", style="dim")
