"""What `backburn blame` found, as a job that trained left it: nothing is believed but a small, well-formed file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from .. import received
from ..errors import UserError
from ..received import line, lines
from ..reproduction import culprit
from ..reproduction.culprit import Blame, Conclusion, Culprit
from .markdown import block, code, table
from .night import TRAINING, TRAININGS

NAME = "blame"  # of the action, and so of its artifacts
BYTES = 1 << 18  # of one blame.json: a long hunk has 4 kB
HUNK = 20  # lines of a commit that an issue shows, each up to
WIDTH = 160  # characters
LISTED = 8  # commits of a range
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_NUMBER = 10**9  # of steps, reruns and pull requests: beyond, nobody counts


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found by training, and what was refused, a sentence each."""

    blames: dict[str, Blame]
    refused: tuple[str, ...]


def read(artifact: Path) -> Found:
    """Every blame.json in one artifact: in it, or in a folder of it for each training."""
    blames: dict[str, Blame] = {}
    refused: list[str] = []
    for path in _files(artifact):
        try:
            one = believed(_load(path))
        except UserError as error:
            refused.append(f"{line(artifact.name, 80)}: refused: {line(error.problem)}")
        else:
            blames[one.training] = one
    return Found(blames=blames, refused=tuple(refused))


def _files(artifact: Path) -> list[Path]:
    if artifact.is_symlink():
        return []
    try:
        folders = sorted(one for one in artifact.iterdir() if one.is_dir())[: TRAININGS + 1]
    except OSError:
        return []
    return [
        one for one in (artifact / culprit.FILE, *(each / culprit.FILE for each in folders)) if os.path.lexists(one)
    ]


def _load(path: Path) -> Blame:
    received.expect_plain(path, BYTES)
    return culprit.load(path)


def believed(one: Blame) -> Blame:
    """The same, cut down to what is believed: hashes that are some, finite numbers, clipped lines.

    Raises UserError for a training that no project could name, and for a commit that is none.
    """
    if not TRAINING.fullmatch(one.training) or not one.training:
        raise UserError(f"no name of a training: {line(one.training, 40)!r}")
    if one.conclusion is Conclusion.FOUND and one.culprit is None:
        raise UserError("a culprit that was found, and is not named")
    texts = {name: line(getattr(one, name), most) for name, most in _TEXTS.items()}
    numbers = {name: min(_NUMBER, max(0, getattr(one, name))) for name in _NUMBERS}
    return msgspec.structs.replace(
        one,
        **texts,
        **numbers,
        culprit=None if one.culprit is None else _culprit(one.culprit),
        candidates=tuple(map(_culprit, one.candidates[:LISTED])),
        others=tuple(map(_culprit, one.others[:LISTED])),
        hunk="\n".join(lines(one.hunk.replace("<!--", "<!- -"), HUNK, WIDTH)),  # a comment of ours is none of theirs
        skipped=tuple(map(_commit, one.skipped[:LISTED])),
        notes=tuple(line(each) for each in one.notes[:LISTED]),
        certainty=one.certainty if 0 <= one.certainty <= 1 else 0.0,
        cost=one.cost if math.isfinite(one.cost) and one.cost >= 0 else 0.0,
    )


_NUMBERS = ("step", "steps", "reruns", "commits", "inherited")
_TEXTS = {"hardware": 100, "good": 64, "bad": 64, "said": 500, "cause": 40}
_TEXTS |= {"module": 200, "op": 200, "file": 200, "proof": 500}


def _culprit(one: Culprit) -> Culprit:
    texts = {name: line(getattr(one, name), most) for name, most in (("author", 100), ("committer", 100), ("date", 20))}
    number = one.pull_request if 0 < one.pull_request < _NUMBER else 0
    subject = line(one.subject, 200)
    return msgspec.structs.replace(one, commit=_commit(one.commit), subject=subject, pull_request=number, **texts)


def _commit(text: str) -> str:
    if not _COMMIT.fullmatch(text):
        raise UserError(f"no commit: {line(text, 40)!r}")
    return text


def first_bad(one: Blame | None) -> str:
    """The commit that an issue is about: the one that was found; empty where there is none."""
    return one.culprit.commit if one and one.culprit and one.conclusion is Conclusion.FOUND else ""


def told(one: Blame, home: str, page: str) -> str:
    """What an issue says of it, as Markdown. `home` is the repository's address, empty where it has none, and `page`
    the run that found it.
    """
    return "\n\n".join(filter(None, _blocks(one, home, page)))


def _blocks(one: Blame, home: str, page: str) -> Iterator[str]:
    if one.culprit and one.conclusion is Conclusion.FOUND:
        yield f"**First bad commit:** {_named(one.culprit, home)}"
    elif one.conclusion is Conclusion.RANGE and one.candidates:
        yield "**The first bad commit is one of these:**\n\n" + "\n".join(
            f"- {_named(each, home)}" for each in one.candidates
        )
    yield code(one.said, 500)
    if first_bad(one):
        rows = [(name, text) for name, text in _where(one) if text]
        yield table(("where", "what"), rows) if rows else ""
        yield block(one.hunk.splitlines(), "diff")
        yield _proof(one)
    if one.others:
        yield "**It is not the only one:**\n\n" + "\n".join(f"- {_named(each, home)}" for each in one.others)
    yield f"{_cost(one)} Searched by {page}."


def _named(one: Culprit, home: str) -> str:
    """Commit, subject, author and pull request; links are made of a hash and a number alone."""
    short = f"`{one.commit[:12]}`"
    shown = f"[{short}]({home}/commit/{one.commit})" if home else short
    pull = (
        f"pull request [{one.pull_request}]({home}/pull/{one.pull_request})"
        if home
        else f"pull request {one.pull_request}"
    )
    by = f"by {code(one.author)}" if one.author else ""
    merged = f"committed by {code(one.committer)}" if one.committer not in ("", one.author) else ""
    on = f"of {code(one.date)}" if one.date else ""
    parts = [" ".join(filter(None, (code(one.subject), by, on))), merged, pull if one.pull_request else ""]
    return f"{shown} {', '.join(filter(None, parts))}".rstrip()


def _where(one: Blame) -> Iterator[tuple[str, str]]:
    yield "first step that differs", str(one.step or "")
    yield "class", code(one.cause)
    yield "module", code(one.module)
    yield "operation", code(one.op)
    yield "file", code(one.file)


def _proof(one: Blame) -> str:
    sure = f" (certain to {100 * one.certainty:.1f} %)" if one.statistical else ""
    if not one.proof:
        return f"No proof was tried{sure}."
    return f"**{'Proof' if one.proven else 'No proof'}:** {code(one.proof, 500)}{sure}"


def _cost(one: Blame) -> str:
    trained = f"{one.reruns} reruns" + (f", {one.cost:.2f} of one full training" if one.cost else "")
    left = [f"{one.inherited} of them changed nothing that it reaches"] if one.inherited else []
    left += [f"{len(one.skipped)} could not be trained"] if one.skipped else []
    aside = f" ({', '.join(left)})" if left else ""
    return f"{one.commits} commits{aside}, {trained}."
