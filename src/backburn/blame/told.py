"""A finding as people read it: on a terminal, and as GitHub's Markdown. All of it is a repository's text: escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator

from ..reproduction.culprit import Blame, Conclusion, Culprit
from ..visible import spelled

_LISTED = 10  # candidates and skipped commits; the rest is counted


def terminal(one: Blame) -> str:
    """Plain lines: the finding, its lines, the proof, what it cost."""
    return spelled("\n".join(_lines(one))) + "\n"


def _lines(one: Blame) -> Iterator[str]:
    on = f" on {one.hardware}" if one.hardware else ""
    yield f"{one.training}{on}: {headline(one)}"
    for culprit in (*([one.culprit] if one.culprit else []), *one.candidates[:_LISTED]):
        yield f"  {words(culprit)}"
    if len(one.candidates) > _LISTED:
        yield f"  … {len(one.candidates) - _LISTED} more"
    if place := where(one):
        yield f"  {place}"
    if one.hunk:
        yield f"  {one.file}"
        yield from (f"    {line}" for line in one.hunk.splitlines())
    if one.proof:
        yield f"  {'proof' if one.proven else 'no proof'}: {one.proof}"
    for other in one.others:
        yield f"  another: {words(other)}"
    for note in one.notes:
        yield f"  note: {note}"
    yield f"  {cost(one)}"


def headline(one: Blame) -> str:
    """One sentence."""
    if one.conclusion is Conclusion.FOUND and one.culprit:
        how = f", with {one.certainty:.1%} certainty" if one.statistical else ""
        return f"{one.culprit.commit[:12]} changed it{how}: {one.said}"
    if one.conclusion is Conclusion.RANGE:
        return f"one of {len(one.candidates)} commits changed it: {one.said}"
    return f"no commit was found: {one.said}"


def words(one: Culprit) -> str:
    """`1a2b3c4d5e6f Scale the loss (#123), by A, committed by B on 2026-11-20`."""
    request = f" (#{one.pull_request})" if one.pull_request and f"#{one.pull_request}" not in one.subject else ""
    committer = f", committed by {one.committer}" if one.committer != one.author else ""
    return f"{one.commit[:12]} {one.subject}{request}, by {one.author}{committer} on {one.date}"


def where(one: Blame) -> str:
    """`first at step 20: forward, in encoder.2, op aten.mul`; empty where that is not known."""
    parts = [one.cause, f"in {one.module}" if one.module else "", f"op {one.op}" if one.op else ""]
    listed = ", ".join(filter(None, parts))
    return f"first at step {one.step}{': ' if listed else ''}{listed}" if one.step else ""


def cost(one: Blame) -> str:
    """`0.31 of one full training (186 steps in 9 trainings); 64 commits, 40 of them change nothing that it reaches`."""
    of_full = f"{one.cost:.2f} of one full training ({one.steps:,} steps in {one.reruns} trainings)"
    trained = of_full if one.cost else f"{one.steps:,} steps in {one.reruns} trainings"
    skipped = f", {len(one.skipped)} cannot be trained" if one.skipped else ""
    plural = "" if one.commits == 1 else "s"
    return f"{trained}; {one.commits} commit{plural}, {one.inherited} of them change nothing that it reaches{skipped}"


def markdown(one: Blame) -> str:
    """A section of GitHub's job summary."""
    marks = {Conclusion.FOUND: "🔎", Conclusion.RANGE: "🔎", Conclusion.UNJUDGED: "⚠️"}
    lines = terminal(one).splitlines()
    first, *rest = (html.escape(line, quote=False) for line in lines)
    return f"### {marks[one.conclusion]} blame\n\n{_code(first)}\n\n<pre>{chr(10).join(rest)}</pre>\n"


def _code(escaped: str) -> str:
    return f"<code>{escaped}</code>"
