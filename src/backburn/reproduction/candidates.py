"""What a reference is made of, and why a candidate cannot become one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from .. import comparison
from ..references import Machine, Reference
from . import digests, envelope, ladder
from .ladder import Night
from .told import Told, figures, seed


def of(training: str, machine: Machine, runs: Sequence[Told], night: Night, rounded: Sequence[Told]) -> Reference:
    """A candidate of whole runs, the first of which is the `night`; `rounded` ones began with rounded weights."""
    where, repeat = ladder.unsteady(night), night.repeat
    one = Reference(
        stage="reproduce",
        training=training,
        machine=machine,
        seeds=(night.seed, *(seed(told, night.seed) for told in runs[1:])),
        figures=comparison.merged([figures(told) for told in runs]),
        settings=comparison.steady([told.settings for told in runs]),
        data=comparison.steady([told.data for told in runs]),
        hashes=digests.kept(night.roots, repeat.roots if repeat else {}),
        repeated=repeat.steps if repeat and not where else 0,
        apart=where,
    )
    roundings = envelope.of(figures(runs[0]), [*map(figures, rounded)], one)
    roundings |= envelope.evaluated(runs[0].validations, [told.validations for told in rounded], one)
    return msgspec.structs.replace(one, envelope=roundings)


def unfit(one: Reference, seeds: int, *, repeats: bool) -> Iterator[str]:
    """A sentence for each reason: fewer runs than `seeds`, seeds without effect, one that does not repeat where it
    should (`repeats`), nothing to compare.
    """
    if len(one.seeds) < seeds:
        yield (
            f"{len(one.seeds)} of {seeds} seeds; too few for what `seeds` in [tool.backburn.reproduce] claims"
            " (`backburn reproduce` says what became of the others)"
        )
    if repeats and one.apart:
        yield f"{twice(one.apart)}: make it repeat ({HOW}), or have only its seeds tell: self-steps = 0"
    elif repeats and not one.repeated:
        yield "it was not run twice, so that nobody knows whether it repeats (self-steps = 0: nobody asks)"
    runs = comparison.outcomes(one)
    if not any(runs):
        yield "it holds neither a loss nor a metric"
    elif len(set(runs)) < len(runs):
        yield "two seeds came out the same to the last bit: the script sets its seed where backburn cannot reach"


HOW = "Trainer(deterministic=True), a seed for what has none"


def twice(where: str) -> str:
    """What is said of a training that does not repeat, and `where` it parted."""
    return f"the same commit and seed came out otherwise a second time, {where}"
