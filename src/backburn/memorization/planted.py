"""The test of the test (`--prove`): which checks see the bugs that were planted into the user's own training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import Skip, Unjudged
from ..report import Check, Finding, Level, name_of

if TYPE_CHECKING:
    from .seen import Evidence, Planted


class Caught(msgspec.Struct, frozen=True, kw_only=True):
    """One planted bug: the check that names it first (empty: none does), and how loud; or why it was not planted."""

    bug: str
    check: str = ""
    level: Level = Level.NOTICE
    untold: str = ""


def caught(seen: Evidence, config: Any, checks: Sequence[Check]) -> list[Caught]:
    """What `checks` say of each planted bug, beyond what they say of the sound training."""
    if seen.told is None:
        return []
    sound = msgspec.structs.replace(seen, told=msgspec.structs.replace(seen.told, planted=()))
    before = {name: finding.level for name, finding in _found(sound, config, checks)}
    return [_caught(one, seen, config, checks, before) for one in seen.told.planted]


def _caught(one: Planted, seen: Evidence, config: Any, checks: Sequence[Check], before: dict[str, Level]) -> Caught:
    if one.told is None:
        return Caught(bug=one.bug, untold=one.untold)
    broken = msgspec.structs.replace(seen, told=one.told)
    new = [pair for pair in _found(broken, config, checks) if before.get(pair[0]) is not pair[1].level]
    loud = [pair for pair in new if pair[1].level is Level.ERROR] or [
        pair for pair in new if pair[1].level is Level.WARNING
    ]
    if not loud:
        return Caught(bug=one.bug)
    name, finding = loud[0]
    return Caught(bug=one.bug, check=name, level=finding.level)


def _found(seen: Evidence, config: Any, checks: Sequence[Check]) -> Iterator[tuple[str, Finding]]:
    """Each check that finds something, in order, with its loudest finding; none that follows from one before."""
    failed: set[str] = set()
    for check in checks:
        name = name_of(check)
        if failed & set(getattr(check, "after", ())):
            failed.add(name)
            continue
        try:
            findings = sorted(check(seen, config), key=lambda one: [*Level].index(one.level))
        except Skip:
            continue
        except Unjudged as reason:
            findings = [Finding(message=str(reason), level=Level.WARNING)]
        if findings:
            yield name, findings[0]
        if findings and findings[0].level is Level.ERROR:
            failed.add(name)


def concluded(rows: Sequence[Caught]) -> Iterator[Finding]:
    """One finding with the table of all: a notice where each bug was caught, else a warning."""
    planted = [one for one in rows if not one.untold]
    failing = [one for one in planted if one.level is Level.ERROR]
    missed = [one.bug for one in planted if not one.check]
    quiet = [one.bug for one in planted if one.check and one.level is not Level.ERROR]
    message = f"{len(failing)} of {len(planted)} planted bugs fail this training"
    if quiet:
        message += f", {len(quiet)} {'is a warning' if len(quiet) == 1 else 'are warnings'}"
    if missed:
        message += f"; not caught: {', '.join(missed)}"
    if len(planted) < len(rows):
        message += f"; {len(rows) - len(planted)} cannot be planted here"
    hint = " ".join([_MISSED] * bool(missed) + [_QUIET] * bool(quiet))
    level = Level.WARNING if missed else Level.NOTICE
    yield Finding(message=message, level=level, hint=hint, detail="\n".join(_table(rows)))


def _table(rows: Sequence[Caught]) -> Iterator[str]:
    wide = max(len(one.bug) for one in rows)
    for one in rows:
        if one.untold:
            mark, said = "-", f"cannot be planted here: {one.untold}"
        elif not one.check:
            mark, said = "✗", "NOT CAUGHT"
        elif one.level is Level.ERROR:
            mark, said = "✓", one.check
        else:
            mark, said = "!", f"{one.check} (a {one.level.value})"
        yield f"{mark} {one.bug:{wide}}  {said}"


_MISSED = "A bug that is not caught here needs a test of your own, or a batch that shows it (larger, by `args`)."
_QUIET = "What only warns fails once there is a reference to be new against: `backburn bless memorize`."
