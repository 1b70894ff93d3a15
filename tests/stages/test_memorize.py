"""`backburn memorize`: real trainings by every road, and each check on a table of evidence."""

import concurrent.futures
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from backburn import pipeline
from backburn.config import Seconds, Training
from backburn.errors import UserError
from backburn.report import Curve, Level, Verdict
from backburn.stages import memorize
from backburn.training import Ended

from . import roads

CACHE = Path(__file__).parents[2] / "build" / "cache" / "lightning"
OLD = ("2.4.0", "2.5.6")
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def judged(seen, **config):
    outcomes = pipeline.judge(memorize, "memorize", seen, memorize.Config(**config))
    return {outcome.check.partition("/")[2]: outcome for outcome in outcomes}


def verdict(outcomes, *names):
    return [outcomes[name].verdict.value for name in names]


# Real trainings


def road(command, cwd="lightning", env=None, args=(), **config):
    training = Training(name="it", command=command, cwd=cwd, env=NO_GPU | (env or {}))
    return memorize.Config(training=training, install="none", args=args, **config)


def old(package, version):
    cwd = "lightning" if package == "lightning" else "pl"
    return road("python train.py", cwd, {"PYTHONPATH": str(CACHE / f"{package}-{version}")})


ROADS = {
    "plain script": road("python train.py"),
    "pytorch_lightning": road("python train.py", "pl"),
    "python -m": road("python -m app.train", env={"PYTHONPATH": "."}),
    "LightningCLI": road("python cli.py fit", args="--trainer.callbacks=EarlyStopping --trainer.callbacks.monitor=x"),
    "Hydra": road("python with_hydra.py", args=["epochs=4"]),
    **{
        f"{package} {version}": old(package, version)
        for package in ("lightning", "pytorch-lightning")
        for version in OLD
    },
}
OTHERS = {
    "crash": road("python crash.py"),
    "hang": road("python hang.py", timeout=Seconds(3)),  # by then even a busy machine hangs
    "no gpu": road("python train.py", require_gpu=True),
    "rehearsal": road("python train.py", require_gpu=True, rehearsal=True),
    "proof": road("python train.py", prove=True),
    "proof on the oldest": msgspec.structs.replace(old("pytorch-lightning", OLD[0]), prove=True),
    "isolated": road("python -I -c pass"),
    "prepare fails": msgspec.structs.replace(
        road("python train.py"), training=Training(command="python train.py", prepare="python -c 'raise KeyError(1)'")
    ),
}


@pytest.fixture(scope="session")
def old_lightning():
    for package in ("lightning", "pytorch-lightning"):
        for version in OLD:
            target = CACHE / f"{package}-{version}"
            if not target.exists():
                pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps"]
                subprocess.run([*pip, "--target", target.with_suffix(".part"), f"{package}=={version}"], check=True)
                target.with_suffix(".part").rename(target)


@pytest.fixture(scope="session")
def seen(tmp_path_factory, old_lightning):
    """Evidence of every training above; each has a project of its own, two at a time as there are two cores."""
    top = tmp_path_factory.mktemp("roads")

    def gather(item):
        name, config = item
        root = top / name.replace(" ", "-")
        roads.write(root)
        out = root / "build" / "out"
        out.mkdir(parents=True)
        return name, (memorize.gather(config, root, out), root)

    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ThreadPoolExecutor(2) as pool:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        return dict(pool.map(gather, (ROADS | OTHERS).items()))


@pytest.mark.parametrize("name", ROADS)
def test_a_training_is_memorized_on_the_cpu_by_every_road(seen, name):
    evidence, root = seen[name]
    outcomes = judged(evidence)
    assert {one.verdict for one in outcomes.values()} == {Verdict.PASS, Verdict.SKIP}, evidence.ended.tail
    assert verdict(outcomes, "training-ran", "loss-counts-targets", "learning-rate-holds", "loss-falls") == ["pass"] * 4
    assert not [one for outcome in outcomes.values() for one in outcome.findings if one.level is not Level.NOTICE]
    assert evidence.told.device == "cpu"
    assert not list(root.rglob("uploaded")) and not list(root.rglob("*.ckpt")) and not list(root.rglob("metrics.csv"))


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("package", ["lightning", "pytorch-lightning"])
def test_the_old_versions_were_really_used(seen, package, version):
    assert seen[f"{package} {version}"][0].told.versions["lightning"] == f"{package.replace('-', '_')} {version}"


def test_all_roads_give_the_same_losses(seen):
    """One script, one seed, one batch: what differs between minors and packages is only the road."""
    told = [seen[name][0].told for name in ROADS if "train.py" in ROADS[name].training.command]
    assert len(told) == 6
    assert len({one.batch_digest for one in told}) == 1 and told[0].batch_digest
    assert {one.losses[:3] for one in told} == {told[0].losses[:3]}


@pytest.mark.parametrize("name", ROADS)
def test_every_look_is_taken_on_every_road(seen, name):
    """What does not apply is the same everywhere, and nothing is untold because a look broke."""
    told, plain = seen[name][0].told, seen["plain script"][0].told
    assert sorted(told.untold) == sorted(plain.untold)
    assert not [why for why in told.untold.values() if why.startswith("it raised")]
    if "train.py" in ROADS[name].training.command:  # its Trainer accumulates over 4 batches, which the fit does not
        assert told.after.accumulation.times == 4 and told.after.accumulation.difference < 0.01


def test_a_crash_is_a_finding_at_the_line_of_the_project(seen):
    outcomes = judged(seen["crash"][0])
    (finding,) = outcomes["training-ran"].findings
    assert finding.message == "ValueError: labels out of range: 7"
    assert (finding.file, finding.line) == ("lightning/crash.py", 8)
    assert finding.detail.endswith(finding.message)
    assert len(seen["crash"][0].told.losses) == 3
    assert outcomes["loss-falls"].skipped.startswith("after ")


def test_a_hang_is_a_finding_with_its_stack(seen):
    (finding,) = judged(seen["hang"][0])["training-ran"].findings
    assert "still running after " in finding.message and "(timeout of 3 s in" in finding.message
    assert (finding.file, finding.line) == ("lightning/hang.py", 6)


def test_a_required_gpu_that_is_missing_is_unjudged(seen):
    outcomes = judged(seen["no gpu"][0], require_gpu=True)
    assert verdict(outcomes, "training-ran", "on-gpu", "loss-falls") == ["pass", "unjudged", "skip"]
    assert not [name for name, one in outcomes.items() if one.verdict is Verdict.FAIL]
    assert seen["no gpu"][0].told.steps == 0


def test_only_a_rehearsal_falls_back(seen):
    evidence = seen["rehearsal"][0]
    outcomes = judged(evidence, require_gpu=True, rehearsal=True)
    assert verdict(outcomes, "on-gpu", "loss-falls") == ["skip", "pass"]
    assert [one.text for one in memorize.measured(evidence) if one.name == "device"] == ["cpu (rehearsal)"]
    assert [name for name, text in memorize.measured(evidence)[-1].rows if text] == [
        "device", "python", "torch", "lightning",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["proof", "proof on the oldest"])
def test_bugs_are_planted_behind_the_sound_fit_and_leave_no_trace(seen, name):
    """A script with hard-coded devices, its own loggers, checkpoints and accumulation."""
    evidence, root = seen[name]
    outcomes = judged(evidence, prove=True)
    assert {one.verdict for one in outcomes.values()} == {Verdict.PASS, Verdict.SKIP}, evidence.ended.tail
    (finding,) = outcomes["proof"].findings
    assert finding.level is Level.NOTICE and finding.message.startswith("9 of 10 planted bugs fail this training")
    assert not list(root.rglob("uploaded")) and not list(root.rglob("*.ckpt")) and not list(root.rglob("metrics.csv"))
    alone = msgspec.structs.replace(evidence.told, planted=())
    assert alone.losses == seen["plain script"][0].told.losses
    assert memorize.candidate(evidence, memorize.Config()).settings["found"].split() == ["labels-match-inputs"]


def test_what_the_probe_never_saw_is_unjudged(seen):
    outcome = judged(seen["isolated"][0])["training-ran"]
    assert (outcome.verdict, outcome.unjudged) == (Verdict.UNJUDGED, "no Trainer.fit was seen")
    assert "python -I" in outcome.findings[0].hint


def test_a_failing_prepare_fails_before_the_training(seen):
    message = judged(seen["prepare fails"][0])["training-ran"].findings[0].message
    assert message == "prepare ended with exit code 1: KeyError: 1"


# Each check on a table of evidence

SOUND = memorize.Told(
    ended="memorized", steps=5, seconds=0.1, losses=(1.4, 1.0, 0.3, 0.2, 0.1), functions="cross_entropy", sign=1,
    bound=0.0, constant=1.38, batch_digest="a",
    trainable=4, device="cuda:0 NVIDIA H200", peak_memory=2**21,
)  # fmt: skip
UNKNOWN = {"bound": None, "sign": 0, "constant": None}
FINE = Ended(command=("python",), code=0, seconds=1.0)
# The checks of the engine have tables of their own, in tests/memorization.
BROKEN = {
    "training-ran": [{"ended": "cut"}, {"ended": "exception"}],
    "loss-above-bound": [{"losses": (1.0, -0.5)}],
}


def test_sound_evidence_fails_no_check():
    outcomes = judged(memorize.Evidence(ended=FINE, told=SOUND), require_gpu=True)
    assert {one.verdict for one in outcomes.values()} == {Verdict.PASS, Verdict.SKIP}
    own = ("training-ran", "on-gpu", "loss-is-finite", "loss-above-bound", "loss-falls", "within-budget")
    assert verdict(outcomes, *own) == ["pass"] * 6


@pytest.mark.parametrize(("check", "change"), [(key, one) for key, many in BROKEN.items() for one in many])
def test_broken_evidence_fails_one_check(check, change):
    told = msgspec.structs.replace(SOUND, **change)
    outcomes = judged(memorize.Evidence(ended=FINE, told=told), require_gpu=True)
    assert [key for key, one in outcomes.items() if one.verdict is Verdict.FAIL] == [check]


@pytest.mark.parametrize(
    ("change", "config", "check", "expected"),
    [
        (UNKNOWN, {}, "loss-above-bound", "skip"),
        ({"sign": -1}, {}, "loss-above-bound", "skip"),
        ({"device": "cpu"}, {"require_gpu": True}, "on-gpu", "unjudged"),
        ({"device": "cpu"}, {}, "on-gpu", "skip"),
    ],
)
def test_what_does_not_apply_or_cannot_be_known(change, config, check, expected):
    outcomes = judged(memorize.Evidence(ended=FINE, told=msgspec.structs.replace(SOUND, **change)), **config)
    assert verdict(outcomes, check) == [expected]


def test_a_machine_that_lacks_something_is_unjudged():
    ended = Ended(command=("python",), code=1, seconds=1.0, message="OSError: x", lacking="the disk is full")
    assert judged(memorize.Evidence(ended=ended))["training-ran"].unjudged == "the disk is full"


def test_an_exit_code_after_the_measurement_only_warns():
    ended = Ended(command=("python",), code=139, seconds=1.0)
    outcomes = judged(memorize.Evidence(ended=ended, told=SOUND))
    assert outcomes["training-ran"].verdict is Verdict.PASS
    assert "139" in outcomes["training-ran"].findings[0].message


@pytest.mark.parametrize("ended, look", [("cut", "`should_stop`"), ("exception", "an `except` around the fit")])
def test_an_end_of_its_own_says_where_to_look(ended, look):
    outcomes = judged(memorize.Evidence(ended=FINE, told=msgspec.structs.replace(SOUND, ended=ended)))
    assert look in outcomes["training-ran"].findings[0].hint


def test_the_budget_warns():
    ended = msgspec.structs.replace(FINE, seconds=301.0)
    outcome = judged(memorize.Evidence(ended=ended, told=SOUND))["within-budget"]
    assert (outcome.verdict, outcome.findings[0].level.value) == (Verdict.PASS, "warning")
    assert outcome.findings[0].message == "the training took 301 s, more than the budget of 300 s"


def test_figures_begin_with_the_headline():
    figures = memorize.measured(memorize.Evidence(ended=FINE, told=SOUND))
    assert [one.name for one in figures] == [
        "steps", "first loss", "best loss", "seconds", "training seconds", "device", "peak memory", "loss",
        "environment",
    ]  # fmt: skip
    assert str(figures[0]) == "5" and str(figures[6]) == "2 MiB"
    assert figures[-2] == Curve(name="loss", values=SOUND.losses)


def test_the_environment_is_there_to_look_up():
    told = msgspec.structs.replace(SOUND, device="cuda:0 NVIDIA H200", versions={"python": "3.12.1", "torch": "2.13.0"})
    table = memorize.measured(memorize.Evidence(ended=FINE, told=told))[-1]
    assert table.rows == (("device", "cuda:0 NVIDIA H200"), ("python", "3.12.1"), ("torch", "2.13.0"))


@pytest.mark.parametrize("given", [{"threshold": 1.0}, {"threshold": 0.0}, {"steps": 3}, {"running": 0}])
def test_a_config_that_cannot_hold_is_refused(given):
    with pytest.raises(ValueError, match="threshold|steps"):
        memorize.Config(**given)


def test_a_config_error_reaches_the_user(tmp_path):
    from backburn import config

    (tmp_path / "pyproject.toml").write_text("[tool.backburn.memorize]\nthreshold = 2\n")
    settings = config.load(tmp_path, {"memorize": memorize.Config})
    with pytest.raises(UserError, match="threshold must lie between 0 and 1"):
        settings.stage("memorize", memorize.Config)
