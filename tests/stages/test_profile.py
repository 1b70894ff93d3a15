"""`backburn profile`: each check on a table of evidence, and real trainings counted and timed."""

import concurrent.futures
import gzip
import json
import math
import os
import sys
from pathlib import Path

import msgspec
import pytest

from backburn import pipeline, references
from backburn.config import Seconds, Training
from backburn.errors import UserError
from backburn.references import Found, Machine
from backburn.report import Curve, Verdict
from backburn.stages import profile
from backburn.training import Ended

from . import roads

# Each check on a table of evidence

FINE = Ended(command=("python",), code=0, seconds=2.0)
CUDA = Machine(hardware="nvidia-h200", hard={"torch": "2.13.0"}, soft={"numpy": "2.3"})
OPERATIONS = {
    "training_step aten.convolution": 20, "training_step aten.addmm": 40, "training_step with gradient": 60,
    "backward aten.convolution_backward": 20, "validation aten.convolution": 4, "validation with gradient": 0,
}  # fmt: skip
SOUND = profile.Told(
    ended="profiled",
    workload={"batch size": 16, "trainable parameters": 420, "training batches": 20, "validation steps": 4},
    operations=OPERATIONS,
    flops={"training_step": 1000, "backward": 2000},
    settings={"optimizer": "Adam"},
    device="cuda:0 NVIDIA H200",
    machine=CUDA,
)
TIMED = msgspec.structs.replace(
    SOUND, workload={}, operations={}, flops={}, steps=(0.03, 0.01, 0.02), busy=(0.02, 0.004, 0.01),
    waits=(0.01, 0.01), trace="trace.json.gz", sections={"run_training_epoch": (2, 1.0)},
    peak_memory=100 * 2**20, resident_memory=200 * 2**20, settings={"optimizer": "Adam"},
)  # fmt: skip
CONFIG = profile.Config(training=Training(name="digits"), require_gpu=True)


def changed(told, **fields):
    """`told` with some fields replaced; what is a table keeps its other entries, and loses those that are None."""
    for name, value in fields.items():
        if isinstance(value, dict):
            value = {key: one for key, one in {**getattr(told, name), **value}.items() if one is not None}
        told = msgspec.structs.replace(told, **{name: value})
    return told


def evidence(*told, ended=None, reference=None, **fields):
    """Of passes that ended well, held against a reference from sound ones."""
    told = told or (SOUND, TIMED)
    found = Found(reference=reference or REFERENCE, others=())
    return profile.Evidence(ended=ended or (FINE,) * len(told), told=told, found=found, **fields)


def judged(seen, config=CONFIG):
    outcomes = pipeline.judge(profile, "profile", seen, config)
    return {outcome.check.partition("/")[2]: outcome for outcome in outcomes}


def said(outcome):
    return [(one.level.value, one.message) for one in outcome.findings]


def without_reference(*told):
    return profile.Evidence(ended=(FINE,) * len(told), told=told)


REFERENCE = profile.candidate(without_reference(SOUND, TIMED, SOUND), CONFIG)
JUDGED = (
    "workload-is-the-same", "operations-do-not-rise", "flops-do-not-rise", "memory-does-not-rise", "step-time",
    "waiting-share", "resident-memory",
)  # fmt: skip


def test_sound_evidence_passes_every_check_in_silence():
    outcomes = judged(evidence(SOUND, TIMED, SOUND))
    assert {key: (one.verdict, one.findings) for key, one in outcomes.items()} == dict.fromkeys(
        outcomes, (Verdict.PASS, ())
    )


BROKEN = [
    ("workload-is-the-same", {"workload": {"batch size": 8}}, {}),
    ("workload-is-the-same", {"workload": {"training batches": None}}, {}),
    ("workload-is-the-same", {"workload": {"planned steps": 500}}, {}),
    ("operations-do-not-rise", {"operations": {"training_step aten.convolution": 40}}, {}),
    ("operations-do-not-rise", {"operations": {"logging aten._local_scalar_dense": 20}}, {}),
    ("operations-do-not-rise", {"operations": {"validation aten.convolution": 8}}, {}),
    ("operations-do-not-rise", {"operations": {"validation with gradient": 4}}, {}),
    ("flops-do-not-rise", {"flops": {"training_step": 1001}}, {}),
    ("flops-do-not-rise", {"flops": {"other": 1}}, {}),
    ("memory-does-not-rise", {}, {"peak_memory": 103 * 2**20}),
]


@pytest.mark.parametrize(("check", "count", "time"), BROKEN)
def test_more_than_in_the_reference_fails_one_check(check, count, time):
    outcomes = judged(evidence(changed(SOUND, **count), changed(TIMED, **time)))
    assert [key for key, one in outcomes.items() if one.verdict is Verdict.FAIL] == [check]


@pytest.mark.parametrize(
    ("check", "time", "message"),
    [
        ("step-time", {"steps": (0.021, 0.032)}, "the quickest step takes 10 → 21 ms"),
        ("step-time", {"device": "cpu", "busy": (0.03, 0.021), "steps": (0.1,)}, "the quickest step takes 10 → 21 ms"),
        ("step-time", {"device": "cpu", "steps": (0.051,)}, "the quickest step takes 10 → 51 ms by the clock"),
        ("waiting-share", {"waits": (0.06, 0.02)}, "between the steps went 25% → 57% of the time"),
        ("resident-memory", {"resident_memory": 251 * 2**20}, "resident memory 200 → 251 MiB"),
    ],
)
def test_what_is_noisy_only_warns(check, time, message):
    outcomes = judged(evidence(SOUND, changed(TIMED, **time)))
    assert said(outcomes[check]) == [("warning", message)]
    assert {one.verdict for one in outcomes.values()} == {Verdict.PASS, Verdict.SKIP}


def test_not_a_number_is_over_every_limit():
    outcomes = judged(evidence(SOUND, changed(TIMED, steps=(math.nan,), waits=(math.nan,))))
    assert [key for key in JUDGED if outcomes[key].findings] == ["step-time", "waiting-share"]


def test_within_the_limits_nothing_is_said():
    near = changed(TIMED, steps=(0.02, 0.9, 0.9), waits=(0.6,), peak_memory=102 * 2**20, resident_memory=250 * 2**20)
    outcomes = judged(evidence(SOUND, near))
    assert [outcomes[key].verdict for key in JUDGED] == [Verdict.PASS] * len(JUDGED)
    assert not any(outcomes[key].findings for key in JUDGED)


def test_a_phase_is_one_finding_with_its_largest_rises_first():
    more = {f"training_step aten.op{number}": number for number in range(1, 7)} | {"training_step with gradient": 999}
    told = changed(SOUND, operations={**more, "training_step aten.convolution": 40, "backward aten.mm": 20})
    findings = judged(evidence(told, TIMED))["operations-do-not-rise"].findings
    assert [one.message for one in findings] == [
        "backward: mm 0 → 20 (+20)",
        "training_step: convolution 20 → 40 (+20), op6 0 → 6 (+6), op5 0 → 5 (+5), op4 0 → 4 (+4), op3 0 → 3 (+3)"
        " and 3 more",
    ]
    assert findings[1].detail.splitlines()[-1] == "with gradient 60 → 999 (+939)"


@pytest.mark.parametrize(
    ("operations", "level"),
    [
        ({"callbacks aten.lift_fresh": 2}, "notice"),  # LearningRateMonitor's, once an epoch
        ({"callbacks aten.a": 10, "callbacks aten.b": 9}, "notice"),
        ({"callbacks aten.a": 10, "callbacks aten.b": 10}, "error"),
        ({"validation aten._local_scalar_dense": 3}, "notice"),
        ({"validation aten._local_scalar_dense": 4}, "error"),
        ({"validation with gradient": 4}, "error"),
    ],
)
def test_less_than_one_in_each_step_is_a_notice(operations, level):
    outcome = judged(evidence(changed(SOUND, operations=operations), TIMED))["operations-do-not-rise"]
    assert [one.level for one in outcome.findings] == [level]


def test_fewer_is_one_notice_to_bless():
    fewer = {"training_step aten.convolution": 10, "backward aten.convolution_backward": None}
    outcomes = judged(evidence(changed(SOUND, operations=fewer, flops={"backward": 1900}), TIMED))
    assert said(outcomes["operations-do-not-rise"]) == [
        (
            "notice",
            "fewer operations than in the reference: backward convolution_backward 20 → 0 (-20),"
            " training_step convolution 20 → 10 (-10)",
        )
    ]
    assert said(outcomes["flops-do-not-rise"])[0][0] == "notice"
    assert "bless" in outcomes["operations-do-not-rise"].findings[0].hint


@pytest.mark.parametrize(
    ("operations", "hint"),
    [
        ({"validation with gradient": 4}, "no_grad is lost in validation"),
        ({"training_step aten._local_scalar_dense": 20}, ".item()"),
    ],
)
def test_the_hint_says_what_the_operation_means(operations, hint):
    (finding,) = judged(evidence(changed(SOUND, operations=operations), TIMED))["operations-do-not-rise"].findings
    assert hint in finding.hint


def test_a_fall_beside_a_rise_is_no_win():
    """A layer that is another one, foreach lost: what it took before is gone."""
    swapped = {"training_step aten.addmm": None, "training_step aten.mm": 40}
    outcome = judged(evidence(changed(SOUND, operations=swapped), TIMED))["operations-do-not-rise"]
    assert [one.message for one in outcome.findings] == ["training_step: mm 0 → 40 (+40)"]


def test_more_recorded_where_some_were_is_no_lost_no_grad():
    reference = changed(SOUND, operations={"validation with gradient": 2})
    reference = profile.candidate(without_reference(reference, TIMED, reference), CONFIG)
    seen = evidence(changed(SOUND, operations={"validation with gradient": 4}), TIMED, reference=reference)
    (finding,) = judged(seen)["operations-do-not-rise"].findings
    assert "no_grad" not in finding.hint


def test_settings_and_soft_differences_name_the_likely_cause_and_fail_nothing():
    soft = msgspec.structs.replace(CUDA, soft={"numpy": "2.4"})
    count = changed(SOUND, settings={"optimizer": "AdamW"}, machine=soft)
    outcomes = judged(evidence(count, changed(TIMED, settings={"optimizer": "AdamW"})))
    known = "optimizer: Adam → AdamW, numpy: 2.3 → 2.4"
    assert said(outcomes["reference-is-comparable"]) == [("notice", f"not all is as it was for the reference: {known}")]
    assert {one.verdict for one in outcomes.values()} == {Verdict.PASS, Verdict.SKIP}
    slow = judged(evidence(count, changed(TIMED, settings={"optimizer": "AdamW"}, steps=(1.0,))))["step-time"]
    assert f"Likely: {known}." in slow.findings[0].hint


def test_a_hosted_runner_has_another_kernel_each_night_and_nothing_is_said():
    other = {"kernel": "6.9", "processor": "4 x Xeon", "memory": "16 GiB", "numpy": "2.3"}
    count = changed(SOUND, machine=msgspec.structs.replace(CUDA, soft=other))
    assert not judged(evidence(count, TIMED))["reference-is-comparable"].findings
    slow = judged(evidence(count, changed(TIMED, steps=(1.0,))))["step-time"]
    assert "processor: - → 4 x Xeon" in slow.findings[0].hint


def test_what_each_pass_has_otherwise_is_no_setting():
    def named(told, run):
        return changed(told, settings={"loader workers": "2", "hparams.name": run})

    told = named(SOUND, "run-a"), named(TIMED, "run-b"), named(SOUND, "run-c")
    reference = profile.candidate(without_reference(*told), CONFIG)
    tonight = evidence(named(SOUND, "run-d"), named(TIMED, "run-e"), reference=reference)
    assert not judged(tonight)["reference-is-comparable"].findings


def test_a_changed_workload_stands_first():
    count = changed(SOUND, workload={"batch size": 8}, operations={"training_step aten.convolution": 40})
    outcomes = judged(evidence(count, TIMED))
    assert outcomes["workload-is-the-same"].findings[0].message == "what is trained differs: batch size 16 → 8 (-8)"
    assert {outcomes[key].skipped for key in JUDGED[1:]} == {"after workload-is-the-same"}


def test_of_a_changed_workload_what_is_set_by_hand_is_named_first():
    count = changed(SOUND, workload={"batch size": 8, "planned steps": 5000})
    (finding,) = judged(evidence(count, TIMED))["workload-is-the-same"].findings
    assert finding.message.startswith("what is trained differs: batch size 16 → 8 (-8), planned steps ")


def test_a_compiled_training_says_how_it_was_counted():
    outcome = judged(evidence(changed(SOUND, compiled=True), TIMED))["operations-do-not-rise"]
    assert outcome.verdict is Verdict.PASS
    assert said(outcome)[0][0] == "notice" and "without compilation" in said(outcome)[0][1]


# What is unsteady


def test_what_another_seed_changes_is_a_rise_only_where_it_is_half_as_much_again():
    other = changed(
        SOUND, operations={"training_step aten.addmm": 60, "data aten.cat": 40}, workload={"batch size": 18}
    )
    seen = without_reference(SOUND, TIMED, other)
    varying = ["operations data aten.cat", "operations training_step aten.addmm", "workload batch size"]
    outcome = judged(seen)["counts-are-steady"]
    assert said(outcome) == [("notice", f"another seed gives other counts: {', '.join(varying)}")]
    reference = profile.candidate(seen, CONFIG)
    assert [reference.runs(name) for name in varying] == [(0, 40), (40, 60), (16, 18)]
    third = changed(
        SOUND, operations={"training_step aten.addmm": 90, "data aten.cat": 60}, workload={"batch size": 27}
    )
    outcomes = judged(evidence(third, TIMED, reference=reference))
    assert {outcomes[key].verdict for key in JUDGED} == {Verdict.PASS}
    assert not any(one.findings for one in outcomes.values())
    assert not judged(evidence(SOUND, TIMED, other, reference=reference))["counts-are-steady"].findings
    padded = changed(SOUND, operations={"training_step aten.addmm": 111})
    (finding,) = judged(evidence(padded, TIMED, reference=reference))["operations-do-not-rise"].findings
    assert finding.message == "training_step: addmm 60 → 111 (+51)"


def test_only_a_rise_that_every_count_shows_is_one():
    one, two = (changed(SOUND, operations={"training_step aten.addmm": number}) for number in (39, 42))
    outcomes = judged(evidence(one, TIMED, two))
    assert outcomes["operations-do-not-rise"].verdict is Verdict.PASS
    assert said(outcomes["counts-are-steady"])[0][0] == "notice"
    one = changed(SOUND, operations={"training_step aten.addmm": 61})
    two = changed(SOUND, operations={"training_step aten.addmm": 60})
    (finding,) = judged(evidence(one, TIMED, two))["operations-do-not-rise"].findings
    assert finding.message == "training_step: addmm 40 → 60 (+20)"


def test_counted_once_nothing_is_known_of_steadiness():
    assert judged(evidence())["counts-are-steady"].skipped == "counted once"


# What it can be held against


def unjudged(seen, check, config=CONFIG):
    outcome = judged(seen, config)[check]
    assert outcome.verdict is Verdict.UNJUDGED
    return outcome.unjudged


def test_no_reference_and_other_hardware_are_unjudged():
    check = "reference-is-comparable"
    assert unjudged(without_reference(SOUND, TIMED), check) == "no reference for nvidia-h200"
    seen = profile.Evidence(ended=(FINE, FINE), told=(SOUND, TIMED), found=Found(others=("cpu-avx2",)))
    assert unjudged(seen, check) == "no reference for nvidia-h200; there is one for cpu-avx2"
    assert {judged(seen)[key].skipped for key in JUDGED} == {"after reference-is-comparable"}


def test_another_hard_environment_is_unjudged_with_the_difference():
    newer = changed(SOUND, machine=msgspec.structs.replace(CUDA, hard={"torch": "2.14.0"}))
    said = unjudged(evidence(newer, TIMED), "reference-is-comparable")
    assert said == "another environment than the reference's: torch: 2.13.0 → 2.14.0"


@pytest.mark.parametrize(
    ("config", "difference"), [({"steps": 30}, "profile.steps: 20 → 30"), ({"args": "--x 1"}, "profile.args:  → --x 1")]
)
def test_counted_otherwise_is_unjudged(config, difference):
    own = msgspec.structs.replace(CONFIG, **config)
    assert difference in unjudged(evidence(), "reference-is-comparable", own)


@pytest.mark.parametrize(
    ("told", "check", "reason"),
    [
        ((changed(SOUND, machine=None), TIMED), "reference-is-comparable", "the probe told nothing of the machine"),
        ((msgspec.structs.replace(SOUND, operations={}), TIMED), "operations-do-not-rise", "no operation was counted"),
        ((SOUND, changed(TIMED, steps=())), "step-time", "no least step seconds in the timing pass"),
        ((SOUND, changed(TIMED, peak_memory=0)), "memory-does-not-rise", "no peak memory in the timing pass"),
        ((SOUND,), "memory-does-not-rise", "no peak memory in the timing pass"),
        ((), "on-gpu", "no Trainer.fit was seen"),
    ],
)
def test_what_is_not_there_is_never_a_pass(told, check, reason):
    seen = profile.Evidence(ended=(FINE,) * len(told), told=told, found=Found(reference=REFERENCE))
    assert unjudged(seen, check) == reason


def test_without_cuda_there_is_no_peak():
    timed = changed(TIMED, peak_memory=0)
    reference = profile.candidate(without_reference(SOUND, timed, SOUND), CONFIG)
    assert judged(evidence(SOUND, timed, reference=reference))["memory-does-not-rise"].skipped


# How the passes ended


@pytest.mark.parametrize(
    ("told", "ended", "message"),
    [
        (
            (changed(SOUND, ended="cut"),),
            (FINE,),
            "while counting: the training ended itself before all steps were seen",
        ),
        ((SOUND, changed(TIMED, ended="exception")), (FINE, FINE), "while timing: the fit raised an exception,"),
        (
            (SOUND, None),
            (FINE, Ended(command=("python",), code=1, seconds=1.0, raised=True, message="ValueError: 7")),
            "while timing: ValueError: 7",
        ),
        (
            (SOUND, TIMED, None),
            (FINE, FINE, Ended(command=("python",), code=-9, seconds=9.0, timed_out=True, limit="timeout of 9 s")),
            "while counting again: still running after 9 s",
        ),
    ],
)
def test_a_pass_that_did_not_end_well_fails_and_is_named(told, ended, message):
    outcomes = judged(evidence(*told, ended=ended))
    assert [key for key, one in outcomes.items() if one.verdict is Verdict.FAIL] == ["training-ran"]
    assert outcomes["training-ran"].findings[0].message.startswith(message)
    assert {outcomes[key].skipped for key in JUDGED} == {"after training-ran"}


def test_a_crash_in_the_fit_hints_at_what_is_left_out():
    crash = Ended(command=("python",), code=1, seconds=1.0, raised=True, message="ValueError: 7")
    (finding,) = judged(evidence(changed(SOUND, ended="exception"), ended=(crash,)))["training-ran"].findings
    assert (finding.message, "checkpoints" in finding.hint) == ("while counting: ValueError: 7", True)


def test_a_machine_that_lacks_something_is_unjudged_and_the_pass_named():
    ended = Ended(command=("python",), code=1, seconds=1.0, message="OSError: x", lacking="the disk is full")
    assert unjudged(evidence(SOUND, None, ended=(FINE, ended)), "training-ran") == "while timing: the disk is full"


def test_an_exit_code_after_the_measurement_only_warns():
    outcome = judged(evidence(ended=(FINE, Ended(command=("python",), code=139, seconds=1.0))))["training-ran"]
    assert outcome.verdict is Verdict.PASS
    assert "139" in outcome.findings[0].message


@pytest.mark.parametrize(
    ("count", "rehearsed", "config", "expected"),
    [
        ({"ended": "no-gpu"}, False, {}, Verdict.UNJUDGED),
        ({"device": "cpu"}, False, {}, Verdict.UNJUDGED),
        ({"device": "cpu"}, True, {"rehearsal": True}, Verdict.SKIP),
        ({"device": "cpu"}, False, {"require_gpu": False}, Verdict.SKIP),
    ],
)
def test_a_required_gpu(count, rehearsed, config, expected):
    seen = evidence(changed(SOUND, **count), TIMED, rehearsed=rehearsed)
    assert judged(seen, msgspec.structs.replace(CONFIG, **config))["on-gpu"].verdict is expected


# Which pass comes next


@pytest.mark.parametrize(
    ("told", "config", "left", "expected"),
    [
        ((SOUND,), {}, 9, True),
        ((None,), {}, 9, False),
        ((changed(SOUND, ended="no-gpu"),), {}, 9, False),
        ((SOUND, TIMED), {}, 9, False),
        ((SOUND, changed(TIMED, ended="cut")), {"candidate": True}, 9, False),
        ((SOUND, TIMED), {"candidate": True}, 4, True),
        ((SOUND, TIMED), {"candidate": True}, 3, False),
        ((SOUND, TIMED), {"steps": 30}, 9, True),
        ((changed(SOUND, workload={"batch size": 8}), TIMED), {}, 9, True),
        ((changed(SOUND, operations={"backward aten.mm": 1}), TIMED), {}, 9, True),
        ((changed(SOUND, flops={"backward": 1}), TIMED), {}, 9, True),
    ],
)
def test_it_is_counted_again_where_a_reference_may_be_made_of_it(told, config, left, expected):
    assert profile._is_next(evidence(*told), msgspec.structs.replace(CONFIG, **config), left) is expected


def test_without_a_reference_it_is_counted_again():
    assert profile._is_next(without_reference(SOUND, TIMED), CONFIG, 9)


# Figures, candidates, options


def test_figures_begin_with_the_headline():
    figures = profile.measured(evidence())
    assert [(one.name, str(one)) for one in figures[:-3]] == [
        ("step time", "20 ms"), ("waiting share", "25 %"), ("operations", "84"), ("flops", "3,000"),
        ("trainable parameters", "420"), ("optimizer steps", "unknown"), ("validation steps", "4"),
        ("loader items", "unknown"), ("peak memory", "100 MiB"), ("resident memory", "200 MiB"), ("seconds", "4 s"),
        ("device", "cuda:0 NVIDIA H200"), ("reference", " "),
    ]  # fmt: skip
    assert figures[-3] == Curve(name="step seconds", values=TIMED.steps)
    assert [one.name for one in profile.measured(without_reference(SOUND))] == ["seconds"]


def test_environment_and_reference_are_there_to_look_up():
    more = changed(SOUND, operations={"training_step aten.addmm": 41})
    environment, reference = profile.measured(evidence(more, TIMED))[-2:]
    assert environment.rows[:3] == (("device", "cuda:0 NVIDIA H200"), ("hardware", "nvidia-h200"), ("torch", "2.13.0"))
    assert reference.rows[0] == ("file", "references/profile/digits/nvidia-h200.json")
    rows = dict(reference.rows)
    assert rows["operations training_step aten.addmm"] == "40 → 41"
    assert rows["workload batch size"] == "16 → 16"
    assert rows["step seconds"] == "0.02 → 0.02"
    assert [one.name for one in profile.measured(without_reference(SOUND, TIMED))][-1] == "environment"


def test_a_candidate_reads_back_as_a_reference(tmp_path):
    path = references.path_of(REFERENCE, tmp_path)
    references.write(REFERENCE, path)
    assert references.known(tmp_path, "profile", "digits") == {"nvidia-h200": REFERENCE}
    assert REFERENCE.seeds == (42, 43)
    assert REFERENCE.runs("operations training_step aten.convolution") == (20, 20)
    assert REFERENCE.runs("step seconds") == (0.02, 0.02)
    assert REFERENCE.runs("least step seconds") == (0.01, 0.01)
    assert REFERENCE.settings == {
        "optimizer": "Adam", "profile.steps": "20", "profile.args": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("told", "reasons"),
    [
        ((SOUND, TIMED, SOUND), []),
        ((SOUND, TIMED), ["counted once: run with --candidate"]),
        ((SOUND,), ["counted once: run with --candidate", "no step was timed"]),
        ((SOUND, changed(TIMED, steps=()), SOUND), ["no step was timed"]),
    ],
)
def test_what_is_not_whole_is_no_reference(told, reasons):
    assert list(profile.unfit(profile.candidate(without_reference(*told), CONFIG), CONFIG)) == reasons


@pytest.mark.parametrize("told", [(), (None,), (changed(SOUND, ended="cut"),), (changed(SOUND, machine=None), TIMED)])
def test_where_nothing_was_counted_there_is_no_candidate(told):
    assert profile.candidate(without_reference(*told), CONFIG) is None


@pytest.mark.parametrize("given", [{"steps": 1}, {"timed": 0}, {"warmup": -1}])
def test_a_config_that_cannot_hold_is_refused(given):
    with pytest.raises(ValueError, match="steps must be"):
        profile.Config(**given)


# Real trainings

SCRIPT = """
import sys

import torch
from model import Data, Net, pl


class Mine(Net):
    def training_step(self, batch, batch_idx):
        if "doubled" in sys.argv:
            self.net(batch[0])
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch, batch_idx):
        with torch.set_grad_enabled("recorded" in sys.argv):
            super().validation_step(batch, batch_idx)


trainer = pl.Trainer(max_epochs=5, inference_mode=False)
trainer.fit(Mine(), Data())
open("uploaded", "w").close()
"""
STEPS = {"steps": 6, "timed": 6, "warmup": 2}


def asked(command, prepare="", **config):
    training = Training(name="it", command=command, prepare=prepare, cwd="lightning", env={"CUDA_VISIBLE_DEVICES": ""})
    return profile.Config(training=training, install="none", **{**STEPS, **config})


FIRST = asked("python mine.py", prepare=[sys.executable, "-c", "open('prepared', 'a').write('x')"])
LATER = {
    "sound": asked("python mine.py", require_gpu=True, rehearsal=True),
    "doubled": asked("python mine.py doubled"),
    "recorded": asked("python mine.py recorded"),
    "batches": asked("python train.py"),
    "crash": asked("python crash.py"),
    "hang": asked("python hang.py", timeout=Seconds(3)),  # by then even a busy machine hangs
    "no gpu": asked("python mine.py", require_gpu=True),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Evidence, Config and the project's root of every training above; all but the first have a reference."""
    top = tmp_path_factory.mktemp("profiled")

    def gather(name, config, reference=None):
        root = top / name.replace(" ", "-")
        roads.write(root)
        (root / "lightning" / "mine.py").write_text(SCRIPT)
        if reference:
            references.write(reference, references.path_of(reference, root))
        out = root / "build" / "out"
        out.mkdir(parents=True)
        return profile.gather(config, root, out), config, root

    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ThreadPoolExecutor(2) as pool:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        first = gather("first", FIRST)
        reference = profile.candidate(*first[:2])
        every = {name: pool.submit(gather, name, config, reference) for name, config in LATER.items()}
        return {"first": first} | {name: one.result() for name, one in every.items()}


def verdicts(seen, name):
    evidence, config, _ = seen[name]
    return {key: one for key, one in judged(evidence, config).items() if one.verdict is not Verdict.PASS}


def test_without_a_reference_it_is_counted_twice_and_the_candidate_is_fit(seen):
    evidence, config, root = seen["first"]
    assert [one.ended for one in evidence.told] == ["profiled"] * 3, [one.tail for one in evidence.ended]
    assert profile.counts.varying(evidence.figures) == []
    assert list(profile.unfit(profile.candidate(evidence, config), config)) == []
    assert unjudged(evidence, "reference-is-comparable", config).startswith("no reference for cpu")
    assert (root / "lightning" / "prepared").read_text() == "x"


def test_what_is_kept_opens_and_what_is_not_is_gone(seen):
    out = seen["first"][2] / "build" / "out"
    names = {one.name for one in out.iterdir()}
    assert {"count", "time", "again", "sections.txt", "trace.json.gz"} <= names
    assert not list(out.rglob("scratch")) and not list(out.parents[1].rglob("uploaded"))
    with gzip.open(out / "trace.json.gz") as stream:
        events = {one.get("name") for one in json.load(stream)["traceEvents"]}
    assert "aten::addmm" in events
    head, *lines = (out / "sections.txt").read_text().splitlines()
    assert head.split()[:3] == ["action", "calls", "seconds"]
    sections = {name: (int(calls), float(seconds)) for name, calls, seconds, _ in map(str.split, lines)}
    assert sections["run_training_batch"][0] == STEPS["timed"]
    assert lines[0].endswith("100.0%")
    assert [seconds for _, seconds in sections.values()] == sorted((one[1] for one in sections.values()), reverse=True)


def test_the_same_code_is_held_against_its_reference_and_counted_once(seen):
    assert len(seen["sound"][0].told) == 2
    assert {key: one.skipped for key, one in verdicts(seen, "sound").items()} == {
        "on-gpu": "rehearsed on the CPU",
        "counts-are-steady": "counted once",
        "memory-does-not-rise": "no CUDA memory was used",
    }


def test_a_doubled_forward_fails_and_its_candidate_could_be_blessed(seen):
    evidence, config, _ = seen["doubled"]
    found = verdicts(seen, "doubled")
    assert [key for key, one in found.items() if one.verdict is Verdict.FAIL] == [
        "operations-do-not-rise",
        "flops-do-not-rise",
    ]
    messages = [one.message for one in found["operations-do-not-rise"].findings]
    assert [one.partition(": ")[0] for one in messages] == ["training_step", "validation"]  # which calls the other
    assert "addmm 12 → 24 (+12)" in messages[0]
    assert list(profile.unfit(profile.candidate(evidence, config), config)) == []


def test_a_lost_no_grad_in_validation_fails_with_its_own_hint(seen):
    found = verdicts(seen, "recorded")
    assert [key for key, one in found.items() if one.verdict is Verdict.FAIL] == ["operations-do-not-rise"]
    (finding,) = [one for one in found["operations-do-not-rise"].findings if one.message.startswith("validation: ")]
    assert finding.hint.startswith("no_grad is lost in validation")


def test_another_workload_fails_first(seen):
    found = verdicts(seen, "batches")
    assert [key for key, one in found.items() if one.verdict is Verdict.FAIL] == ["workload-is-the-same"]
    (finding,) = found["workload-is-the-same"].findings
    assert finding.message.startswith("what is trained differs: epochs 5 → 1,000 (+995), ")
    assert "trainer.max_epochs: 5 → 1000" in finding.hint


@pytest.mark.parametrize(
    ("name", "message", "place"),
    [
        ("crash", "while counting: ValueError: labels out of range: 7", ("lightning/crash.py", 8)),
        ("hang", "while counting: still running after ", ("lightning/hang.py", 6)),
    ],
)
def test_after_a_pass_that_failed_there_is_no_other(seen, name, message, place):
    assert len(seen[name][0].told) == 1
    (finding,) = verdicts(seen, name)["training-ran"].findings
    assert finding.message.startswith(message)
    assert (finding.file, finding.line) == place


def test_a_required_gpu_that_is_missing_is_unjudged_after_one_pass(seen):
    evidence, config, _ = seen["no gpu"]
    assert len(evidence.told) == 1
    assert "this process saw none" in unjudged(evidence, "on-gpu", config)


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda text: text[:99], "not readable"), (lambda text: text.replace('"schema": 2', '"schema": 3'), "newer")],
)
def test_a_reference_that_cannot_be_used_is_refused_before_anything_runs(tmp_path, change, said):
    one = msgspec.structs.replace(REFERENCE, training="it")
    path = references.path_of(one, tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text(change(references.dumps(one).decode()))
    with pytest.raises(UserError, match=said):
        profile.gather(FIRST, tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
