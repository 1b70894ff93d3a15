"""Who made a commit, and by which pull request it came."""

from __future__ import annotations

import re
from pathlib import Path

from .. import commits
from ..reproduction.culprit import Culprit

_SQUASHED = re.compile(r"\(#(\d{1,9})\)\s*$")
_MERGED = re.compile(r"^Merge pull request #(\d{1,9}) from ")


def number(subject: str) -> int:
    """The pull request that a subject tells, as GitHub writes it where it merges or squashes; 0 for none.

    >>> number("Scale the loss (#123)"), number("Merge pull request #7 from me/topic"), number("Mend #5")
    (123, 7, 0)
    """
    found = _SQUASHED.search(subject) or _MERGED.match(subject)
    return int(found[1]) if found else 0


def culprit(top: Path, commit: str, bad: str) -> Culprit:
    """All that is told of a commit. Raises UserError for one that is not here."""
    one = commits.about(top, commit)
    return Culprit(
        commit=one.commit,
        author=one.author,
        committer=one.committer,
        date=one.date,
        subject=one.subject,
        pull_request=number(one.subject) or _merged_by(top, commit, bad),
    )


def _merged_by(top: Path, commit: str, bad: str) -> int:
    """The pull request of the first merge that brought it into the line of first parents."""
    words = ("rev-list", "--merges", "--topo-order", "--reverse", "--ancestry-path", "--format=%H %P%x00%s")
    for line in commits.ask(top, *words, f"{commit}..{bad}").decode(errors="replace").splitlines():
        hashes, mark, subject = line.partition("\0")
        if mark and number(subject):
            main = hashes.split()[1]
            if commits.tried(top, "merge-base", "--is-ancestor", commit, main)[0] != 0:
                return number(subject)
    return 0
