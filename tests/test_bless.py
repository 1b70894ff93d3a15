"""Blessing: real git repositories, real candidates on disk; most run a small stage of the test's own."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from backburn import bless, catalog, evidence, git, pipeline, references
from backburn.config import Training
from backburn.errors import Interrupted, Unjudged, UserError
from backburn.references import Machine, Reference
from backburn.report import Report, Verdict

SEEDS = (42, 43, 44, 45, 46)
PROJECT = """
[tool.backburn.trainings.digits]
command = 'python train.py'
[tool.backburn.trainings.other]
command = 'python other.py'
"""


def run(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder, message="more"):
    run(folder, "add", ".")
    run(folder, "commit", "-qm", message)
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "a project, é"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / ".gitignore").write_text("build/\n")
    run(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


def candidate(root, training="digits", *, loss=0.5, hardware="cpu-avx2", seeds=SEEDS, stage="reproduce", **about):
    """One as a sound stage writes it; `loss` is where the last one's mean lies."""
    figures = {
        "steps": (100,) * len(seeds),
        "final accuracy": tuple(0.9 + place / 1000 for place in range(len(seeds))),
        **{
            f"loss@{step}": tuple(loss + 1 / step + place / 100 for place in range(len(seeds))) for step in range(1, 90)
        },
    }
    about = {"figures": figures, "commit": git.head(root), "date": "2026-11-21", "repeated": 20} | about
    return Reference(stage=stage, training=training, machine=Machine(hardware=hardware), seeds=seeds, **about)


def lay(one, path):
    references.write(one, path)
    return path


def blessed(root, file=None, stage="reproduce", **about):
    return bless.bless(bless.Asked(stage=stage, folder=root, file=file, **about))


def refused(root, file=None, **about):
    """What is said; nothing was written, nothing was trained."""
    with pytest.raises(UserError) as caught:
        blessed(root, file, **about)
    assert run(root, "status", "--porcelain", "--", "references") == ""
    return str(caught.value)


def test_a_candidate_of_this_commit_becomes_the_reference(root, tmp_path):
    given = candidate(root)
    (done,) = blessed(root, lay(given, tmp_path / "candidate.json"), reason="the first")
    assert done.path == root / "references" / "reproduce" / "digits" / "cpu-avx2.json"
    assert references.known(root, "reproduce", "digits") == {
        "cpu-avx2": msgspec.structs.replace(given, reason="the first")
    }
    assert (done.old, done.warning) == (None, "")


def test_memorize_is_blessed_once_for_every_machine(root, tmp_path):
    """What its reference is for are the checks that found something when it was reviewed."""
    about = {"stage": "memorize", "hardware": "any", "seeds": (42,)}
    file = lay(candidate(root, **about), tmp_path / "without.json")
    assert "it does not say which checks found something" in refused(root, file, stage="memorize")
    given = candidate(root, **about, settings={"found": "parameters-stay-trainable"})
    (done,) = blessed(root, lay(given, tmp_path / "candidate.json"), stage="memorize")
    assert done.path == root / "references" / "memorize" / "digits" / "any.json"


REFUSED = {  # what a candidate has otherwise than a sound one -> what is said of it
    "a NaN": ({"figures": {"loss@1": (0.1, 0.2, math.nan, 0.3, 0.4)}}, "the candidate of digits: not finite: loss@1"),
    "an infinity": ({"figures": {"loss@1": (0.1, 0.2, math.inf, 0.3, 0.4)}}, "not finite: loss@1"),
    "an integer beyond all floats": ({"figures": {"steps": (1, 2, 3, 4, 10**400)}}, "not finite: steps"),
    "too few seeds": ({"seeds": SEEDS[:3]}, "3 of 5 seeds"),
    "a dirty tree": ({"commit": "0" * 40 + "+"}, "is of a tree with changes beside 000000000000"),
    "no commit": ({"commit": ""}, "is of no commit"),
    "an option for git": ({"commit": "--output=owned"}, "is of no commit"),
    "a foreign commit": ({"commit": "1" * 40}, "commit 111111111111 is not in this clone"),
    "another stage": ({"stage": "profile"}, "no candidate for reproduce is there\n  Found: profile digits."),
    "no such training": (
        {"training": "digit"},
        "no training is called 'digit'\n  Did you mean 'digits'?",
    ),
    "another folder": ({"training": "../../../etc"}, "'../../../etc' cannot be part of a reference's path"),
    "another folder by its hardware": ({"hardware": "../x"}, "'../x' cannot be part of a reference's path"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_a_reference_is_refused_and_says_why(root, tmp_path, what):
    about, said = REFUSED[what]
    assert said in refused(root, lay(candidate(root, **about), tmp_path / "candidate.json"))


def test_a_dirty_tree_is_refused_and_references_may_differ(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    blessed(root, file)
    blessed(root, file)  # the first one's reference is not committed yet
    for path in ("pyproject.toml", "new ü.py"):
        (root / path).touch()
    (root / "pyproject.toml").write_text(PROJECT + "\n")
    with pytest.raises(UserError, match="not committed: pyproject.toml, new ü.py") as caught:
        blessed(root, file)
    assert ".gitignore" in caught.value.hint


def test_without_a_commit_there_is_nothing_to_bless(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    run(root, "update-ref", "-d", "HEAD")
    assert "there is no commit here" in refused(root, file)


def test_what_is_no_candidate_is_told_what_one_is(root, tmp_path):
    report = tmp_path / "report.json"
    report.write_text('{"kind": "report", "schema": 1}')
    for file, said in ((Path("digits"), "no such file or folder"), (report, "got 'report'")):
        with pytest.raises(UserError, match=said) as caught:
            blessed(root, file)
        assert "FILE is a candidate.json" in caught.value.hint
        assert ("--training digits" in caught.value.hint) is (file == Path("digits"))


def test_an_ancestor_of_head_is_taken_and_the_files_that_differ_are_named(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    blessed(root, file)
    first = git.head(root, apart_from="references")
    commit(root)
    assert blessed(root, file)[0].warning == ""  # nothing but references/ changed since
    (root / "model.py").touch()
    head = commit(root)
    said = f"digits was trained at {first[:12]}, and HEAD, {head[:12]}, differs from it in model.py"
    assert blessed(root, file)[0].warning == said
    run(root, "checkout", "-q", first)
    elsewhere = lay(candidate(root, commit=head), tmp_path / "later.json")
    assert "no part of what is checked out" in refused(root, elsewhere)


def test_a_folder_of_artifacts_holds_many_and_one_bad_one_stops_all(root, tmp_path):
    for name, stage, training, hardware in (
        ("reproduce-train-0", "reproduce", "digits", "cpu-avx2"),
        ("reproduce-train-1", "reproduce", "digits", "nvidia-h200"),
        ("reproduce-train-0", "reproduce", "other", "cpu-avx2"),
        ("profile-train-0", "profile", "digits", "cpu-avx2"),
    ):
        one = candidate(root, training, stage=stage, hardware=hardware)
        lay(one, tmp_path / "down" / name / hardware / training / "candidate.json")
    assert [(one.new.training, one.new.machine.hardware) for one in blessed(root, tmp_path / "down")] == [
        ("digits", "cpu-avx2"),
        ("other", "cpu-avx2"),
        ("digits", "nvidia-h200"),
    ]
    assert not (root / "references" / "profile").exists()
    run(root, "clean", "-qdf", "references")
    assert {one.new.training for one in blessed(root, tmp_path / "down", trainings=("other",))} == {"other"}
    run(root, "clean", "-qdf", "references")
    lay(candidate(root, "other", hardware="z", seeds=SEEDS[:2]), tmp_path / "down" / "z" / "candidate.json")
    assert "2 of 5 seeds" in refused(root, tmp_path / "down")
    lay(candidate(root, "digits"), tmp_path / "down" / "z" / "candidate.json")
    assert "more than one candidate for references/reproduce/digits/cpu-avx2.json" in refused(root, tmp_path / "down")
    assert "no candidate for reproduce of other is there" in refused(
        root, tmp_path / "down" / "z", trainings=("other",)
    )
    (tmp_path / "empty").mkdir()
    assert "Found: no candidate.json at all." in refused(root, tmp_path / "empty")


def test_a_reference_that_cannot_be_read_is_refused_before_anything_runs(root, tmp_path):
    path = root / "references" / "reproduce" / "digits" / "cpu-avx2.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    commit(root)
    said = refused(root, lay(candidate(root), tmp_path / "candidate.json"))
    assert "not readable as JSON" in said and "delete it and bless again" in said


def test_a_reference_that_cannot_be_written_is_named(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    (root / "references").touch()
    with pytest.raises(UserError, match="references/reproduce/digits/cpu-avx2.json: cannot write: "):
        blessed(root, file)


# Without a file: what lies here, else a run


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    training: Training = Training()
    candidate: bool = False


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    found: Reference | None = None
    kind: str = "toy"
    schema: int = 1


@pytest.fixture
def toy(root, monkeypatch):
    """A stage whose training is the given function; call it to bless. `trained` says what ran."""

    def prepared(gather=None):
        def trained(config, root, out):
            prepared.trained.append(config.training.name)
            assert config.candidate
            return Evidence(found=gather(config) if gather else candidate(root, config.training.name, stage="toy"))

        stage = SimpleNamespace(
            __doc__="Is it a toy?",
            Config=Config,
            Evidence=Evidence,
            gather=trained,
            measured=lambda seen: (),
            candidate=lambda seen, config: seen.found,
            unfit=lambda one, config: ["too few"] if len(one.seeds) < 3 else [],
            CHECKS=(),
        )
        monkeypatch.setitem(catalog.STAGES, "toy", stage)
        monkeypatch.setitem(catalog.REFERENCED, "toy", stage)
        return lambda **about: blessed(root, stage="toy", **about)

    prepared.trained = []
    return prepared


def test_what_is_not_there_is_trained_and_what_is_there_is_taken(toy, root):
    call = toy()
    assert [one.new.training for one in call()] == ["digits", "other"]
    assert toy.trained == ["digits", "other"]
    call()
    assert toy.trained == ["digits", "other"]
    commit(root)  # the references: HEAD is another commit now
    (one,) = call(trainings=("other", "other"))
    assert toy.trained == ["digits", "other", "other"]
    assert one.new.commit == git.head(root, apart_from="references")


def test_one_that_does_not_fit_is_trained_again(toy, root):
    path = root / pipeline.FOLDER / "toy" / "digits" / pipeline.CANDIDATE
    call = toy()
    for bad in (
        {"seeds": SEEDS[:2]},
        {"commit": git.head(root) + "+"},
        {"training": "other"},
        {"figures": {"a": (math.nan,) * 5}},
    ):
        lay(candidate(root, **{"stage": "toy", **bad}), path)
        toy.trained.clear()
        call(trainings=("digits",))
        assert toy.trained == ["digits"], bad
    path.write_text("{")
    call(trainings=("digits",))
    assert toy.trained == ["digits", "digits"]


def test_a_run_that_leaves_nothing_writes_nothing_and_keeps_what_took_hours(toy, root):
    toy()(trainings=("digits",))
    run(root, "clean", "-qdf", "references")

    def gather(config):
        raise Unjudged("no GPU")

    with pytest.raises(bless.NoCandidate) as caught:
        toy(gather)()
    assert caught.value.report.outcomes[0].unjudged == "no GPU"
    assert not (root / "references").exists()
    assert (root / pipeline.FOLDER / "toy" / "digits" / pipeline.CANDIDATE).exists()


def test_an_interrupted_run_is_no_reference(toy, root):
    def gather(config):
        raise Interrupted(2)

    with pytest.raises(bless.NoCandidate) as caught:
        toy(gather)()
    assert caught.value.report.interrupted == "interrupted by SIGINT"


def test_a_tree_that_moved_under_the_training_is_refused(toy, root):
    def gather(config):
        (root / "pyproject.toml").write_text(PROJECT + "# changed\n")
        return candidate(root, config.training.name, stage="toy")

    with pytest.raises(UserError, match="changed or committed while it was trained"):
        toy(gather)(trainings=("digits",))
    assert not (root / "references").exists()


def test_what_a_training_leaves_behind_does_not_stop_its_own_blessing(toy, root):
    def gather(config):
        (root / "lightning_logs").mkdir()
        (root / "lightning_logs" / "x").touch()
        return candidate(root, config.training.name, stage="toy")

    assert toy(gather)(trainings=("digits",))
    assert "not committed: lightning_logs/x" in refused_again(root)


def refused_again(root):
    with pytest.raises(UserError) as caught:
        blessed(root, stage="toy")
    return str(caught.value)


# What it prints


def shown(all_blessed, width=100, colour=False):
    return bless.render(all_blessed, Path.cwd(), width=width, colour=colour)


def test_the_first_one_is_shown_alone(root, tmp_path):
    text = shown(blessed(root, lay(candidate(root), tmp_path / "candidate.json")))
    assert "reproduce digits on cpu-avx2: 5 runs at" in text and "; the first" in text
    assert "before" not in text
    assert "0.902 ± 0.0016" in text
    assert "… 86 more of loss@" in text and "loss@89 " in text  # the last steps
    assert "git add" in text and "references/reproduce/digits/cpu-avx2.json" in text


def test_old_and_new_stand_side_by_side_and_what_moved_most_first(root, tmp_path):
    file = tmp_path / "candidate.json"
    blessed(root, lay(candidate(root, settings={"lr": "0.1"}, data={"train": "a"}), file))
    now = candidate(root, loss=0.6, settings={"lr": "0.2"}, data={"train": "b"})
    figures = {**now.figures, "final f1": (0.5,) * 5, "steps": (110,) * 5}
    del figures["final accuracy"]
    now = msgspec.structs.replace(now, figures=figures, machine=Machine(hardware="cpu-avx2", hard={"torch": "2.13"}))
    with pytest.raises(UserError, match="another environment than the reference's: torch: - → 2.13"):
        blessed(root, lay(now, file))
    text = shown(blessed(root, lay(now, file), epoch=True))
    assert "by the environment alone: " not in text  # no metric is in both
    assert row(text, "loss@89") == ["loss@89", "0.531236", "±", "0.016", "0.631236", "±", "0.016", "+18.82%", "+6.3"]
    assert "loss@1 " not in text  # it moved least
    assert row(text, "… 86 more of loss@")[-2:] == ["no", "more"]
    assert row(text, "final f1") == ["final", "f1", "-", "0.5", "new"]
    assert row(text, "final accuracy")[-2:] == ["-", "gone"]
    assert row(text, "steps") == ["steps", "100", "110", "+10.00%"]
    for line in ("environment: torch: - → 2.13", "settings: lr: 0.1 → 0.2", "data: train: a → b"):
        assert line in text
    assert len(text.splitlines()) < 26


def test_the_text_for_the_pull_request_lies_beside_the_evidence(root, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_ACTOR", "ada")
    file = tmp_path / "candidate.json"
    blessed(root, lay(candidate(root), file))
    now = msgspec.structs.replace(candidate(root), machine=Machine(hardware="cpu-avx2", hard={"torch": "2.13"}))
    done = blessed(root, lay(now, file), epoch=True)
    assert "by the environment alone: final accuracy: 0.902 → 0.902 (+0.00%)" in shown(done)
    path = root / "build" / "backburn" / "reproduce" / "bless.md"
    assert done[0].review == path and f"For the pull request: {os.path.relpath(path)}" in shown(done)
    text = path.read_text()
    assert "- blessed by `ada`" in text and "- environment: `torch: - → 2.13`" in text
    assert run(root, "status", "--porcelain") == "?? references/"


def test_an_epoch_is_refused_before_anything_is_trained(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    assert "no epoch to end" in refused(root, file, epoch=True)
    blessed(root, file)
    commit(root)
    (root / "model.py").touch()
    commit(root)
    with pytest.raises(UserError, match="an epoch needs the reference's own commit"):
        blessed(root, epoch=True, trainings=("digits",))


def test_a_training_that_does_not_repeat_or_was_not_asked_is_refused(root, tmp_path):
    where = "at step 1: gradients (backward)"
    file = tmp_path / "candidate.json"
    assert where in refused(root, lay(candidate(root, repeated=0, apart=where), file))
    assert "it was not run twice" in refused(root, lay(candidate(root, repeated=0), file))
    (root / "pyproject.toml").write_text(PROJECT + "[tool.backburn.reproduce]\nself-steps = 0\n")
    commit(root)
    assert blessed(root, lay(candidate(root, repeated=0, apart=where), file))


def row(text, name):
    (line,) = (line for line in text.splitlines() if line.startswith(f"  {name} "))
    return line.split()


def test_nothing_moved_is_seen_at_a_glance(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    blessed(root, file)
    text = shown(blessed(root, file))
    assert "%" not in text and "environment" not in text
    assert row(text, "… 89 more of loss@")[-1] == "none"
    assert all(len(line) <= 80 for line in shown(blessed(root, file), width=80).splitlines()[1:5])  # nothing is folded


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ((0.5, 0.7), (0.6, 0.8), ["0.6 ± 0.14", "0.7 ± 0.14", "+16.67%", "+0.7"]),
        ((-2.0, -2.0), (-1.0, -1.0), ["-2", "-1", "+50.00%", ""]),
        ((0, 0), (3, 3), ["0", "3", "from 0", ""]),
        ((1200, 1200), (1200, 1200), ["1,200", "1,200", "", ""]),
        ((), (1, 2), ["-", "1.5 ± 0.71", "new", ""]),
        ((1, 1), (), ["1", "-", "gone", ""]),
    ],
)
def test_a_figure_s_row(old, new, words):
    assert list(bless._Row(name="x", old=old, new=new).words()) == ["x", *words]


def test_it_fits_the_terminal_and_is_plain_when_piped(root, tmp_path):
    file = lay(candidate(root), tmp_path / "candidate.json")
    done = blessed(root, file)
    table = [line for line in shown(done, width=60).splitlines() if line.startswith(("  loss@", "  final"))]
    assert table and max(map(len, table)) <= 60
    assert "\x1b" not in shown(done)
    assert "\x1b" in shown(done, colour=True)


def test_a_candidate_from_elsewhere_gives_the_terminal_no_orders(root, tmp_path):
    evil = "final \x1b]0;owned\x07 \u202e"
    one = candidate(root, settings={evil: "x"}, date="\x1b[2J")
    blessed(root, lay(candidate(root), tmp_path / "candidate.json"))
    one = msgspec.structs.replace(one, figures=one.figures | {evil: (1.0,) * 5})
    text = shown(blessed(root, lay(one, tmp_path / "candidate.json")))
    assert "owned" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}


# Through the door, with a real training

TRAIN = """
import os
import time
from pathlib import Path

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch, batch_idx):
        if os.environ.get("SLOW") and self.global_step == 5:
            Path("build/pid").write_text(str(os.getpid()))
            time.sleep(60)
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


L.seed_everything(1)
x, y = torch.randn(64, 8), torch.randint(4, (64,))
quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False)
L.Trainer(max_epochs=3, accelerator="cpu", **quiet).fit(Net(), DataLoader(TensorDataset(x, y), batch_size=16))
"""


@pytest.fixture
def real(tmp_path):
    folder = tmp_path / "real"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / ".gitignore").write_text("build/\n")
    (folder / "pyproject.toml").write_text(
        "[tool.backburn]\ninstall = 'none'\n[tool.backburn.reproduce]\nseeds = 3\n"
        "[tool.backburn.trainings.net]\ncommand = 'python train.py'\n"
    )
    run(folder, "init", "-q", "-b", "main")
    commit(folder)
    return folder


def start(*words, cwd, **env):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_"))}
    kept["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    command = [sys.executable, "-m", "backburn", *words]
    return subprocess.Popen(command, cwd=cwd, env=kept | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def door(*words, cwd, **env):
    child = start(*words, cwd=cwd, **env)
    out, error = child.communicate(timeout=180)
    return child.returncode, out, error


@pytest.mark.slow
def test_a_blessed_training_passes_and_a_changed_one_fails(real):
    code, out, error = door("bless", "reproduce", "--reason", "the first", cwd=real)
    assert (code, error) == (0, "")
    assert "Wrote references/reproduce/net/cpu-" in out and "`git add references && git commit`" in out
    (path,) = (real / "references").rglob("*.json")
    assert references.load(path).reason == "the first"
    commit(real)
    code, out, _ = door("reproduce", cwd=real)
    assert code == 0 and "to the last bit" in out
    (real / "train.py").write_text(TRAIN.replace("max_epochs=3", "max_epochs=4"))
    code, out, _ = door("reproduce", cwd=real)
    assert code == 1 and "error: reproduce/same-training [net]" in out and "max_epochs: 3 → 4" in out
    code, out, error = door("bless", "reproduce", cwd=real)
    assert (code, out) == (2, "") and "not committed: train.py" in error
    path.write_text(path.read_text()[:-100])
    commit(real)
    for words in (("reproduce",), ("bless", "reproduce")):
        code, out, error = door(*words, cwd=real)
        assert (code, out) == (2, "") and f"{path.name}: not readable as JSON" in error


def test_a_training_that_fails_leaves_nothing_to_bless_and_its_report_is_shown(real):
    (real / "train.py").write_text("raise ZeroDivisionError\n")
    commit(real)
    code, out, _ = door("bless", "reproduce", cwd=real)
    assert code == 1 and "error: reproduce/training-ran [net] train.py:1" in out
    assert not (real / "references").exists()


def test_two_at_once_is_refused_and_a_training_killed_half_way_is_unjudged(real):
    first = start("reproduce", cwd=real, SLOW="1")
    while not (real / "build" / "pid").exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.1)
    code, out, error = door("reproduce", cwd=real)
    assert (code, out) == (2, "") and "another `backburn reproduce` is at work in this folder" in error
    os.kill(int((real / "build" / "pid").read_text()), signal.SIGKILL)
    out, _ = first.communicate(timeout=60)
    assert first.returncode == 3 and "it was killed (SIGKILL)" in out
    folder = real / "build" / "backburn" / "reproduce"
    assert evidence.load(folder / "report.json", Report).verdict is Verdict.UNJUDGED
    assert not (folder / "net" / "candidate.json").exists()
