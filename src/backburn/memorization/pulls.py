"""Where the loss pulls what modules return, and which parts of the model each of its terms reaches: as was reviewed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ..report import Finding
from .judging import Where, at, meant

if TYPE_CHECKING:
    from .seen import Evidence

_WAYS, _REACH = "loss pulls", "parts reach"  # the keys in a reference's settings
_NOTED = 12  # ways that a reference notes


class Pulls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ways`: the sign of the loss's derivative by what a module returns, from what it was given (`critic of
    generator+`: the generator is trained by it), or its correlation with a part of the batch (`risk ~ batch[2]`), also
    at the classes of another (`policy @ batch[1] ~ batch[2]`). `reach`: by kind of term, how many terms there are (""),
    and how many of them each part of the model is reached by.
    """

    ways: dict[str, float] = {}
    reach: dict[str, dict[str, int]] = {}


def turned(seen: Evidence, where: Where) -> Iterator[Finding]:
    """What is pulled the other way than when it was reviewed, while something else still goes the same way: where all
    of it is turned round, only the convention is another.
    """
    now = {key.replace(" ", ""): way for key, way in seen.probe.pulls.ways.items()} if seen.probe.pulls else {}
    before = _parsed(seen.reference.settings.get(_WAYS, "")) if seen.reference else {}
    both = [key for key in before if key in now]
    other = [key for key in both if before[key] * now[key] < 0]
    if other and (len(other) < len(both) or any("@" in key for key in other)):
        said = {key.replace(" ", ""): key for key in (seen.probe.pulls.ways if seen.probe.pulls else ())}
        named = "; ".join(said[key] for key in other[:3])
        message = f"the loss is turned round for what a module returns ({named}), since it was reviewed"
        yield at(meant(Finding(message=message, hint=_TURNED)), where)


_TURNED = "Look at the sign of that term, and at what it is multiplied by: an optimizer minimises."


def _parsed(text: str) -> dict[str, float]:
    return {key: float(way) for key, _, way in (word.rpartition("=") for word in text.split()) if key}


def cut(seen: Evidence, where: Where) -> Iterator[Finding]:
    """A part that a term of the loss reached when it was reviewed, and that only others do now."""
    told = seen.probe.pulls
    before = _counted(seen.reference.settings.get(_REACH, "")) if seen.reference else {}
    for kind, counts in told.reach.items() if told else ():
        then = before.get(kind, {})
        fewer = [name for name, count in then.items() if name and counts.get(name, 0) < count]
        more = [name for name, count in counts.items() if name and then.get(name, 0) < count]
        still = {name for one in (told.reach.values() if told else ()) for name in one}
        if then.get("") == counts[""] and fewer and not more and set(fewer) <= still:
            terms = "other terms" if kind == "other" else kind
            message = f"of the loss's {terms}, fewer reach {', '.join(fewer)} than when it was reviewed"
            return (yield at(meant(Finding(message=message, hint=_CUT)), where))


_CUT = "Look for detach(), no_grad() or .data on the way to that term, and for another variable in its place."


def _counted(text: str) -> dict[str, dict[str, int]]:
    kinds = (word.partition(":") for word in text.split())
    pairs = {kind: [one.rpartition("=") for one in parts.split(",")] for kind, _, parts in kinds}
    return {kind: {name: int(count) for name, _, count in named} for kind, named in pairs.items()}


def kept(seen: Evidence) -> dict[str, str]:
    """What a reference notes: `critic of batch[0]=-1`, and `squares:=2,decoder=1,encoder=2`."""
    told = seen.probe.pulls
    if told is None:
        return {}
    ways = [f"{key.replace(' ', '')}={way:.2g}" for key, way in told.ways.items()][:_NOTED]
    reach = [f"{kind}:{','.join(f'{name}={n}' for name, n in sorted(one.items()))}" for kind, one in told.reach.items()]
    return {key: " ".join(words) for key, words in ((_WAYS, ways), (_REACH, reach)) if words}
