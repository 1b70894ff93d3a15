"""A model of the GPUs of a machine and of what is seen on them, for the supervisor in virtual time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from ..health.symptom import Blame, Severity, Symptom
from .world import World

GRAVE = (Severity.UNFIT, Severity.RESET, Severity.MACHINE)
NEVER = float("inf")


@dataclass
class Spell:
    """A time in which something spoke against a GPU; by the simulation's clock."""

    symptom: Symptom
    since: float
    until: float = NEVER


@dataclass
class Gpus:
    """Satisfies Health. `duds` fail every job and show nothing."""

    world: World
    spells: list[Spell] = field(default_factory=list)
    duds: set[str] = field(default_factory=set)
    wake: Callable[[str], None] = lambda device: None
    _seen: deque[Symptom] = field(default_factory=lambda: deque(maxlen=1000))

    def strike(self, device: str, severity: Severity, seconds: float = NEVER, blame: Blame = Blame.MACHINE) -> None:
        """Something speaks against it for so long; 0.0: it is seen once, as an event is."""
        one = Symptom(
            check=f"simulated-{severity}", device=device, severity=severity, blame=blame, said="by lot",
            at=self.world.now(),
        )  # fmt: skip
        self._seen.append(one)
        if seconds:
            self.spells.append(Spell(one, self.world.passed()))
            if seconds < NEVER:
                self.world.after(seconds, lambda spell=self.spells[-1]: self._end(spell))  # type: ignore[misc]
        self.wake(device)

    def mend(self, device: str = "") -> None:
        """A person resets or replaces it; "": all."""
        for spell in self.spells:
            if device in ("", spell.symptom.device):
                self._end(spell)
        self.duds -= {device} if device else set(self.duds)

    def _end(self, spell: Spell) -> None:
        spell.until = min(spell.until, self.world.passed())

    def forget(self) -> None:
        """The supervisor starts anew: what was seen before is not known to it."""
        self._seen.clear()
        now = self.world.passed()
        self.spells = [spell for spell in self.spells if spell.until > now - 3600.0]

    def long_ill(self, device: str, at: float, known: float) -> bool:
        """Whether at that time something grave spoke against it, and had for `known` seconds."""
        return any(
            spell.since < at - known and spell.until > at
            for spell in self.spells
            if spell.symptom.severity is Severity.MACHINE
            or (spell.symptom.device == device and spell.symptom.severity in GRAVE)
        )

    # What a supervisor asks of it.

    def symptoms(self, device: str, *, empty: bool = True) -> tuple[Symptom, ...]:
        """What goes on there, as of now."""
        now = self.world.now()
        ill = [one.symptom for one in self.spells if one.until == NEVER and one.symptom.device == device]
        return tuple(replace(one, at=now) for one in ill)

    def between(self, device: str, begin: float, end: float) -> tuple[Symptom, ...]:
        """What began there meanwhile."""
        return tuple(one for one in self._seen if one.device == device and begin <= one.at <= end)

    def unseen(self, device: str) -> tuple[str, ...]:
        """Every check is supported."""
        return ()

    def watch(self, wake: Callable[[str], None]) -> None:
        """Be told at once."""
        self.wake = wake

    def close(self) -> None:
        """Nothing was started."""
