"""Whose fault a bad end was: the machine's, the code's, or open; and what the job is told of its GPU. Pure."""

from __future__ import annotations

import html
import time
from collections.abc import Iterable

from ..received import line
from .care import said
from .config import Limits
from .exits import BAD, TERMINATED, Ending, Outcome
from .health.symptom import Blame, Symptom

Verdict = tuple[str, str]  # a Blame, and why; ("", "") where nobody's fault is asked for
ORDER = (Blame.MACHINE, Blame.OPEN, Blame.CODE)  # of symptoms: what a machine was seen to do outweighs the rest


def judge(end: Ending, how: Outcome, limits: Limits, full: str = "") -> Verdict:
    """Of a job that ended badly, the most certain first. `full`: which disk is.

    A job that failed by itself is never the machine's fault unless something was seen: teams would learn to run red
    jobs again, and not to read them.
    """
    if how not in BAD or not end.job:
        return "", ""
    known = _known(end, how, limits)
    if known is None and full:
        known = Blame.MACHINE, full
    if known is None:
        known = _felt(end.lease.symptoms) or _plain(end, how)
    return known[0].value, known[1]


def _known(end: Ending, how: Outcome, limits: Limits) -> tuple[Blame, str] | None:
    """What says by itself whose it was."""
    if how is Outcome.MEMORY:
        if limits.memory:
            return Blame.CODE, f"it used more than [limits] memory, {limits.memory / (1 << 30):.1f} GiB"
        return Blame.OPEN, "the kernel killed it, and [limits] memory sets no limit: it, or all together, used too much"
    if how is Outcome.WATCHDOG:  # a job that never ends may wait for a GPU that never answers
        return (Blame.OPEN if "max-job" in end.lease.forced else Blame.MACHINE), end.lease.forced
    return _OURS.get(how)


_OURS = {
    Outcome.RESTARTED: (Blame.MACHINE, "the container engine was restarted, and took it along"),
    Outcome.LOST: (Blame.MACHINE, "its container was removed, and not from here"),
}


def _felt(symptoms: Iterable[Symptom]) -> tuple[Blame, str] | None:
    for blame in ORDER:
        for one in symptoms:
            if one.blame is blame:
                return blame, said(one)
    return None


def _plain(end: Ending, how: Outcome) -> tuple[Blame, str]:
    """Nothing was seen beside it."""
    if how is Outcome.FAILED or (how is Outcome.CRASHED and end.seen and end.seen.code == TERMINATED):
        return Blame.CODE, "nothing spoke against the machine"
    return Blame.OPEN, f"{how}, and nothing spoke against the machine"


def page(symptoms: Iterable[Symptom]) -> str:
    """What the job's own summary says of them, as Markdown; "" where none is the machine's or may be."""
    rows = [_row(one) for one in symptoms if one.blame is not Blame.CODE]
    if not rows:
        return ""
    head = "### The GPU of this job did not look sound while it ran\n\n"
    return head + "".join(rows) + "\nIf the job failed: look at this before its code, and run it again.\n"


def _row(one: Symptom) -> str:
    at = time.strftime("%H:%M:%S UTC", time.gmtime(one.at)) if one.at else "before it began"
    whose = "the machine's" if one.blame is Blame.MACHINE else "the machine's, or the code's"
    return f"- {at}, {whose}: {html.escape(said(one), quote=False)} ({line(one.device, 60)})\n"
