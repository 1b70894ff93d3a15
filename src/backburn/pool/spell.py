"""What is known of a stuck queue, and who was told: a file in [pool] state, so that a restart tells nobody twice."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from .. import evidence

FILE = "queue.json"


class Spell(msgspec.Struct, kw_only=True):
    """From the first look at which a job waited too long to the last of some in a row without one. Times are seconds
    since the epoch; `since` 0.0: the queue moves.
    """

    kind: str = "pool-queue"
    schema: int = 1
    at: float = 0.0  # of the last look that saw all
    trouble: str = ""  # why the last one did not
    since: float = 0.0
    jobs: int = 0
    oldest: float = 0.0  # since when the oldest of these has waited
    repositories: tuple[str, ...] = ()  # in which one waited: it is not over before each was looked at again
    causes: tuple[str, ...] = ()
    calm: int = 0  # looks in a row without one
    state: str = ""  # what changes when the reason does
    message: str = ""  # what a webhook is to say
    body: str = ""  # what an issue is to say
    told: bool = False  # the webhook has said that it is stuck, and not yet that it moves
    issue: int = 0  # its number; 0: none is open
    home: str = ""  # and the repository that it is in
    shown: str = ""  # the state that it shows


def load(folder: Path) -> Spell | None:
    """None where there is none. Raises UserError for a file that is another's, newer or corrupt."""
    path = folder / FILE
    return evidence.load(path, Spell) if path.exists() else None


def forget(folder: Path) -> None:
    """Nobody looks at the queue any more."""
    with contextlib.suppress(OSError):
        (folder / FILE).unlink()


def save(spell: Spell, folder: Path) -> None:
    """Raises OSError for a disk that is full."""
    evidence.save(spell, folder / FILE)
