"""From what is known of the queue to what people have been told of it: what differs is said, or said again later."""

from __future__ import annotations

from dataclasses import dataclass

from .complaint import Desk, Undelivered, Webhook
from .spell import Spell

OVER = "No job has waited too long at the last two looks: the queue moves."


@dataclass
class Telling:
    """`lost`: who was told by a supervisor before us is not known, and an issue of its may be open."""

    title: str
    webhook: Webhook | None = None
    desk: Desk | None = None
    lost: bool = False

    def settle(self, spell: Spell) -> list[str]:
        """Tell all who have not been told, and note that in `spell`. What could not be said, one line each."""
        troubles = []
        for tell in (self._post, self._file):
            try:
                tell(spell)
            except Undelivered as error:
                troubles.append(str(error))
        return troubles

    def _post(self, spell: Spell) -> None:
        """Once when it begins, and once when it is over."""
        if self.webhook is not None and spell.told != bool(spell.since):
            self.webhook.say(spell.message)
            spell.told = bool(spell.since)

    def _file(self, spell: Spell) -> None:
        if self.desk is None:
            return
        if spell.home != self.desk.name:  # the file names another one now
            spell.home, spell.issue, spell.shown = self.desk.name, 0, ""
        if spell.since:
            self._show(spell, self.desk)
        elif spell.issue or self.lost:
            self._close(spell, self.desk)
        self.lost = False

    def _show(self, spell: Spell, desk: Desk) -> None:
        """Where a person has closed it, it stays closed; where it was deleted, there is another."""
        if spell.issue and spell.shown == spell.state:
            return
        number = spell.issue or desk.find()
        if not number or not desk.change(number, spell.body):
            number = desk.open(self.title, spell.body)
        spell.issue, spell.shown = number, spell.state

    def _close(self, spell: Spell, desk: Desk) -> None:
        number = spell.issue or desk.find()
        if number:
            desk.change(number, spell.body or OVER, state="closed")
        spell.issue, spell.shown = 0, ""
