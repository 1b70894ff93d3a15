"""`backburn reproduce`: each check on a table of evidence, how often a sound night is called changed, and for real."""

import math
import random
import sys

import msgspec
import pytest

from backburn import evidence as evidence_file
from backburn import pipeline, process, references
from backburn.config import Seconds, Training
from backburn.errors import UserError
from backburn.references import Found, Machine
from backburn.report import Curve, Figure, Level, Table, Verdict
from backburn.reproduction.sliding import Lane, Point
from backburn.stages import reproduce
from backburn.training import Ended

FINE = Ended(command=("python",), code=0, seconds=3600.0)
MACHINE = Machine(hardware="nvidia-h200", hard={"torch": "2.13.0", "threads": "2"}, soft={"kernel": "6.1"})
CHECKS = [
    "training-ran", "on-gpu", "loss-is-finite", "reference-is-comparable", "same-training", "final-metrics-hold",
    "curve-holds", "unchanged",
]  # fmt: skip


def told(seed=42, shift=0, **changed):
    """A training of 150 steps whose losses are as its seed says."""
    draw = random.Random(seed + shift)
    grid, octaves = (1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85, 106, 132), (1, 2, 4, 8, 16, 32, 64, 128, 150)
    losses = tuple((step, 2.3 * step**-0.4 * math.exp(draw.gauss(0, 0.1))) for step in grid)
    means = tuple((step, 2.3 * step**-0.4 * math.exp(draw.gauss(0, 0.02))) for step in octaves)
    about = {
        "ended": "fit", "shift": shift, "seeded": (seed,), "steps": 150, "planned": 150, "epochs": 2, "seconds": 3500.0,
        "losses": losses, "means": means, "samples": 1000, "settings": {"hparams.lr": "0.003"},
        "rates": tuple((step, 0.003) for step in grid), "norms": tuple((step, draw.uniform(1, 2)) for step in grid),
        "metrics": {"val_loss": 0.3 * math.exp(draw.gauss(0, 0.02)), "val_acc": 0.9 + draw.gauss(0, 0.005)},
        "validations": {"val_loss": ((75, 0.4), (150, 0.3))},
        "data": {"train batches": "a", "validation batch": "c"},
        "device": "cuda:0 NVIDIA H200", "machine": MACHINE, "peak_memory": 2**21,
    }  # fmt: skip
    return reproduce.Told(**about | changed)


def evidence(*runs, **changed):
    return reproduce.Evidence(**{"ended": (FINE,) * len(runs), "told": runs} | changed)


def once_more(one, until=20, **changed):
    """The same run, ended after so many steps."""
    points = {
        name: tuple(p for p in getattr(one, name) if p[0] <= until) for name in ("losses", "means", "rates", "norms")
    }
    about = {"ended": "until", "steps": until, "epochs": 0, "metrics": {}, "validations": {}, "samples": 0}
    return msgspec.structs.replace(one, **points | about | changed)


FIVE = evidence(*(told(shift=shift) for shift in range(5)), again=once_more(told()))
REFERENCE = msgspec.structs.replace(
    reproduce.candidate(FIVE, reproduce.Config()), training="digits", commit="0123456789", date="2026-11-20"
)
FOUND = Found(reference=REFERENCE)
SOUND = told()


def night(one=SOUND, ended=FINE, found=FOUND, **changed):
    return evidence(one, ended=(ended,), found=found, **changed)


def judged(seen, **config):
    outcomes = pipeline.judge(reproduce, "reproduce", seen, reproduce.Config(**config))
    return {outcome.check.partition("/")[2]: outcome for outcome in outcomes}


def failed(outcomes):
    return [name for name, one in outcomes.items() if one.verdict is Verdict.FAIL]


def with_reference(**changed):
    return Found(reference=msgspec.structs.replace(REFERENCE, **changed))


def moved(points, factor, since=0):
    return tuple((step, value * factor if step >= since else value) for step, value in points)


def figures(seen):
    return {one.name: str(one) for one in reproduce.measured(seen) if isinstance(one, Figure)}


# Each check on a table of evidence


def test_the_same_training_passes_without_a_word():
    outcomes = judged(night(), require_gpu=True)
    assert list(outcomes) == CHECKS
    assert {(one.verdict, one.findings) for one in outcomes.values()} == {(Verdict.PASS, ())}
    assert figures(night())["identical"] == "to the last bit"


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_another_seed_is_another_training_within_what_seeds_do(seed):
    outcomes = judged(night(told(seed), again=once_more(told(seed))))
    assert failed(outcomes) == ["unchanged"]
    (finding,) = outcomes["unchanged"].findings
    assert finding.message == f"within what seeds do, and yet another training: another seed: 42 → {seed}"
    assert "The curve differs from step 1 on: loss " in finding.hint and "[[tool.backburn.allow]]" in finding.hint
    assert figures(night(told(seed)))["class"] == "changed"
    assert [one.message for one in outcomes["same-training"].findings] == [
        f"another seed than the reference's: seed: 42 → {seed}"
    ]


BROKEN = {
    "training-ran": [{"ended": "running"}, {"ended": "exception"}],
    "on-gpu": [],
    "loss-is-finite": [
        {"losses": ((1, 2.3), (2, math.nan))},
        {"means": ((1, 2.3), (2, math.inf))},
        {"metrics": {"val_loss": math.nan}},
        {"validations": {"val_acc": ((75, math.nan),)}},
    ],
    "reference-is-comparable": [],
    "same-training": [
        {"settings": {"hparams.lr": "0.03"}, "rates": moved(SOUND.rates, 10)},
        {"data": SOUND.data | {"validation batch": "d"}, "losses": moved(SOUND.losses, 1.0001)},
    ],
    "final-metrics-hold": [
        {"metrics": SOUND.metrics | {"val_loss": 0.6}},
        {"metrics": SOUND.metrics | {"val_loss": 0.1}},
        {"metrics": SOUND.metrics | {"val_loss": -0.3}},
        {"metrics": SOUND.metrics | {"val_acc": 0.6}},
        {"metrics": {"val_acc": SOUND.metrics["val_acc"]}},
        {"steps": 149},
    ],
    "curve-holds": [
        {"means": moved(SOUND.means, 2.5)},
        {"means": moved(SOUND.means, 0.4, since=100)},
        {"means": moved(SOUND.means, -1, since=100)},
    ],
}


@pytest.mark.parametrize(("check", "change"), [(key, one) for key, many in BROKEN.items() for one in many])
def test_broken_evidence_fails_one_check(check, change):
    assert failed(judged(night(msgspec.structs.replace(SOUND, **change)))) == [check]


@pytest.mark.parametrize(
    ("seen", "check", "said"),
    [
        (night(msgspec.structs.replace(SOUND, ended="no-gpu", steps=0)), "on-gpu", "this process saw none"),
        (night(msgspec.structs.replace(SOUND, device="cpu")), "on-gpu", 'accelerator="cpu"'),
        (night(msgspec.structs.replace(SOUND, losses=(), metrics={})), "loss-is-finite", "neither a loss nor a metric"),
        (night(found=Found()), "reference-is-comparable", "no reference for nvidia-h200"),
        (night(found=Found(others=("cpu-avx2",))), "reference-is-comparable", "there is one for cpu-avx2"),
        (
            night(found=with_reference(machine=msgspec.structs.replace(MACHINE, hard={"torch": "2.12.0"}))),
            "reference-is-comparable",
            "threads: - → 2; torch: 2.12.0 → 2.13.0",
        ),
        (
            night(found=with_reference(seeds=(42,), figures={"steps": (150,)})),
            "reference-is-comparable",
            "a single run, which has no tolerance",
        ),
        (night(msgspec.structs.replace(SOUND, machine=None)), "reference-is-comparable", "did not tell the machine"),
    ],
)
def test_what_cannot_be_known_is_unjudged_and_nothing_after_it_is_judged(seen, check, said):
    outcomes = judged(seen, require_gpu=True)
    assert said in outcomes[check].unjudged
    assert {outcomes[name].verdict for name in CHECKS[CHECKS.index(check) + 1 :]} == {Verdict.SKIP}
    assert not failed(outcomes)


def test_a_rehearsal_on_the_cpu_is_held_against_its_reference():
    outcomes = judged(night(msgspec.structs.replace(SOUND, device="cpu"), rehearsed=True), require_gpu=True)
    assert outcomes["on-gpu"].skipped == "rehearsed on the CPU"
    assert outcomes["curve-holds"].verdict is Verdict.PASS
    assert figures(night(rehearsed=True))["device"] == "cuda:0 NVIDIA H200 (rehearsal)"


# How it ended


def ended(**changed):
    return msgspec.structs.replace(FINE, **changed)


@pytest.mark.parametrize(
    ("how", "one", "verdict", "said"),
    [
        ({"code": -15, "timed_out": True, "limit": "timeout of 9 s"}, told(ended="running", steps=70), "unjudged",
         "unfinished: reached at least step 70 of 150 (timeout of 9 s)"),
        ({"code": -15, "timed_out": True, "limit": "timeout of 9 s"}, told(planned=-1), "unjudged",
         "unfinished: the fit ended at step 150 (timeout of 9 s)"),
        ({"code": -15, "timed_out": True, "limit": "timeout of 9 s"}, None, "unjudged", "unfinished: no fit was seen"),
        ({"code": -15, "timed_out": True, "prepare": True}, None, "unjudged", "unfinished: `prepare` took 3600 s"),
        ({"code": 1, "lacking": "the disk is full"}, told(ended="exception"), "unjudged", "the disk is full"),
        ({"code": -9, "lacking": "it was killed"}, told(ended="running"), "unjudged", "it was killed"),
        ({}, None, "unjudged", "no Trainer.fit was seen"),
        ({"code": 1, "raised": True, "message": "KeyError: 'x'"}, told(), "fail", "KeyError: 'x'"),
        ({"code": 3, "message": "bye"}, told(ended="running"), "fail", "python ended with exit code 3: bye"),
        ({}, told(ended="exception", steps=70), "fail", "hid it: reached step 70 of 150"),
        ({}, told(ended="running", steps=70), "fail", "it ended itself: reached at least step 70 of 150"),
        ({}, told(steps=0, planned=0, losses=(), machine=None), "fail", "it trained nothing: the fit ended at step 0"),
    ],
)  # fmt: skip
def test_how_it_ended(how, one, verdict, said):
    outcome = judged(night(one, ended(**how)))["training-ran"]
    assert outcome.verdict.value == verdict
    assert said in (outcome.unjudged or outcome.findings[0].message)


def test_a_seed_that_went_on_from_the_checkpoint_of_another_is_no_part_of_a_candidate():
    seen = evidence(told(), told(shift=1, steps=0, planned=0, losses=(), means=(), metrics={}))
    assert judged(seen)["training-ran"].findings[0].message == (
        "under its seed + 1 it did not: the fit ended at step 0"
    )
    assert len(reproduce.candidate(seen, reproduce.Config()).seeds) == 1


def test_a_clock_among_the_metrics_is_not_compared():
    slow = msgspec.structs.replace(SOUND, metrics=SOUND.metrics | {"epoch_time": 9e9})
    assert "final epoch_time" not in reproduce.candidate(evidence(slow), reproduce.Config()).figures
    assert [one.findings for one in judged(night(slow)).values()] == [()] * len(CHECKS)
    assert figures(night(slow))["identical"] == "to the last bit"


def test_a_seed_that_did_not_end_is_a_warning():
    seen = evidence(told(), told(shift=1), None, ended=(FINE, ended(code=1, message="ValueError: x"), FINE))
    outcome = judged(seen)["training-ran"]
    assert [one.message for one in outcome.findings] == [
        "under its seed + 1 it did not: ValueError: x",
        "under its seed + 2 it did not: no fit was seen; it took 3600 s",
    ]
    assert outcome.verdict is Verdict.PASS and {one.level for one in outcome.findings} == {Level.WARNING}


# What is said


def test_the_first_that_is_not_finite_is_named():
    one = msgspec.structs.replace(SOUND, losses=((1, 1.0), (128, math.nan)), means=((1, 1.0), (64, math.nan)))
    assert judged(night(one))["loss-is-finite"].findings[0].message == (
        "the mean loss since half that step is nan at step 64 of 150"
    )


def test_the_first_octave_that_is_beyond_is_named_with_the_likely_cause():
    one = msgspec.structs.replace(
        SOUND,
        means=moved(SOUND.means, 2.5, since=8),
        rates=moved(SOUND.rates, 10),
        settings={},
        data=SOUND.data | {"train batches": "b"},
        machine=msgspec.structs.replace(MACHINE, soft={"kernel": "6.2"}),
    )
    outcomes = judged(night(one))
    (finding,) = outcomes["curve-holds"].findings
    assert finding.message.startswith("mean loss of steps 5-8 is ")
    assert "under 5 seeds it was" in finding.message and "standard deviations off" in finding.message
    assert finding.hint == (
        "Likely: other batches (train batches: a → b); more or fewer settings (hparams.lr: 0.003 → -);"
        " a slightly other machine (kernel: 6.1 → 6.2). The curve differs from step 1 on: learning rate 0.003 → 0.03"
        " (by 900 %). The reference is of 0123456 2026-11-20; if the change is meant: backburn bless reproduce."
    )
    levels = [(one.level.value, one.detail) for one in outcomes["same-training"].findings]
    assert levels == [
        ("warning", "hparams.lr: 0.003 → -"), ("notice", "train batches: a → b"), ("notice", "kernel: 6.1 → 6.2"),
    ]  # fmt: skip
    assert outcomes["same-training"].verdict is Verdict.PASS


def test_digests_of_data_are_told_in_short():
    found = with_reference(data=SOUND.data | {"validation batch": "0123456789abcdef" * 2})
    one = msgspec.structs.replace(
        SOUND, data=SOUND.data | {"validation batch": "f" * 32}, losses=moved(SOUND.losses, 2)
    )
    (finding,) = judged(night(one, found=found))["same-training"].findings
    assert finding.message == "other data than the reference's: validation batch: 01234567… → ffffffff…"


def test_a_setting_that_changes_nothing_is_only_told():
    """A hyperparameter of another name or value, and the same bits: nobody needs to be woken."""
    outcomes = judged(night(msgspec.structs.replace(SOUND, settings={"hparams.lr": "3e-3"})))
    assert not failed(outcomes)
    (finding,) = outcomes["same-training"].findings
    assert (finding.level, finding.detail) == (Level.NOTICE, "hparams.lr: 0.003 → 3e-3")


def test_what_differs_from_run_to_run_is_no_setting_of_the_reference():
    runs = (told(shift=n, settings={"hparams.lr": "0.003", "hparams.name": f"run-{n}"}) for n in range(5))
    one = reproduce.candidate(evidence(*runs), reproduce.Config())
    assert one.settings == {"hparams.lr": "0.003", "hparams.name": "another in each run"}
    found = Found(reference=msgspec.structs.replace(one, training="digits"))
    tonight = msgspec.structs.replace(SOUND, settings={"hparams.lr": "0.003", "hparams.name": "run-77"})
    outcomes = judged(night(tonight, found=found))
    assert [one.findings for one in outcomes.values()] == [()] * len(CHECKS)


def test_a_split_by_the_seed_is_no_data_of_the_reference():
    runs = (told(shift=n, data={"train batches": f"t{n}", "validation batch": f"v{n}"}) for n in range(5))
    found = Found(reference=reproduce.candidate(evidence(*runs), reproduce.Config()))
    tonight = msgspec.structs.replace(SOUND, data={"train batches": "t0", "validation batch": "v0"})
    assert [one.findings for one in judged(night(tonight, found=found)).values()] == [()] * len(CHECKS)


def test_a_script_that_draws_its_own_seed_is_not_held_to_one():
    found = with_reference(seeds=(3966277970, 1238547441, 7, 99, 250))
    assert judged(night(told(77), found=found))["same-training"].findings == ()


def test_a_folder_or_a_time_is_told_only_where_the_bits_differ():
    found = with_reference(settings={"hparams.lr": "0.003", "hparams.out": "'/w/1/2026-11-20'"})
    changed = {"settings": {"hparams.lr": "0.003", "hparams.out": "'/w/2/2026-11-21'"}}
    assert [one.findings for one in judged(night(msgspec.structs.replace(SOUND, **changed), found=found)).values()] == [
        ()
    ] * len(CHECKS)
    other = msgspec.structs.replace(SOUND, **changed, losses=moved(SOUND.losses, 1.0001))
    outcomes = judged(night(other, found=found, again=once_more(other, 150)))
    assert failed(outcomes) == ["unchanged"]
    assert [(one.level, one.message) for one in outcomes["same-training"].findings] == [
        (Level.NOTICE,
         "other folders or times than the reference's: hparams.out: '/w/1/2026-11-20' → '/w/2/2026-11-21'")
    ]  # fmt: skip


def test_an_evaluation_that_changed_is_told_from_a_training_that_did():
    one = msgspec.structs.replace(SOUND, metrics=SOUND.metrics | {"val_acc": 0.1})
    outcomes = judged(night(one))
    hint = outcomes["final-metrics-hold"].findings[0].hint
    assert "Likely: the code, as settings, data and machine are the reference's." in hint
    assert "The curve is the same: only the evaluation differs." in hint
    assert outcomes["curve-holds"].findings == ()


def test_a_new_metric_is_only_told():
    outcome = judged(night(msgspec.structs.replace(SOUND, metrics=SOUND.metrics | {"f1": 0.5})))["final-metrics-hold"]
    assert [(one.level, one.message) for one in outcome.findings] == [
        (Level.NOTICE, "not in the reference yet: f1")
    ]  # fmt: skip


@pytest.mark.parametrize(("steps", "expected"), [(150, []), (152, []), (400, ["final-metrics-hold"])])
def test_a_training_that_stops_early_may_vary_its_steps(steps, expected):
    found = with_reference(figures=REFERENCE.figures | {"steps": (150, 148, 155, 149, 151)})
    assert failed(judged(night(msgspec.structs.replace(SOUND, steps=steps), found=found))) == expected


def test_a_reference_without_a_loss_has_no_curve():
    metrics = {name: values for name, values in REFERENCE.figures.items() if "@" not in name}
    outcomes = judged(night(msgspec.structs.replace(SOUND, losses=(), means=()), found=with_reference(figures=metrics)))
    assert outcomes["curve-holds"].skipped == "the reference holds no loss"
    assert not failed(outcomes)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_sound_nights_are_called_changed_no_more_often_than_alpha(alpha):
    """300 nights, each under a seed of its own against a reference of its own; 11 figures share alpha."""
    wrong = 0
    for start in range(0, 3000, 10):
        runs = evidence(*(told(start, shift) for shift in range(5)))
        found = Found(reference=reproduce.candidate(runs, reproduce.Config()))
        wrong += bool(failed(judged(night(told(start + 9), found=found), alpha=alpha)))
    assert 0.2 * alpha <= wrong / 300 <= 1.5 * alpha


# Figures, candidate


def test_figures_begin_with_the_headline():
    seen = night(told(7))
    shown = figures(seen)
    assert list(shown) == [
        "steps", "final val_loss", "final val_acc", "seconds", "training seconds", "seeds", "device", "peak memory",
        "worst deviation", "identical", "class", "false alarms", "reference",
    ]  # fmt: skip
    assert (shown["steps"], shown["seeds"], shown["peak memory"]) == ("150", "1", "2 MiB")
    assert (shown["identical"], shown["reference"]) == ("no", "0123456 2026-11-20")
    curves = {one.name: one for one in reproduce.measured(seen) if isinstance(one, Curve)}
    assert tuple(zip(curves["loss"].steps, curves["loss"].values)) == told(7).losses
    assert curves["reference loss"].steps == curves["loss"].steps
    assert curves["reference loss"].values[0] == pytest.approx(sum(REFERENCE.runs("loss@1")) / 5)


def test_environment_and_reference_are_there_to_look_up():
    tables = {one.name: one.rows for one in reproduce.measured(night(told(7))) if isinstance(one, Table)}
    assert tables["environment"][0] == ("device", told(7).device)
    assert tables["environment"][1:] == told(7).machine.words
    rows = dict(tables["reference"])
    assert (rows["commit"], rows["date"]) == ("0123456789", "2026-11-20")
    runs = REFERENCE.runs("final val_loss")
    assert rows["final val_loss"] == f"{min(runs):.6g} to {max(runs):.6g} → {told(7).metrics['val_loss']:.6g}"
    assert [one.name for one in reproduce.measured(FIVE) if isinstance(one, Table)] == ["environment"]


def test_figures_without_a_reference_or_without_a_step():
    assert list(figures(FIVE))[-1] == "peak memory" and figures(FIVE)["seeds"] == "5"
    assert figures(evidence(None)) == {"seconds": "3600 s"}


def test_no_more_metrics_than_a_person_reads():
    metrics = {f"m{i}": math.nan if i == 3 else 0.5 for i in range(20)}
    shown = figures(night(msgspec.structs.replace(SOUND, metrics=metrics)))
    assert [name for name in shown if name.startswith("final ")] == [f"final m{i}" for i in (0, 1, 2, 4, 5, 6, 7, 8)]


def test_a_candidate_has_a_value_per_run_the_authors_own_first():
    one = reproduce.candidate(FIVE, reproduce.Config())
    assert one.seeds == (42, 43, 44, 45, 46)
    assert one.runs("steps") == (150,) * 5 and one.runs("samples") == (1000,) * 5
    assert one.runs("final val_loss")[0] == told().metrics["val_loss"] and len(set(one.runs("mean loss@150"))) == 5
    assert (one.machine, one.settings, one.data) == (MACHINE, told().settings, told().data)
    assert list(reproduce.unfit(one, reproduce.Config())) == []


def test_a_run_that_did_not_end_is_not_part_of_a_candidate():
    runs = (told(), told(shift=1, ended="running"), told(shift=2), None, told(shift=4))
    how = (FINE, FINE, ended(code=1), FINE, FINE)
    one = reproduce.candidate(evidence(*runs, ended=how), reproduce.Config())
    assert one.seeds == (42, 46)
    assert reproduce.candidate(evidence(None), reproduce.Config()) is None
    assert reproduce.candidate(night(told(ended="running")), reproduce.Config()) is None


def test_a_script_without_a_seed_has_the_one_that_was_set():
    seen = evidence(told(seeded=()), told(shift=1, seeded=()), seed=7)
    assert reproduce.candidate(seen, reproduce.Config(seed=7)).seeds == (7, 8)


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ([told(shift=shift) for shift in range(3)], "3 of 5 seeds; too few"),
        ([told(), *(told(shift=shift) for shift in range(4))], "two seeds came out the same to the last bit"),
        ([told(shift=i, losses=(), means=(), metrics={}) for i in range(5)], "neither a loss nor a metric"),
    ],
)
def test_what_is_unfit_says_why(runs, said):
    one = reproduce.candidate(evidence(*runs, again=once_more(runs[0])), reproduce.Config())
    (sentence,) = reproduce.unfit(one, reproduce.Config())
    assert said in sentence


@pytest.mark.parametrize("given", [{"seeds": 2}, {"alpha": 0.0}, {"alpha": 0.5}, {"alpha": math.nan}])
def test_a_config_that_cannot_hold_is_refused(given):
    with pytest.raises(ValueError, match="seeds|alpha"):
        reproduce.Config(**given)


# Gathering: which runs there are. A program that answers as the probe would, so that its seconds are known.

ANSWERS = """
import json, os, sys, time
asked = json.loads(os.environ["BACKBURN_PROBE"])
settings = asked["settings"]
open(os.path.join(settings["scratch"], "big.ckpt"), "w").close()
with open("runs", "a") as stream:
    stream.write(json.dumps(settings["shift"]) + "\\n")
time.sleep(float(sys.argv[2]))
told = json.loads(open(sys.argv[1]).read())[settings["shift"]]
with open(asked["evidence"], "w") as stream:
    json.dump(told, stream)
"""


@pytest.fixture
def gather(tmp_path):
    """Gather what a program answers: (runs by shift, seconds it takes, Config's fields) -> evidence."""
    (tmp_path / "train.py").write_text(ANSWERS)

    def run(runs, seconds=0.0, **config):
        (tmp_path / "answers.json").write_bytes(evidence_file.dumps(list(runs)))
        command = (sys.executable, "train.py", "answers.json", str(seconds))
        one = Training(name="it", command=command, prepare=(sys.executable, "-c", "open('prepared', 'a').write('x')"))
        out = tmp_path / "build" / "out"
        config = {"self_steps": 0, "ulps": 0} | config
        return reproduce.gather(reproduce.Config(training=one, install="none", **config), tmp_path, out)

    return run


def runs_of(tmp_path):
    return list(map(int, (tmp_path / "runs").read_text().split()))


def bless(root, one):
    one = msgspec.structs.replace(one, training="it")
    references.write(one, references.path_of(one, root))


def test_without_a_reference_other_seeds_run_too(tmp_path, gather):
    labels = set()
    with process.watched_by(lambda label, seconds: labels.add(label)):
        seen = gather((told(shift=shift) for shift in range(5)), 0.2)
    data = seen.told[0].data
    assert [key for key in data if key.startswith("file ")] == ["file answers.json"]
    bare = tuple(msgspec.structs.replace(one, data=SOUND.data) for one in seen.told)
    seen = msgspec.structs.replace(seen, told=bare)
    assert seen == msgspec.structs.replace(FIVE, ended=seen.ended, found=Found(), again=None)
    assert runs_of(tmp_path) == [0, 1, 2, 3, 4] and (tmp_path / "prepared").read_text() == "x"
    assert {"it", "it, seed 2 of 5", "it, seed 5 of 5"} < labels
    out = tmp_path / "build" / "out"
    assert (out / "probe.json").exists() and (out / "seed-4" / "output.txt").exists()
    reached = {path.parent for path in out.rglob("reached.txt")}  # of all runs, or nothing of the night is reused
    assert reached == {path.parent for path in out.rglob("output.txt")} and len(reached) == 5
    assert not list(out.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("change", "config", "expected"),
    [
        ({}, {}, [0]),
        ({}, {"candidate": True, "seeds": 3}, [0, 1, 2]),
        ({"machine": msgspec.structs.replace(MACHINE, hard={"torch": "2.14.0"})}, {"seeds": 3}, [0, 1, 2]),
        ({"machine": msgspec.structs.replace(MACHINE, soft={"kernel": "7"})}, {}, [0]),
        ({"machine": msgspec.structs.replace(MACHINE, hardware="cpu-avx2")}, {"seeds": 3}, [0, 1, 2]),
    ],
)
def test_with_a_reference_they_run_only_for_a_new_one(tmp_path, gather, change, config, expected):
    bless(tmp_path, REFERENCE)
    seen = gather((told(shift=shift, **change) for shift in range(5)), **config)
    assert runs_of(tmp_path) == expected
    hardware = seen.probe.machine.hardware
    assert seen.found == (FOUND_AS_IT if hardware == "nvidia-h200" else Found(others=("nvidia-h200",)))


FOUND_AS_IT = Found(reference=msgspec.structs.replace(REFERENCE, training="it"))


@pytest.mark.parametrize(
    "change", [{"ended": "exception"}, {"ended": "no-gpu"}, {"means": ((1, math.nan),)}, {"metrics": {"x": math.inf}}]
)
def test_a_training_that_cannot_be_a_reference_runs_once(tmp_path, gather, change):
    gather([told(**change)])
    assert runs_of(tmp_path) == [0]


def test_what_does_not_fit_in_the_timeout_is_not_begun(tmp_path, gather):
    """Two and a half runs of 3 s; their Python may take half as long to start."""
    seen = gather((told(shift=shift) for shift in range(5)), 3.0, timeout=Seconds(8.9))
    assert runs_of(tmp_path) == [0, 1]
    assert [one.code for one in seen.ended] == [0, 0]


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not readable as JSON"), (None, "schema 3 is newer"), ('{"kind": "reference", "schema": 1}', "missing")],
)
def test_a_reference_that_cannot_be_used_is_asked_wrongly_before_anything_runs(tmp_path, gather, content, said):
    bless(tmp_path, msgspec.structs.replace(REFERENCE, schema=3))
    path = tmp_path / "references" / "reproduce" / "it" / "nvidia-h200.json"
    path.write_text(content or path.read_text())
    with pytest.raises(UserError, match=said):
        gather([told()])
    assert not (tmp_path / "runs").exists() and not (tmp_path / "prepared").exists()


# A sliding lane


NIGHTS = tuple(Point(date=f"{day}", figures={"val_loss": 0.3 + 0.01 * (day % 3), "val_acc": 0.9}) for day in range(12))


def sliding(points=NIGHTS, **metrics):
    now = Point(date="", figures={"val_loss": 0.31, "val_acc": 0.9} | metrics)
    return night(found=Found(), lane=Lane(points=points), tonight=now)


def test_a_night_of_a_sliding_lane_is_held_against_its_own_and_against_no_reference():
    outcomes = judged(sliding())
    assert {name: one.verdict.value for name, one in outcomes.items() if one.verdict is not Verdict.PASS} == {
        **dict.fromkeys(("reference-is-comparable", "same-training", "curve-holds", "unchanged"), "skip"),
        "on-gpu": "skip",
    }
    assert outcomes["curve-holds"].skipped == "the lane is sliding: its nights are held against each other"
    outcomes = judged(sliding(val_loss=0.6))
    assert failed(outcomes) == ["final-metrics-hold"]
    (finding,) = outcomes["final-metrics-hold"].findings
    assert finding.message.startswith("val_loss is 0.6, ") and "data and code together +87.5 %" in finding.message


def test_a_sliding_lane_of_few_nights_is_unjudged():
    one = judged(sliding(NIGHTS[:9]))["final-metrics-hold"]
    assert one.unjudged.startswith("9 of 10 nights of this lane are known")


def test_a_sliding_lane_tells_code_from_data_and_has_no_class():
    seen = sliding()
    assert "class" not in figures(seen)
    (table,) = [
        one for one in reproduce.measured(seen) if isinstance(one, Table) and one.name == "since the last night"
    ]
    assert dict(table.rows) == {"val_loss": "data and code together -3.1 %", "val_acc": "data and code together +0.0 %"}


def test_a_sliding_lane_is_never_blessed():
    (said,) = reproduce.unfit(REFERENCE, reproduce.Config(lane="sliding"))
    assert said == "its lane is sliding: its data are others each night, and only the fixed lane is blessed"
    with pytest.raises(ValueError, match="lane must be fixed or sliding, got 'slow'"):
        reproduce.Config(lane="slow")


def test_a_sliding_lane_trains_once_with_a_reference_or_without(tmp_path, gather):
    (tmp_path / "build" / "other").mkdir(parents=True)
    other = tmp_path / "build" / "other" / "evidence.json"
    evidence_file.save(night(), other)
    seen = gather([told()], lane="sliding", beside="other", candidate=True)
    assert runs_of(tmp_path) == [0] and seen.lane.points == () and seen.lane.fixed == "other"
    assert seen.tonight.figures == seen.tonight.beside == SOUND.metrics
    path = tmp_path / "evidence.json"
    evidence_file.save(seen, path)
    assert evidence_file.load(path, reproduce.Evidence) == seen


# Real trainings

TRAIN = """
import sys
import time

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(pl.LightningModule):
    def __init__(self, rate):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))

    def training_step(self, batch, batch_idx):
        if self.hparams.rate == 0.0 and self.global_step == 5:
            time.sleep(600)
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        out = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(out, batch[1]))
        self.log("val_acc", (out.argmax(1) == batch[1]).float().mean())

    def test_step(self, batch, batch_idx):
        self.log("test_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.rate)


def loader(shuffle):
    draw = torch.Generator().manual_seed(0)
    with open("scale.txt") as file:
        x = float(file.read()) * torch.randn(256, 8, generator=draw)
    y = (x[:, :4] + 0.5 * torch.randn(256, 4, generator=draw)).argmax(1)
    return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle)


if __name__ == "__main__":
    pl.seed_everything(7)
    trainer = pl.Trainer(max_epochs=3, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.fit(Net(float(sys.argv[1])), loader(True), loader(False))
    trainer.test(ckpt_path="best", dataloaders=loader(False))
"""


def real(root, rate, source=TRAIN, scale="1.0", **config):
    """Two nights of one project must not see each other's evidence: a folder for each rate."""
    (root / "train.py").write_text(source)
    (root / "scale.txt").write_text(scale)
    one = Training(name="it", command=(sys.executable, "train.py", rate))
    out = root / "build" / rate
    out.mkdir(parents=True, exist_ok=True)
    config = {"seeds": 3, "ulps": 1, "fresh": 0} | config  # each is a process that loads torch
    return reproduce.gather(reproduce.Config(training=one, install="none", **config), root, out)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project whose reference is of three seeds, and the evidence that it was made of."""
    root = tmp_path_factory.mktemp("real")
    seen = real(root, "0.01")
    bless(root, reproduce.candidate(seen, reproduce.Config()))
    return root, seen


def test_a_real_training_runs_under_its_seeds(project):
    root, seen = project
    one = reproduce.candidate(seen, reproduce.Config(seeds=3))
    assert one.seeds == (7, 8, 9) and list(reproduce.unfit(one, reproduce.Config(seeds=3))) == []
    assert one.runs("steps") == (48, 48, 48) and {"final val_loss", "final val_acc", "final test_loss"} < set(
        one.figures
    )
    assert judged(seen)["reference-is-comparable"].unjudged.startswith("no reference for cpu-")
    assert len(list(root.rglob("*.ckpt"))) == 1  # the author's own; those of the other seeds were scratch


def test_a_real_training_is_identical_the_next_night(project):
    seen = real(project[0], "0.01")
    outcomes = judged(seen)
    assert {name: one.verdict.value for name, one in outcomes.items() if one.verdict is not Verdict.PASS} == {
        "on-gpu": "skip"
    }
    assert figures(seen)["identical"] == "to the last bit" and figures(seen)["seeds"] == "1"


@pytest.mark.slow
def test_a_real_training_with_another_learning_rate_fails_and_says_so(project):
    outcomes = judged(real(project[0], "100.0"))
    assert failed(outcomes) == ["same-training"]
    assert outcomes["curve-holds"].skipped == "after same-training"
    first, *_ = outcomes["same-training"].findings
    assert first.message == (
        "other settings than the reference's: hparams.rate: 0.01 → 100.0; optimizer.0.lr: 0.01 → 100.0"
    )


@pytest.mark.slow
def test_a_data_file_that_is_another_one_is_named(project):
    digest = "3 bytes d0ff5974b6aa52cf562bea5921840c03"
    assert project[1].told[0].data["file scale.txt"] == digest
    outcomes = judged(real(project[0], "0.01", scale="1.1"))
    assert failed(outcomes) == ["same-training"]
    messages = [one.message for one in outcomes["same-training"].findings]
    assert "other files than the reference's: file scale.txt: 3 bytes d0ff5974… → 3 bytes b05e2447…" in messages


@pytest.mark.slow
def test_a_real_defect_that_no_setting_tells_fails_by_its_curve(project):
    planted = TRAIN.replace(
        "cross_entropy(self.net(batch[0]), batch[1])", "cross_entropy(self.net(batch[0]), batch[1]) * 1e4", 1
    )
    assert planted != TRAIN
    outcomes = judged(real(project[0], "0.01", planted))
    assert "curve-holds" in failed(outcomes) and "same-training" not in failed(outcomes)
    hint = outcomes["curve-holds"].findings[0].hint
    assert hint.startswith(
        "Likely: the code, as settings, data and machine are the reference's. The curve differs from"
    )


@pytest.mark.slow
def test_a_real_rounding_is_told_from_a_real_change(project):
    """Three times the scores by a third of them is what they were, but for a rounding."""
    rounding = TRAIN.replace("self.net(batch[0]), batch[1])", "self.net(batch[0]) * 3 / 3, batch[1])", 1)
    assert rounding != TRAIN
    seen = real(project[0], "0.01", rounding)
    assert not failed(judged(seen)) and figures(seen)["class"] == "ulp-equivalent"
    change = TRAIN.replace("self.net(batch[0]), batch[1])", "self.net(batch[0]), batch[1], label_smoothing=0.01)", 1)
    seen = real(project[0], "0.01", change)
    assert failed(judged(seen)) == ["unchanged"] and figures(seen)["class"] == "changed"
    assert "at step 1: loss and gradients" in judged(seen)["unchanged"].findings[0].message


@pytest.mark.slow
def test_a_real_training_that_does_not_repeat_has_its_kind_said(tmp_path):
    """Its loader draws from a generator that is seeded by the clock."""
    shuffled = "DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle, generator=clock())"
    source = TRAIN.replace("DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle)", shuffled).replace(
        "def loader(",
        "def clock():\n    generator = torch.Generator()\n    generator.seed()\n    return generator\n\n\ndef loader(",
    )
    seen = real(tmp_path, "0.01", source)
    assert len(seen.told) == 1 and seen.again.steps == 20
    (finding,) = judged(seen)["training-ran"].findings
    assert finding.message.startswith("the same commit and seed came out otherwise a second time, at step 1: batch")
    assert "(data)" in finding.message


@pytest.mark.slow
def test_of_a_real_training_what_its_hours_were_enough_for_is_compared(project):
    seen = real(project[0], "0.01", hours=1e-7)
    assert seen.probe.ended == "budget" and figures(seen)["class"] == "identical"
    assert judged(seen)["final-metrics-hold"].skipped.startswith(
        f"its hours ended it at {100 * seen.probe.steps / 48:.0f} % of 48"
    )


@pytest.mark.slow
def test_a_real_training_that_is_not_done_in_time_is_unjudged(project):
    outcome = judged(real(project[0], "0.0", timeout=Seconds(30)))["training-ran"]
    assert (
        outcome.unjudged == "unfinished: reached at least step 1 of 48 (timeout of 30 s in [tool.backburn.reproduce])"
    )
