"""Artifacts that a hostile training wrote: one row per trick, and sound twins that are read."""

import json
import os
import shutil

import pytest

from backburn import evidence, received
from backburn.history import artifacts as wing
from backburn.report import Verdict

from .conftest import leave, report, three

STAGES = ("hygiene", "unit", "memorize", "reproduce", "profile")


def read(folder):
    return wing.read(folder, STAGES)


def test_sound_artifacts_are_read_in_the_order_of_the_stages(artifacts):
    found = read(leave(artifacts, *reversed(three())))
    assert list(found.reports) == ["unit", "reproduce", "profile"] and found.refused == ()
    assert found.reports["unit"].verdict is Verdict.PASS


def test_a_night_without_any_artifact_has_no_folder(artifacts):
    assert read(artifacts) == wing.Found(reports={}, refused=())


def plain():
    return evidence.plain(report())


def as_bytes(**changed):
    return json.dumps(plain() | changed).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"a":' * 100_000, "not readable as JSON"),
        (b"1" * 5000, "not readable as JSON"),
        (b"[]", "expected a file of kind 'report', got 'list'"),
        (as_bytes(kind="night"), "expected a file of kind 'report', got 'night'"),
        (as_bytes(schema=99), "schema 99 is newer"),
        (as_bytes(schema="1"), "it has no schema number"),
        (as_bytes(extra=1), "unknown field `extra`"),
        (as_bytes(outcomes=[{"check": "a", "claim": "b", "verdict": "pass"}]), "unknown field `verdict`"),
        (as_bytes(outcomes={}), "Expected `array`"),
        (as_bytes(stage="../../etc"), "no stage is called '../../etc'"),
        (as_bytes(stage="\x1b[2Jx\nEOF"), "no stage is called '[2Jx EOF'"),
        (as_bytes(outcomes=[{"check": "a", "claim": "b", "training": "@all"}]), "no name of a training"),
        (as_bytes(question="x" * (1 << 20)), "over 1048576 bytes"),
    ],
)
def test_what_is_no_report_of_ours_is_refused_and_the_rest_is_read(artifacts, content, said):
    leave(artifacts, report("unit", ""))
    (artifacts / "reproduce-train-0").mkdir()
    (artifacts / "reproduce-train-0" / "report.json").write_bytes(content)
    found = read(artifacts)
    assert list(found.reports) == ["unit"]
    (refused,) = found.refused
    assert refused.startswith("reproduce-train-0: refused: ") and said in refused and refused.isprintable()


def test_the_largest_report_that_is_allowed_is_read(artifacts):
    room = received.BYTES - len(json.dumps(plain() | {"question": ""}))
    (artifacts / "a").mkdir(parents=True)
    (artifacts / "a" / "report.json").write_bytes(as_bytes(question="x" * room))
    assert (artifacts / "a" / "report.json").stat().st_size == received.BYTES
    assert list(read(artifacts).reports) == ["reproduce"]


def test_a_link_is_refused_wherever_it_stands(artifacts, tmp_path):
    leave(tmp_path / "elsewhere", *three())
    (artifacts / "one").mkdir(parents=True)
    (artifacts / "one" / "report.json").symlink_to(tmp_path / "elsewhere/unit-train-0/report.json")
    (artifacts / "two").symlink_to(tmp_path / "elsewhere/unit-train-0")
    found = read(artifacts)
    assert (
        not found.reports
        and [one.partition(": ")[2] for one in found.refused] == ["refused: not a plain file in a plain folder"] * 2
    )


def test_what_would_never_end_is_not_opened(artifacts):
    (artifacts / "one").mkdir(parents=True)
    os.mkfifo(artifacts / "one" / "report.json")
    assert "plain file" in read(artifacts).refused[0]


def test_an_artifact_of_the_projects_own_is_passed_over(artifacts):
    leave(artifacts, *three())
    (artifacts / "digits-train-weights").mkdir()
    (artifacts / "digits-train-weights" / "last.ckpt").write_bytes(b"x")
    assert len(read(artifacts).reports) == 3 and read(artifacts).refused == ()


def test_an_artifact_of_a_stage_without_a_report_is_refused(artifacts):
    (artifacts / "memorize-train-0").mkdir(parents=True)
    (artifacts / "memorize-train-0" / "evidence.json").write_text("{}")
    (artifacts / "report.json").write_text("{}")
    refused = read(artifacts).refused
    assert refused == (
        "memorize-train-0: refused: no report.json: No such file or directory",
        "report.json: refused: no report.json: Not a directory",
    )


def test_two_reports_of_one_stage_are_refused_both(artifacts):
    leave(artifacts, *three())
    shutil.copytree(artifacts / "reproduce-train-0", artifacts / "reproduce-train-1")
    found = read(artifacts)
    assert list(found.reports) == ["unit", "profile"] and found.refused == ("reproduce: refused: 2 reports",)


def test_more_than_fifty_artifacts_are_refused(artifacts):
    leave(artifacts, *three())
    for number in range(47):
        (artifacts / f"x{number}").mkdir()
    assert len(read(artifacts).reports) == 3
    (artifacts / "y").mkdir()
    assert read(artifacts) == wing.Found(reports={}, refused=("refused: 51 artifacts, more than 50",))


def test_a_name_that_would_give_orders_is_a_line(artifacts):
    (artifacts / "unit-\n::error::b\u202e").mkdir(parents=True)
    assert read(artifacts).refused[0].startswith("unit- ::error::b: refused")
