"""What is left at GitHub: registrations of leases that ended, and of attempts whose answer was lost. Only our own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from . import departing
from .place import Tools
from .registrar import Later, Refused, Removal, Uncertain

EVERY, AGAIN = 15.0, 5.0  # seconds between two rounds, and after one that GitHub did not answer, at least
LISTED = 60.0  # seconds between two looks at all that GitHub has
STRANGE = 60.0  # seconds that a name of ours without a lease is left alone: its slot may be looking after it just now
PRUNED = 3600.0  # seconds between two prunings of the database


@dataclass
class Janitor:
    """One round after the other; what cannot be done now is done in a later one."""

    tools: Tools
    seen: dict[int, float] = field(default_factory=dict)  # strange registrations, by Clock.passed()
    listed: float = 0.0
    pruned: float = 0.0
    removals: int = 0  # registrations that no lease of ours had

    def round(self) -> float:
        """Seconds until the next round is due."""
        try:
            self._leaving()
            if not self.listed or self.tools.clock.passed() - self.listed >= LISTED:
                self._strange()
                self.listed = self.tools.clock.passed()
        except (Later, Uncertain, Refused) as error:
            self.tools.note("", "info", f"the janitor waits: {error}")
            return max(AGAIN, min(getattr(error, "seconds", AGAIN), 300.0))
        self._prune()
        return EVERY

    def _leaving(self) -> None:
        """Each of them: what GitHub does not answer about one, it may about the next; the circuit keeps the pace."""
        failed: Later | Uncertain | None = None
        for lease in self.tools.store.leaving():
            try:
                departing.depart(lease, self.tools)
            except (Later, Uncertain) as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _strange(self) -> None:
        """Those with a name that only we give, and without a lease that is open. Listed first, and then looked up:
        a lease is written down before its name is sent.
        """
        config, now = self.tools.config, self.tools.clock.passed()
        ours = re.compile(re.escape(config.prefix) + r"((gpu|mig)[0-9a-f]{8}|cpu\d+)-[0-9a-f]{8}")
        listed = [one for one in self.tools.registrar.ours(config.prefix) if ours.fullmatch(one.name)]
        known = {lease.runner for lease in self.tools.store.open_leases()}
        strange = [one for one in listed if one.name not in known]
        self.seen = {one.id: self.seen.get(one.id, now) for one in strange}
        for one in strange:
            if now - self.seen[one.id] >= STRANGE and self.tools.registrar.remove(one.id) is Removal.GONE:
                self.removals += 1
                self.tools.note("", "warning", f"removed the registration of {one.name}: no lease of ours has it")

    def _prune(self) -> None:
        now = self.tools.clock.passed()
        if now - self.pruned >= PRUNED or not self.pruned:
            self.pruned = now
            self.tools.store.prune(self.tools.clock.now() - self.tools.config.costs.keep)
            self.tools.store.restore()
