"""Who has been told what: level, not edge. Over GitHub and a webhook that keep what they are told: test_queue.py."""

import pytest

from backburn.pool.complaint import Undelivered
from backburn.pool.spell import Spell
from backburn.pool.telling import OVER, Telling


class Board:
    """A desk and a webhook; `down`: neither can be reached."""

    name = "acme/ops"

    def __init__(self):
        self.log, self.down, self.there = [], False, 0

    def _reach(self, *said):
        if self.down:
            raise Undelivered(said[0])
        self.log.append(said)

    def say(self, text):
        self._reach("say", text)

    def find(self):
        self._reach("find")
        return self.there

    def open(self, title, body):
        self._reach("open", body)
        self.there = 7
        return 7

    def change(self, number, body, **more):
        self._reach("change", number, body, *more.values())
        return bool(self.there)


@pytest.fixture
def board():
    return Board()


def stuck(**more):
    return Spell(**{"since": 1.0, "state": "a", "message": "stuck", "body": "body", **more})


def test_a_spell_from_its_beginning_to_its_end(board):
    telling, spell = Telling("title", board, board), stuck()
    for _ in range(3):
        assert telling.settle(spell) == []
    spell.state, spell.body = "b", "other"
    telling.settle(spell)
    spell.since, spell.message, spell.body = 0.0, "moves", "over"
    for _ in range(3):
        telling.settle(spell)
    assert board.log == [
        ("say", "stuck"),
        ("find",),
        ("open", "body"),
        ("change", 7, "other"),
        ("say", "moves"),
        ("change", 7, "over", "closed"),
    ]


def test_nobody_is_told_of_nothing(board):
    assert Telling("title", board, board).settle(Spell()) == [] and not board.log
    assert Telling("title").settle(stuck()) == []


def test_what_fails_is_tried_again_and_each_apart(board):
    telling, spell = Telling("title", board, board), stuck()
    board.down = True
    assert telling.settle(spell) == ["say", "find"]
    board.down = False
    assert telling.settle(spell) == [] and [said[0] for said in board.log] == ["say", "find", "open"]


def test_where_the_past_is_not_known_what_it_left_is_closed_once(board):
    telling, board.there = Telling("title", None, board, lost=True), 9
    board.down = True
    assert telling.settle(Spell()) == ["find"]
    board.down = False
    for _ in range(2):
        telling.settle(Spell())
    assert board.log == [("find",), ("change", 9, OVER, "closed")]


def test_a_deleted_issue_is_written_again(board):
    telling, spell = Telling("title", None, board), stuck(issue=5, home="acme/ops", shown="old")
    telling.settle(spell)
    assert [said[0] for said in board.log] == ["change", "open"] and spell.issue == 7


def test_an_issue_of_another_repository_is_not_ours_to_change(board):
    telling, spell = Telling("title", None, board), stuck(issue=5, home="acme/old", shown="a")
    telling.settle(spell)
    assert [said[0] for said in board.log] == ["find", "open"] and (spell.issue, spell.home) == (7, "acme/ops")
