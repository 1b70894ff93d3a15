"""Who hands out runners: what the supervisor asks of GitHub, and the ways in which an answer can fail to come."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

import msgspec


class Later(Exception):
    """Not now: a rate limit, a server error, no network. Nothing was changed; it may be asked again."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class Uncertain(Exception):
    """A request that changes something may have been carried out, or not: look by name before anything else."""


class Taken(Exception):
    """409: a runner of this name exists, most likely from an attempt of ours whose answer was lost."""


class Refused(Exception):
    """401, 403, 404: token, permission or scope. No repetition helps before somebody changes something."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


class Removal(StrEnum):
    """What GitHub answered to a removal."""

    GONE = "gone"  # 204, or 404: there is none (any more), and no job can reach it
    BUSY = "busy"  # 422: it has a job


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A runner as GitHub sees it."""

    id: int
    name: str
    online: bool
    busy: bool


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A runner that was just registered; `configuration` is its secret, for one start of one container."""

    id: int
    configuration: str

    def __repr__(self) -> str:  # noqa: D105
        return f"Registered(id={self.id}, configuration=<{len(self.configuration)} characters>)"


class Registrar(Protocol):
    """All raise Later and Refused; only `register` and `remove` raise Uncertain, only `register` Taken."""

    def register(self, name: str) -> Registered:
        """A just-in-time runner of this name, in the group and with the labels of the configuration."""

    def find(self, name: str) -> Registration | None:
        """By name. A runner that was just registered may be missing for a minute."""

    def get(self, runner_id: int) -> Registration | None:
        """By id; None where there is none."""

    def remove(self, runner_id: int) -> Removal:
        """Take the registration away unless it has a job: after GONE none can arrive."""

    def ours(self, prefix: str) -> list[Registration]:
        """All whose name begins so."""

    def skew(self) -> float:
        """Seconds that this machine's clock is behind GitHub's (negative: ahead), by the last answer; 0.0 before."""
