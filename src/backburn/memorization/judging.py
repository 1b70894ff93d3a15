"""How loud a finding is: what has no healthy reading fails; the rest fails only where a reference says that it is new.

A training's reference notes which checks found something when it was reviewed (`settings["found"]`), so a LoRA, a
contrastive loss or a tied embedding speaks up once, and never again.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ..references import Reference
from ..report import Check, Finding, Level, name_of

FOUND = "found"  # the key in a reference's settings: checks that found something, however loud
ERRORS = "errors"  # likewise: the errors themselves, as `trace` spells them
_MEANT = "If it was meant: `backburn bless memorize`."
_ACCEPTS = ("backburn.allow", "backburn bless", "On purpose?")
_NAMED = 5  # parameters named in a finding; the rest are counted

Where = tuple[str, int]


def suspected(found: Iterable[Finding], check: Check, reference: Reference | None) -> Iterable[Finding]:
    """Findings of `check` that have a healthy reading: warnings without a reference, notices where it was reviewed
    with them, errors where they are new against it.
    """
    if reference is None:
        return (msgspec.structs.replace(meant(one), level=Level.WARNING) for one in found)
    if name_of(check) in reference.settings.get(FOUND, "").split():
        return (msgspec.structs.replace(one, level=Level.NOTICE) for one in found)
    new = f"new against the reference of {reference.commit[:7] or 'the healthy run'}"
    return (msgspec.structs.replace(meant(one), level=Level.ERROR, message=f"{one.message} ({new})") for one in found)


def reviewed(check: Check) -> Check:
    """The check, with an error as a notice where the very same one was there when the training was reviewed."""

    @functools.wraps(check)
    def judged(seen: Any, config: Any) -> Iterator[Finding]:
        known = seen.reference.settings.get(ERRORS, "").split() if seen.reference else ()
        for one in check(seen, config):
            if one.level is Level.ERROR and trace(check, one) in known:
                one = msgspec.structs.replace(one, level=Level.NOTICE, message=f"{one.message} (as reviewed)")
            yield one

    return judged


def trace(check: Check, finding: Finding) -> str:
    """What tells an error from others of its check, whatever its numbers: `inputs-vary:3f0c91aa`."""
    words = re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?|\b(nan|inf)\b", "#", finding.message)
    return f"{name_of(check)}:{hashlib.blake2b(words.encode(), digest_size=4).hexdigest()}"


def meant(finding: Finding) -> Finding:
    """The finding with a hint that also says how to accept it, where it does not say so yet."""
    if any(word in finding.hint for word in _ACCEPTS):
        return finding
    return msgspec.structs.replace(finding, hint=f"{finding.hint} {_MEANT}".strip())


def listed(names: Sequence[str], count: int, what: str = "trainable parameters") -> str:
    """`3 of 8 trainable parameters (encoder.{weight,bias}; head.bias)`: the first few, grouped by module."""
    groups: dict[str, list[str]] = {}
    for name in names[:_NAMED]:
        module, _, own = name.rpartition(".")
        groups.setdefault(module, []).append(own)
    shown = [
        f"{module}.{{{','.join(own)}}}" if len(own) > 1 else f"{module}.{own[0]}" for module, own in groups.items()
    ]
    rest = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{len(names)} of {count} {what} ({', '.join(one.lstrip('.') for one in shown)}{rest})"


def at(finding: Finding, where: Where) -> Finding:
    """The finding with the place in the user's code, as the probe tells it (an absolute path, or none)."""
    path, line = where
    return msgspec.structs.replace(finding, file=path, line=line) if path else finding


def spelled(where: Where) -> str:
    """` (train.py:41)`, or nothing where the place is not known."""
    path, line = where
    return f" ({os.path.basename(path)}:{line})" if path else ""
