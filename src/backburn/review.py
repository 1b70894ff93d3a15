"""What a reviewer of a new reference needs, as the text of a pull request: what moved, by how much, and since when."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence

from . import comparison, epochs, references
from .references import Reference
from .reproduction import digests

_DIFFERENCES = 20  # of one kind that are listed


def markdown(blessed: Sequence[tuple[Reference, Reference | None]], who: str) -> str:
    """A section per reference: the new one, and the one before it (None: the first)."""
    return "\n".join(line for new, old in blessed for line in _section(new, old, who)) + "\n"


def _section(new: Reference, old: Reference | None, who: str) -> Iterator[str]:
    yield f"## {_code(f'{new.stage} {new.training}')} on {_code(new.machine.hardware)}"
    yield ""
    yield f"- now: {_about(new)}"
    yield f"- before: {_about(old)}" if old else "- before: there was none"
    yield f"- blessed by {_code(who or 'nobody known to git')}{f': {_code(new.reason)}' if new.reason else ''}"
    yield f"- a second run of the same commit and seed: {_repeats(new)}"
    yield f"- {_parted(new, old)}"
    yield ""
    yield from _metrics(new, old)
    yield ""
    if old:
        yield from _differing("environment", old.machine.hard, new.machine.hard)
        yield from _differing("environment (soft)", old.machine.soft, new.machine.soft)
        yield from _differing("settings", old.settings, new.settings)
        yield from _differing("data", old.data, new.data)
    for one in new.epochs:
        said = "; ".join(references.differences(one.before, one.after)[:_DIFFERENCES])
        yield f"- epoch of {_code(one.date)} on {_code(one.commit[:12])}: {_code(said)}"
    yield ""


def _about(one: Reference) -> str:
    return f"{len(one.seeds)} runs at {_code(one.commit[:12])}, {_code(one.date)}"


def _repeats(one: Reference) -> str:
    if one.apart:
        return f"came out otherwise, {_code(one.apart)}"
    return f"the same to the last bit over {one.repeated} steps" if one.repeated else "not made"


def _parted(new: Reference, old: Reference | None) -> str:
    """Where the new first run leaves the old one."""
    if old is None:
        return "nothing to part from"
    if references.differences(old.machine.hard, new.machine.hard):
        return "bits are not compared: another environment"
    first = {name: values[0] for name, values in new.figures.items()}
    apart = digests.apart(old.hashes, new.hashes)
    said = str(apart) if apart else comparison.first_difference(old, first)
    return f"parts from the one before {_code(said)}" if said else "the curve of the first run is the one before's"


def _metrics(new: Reference, old: Reference | None) -> Iterator[str]:
    yield "| figure | before | now | change | in s | since the first | of it by environments |"
    yield "|---|---|---|---|---|---|---|"
    moved = epochs.drift(new)
    names = [name for name in ("steps",) if name in new.figures] + comparison.finals(new)
    gone = [name for name in comparison.finals(old) if name not in new.figures] if old else []
    for name in names + gone:
        before, now = old.runs(name) if old else (), new.runs(name)
        since = [f"{value:+.4g}" for value in moved.get(name, ())] or ["", ""]
        cells = [_code(name.removeprefix(comparison.FINAL)), _mean(before), _mean(now), *_change(before, now), *since]
        yield f"| {' | '.join(cells)} |"


def _mean(values: Sequence[float | int]) -> str:
    if not values:
        return "-"
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.6g}" + (f" ± {spread:.2g}" if spread else "")


def _change(before: Sequence[float | int], now: Sequence[float | int]) -> tuple[str, str]:
    """Relative to the mean before, and in its standard deviations."""
    if not before or not now:
        return ("new" if now else "gone"), ""
    old, moved = statistics.fmean(before), statistics.fmean(now) - statistics.fmean(before)
    spread = statistics.stdev(before) if len(before) > 1 else 0.0
    return (f"{moved / abs(old):+.3%}" if old else f"{moved:+.4g}"), (f"{moved / spread:+.2f}" if spread else "")


def _differing(kind: str, before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    changed = references.differences(before, now)
    yield from (f"- {kind}: {_code(line)}" for line in changed[:_DIFFERENCES])
    if len(changed) > _DIFFERENCES:
        yield f"- {kind}: {len(changed) - _DIFFERENCES} more differ"


def _code(text: str) -> str:
    """As code, whatever is in it: a candidate may come from anywhere, and GitHub reads orders in markdown."""
    plain = "".join(letter if letter.isprintable() else "�" for letter in text)
    return f"`{plain.replace('`', chr(39)).replace('|', '/') or '-'}`"
