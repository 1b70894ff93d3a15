"""Does somebody wait in vain? A look at the queue every few minutes; what is found is said once, until it is over."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from ..errors import UserError
from ..received import line
from . import secrets
from . import spell as spells
from .clock import Clock
from .complaint import Desk, Webhook, purpose
from .config import Config
from .queued import PURPOSE, Look, Queued, Waiting, names
from .spell import Spell
from .status import ago
from .store import Full, Store
from .stuck import Cause, causes, headline, key, listed
from .telling import OVER, Telling
from .wire import Tally

if TYPE_CHECKING:
    from .github import GitHub

EVERY = 300.0  # seconds between two looks
FIRST = 120.0  # seconds after the start, in which slots come back
CALM = 2  # looks in a row without a job that waits too long, and it is over: one may fall between two jobs
RESERVE = 1000  # requests of the hour's budget that are the slots': below it nobody looks


@dataclass
class Queue:
    """`skew` and `tally` are GitHub's; `note(slot, level, said)` is the log. One thread, for which no slot waits."""

    config: Config
    store: Store
    clock: Clock
    queued: Queued
    telling: Telling
    skew: Callable[[], float]
    tally: Callable[[], Tally]
    note: Callable[[str, str, str], None]
    redact: Callable[[str], str] = str
    spell: Spell = field(default_factory=Spell)
    _due: float = 0.0
    _troubles: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))  # of the last round, of this

    def __post_init__(self) -> None:
        """Go on with what was known."""
        self._due = self.clock.passed() + FIRST
        try:
            known = spells.load(self.config.state)
        except UserError as error:
            known = None
            self.note("", "warning", f"who was told of a stuck queue is not known any more: {error}")
        self.spell, self.telling.lost = known or Spell(), known is None

    def round(self) -> float:
        """Look, say, and write down what was said; seconds until the next."""
        if (left := self._due - self.clock.passed()) > 0:
            return left
        self._troubles = (self._troubles[1], set())
        rest = self._look()
        for said in self.telling.settle(self.spell):
            self._trouble(said)
        try:
            spells.save(self.spell, self.config.state)
        except OSError as error:
            self._trouble(f"who was told of a stuck queue cannot be written down: {error.strerror}")
        self._due = self.clock.passed() + max(EVERY, rest)
        return self._due - self.clock.passed()

    def waits(self) -> tuple[float, int]:
        """For the metrics: seconds that the oldest has waited, and how many have for too long."""
        one = self.spell
        return (max(0.0, self._time() - one.oldest) if one.jobs else 0.0), one.jobs

    def _time(self) -> float:
        """Seconds since the epoch by GitHub's clock: a job's times are."""
        return self.clock.now() + self.skew()

    def _trouble(self, said: str) -> None:
        """Once, until it is another or has been away."""
        if said not in self._troubles[0]:
            self.note("", "warning", said)
        self._troubles[1].add(said)

    # From a look to what is known

    def _look(self) -> float:
        """Seconds that GitHub wants to be left alone."""
        look = Look(trouble=why) if (why := self._spared()) else self.queued.look(self._time())
        for why in dict.fromkeys(look.refused.values()):
            which = ", ".join(name for name, said in look.refused.items() if said == why)
            self._trouble(f"the queue of {which} cannot be seen: {why}")
        if look.trouble:
            self._trouble(f"the queue was not seen whole: {look.trouble}")
        self.spell.trouble = line(look.trouble or "; ".join(look.refused.values()))
        self._learn(look)
        return look.later

    def _learn(self, look: Look) -> None:
        """What was not seen is not over."""
        one = self.spell
        if not self.spell.trouble:
            one.at = self.clock.now()
        if look.waiting:
            self._stuck(look.waiting)
        elif one.since and set(one.repositories) & set(names(self.config)) <= look.whole:
            one.jobs, one.oldest, one.calm = 0, 0.0, one.calm + 1
            if one.calm >= CALM:
                self._over()

    def _spared(self) -> str:
        """Why not to look: what is left of the hour is for the slots."""
        tally = self.tally()
        left = tally.remaining.get("core", RESERVE)
        if left >= RESERVE or tally.reset.get("core", 0.0) <= self._time():
            return ""
        return f"fewer than {RESERVE} requests to GitHub are left of this hour, and they are kept for runners"

    def _stuck(self, waiting: list[Waiting]) -> None:
        one, begins, found = self.spell, not self.spell.since, self._causes()
        waiting = [self._clean(job) for job in waiting]
        one.since, one.calm = one.since or self.clock.now(), 0
        one.jobs, one.oldest = len(waiting), min(job.since for job in waiting)
        one.repositories = tuple(sorted({*one.repositories, *(job.repository for job in waiting)}))
        one.causes = tuple(cause.said for cause in found)
        one.state = f"{' '.join(one.repositories)}: {key(found)}"
        one.message, one.body = self._texts(waiting)
        if begins:
            self.note("", "warning", f"{headline(waiting, self._time())}: {' '.join(one.causes)}")

    def _over(self) -> None:
        one = self.spell
        lasted = ago(self.clock.now() - one.since)
        one.message = f"{self._who}: the queue moves again, after {lasted}."
        one.body = f"{OVER} It was stuck for {lasted}."
        one.since, one.repositories, one.causes, one.state, one.calm = 0.0, (), (), "", 0
        self.note("", "info", f"the queue moves again, after {lasted}")

    def _causes(self) -> tuple[Cause, ...]:
        """None, where the disk is full: then the log is full of that."""
        try:
            standings, leases = self.store.slots(), self.store.open_leases()
        except Full:
            return ()
        clean = [msgspec.structs.replace(one, reason=self.redact(one.reason)) for one in standings]
        return causes(clean, leases, self.config.github.runner_group, self.clock.now())

    def _clean(self, job: Waiting) -> Waiting:
        """Before it is quoted: what is left of a secret then looks like none."""
        return msgspec.structs.replace(job, name=self.redact(job.name), workflow=self.redact(job.workflow))

    # Texts

    @property
    def _who(self) -> str:
        return f"backburn, pool {self.config.prefix.rstrip('-')}"

    def _texts(self, waiting: list[Waiting]) -> tuple[str, str]:
        """The webhook's message and the issue's body; of others there is nothing in them but as code."""
        parts = urlsplit(self.config.github.url)
        jobs = listed(waiting, f"{parts.scheme}://{parts.netloc}", self._time())
        said, why = headline(waiting, self._time()), list(self.spell.causes) or ["not known"]
        message = "\n".join((f"{self._who}: {said}.", *jobs, "Why:", *why))
        at = datetime.datetime.fromtimestamp(self.clock.now(), datetime.timezone.utc)
        lines = (
            f"{said[0].upper()}{said[1:]}, at {at:%Y-%m-%d %H:%M} UTC, that {self._who} could take:",
            "",
            *(f"- {one}" for one in jobs),
            "",
            "Why, as far as that machine knows:",
            "",
            *(f"- {one}" for one in why),
            "",
            "This is edited when the reason changes, and closed when the queue moves again.",
        )
        return message, "\n".join(lines)


def queue(
    config: Config,
    github: GitHub,
    store: Store,
    clock: Clock,
    note: Callable[[str, str, str], None],
    read: Callable[[str], str] = secrets.resolve,
) -> Queue | None:
    """That of the configuration; None where nothing is to be looked at. Raises UserError: the webhook's URL."""
    if not (looked_at := names(config)):
        spells.forget(config.state)
        return None
    webhook, desk, given = None, None, config.queue
    if given.webhook:
        webhook = Webhook(read(given.webhook))
        github.hide(*webhook.secrets)
    if given.issue:
        marker = f"backburn-pool queue {config.prefix.rstrip('-')}"
        desk = Desk(github.beside(purpose(given.issue)), given.issue, marker)
    return Queue(
        config,
        store,
        clock,
        Queued(github.beside(PURPOSE), looked_at, config.pool.labels, given.longer_than),
        Telling(f"Jobs for the pool {config.pool.name} wait in the queue", webhook, desk),
        skew=github.skew,
        tally=github.tally,
        note=note,
        redact=github.redact,
    )
