"""The ways a stage can end early, each with the sentence the user reads."""

from __future__ import annotations

import signal


class UserError(Exception):
    """Asked wrongly (exit code 2): says what is wrong, where, and what to do; shown without a traceback."""

    def __init__(self, problem: str, *, where: str = "", hint: str = "") -> None:
        self.problem, self.where, self.hint = problem, where, hint
        super().__init__(": ".join(part for part in (where, problem) if part) + (f"\n  {hint}" if hint else ""))


class Skip(Exception):
    """Raised by a check that does not apply; the reason becomes the outcome's."""


class Unjudged(Exception):
    """Raised by gather or a check when what it needs could not be had (no GPU, no data, infrastructure)."""

    def __init__(self, reason: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(reason)
        self.hint, self.detail = hint, detail


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived. Not an Exception: no `except Exception` on the way may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as a shell reports it: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + self.number
