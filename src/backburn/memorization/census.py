"""What the model is made of, as it was reviewed: a kind of layer that is gone changes nothing that one step shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip
from ..report import Finding
from .judging import meant

if TYPE_CHECKING:
    from .seen import Evidence

_LOST = 0.5  # share of the reviewed number of a kind from which it counts as taken out
_GROWN = 8.0  # times; by a draw, a width or another of the usual initialisations it is below 3
# What is counted one by one: it comes and goes with layers.
_EXACT = {"ties": "tied weights"}
_SIZES = "weights"  # the key in a reference's settings
# What a change of the loss, of the precision or of a fused kernel moves by itself.
_UNTOLD = {"softmaxes", "products"}


class Census(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Kind of layer -> how often it stands between the parameters and the loss."""

    kinds: dict[str, int] = {}


def model_is_as_reviewed(seen: Evidence, config: Any) -> Iterator[Finding]:
    """No layer or tie is gone since the model was reviewed, and its weights begin as they did."""
    if seen.reference is None:
        raise Skip("there is no reference")
    yield from _begun_otherwise(seen)
    now = seen.look("census", Census).kinds
    told = seen.probe.parameters
    if told and len(told.frozen) > int(seen.reference.settings.get("frozen-count", "0")):
        raise Skip("more is frozen than when it was reviewed: layers before the first that trains are not counted")
    # Layers that this batch is not sent through (experts) are not gone; parameters-are-connected counts them.
    elsewhere = bool(told and told.disconnected)
    before = _parsed(seen.reference.settings.get("layers", ""))
    # One forward of three batches in a row has a third of the layers of three forwards, of each kind.
    fewer = min(1.0, _weighted(now) / max(_weighted(before), 1))
    untold = _UNTOLD | _written_out(before, now)
    # With dropout, or a mask of its own, attention is computed step by step.
    now = now | {"attentions": now.get("attentions", 0) + max(0, now.get("softmaxes", 0) - before.get("softmaxes", 0))}
    for kind, count in before.items():
        if kind in _EXACT:
            if not elsewhere and now.get(kind, 0) < count and _layers(now) == _layers(before):
                message = f"{now.get(kind, 0)} {_EXACT[kind]} in layers that had {count} when they were reviewed"
                hint = "Is a weight that two layers share no longer one?"
                yield meant(Finding(message=message, hint=hint))
        elif kind not in untold and now.get(kind, 0) < (1 if elsewhere else _LOST * fewer * count):
            message = f"{now.get(kind, 0)} {kind} stand between the parameters and the loss; {count} when reviewed"
            yield meant(Finding(message=message, hint="Was a layer taken out, or never called?"))


def _begun_otherwise(seen: Evidence) -> Iterator[Finding]:
    """Weights of another size, or that began at 0 on purpose (adapters, the last layers of branches)."""
    told, before = seen.probe.parameters, _parsed_sizes(seen)
    if told is None or not before or not told.gain or before["matrices"] != told.matrices:
        return
    times = told.gain / before["gain"]
    if not 1 / _GROWN <= times <= _GROWN:
        message = f"the weights begin {times:.2g} times as large as when they were reviewed"
        yield meant(Finding(message=message, hint="Another initialisation, or weights that are scaled twice?"))
    elif before["zeroed"] and not told.zeroed:
        many = f"{before['zeroed']:.0f} of {told.matrices} matrices"
        message = f"{many} began at 0 when they were reviewed, and none does"
        yield meant(Finding(message=message, hint="Is their initialisation overwritten, by apply() or a later loop?"))


def _parsed_sizes(seen: Evidence) -> dict[str, float]:
    words = seen.reference.settings.get(_SIZES, "").split() if seen.reference else []
    return {name: float(value) for name, _, value in (word.partition("=") for word in words)}


def _written_out(before: dict[str, int], now: dict[str, int]) -> set[str]:
    """A GRU has no node of its own on the CPU, as an LSTM has: its products and gates are there instead."""
    more = {kind: now.get(kind, 0) - before.get(kind, 0) for kind in ("recurrences", "products", "activations")}
    if more["recurrences"] < 0 and min(more["products"], more["activations"]) >= -2 * more["recurrences"]:
        return {"recurrences"}
    if more["recurrences"] > 0 and max(more["products"], more["activations"]) <= -2 * more["recurrences"]:
        return {"activations"}
    return set()


def _layers(kinds: dict[str, int]) -> list[int]:
    return [kinds.get(kind, 0) for kind in ("products", "convolutions", "embeddings", "recurrences", "attentions")]


def _weighted(kinds: dict[str, int]) -> int:
    """Layers that have weights."""
    return sum(kinds.get(kind, 0) for kind in ("products", "convolutions", "embeddings", "recurrences"))


def _parsed(text: str) -> dict[str, int]:
    return {kind: int(count) for kind, _, count in (word.partition("=") for word in text.split())}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: `activations=3 normalisations=2`."""
    told, sizes = seen.probe.census, seen.probe.parameters
    words = f"gain={sizes.gain:.3g} matrices={sizes.matrices} zeroed={sizes.zeroed}" if sizes and sizes.gain else ""
    layers = " ".join(f"{kind}={count}" for kind, count in sorted(told.kinds.items())) if told else ""
    return ({"layers": layers} if told else {}) | ({_SIZES: words} if words else {})


CHECKS = (model_is_as_reviewed,)
