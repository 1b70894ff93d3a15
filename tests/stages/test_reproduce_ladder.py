"""`backburn reproduce` on its ladder: evidence of nights that came out otherwise, and what is said of each."""

import math
import random
import sys

import msgspec
import pytest

from backburn import comparison, pipeline, references
from backburn import evidence as evidence_file
from backburn.references import Found
from backburn.report import Level, Table, Verdict
from backburn.reproduction import digests
from backburn.stages import reproduce
from tests.stages.test_reproduce import (
    FINE, FIVE, MACHINE, REFERENCE, SOUND, evidence, failed, figures, judged, moved, night, once_more, told,
)  # fmt: skip

GRID = [step for step, _ in SOUND.losses]


def roots(since=999, parts=()):
    """Of every part and step; those in `parts` are others from step `since` on."""
    return {
        f"{part}@{n}": f"{part}{'other' if part in parts and n >= since else n}"
        for part in ("batch", "rng", *digests.STATE)
        for n in GRID
    }


def rounded(size):
    return msgspec.structs.replace(
        once_more(SOUND, 55),
        losses=moved(once_more(SOUND, 55).losses, 1 + size),
        means=moved(SOUND.means[:6], 1 + size),
    )


BLESSED = reproduce.candidate(
    msgspec.structs.replace(FIVE, roots=roots(), repeated=roots(), rounded=(rounded(1e-7), rounded(-2e-7))),
    reproduce.Config(),
)
BLESSED = msgspec.structs.replace(BLESSED, training="digits", commit="0123456789", date="2026-11-20")
FOUND = Found(reference=BLESSED)
LATE = msgspec.structs.replace(SOUND, losses=moved(SOUND.losses, 1.001, since=34))  # within what seeds do
EVERY = digests.STATE


def changed(one=LATE, since=34, parts=EVERY, again=None, **about):
    """A night that is another training, and repeats."""
    made = roots(since, parts)
    about = {"found": FOUND, "again": again or once_more(one, 55), "repeated": made} | about
    return night(one, roots=made, **about)


def said(outcome):
    return outcome.findings[0].message


# What a reference keeps


def test_a_candidate_holds_hashes_an_envelope_and_that_it_repeats():
    assert BLESSED.hashes == roots() and (BLESSED.repeated, BLESSED.apart) == (20, "")
    assert BLESSED.envelope["loss@1"] == pytest.approx(2e-7) and "loss@68" not in BLESSED.envelope
    assert list(reproduce.unfit(BLESSED, reproduce.Config())) == []


def test_a_candidate_that_does_not_repeat_says_where_and_is_unfit_unless_nobody_asks():
    seen = msgspec.structs.replace(FIVE, roots=roots(), repeated=roots(2, ("gradients",)))
    one = reproduce.candidate(seen, reproduce.Config())
    assert (one.repeated, one.apart) == (0, "at step 2: gradients (backward)")
    (why,) = reproduce.unfit(one, reproduce.Config())
    assert "at step 2: gradients (backward)" in why and "self-steps = 0" in why
    assert list(reproduce.unfit(one, reproduce.Config(self_steps=0))) == []
    alone = reproduce.candidate(msgspec.structs.replace(FIVE, again=None), reproduce.Config())
    assert ["not run twice" in why for why in reproduce.unfit(alone, reproduce.Config())] == [True]


def test_a_training_that_does_not_repeat_and_has_no_reference_says_so_and_takes_no_seeds():
    seen = evidence(SOUND, roots=roots(), again=once_more(SOUND), repeated=roots(2, ("gradients",)))
    (finding,) = judged(seen)["training-ran"].findings
    assert finding.level is Level.WARNING and "self-steps = 0" in finding.hint
    assert finding.message.startswith("the same commit and seed came out otherwise a second time, at step 2: gradients")
    assert (
        judged(evidence(SOUND, roots=roots(), again=once_more(SOUND), repeated=roots()))["training-ran"].findings == ()
    )


# The rungs


def test_the_same_tensors_are_identical_and_another_tensor_is_not():
    same = night(roots=roots(), found=FOUND)
    assert judged(same)["unchanged"].findings == () and figures(same)["class"] == "identical"
    silent = changed(SOUND, 21, ("parameters", "gradients"))
    assert figures(silent)["class"] == "ulp-equivalent" and figures(silent)["identical"] == "no"
    assert not failed(judged(silent))


def test_a_rounding_passes_without_a_word():
    one = msgspec.structs.replace(SOUND, losses=moved(SOUND.losses, 1 + 1e-7), means=moved(SOUND.means, 1 + 1e-7))
    seen = changed(one, 1)
    assert figures(seen)["class"] == "ulp-equivalent"
    assert {(it.verdict, it.findings) for it in judged(seen, require_gpu=True).values()} == {(Verdict.PASS, ())}


def test_another_setting_behind_a_rounding_is_a_warning_and_behind_more_an_error():
    """A validation in other batches, say: nothing came of it."""
    one = msgspec.structs.replace(SOUND, settings={"hparams.lr": "0.0030"}, losses=moved(SOUND.losses, 1 + 1e-7))
    seen = changed(one, 1)
    (finding,) = judged(seen)["same-training"].findings
    assert figures(seen)["class"] == "ulp-equivalent" and not failed(judged(seen))
    assert finding.level is Level.WARNING and finding.hint.endswith("backburn bless reproduce.")
    far = changed(msgspec.structs.replace(one, losses=moved(SOUND.losses, 1 + 2e-5)), 1)
    assert failed(judged(far)) == ["same-training"]


def test_a_change_within_what_seeds_do_is_an_error_with_its_step():
    outcomes = judged(changed())
    assert failed(outcomes) == ["unchanged"] and figures(changed())["class"] == "changed"
    (finding,) = outcomes["unchanged"].findings
    assert finding.message.startswith(
        "within what seeds do, and yet another training, between steps 22 and 34: loss and gradients and 3 more: loss"
    )
    assert "Likely: the code" in finding.hint and "[[tool.backburn.allow]]" in finding.hint


def test_a_buffer_that_differs_alone_is_a_change_where_a_metric_moved():
    assert not failed(judged(changed(SOUND, 5, ("buffers",))))
    moved = {name: 1.001 * value for name, value in SOUND.metrics.items()}
    outcomes = judged(changed(msgspec.structs.replace(SOUND, metrics=moved), 5, ("buffers",)))
    assert failed(outcomes) == ["unchanged"]
    assert "at step 5" not in said(outcomes["unchanged"]) and "between steps 4 and 5: buffers (buffer)" in said(
        outcomes["unchanged"]
    )


def test_a_change_that_was_not_run_a_second_time_as_far_is_no_verdict():
    for again in (None, once_more(LATE, 21)):
        seen = msgspec.structs.replace(changed(), again=again, repeated=roots(34, EVERY) if again else {})
        assert "was not run a second time as far as that" in judged(seen)["unchanged"].unjudged
    assert judged(changed(), self_steps=0)["unchanged"].skipped.startswith("self-steps = 0")


@pytest.mark.parametrize(
    ("parts", "kind"),
    [(("batch", *EVERY), "data"), (("rng", *EVERY), "rng"), (("gradients",), "backward"), (("buffers",), "buffer")],
)
def test_a_training_that_does_not_repeat_has_its_kind_said(parts, kind):
    seen = changed(repeated=roots(2, parts))
    assert f"({kind})" in said(judged(seen)["unchanged"]) and "does not any more" in said(judged(seen)["unchanged"])
    assert figures(seen)["class"] == "does not repeat"
    never = Found(reference=msgspec.structs.replace(BLESSED, repeated=0))
    outcomes = judged(msgspec.structs.replace(seen, found=never))
    assert f"({kind})" in outcomes["unchanged"].skipped and not failed(outcomes)


def test_a_training_that_draws_its_seed_has_that_said():
    one = told(7)
    seen = changed(one, 1, again=once_more(one, 20, seeded=(8,)))
    assert "it draws another seed each time (rng)" in said(judged(seen)["unchanged"])


# Two stages


def fresh(loss):
    return tuple(told(shift=shift, metrics=told(shift=shift).metrics | {"val_loss": loss}) for shift in (5, 6))


BAD = msgspec.structs.replace(SOUND, metrics=SOUND.metrics | {"val_loss": 0.35})


def test_a_suspicion_that_fresh_seeds_clear_alarms_nobody():
    seen = changed(BAD, fresh=fresh(0.301))
    outcome = judged(seen)["final-metrics-hold"]
    (finding,) = outcome.findings
    assert finding.level is Level.NOTICE and finding.message.startswith("suspicious, and cleared: val_loss is 0.35;")
    assert "with 2 fresh seeds it is 0.317" in finding.message
    assert failed(judged(seen)) == ["unchanged"] and figures(seen)["class"] == "changed"


def test_a_suspicion_that_fresh_seeds_confirm_is_an_alarm():
    seen = changed(msgspec.structs.replace(BAD, metrics=BAD.metrics | {"val_loss": 0.6}), fresh=fresh(0.6))
    outcomes = judged(seen)
    assert failed(outcomes) == ["final-metrics-hold"] and outcomes["unchanged"].skipped == "after final-metrics-hold"
    assert figures(seen)["class"] == "regressed"


def test_a_suspicion_without_fresh_seeds_is_no_verdict():
    spread = comparison.spread(BLESSED, "final val_loss")
    edge = msgspec.structs.replace(SOUND, metrics=SOUND.metrics | {"val_loss": spread.between(0.005)[1]})
    outcome = judged(changed(edge))["final-metrics-hold"]
    assert outcome.unjudged.startswith("suspicious, and no fresh seed could be run: val_loss is")
    assert failed(judged(msgspec.structs.replace(changed(edge), wanted=0))) == ["unchanged"]


def test_an_open_suspicion_hides_no_error():
    edge = comparison.spread(BLESSED, "final val_loss").between(0.005)[1]
    for metrics in ({"val_loss": edge, "val_acc": 0.5}, {"val_loss": edge}):
        one = msgspec.structs.replace(SOUND, metrics=metrics)  # the second lacks one
        outcome = judged(changed(one))["final-metrics-hold"]
        assert outcome.verdict is Verdict.FAIL
        assert [it.level for it in outcome.findings] == [Level.ERROR, Level.WARNING]


def test_what_is_not_finite_is_regressed():
    assert figures(changed(msgspec.structs.replace(SOUND, losses=((1, math.nan),))))["class"] == "regressed"


def test_a_year_of_sound_nights_has_no_alarm():
    """A quarter changed soundly (as another seed would), a quarter by a rounding, and half not at all."""
    draw, classes = random.Random(1), []
    for number in range(365):
        if number % 4 < 2:
            seen = night(roots=roots(), found=FOUND)
        elif number % 4 == 2:
            size = 1 + draw.uniform(-2e-7, 2e-7)
            one = msgspec.structs.replace(SOUND, losses=moved(SOUND.losses, size), means=moved(SOUND.means, size))
            seen = changed(one, 1)
        else:
            shifts = [100 + 3 * number + place for place in range(3)]
            one = msgspec.structs.replace(told(shift=shifts[0]), shift=0)
            seen = changed(one, 1, fresh=tuple(told(shift=shift) for shift in shifts[1:]))
        outcomes = judged(seen)
        assert set(failed(outcomes)) <= {"unchanged"}
        classes.append(figures(seen)["class"])
    assert {name: classes.count(name) for name in {*classes}} == {"identical": 183, "ulp-equivalent": 91, "changed": 91}


# A part of a training


def budget(steps=85, **about):
    one = once_more(SOUND, steps, ended="budget", metrics={}, **about)
    return msgspec.structs.replace(one, means=tuple(point for point in SOUND.means if point[0] <= 64) + ((steps, 0.5),))


def test_what_its_hours_were_enough_for_is_compared_and_the_coverage_said():
    seen = night(budget(), roots={name: root for name, root in roots().items()}, found=FOUND)
    outcomes = judged(seen)
    assert not failed(outcomes) and outcomes["training-ran"].verdict is Verdict.PASS
    assert outcomes["final-metrics-hold"].skipped == "its hours ended it at 57 % of 150 steps, before there were any"
    assert (figures(seen)["class"], figures(seen)["coverage"]) == ("identical", "57 % of 150 steps")
    worse = msgspec.structs.replace(budget(), means=moved(budget().means, 3.0))
    assert failed(judged(changed(worse))) == ["curve-holds"]


def test_a_reference_may_be_of_what_hours_were_enough_for():
    runs = [msgspec.structs.replace(budget(85 + n), shift=n, losses=told(shift=n).losses[:10]) for n in range(5)]
    one = reproduce.candidate(evidence(*runs, again=once_more(SOUND)), reproduce.Config())
    assert "steps" not in one.figures and not comparison.finals(one) and "loss@68" in one.figures
    whole = night(found=Found(reference=msgspec.structs.replace(one, training="digits")))
    assert judged(whole)["final-metrics-hold"].verdict is Verdict.PASS


def test_a_training_that_went_on_from_a_checkpoint_is_the_unbroken_one():
    """It counts its own steps; what it recorded is at those of the grid of the whole."""
    start = 34
    cut = {
        name: tuple((step - start, value) for step, value in getattr(SOUND, name) if step > start)
        for name in ("losses", "rates", "norms")
    }
    one = msgspec.structs.replace(SOUND, start=start, steps=150 - start, means=((116, 0.5),), **cut)
    seen = night(one, roots={name: root for name, root in roots().items() if comparison.step_of(name) > start})
    seen = msgspec.structs.replace(seen, found=FOUND)
    assert figures(seen)["class"] == "identical" and not failed(judged(seen))
    other = msgspec.structs.replace(one, losses=moved(one.losses, 1.001))
    assert figures(msgspec.structs.replace(seen, told=(other,)))["class"] == "changed"


# What is reported


def test_the_false_alarms_and_the_smallest_change_are_told():
    seen = changed()
    assert figures(seen)["false alarms"] == "at most 0.03 % of changed nights that are sound, 0.11 a year"
    tables = {one.name: dict(one.rows) for one in reproduce.measured(seen) if isinstance(one, Table)}
    smallest = tables["smallest change seen in 4 of 5 nights"]
    assert list(smallest)[:2] == ["final val_loss", "final val_acc"] and "mean loss@150" in smallest
    assert smallest["final val_loss"].startswith("by ") and smallest["final val_loss"].endswith(" sd)")


def test_a_recording_that_a_full_disk_ended_is_a_warning():
    full = msgspec.structs.replace(SOUND, unrecorded="steps.jsonl: No space left on device")
    (finding,) = judged(night(full, found=FOUND))["training-ran"].findings
    assert finding.level is Level.WARNING and finding.message.startswith(
        "its steps were not recorded to the end (steps.jsonl: No space left on device)"
    )


def test_runs_beside_it_that_did_not_end_are_warnings():
    outcome = judged(night(aside=("once more, it did not: ValueError: x",)))["training-ran"]
    assert [(it.level, it.message) for it in outcome.findings] == [
        (Level.WARNING, "once more, it did not: ValueError: x")
    ]  # fmt: skip


def test_an_old_reference_and_one_of_other_hardware():
    assert figures(night())["class"] == "identical"  # without hashes
    assert not REFERENCE.hashes and MACHINE == SOUND.machine and FINE.code == 0
    elsewhere = Found(reference=msgspec.structs.replace(BLESSED, machine=msgspec.structs.replace(MACHINE, hard={})))
    assert "class" not in figures(night(found=elsewhere))


@pytest.mark.parametrize(
    "given", [{"self_steps": -1}, {"ulps": -1}, {"fresh": -1}, {"hours": math.nan}, {"hours": -0.5}]
)
def test_a_config_that_cannot_hold_is_refused(given):
    with pytest.raises(ValueError, match="must not be negative"):
        reproduce.Config(**given)


KILLED = """
import json, os, signal
asked = json.loads(os.environ["BACKBURN_PROBE"])
told = json.load(open("answer.json"))
steps = os.path.join(os.path.dirname(asked["evidence"]), "steps.jsonl")
if not os.path.exists("killed"):
    open("killed", "w").close()
    open(steps, "w").write('{"kind": "steps", "schema": 1}\\n{"step": 1, "loss": "other"}\\n{"step": 2, "lo')
    json.dump(told | {"ended": "running", "steps": 70}, open(asked["evidence"], "w"))
    os.kill(os.getpid(), signal.SIGKILL)
json.dump(told, open(asked["evidence"], "w"))
"""


def test_a_night_that_is_killed_half_way_is_no_verdict_and_runs_again_from_the_start(tmp_path):
    (tmp_path / "train.py").write_text(KILLED)
    (tmp_path / "answer.json").write_bytes(evidence_file.dumps(SOUND))
    (tmp_path / "pyproject.toml").write_text(
        "[tool.backburn]\ninstall = 'none'\n[tool.backburn.trainings.digits]\n"
        f"command = ['{sys.executable}', 'train.py']\n"
    )
    references.write(BLESSED, references.path_of(BLESSED, tmp_path))
    first, _ = pipeline.run("reproduce", pipeline.Asked(folder=tmp_path))
    assert first.verdict is Verdict.UNJUDGED and "it was killed (SIGKILL)" in first.outcomes[0].unjudged
    second, path = pipeline.run("reproduce", pipeline.Asked(folder=tmp_path))
    assert second.verdict is Verdict.PASS, second.outcomes
    assert [figure.text for figure in second.figures if figure.name == "class"] == ["identical"]
    assert not (path.parent / "digits" / "steps.jsonl").exists()  # the first night's, which was another's


def test_a_change_that_is_allowed_passes_and_leaves_the_reference_as_it_was(tmp_path):
    (tmp_path / "killed").touch()
    (tmp_path / "train.py").write_text(KILLED)
    (tmp_path / "answer.json").write_bytes(evidence_file.dumps(LATE))
    settings = tmp_path / "pyproject.toml"
    settings.write_text(
        "[tool.backburn]\ninstall = 'none'\n[tool.backburn.trainings.digits]\n"
        f"command = ['{sys.executable}', 'train.py']\n"
    )
    path = references.path_of(BLESSED, tmp_path)
    references.write(BLESSED, path)
    before = path.read_bytes()
    asked = pipeline.Asked(folder=tmp_path)
    first, _ = pipeline.run("reproduce", asked)
    assert [it.check for it in first.outcomes if it.verdict is Verdict.FAIL] == ["reproduce/unchanged"]
    allowed = "[[tool.backburn.allow]]\ncheck = 'reproduce/unchanged'\nreason = 'the new smoothing'\n"
    settings.write_text(settings.read_text() + allowed)
    second, _ = pipeline.run("reproduce", asked)
    assert second.verdict is Verdict.PASS, second.outcomes
    assert "changed" in [figure.text for figure in second.figures if figure.name == "class"]
    assert path.read_bytes() == before
