"""All answers together: one exit code, and text that moves no cursor."""

import msgspec
import pytest

from backburn.pool.doctor.checks import TABLE, Verdict
from backburn.pool.doctor.diagnosis import diagnose, render

from .test_checks import SOUND, but


@pytest.mark.parametrize(
    ("machine", "code"),
    [
        (SOUND, 0),
        (but(docker={"live_restore": False}), 0),
        (but(docker={"version": "19.3"}), 3),
        (but(github={"group": "open"}), 2),
        (but(github={"group": "open"}, docker={"version": "19.3"}), 2),
    ],
)
def test_the_exit_code_is_of_the_gravest(machine, code):
    assert diagnose(machine).exit_code == code


def test_every_check_has_its_row_and_json_has_all():
    said = msgspec.to_builtins(diagnose(SOUND))
    assert said["kind"] == "pool-doctor" and [row["check"] for row in said["checks"]] == [check.id for check in TABLE]


def test_what_is_wrong_says_what_to_do_below_it():
    found = diagnose(but(docker={"version": "19.3"}))
    text = render(found, 100, False)
    head, _, after = text.partition("engine        wrong       Docker Engine 19.3\n")
    assert head and after.strip().startswith("→ 20.10 is the oldest")
    assert text.endswith("\n1 of 16 wrong.\n") and [row.check for row in found.wrong] == ["engine"]
    assert render(diagnose(SOUND), 100, False).endswith("\nNothing is wrong.\n")


def test_hostile_text_is_one_plain_line():
    found = diagnose(but(github={"refused": "no\n\x1b[2J\u202egnp.exe", "hint": "x\ry"}))
    row = next(row for row in found.checks if row.check == "credential")
    assert row.verdict is Verdict.WRONG and (row.said, row.fix) == ("no [2J gnp.exe", "x y")
    assert all(character.isprintable() or character == "\n" for character in render(found, 80, False))
