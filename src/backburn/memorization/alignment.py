"""Labels belong to their inputs: by themselves by more than chance, and as clearly as when it was reviewed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import Skip
from ..report import Check, Finding, Level, after
from .batch import Alignment, Batch, labels_stay_paired, labels_vary
from .dependence import LEAK
from .judging import meant

if TYPE_CHECKING:
    from .seen import Evidence

_ALIGNED = ("alignment", "alignment: by the model")  # figures of a reference
_PAIR = "together: "  # what such a figure of a pair of parts begins with
_BY_CHANCE = 0.05  # p above which labels may as well be drawn (row 13)
_CLEAR = 5.0  # standard deviations above chance that a reference has to have had (digits: 60, diabetes: 11)
GONE = 3.0  # and below which nothing is left of them: 1 in 700 by chance
# As _CLEAR and GONE, for pairs: other rows of the same data move what is 9 on average by 3, and there are many pairs.
_PAIRED, _APART = 10.0, 2.5
_LEFT = 8.0  # times that what was clearer must have fallen by: a few samples may stay where they were
_NOTED = 8  # pairs


@after(labels_stay_paired, labels_vary)
def labels_match_inputs(seen: Evidence, config: Any) -> Iterator[Finding]:
    """Similar inputs have similar labels more often than by chance."""
    told = seen.look("batch", Batch)
    apart = list(_parted(told.pairs, _pairs(seen)))
    if told.alignment is None or told.alignment.p is None:
        if not told.pairs:
            raise Skip("it cannot be asked: not one target for each sample of a data set with a length")
    elif not (told.alignment.by_model and _is_mixed(seen)):
        found = list(_matched(seen, told.alignment))
        yield from found
        apart = [] if any(one.level is Level.ERROR for one in found) else apart
    elif not apart:
        raise Skip("what the model makes of a sample follows from others (samples-are-independent)")
    yield from apart[:1]


def _matched(seen: Evidence, told: Alignment) -> Iterator[Finding]:
    before = _number(seen, _ALIGNED[told.by_model])
    if before is not None and before >= _CLEAR and told.clear < GONE:
        message = (
            f"labels do not belong to their inputs: similar inputs have similar labels no more often than by chance"
            f" ({told.clear:.1f} standard deviations above it over {told.samples} samples; {before:.1f} when reviewed)"
        )
        yield Finding(message=message, hint="Were labels shuffled, sorted or joined by another key than the inputs?")
    elif before is None and told.p is not None and told.p > _BY_CHANCE:
        message = f"similar inputs have similar labels no more often than by chance (p = {told.p:.2f})"
        hint = "Raw inputs may well not show it; where they should, check that labels and inputs are joined rightly."
        yield Finding(message=message, level=Level.NOTICE, hint=hint)


def _parted(now: dict[str, float], before: dict[str, float]) -> Iterator[Finding]:
    """Pairs of parts that belonged together, sample by sample, and do no more: those that were clearest first."""
    for pair in sorted(before, key=lambda name: -before[name]):
        if before[pair] >= _PAIRED and now.get(pair, math.inf) < max(_APART, before[pair] / _LEFT):
            one, other = pair.split(" ~ ")
            message = (
                f"{one} and {other} do not belong together: samples alike in one are alike in the other no more often"
                f" than by chance ({now[pair]:.1f} standard deviations above it; {before[pair]:.1f} when reviewed)"
            )
            hint = "Was one of the two shuffled, sorted or joined by another key than the other?"
            yield meant(Finding(message=message, hint=hint))


def _pairs(seen: Evidence) -> dict[str, float]:
    """As reviewed."""
    figures = seen.reference.figures if seen.reference else {}
    return {name[len(_PAIR) :]: float(values[0]) for name, values in figures.items() if name.startswith(_PAIR)}


def _is_mixed(seen: Evidence) -> bool:
    """Whether, in the model, a sample's place has something of others."""
    leak = seen.probe.dependence.leak if seen.probe.dependence else None
    return bool(leak and not leak.far <= LEAK) or bool(seen.probe.pairing and seen.probe.pairing.unpaired)


def _number(seen: Evidence, name: str) -> float | None:
    values = seen.reference.runs(name) if seen.reference else ()
    return float(values[0]) if values else None


def figures(seen: Evidence) -> dict[str, float]:
    """What a reference notes in numbers."""
    told = seen.probe.batch
    if told is None:
        return {}
    clear = sorted((name for name, far in told.pairs.items() if far >= _PAIRED), key=lambda name: -told.pairs[name])
    pairs = {f"{_PAIR}{name}": told.pairs[name] for name in clear[:_NOTED]}
    if told.alignment is None or told.alignment.p is None:
        return pairs
    return {_ALIGNED[told.alignment.by_model]: told.alignment.clear} | pairs


CHECKS: tuple[Check, ...] = (labels_match_inputs,)
