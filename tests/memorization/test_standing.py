import msgspec
import pytest

from backburn.memorization import standing
from backburn.memorization.standing import Standing, Untrained

from .evidence import found, reference, seen, skipped

MOVED = {"ema.*": 8, "net.*.running_mean": 8, "queue": 40}
SOUND = Standing(steps=50, moved=MOVED, still=("teacher.*",))


def evidence(held=None, **change):
    return seen(held, standing_last=Standing(**{"steps": 50, "moved": MOVED} | change))


HELD = reference(standing, seen(standing_last=SOUND))


def test_a_reference_notes_what_moved():
    assert standing.kept(seen(standing_last=SOUND)) == {"moves": "ema.*=8 net.*.running_mean=8 queue=40"}
    assert standing.kept(seen(standing_moved=Standing(steps=8, moved={"a.*": 8}))) == {"moves": "a.*=8"}
    assert standing.kept(seen(standing=Standing())) == {} == standing.kept(evidence(moved={}))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"moved": {}, "still": ("ema.*",)}, "ema.* stayed what it was in 50 steps, and moved when it was reviewed"),
        ({"moved": {}, "still": tuple(MOVED)}, "ema.*, net.*.running_mean, queue stayed what they were"),
        ({"still": ("queue",), "steps": 32}, "queue stayed"),
    ],
)
def test_what_moved_when_it_was_reviewed_and_stands_still_is_an_error(now, said):
    now = {"moved": {name: steps for name, steps in MOVED.items() if name not in now["still"]}} | now
    ((finding,),) = found(standing.CHECKS, evidence(HELD, **now)).values()
    assert said in finding.message and finding.level == "error" and "backburn bless" in finding.hint


@pytest.mark.parametrize(
    "now",
    [
        {"still": ("teacher.*", "average.*")},  # a frozen teacher; what was never seen
        {"still": ("queue",), "steps": 31},  # it was seen to move later
        {"moved": {"net.*.running_mean": 8}},  # gone, or under another name, or trained
        {"moved": {}, "steps": 0},
    ],
)
def test_what_never_moved_or_may_move_later_or_is_gone_is_sound(now):
    assert found(standing.CHECKS, evidence(HELD, **now)) == {}


def test_a_part_that_was_made_anew_is_sound():
    moved = {"model.*.embed": 8, "model.*.cluster_size": 8}
    held = reference(standing, evidence(moved=moved))
    assert found(standing.CHECKS, evidence(held, moved={}, still=("model.*.cluster_size",))) == {}
    stopped = found(standing.CHECKS, evidence(held, moved={}, still=tuple(moved)))
    assert list(stopped) == ["state-moves-as-reviewed"]


def test_of_a_part_that_stands_still_its_buffers_are_not_named_too():
    held = reference(standing, evidence(moved={"ema.*": 8, "ema.*.running_mean": 8}))
    still = found(standing.CHECKS, evidence(held, moved={}, still=("ema.*", "ema.*.running_mean")))
    assert still["state-moves-as-reviewed"][0].message.startswith("ema.* stayed what it was")


def test_without_a_reference_or_a_note_in_it_nothing_is_said():
    still = {"moved": {}, "still": tuple(MOVED)}
    assert skipped(standing.CHECKS, evidence(**still)) == {"state-moves-as-reviewed": "there is no reference"}
    old = reference(standing, evidence(moved={}))
    assert found(standing.CHECKS, evidence(old, **still)) == {}


AWAY = Standing(steps=8, lags={"ema.*": 0.7, "copied.*": 0.4})


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"ema.*": 0.6}, ""),
        ({"ema.*": 0.1}, "ema.* is what it averages but for 10% of the way that this went in 8 steps"),
        ({"copied.*": 0.0}, ""),  # it may have been copied in this very step
    ],
)
def test_an_average_that_follows_at_once_is_none(now, said):
    held = reference(standing, seen(standing_last=SOUND, standing_moved=AWAY))
    told = seen(held, standing_last=SOUND, standing_moved=Standing(steps=8, lags=now))
    findings = found(standing.CHECKS, told).get("state-moves-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"net.*.running_mean": 8, "codes": 8}, ""),
        ({"backbone.*.running_mean": 8}, "backbone.*.running_mean moved, and stayed what they were"),
        ({"late.*": 50}, ""),  # an average that begins after a while
    ],
)
def test_statistics_that_stood_still_do_so(now, said):
    held = reference(standing, evidence(still=("backbone.*.running_mean", "late.*", "codes")))
    findings = found(standing.CHECKS, evidence(held, moved=now)).get("state-moves-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])


FOLLOWED = Untrained(parts=("teacher.*", "ema.*"), loss=("teacher.*",), validation=("ema.*",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"loss": ()}, "the loss follows teacher.* no more"),
        ({"validation": ()}, "what validation_step makes follows ema.* no more"),
        ({"parts": ("guide.*",), "loss": (), "validation": ()}, ""),  # under another name, or gone
    ],
)
def test_a_part_that_counted_when_it_was_reviewed_counts(change, said):
    held = reference(standing, seen(standing_last=SOUND, untrained=FOLLOWED))
    told = seen(held, standing_last=SOUND, untrained=msgspec.structs.replace(FOLLOWED, **change))
    findings = found(standing.CHECKS, told).get("state-moves-as-reviewed", ())
    assert [said in one.message for one in findings] == ([True] if said else [])
