"""A whole search on real git histories, the training stood in for; one on a real training is slow."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from backburn import blame as searching
from backburn import evidence, references
from backburn.errors import UserError
from backburn.references import Machine, Reference
from backburn.report import Finding, Outcome, Report
from backburn.reproduction import culprit, rerun
from backburn.reproduction.culprit import Conclusion
from backburn.reproduction.told import Told
from backburn.stages import reproduce
from backburn.training import Ended

from ..repositories import begin, commit, git
from ..test_worktree import state
from .projects import PYPROJECT, Trainer, history


@pytest.fixture
def train(monkeypatch):
    """`train(**how)`: puts a stand-in in the place of the training."""

    def put(**how):
        trainer = Trainer(**how)
        monkeypatch.setattr(rerun, "train", trainer)
        return trainer

    return put


def blame(folder, **asked):
    said = []
    found = searching.blame(searching.Asked(folder=folder, say=said.append, **asked))
    return found[0], said


def refer(folder, **about):
    one = Reference(**{"stage": "reproduce", "training": "it", "machine": Machine(hardware="cpu-test")} | about)
    references.write(one, references.path_of(one, folder))


def test_the_culprit_of_a_history_is_found_proven_and_written_down(tmp_path, train):
    made, trainer = history(tmp_path / "it"), train()
    before = state(tmp_path / "it")[1:]
    one, said = blame(tmp_path / "it", good=f"{made[0]}~1")
    assert (one.conclusion, one.culprit.commit, one.culprit.pull_request) == (Conclusion.FOUND, made[7], 8)
    assert (one.culprit.author, one.culprit.subject) == ("Grace", "Raise the rate (#8)")
    assert (one.step, one.cause, one.hardware, one.proven) == (4, "optimizer", "cpu-test", True)
    assert one.file == "net.py" and "+RATE = 0.02  # from step 4 on" in one.hunk
    assert one.commits == 12 and one.inherited == 7 and one.cost <= 0.5 and one.reruns == len(trainer.done)
    assert culprit.load(tmp_path / "it/build/backburn/reproduce/it/blame.json") == one
    assert said[0] == f"blame it: 12 commits from {one.good[:12]} to {made[-1][:12]}"
    assert f"blame it: {made[-1][:12]} without {made[7][:12]} to step" in "\n".join(said)
    assert state(tmp_path / "it")[1:] == before and not (tmp_path / "it/build/backburn/blame/it/tree").exists()


def test_a_second_call_trains_nothing_again(tmp_path, train):
    made, trainer = history(tmp_path / "it"), train()
    one, _ = blame(tmp_path / "it", good=f"{made[0]}~1")
    done = len(trainer.done)
    again, said = blame(tmp_path / "it", good=f"{made[0]}~1")
    assert again == one and len(trainer.done) == done and said[1].endswith(", known from before")


def test_a_search_behind_a_night_begins_where_that_parted(tmp_path, train):
    made = history(tmp_path / "it", since=300)
    good, bad = git(tmp_path / "it", "rev-parse", f"{made[0]}~1").strip(), made[-1]
    one = Reference(
        stage="reproduce",
        training="it",
        machine=Machine(hardware="cpu-test"),
        commit=good,
        seeds=(42, 43),
        figures={"steps": (600, 600), "final val_loss": (1.0, 1.1)},
        hashes={f"parameters@{step}": "same" for step in (1, 257, 321)},
    )
    told = Told(ended="fit", steps=600, metrics={"val_loss": 1.0}, machine=one.machine)
    seen = reproduce.Evidence(
        ended=(Ended(command=("python",), code=0, seconds=1.0),),
        told=(told,),
        found=references.Found(reference=one),
        roots=one.hashes | {"parameters@321": "other"},
    )

    def first(commit):
        trainer = train()
        shutil.rmtree(tmp_path / "it/build", ignore_errors=True)
        folder = tmp_path / "it/build/backburn/reproduce"
        evidence.save(seen, folder / "it" / "evidence.json")
        evidence.save(Report(stage="reproduce", question="?", outcomes=(), commit=commit), folder / "report.json")
        found, _ = blame(tmp_path / "it", good=good)
        assert (found.culprit.commit, found.step) == (made[7], 300)
        return found.cost, trainer.done[0][1]

    (told_cost, told_first), (cost, began) = first(bad), first(made[3])  # a night of another commit
    assert (told_first, began) == (321, 5) and told_cost < cost


def test_an_interrupted_search_goes_on_where_it_was(tmp_path, train, monkeypatch):
    made, trainer = history(tmp_path / "it"), train()

    def interrupt(*words, **more):
        if len(trainer.done) == 4:
            raise KeyboardInterrupt
        return trainer(*words, **more)

    monkeypatch.setattr(rerun, "train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        blame(tmp_path / "it", good=f"{made[0]}~1")
    assert git(tmp_path / "it", "worktree", "list").count("\n") == 0
    monkeypatch.setattr(rerun, "train", trainer)
    one, said = blame(tmp_path / "it", good=f"{made[0]}~1")
    assert one.culprit.commit == made[7] and sum("known from before" in line for line in said) == 4
    assert len(trainer.done) == one.reruns


def test_commits_that_cannot_be_trained(tmp_path, train):
    made = history(tmp_path / "it", broken=(5, 7))
    train()
    one, _ = blame(tmp_path / "it", good=made[0])
    assert one.conclusion is Conclusion.RANGE and [each.commit for each in one.candidates] == made[6:8]
    assert one.skipped == (made[6],) and "1 of 2 candidates cannot be trained" in one.proof


def test_good_is_the_commit_of_the_reference_for_this_hardware(tmp_path, train):
    made = history(tmp_path / "it")
    train()
    with pytest.raises(UserError, match="it has no reference in references/reproduce"):
        blame(tmp_path / "it")
    refer(tmp_path / "it", commit=made[2])
    refer(tmp_path / "it", commit=made[3], machine=Machine(hardware="nvidia-h200"))
    assert blame(tmp_path / "it")[0].good == made[2]
    refer(tmp_path / "it", commit=f"{made[2]}+")
    with pytest.raises(UserError, match="is of no clean commit"):
        blame(tmp_path / "it")
    (tmp_path / "it/references/reproduce/it/cpu-test.json").unlink()
    refer(tmp_path / "it", commit=made[3], machine=Machine(hardware="nvidia-a100"))
    with pytest.raises(UserError, match="no reference for cpu-test; there is one for nvidia-a100, nvidia-h200"):
        blame(tmp_path / "it")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"good": "nowhere"}, "there is no commit 'nowhere'"),
        ({"good": "HEAD"}, "good and bad are the same commit"),
        ({"good": "HEAD", "bad": "HEAD~2"}, "is no ancestor of"),
        ({"good": "HEAD~2", "bad": "nowhere"}, "there is no commit 'nowhere'"),
        ({"training": "other"}, "no training is called 'other'"),
    ],
)
def test_asked_wrongly(tmp_path, train, asked, said):
    history(tmp_path / "it", count=3, culprit=2)
    trainer = train()
    with pytest.raises(UserError, match=said):
        blame(tmp_path / "it", **asked)
    assert trainer.done == []


def test_no_repository(tmp_path, train):
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    with pytest.raises(UserError, match="no git repository"):
        blame(tmp_path, good="HEAD")


def test_which_training_of_several(tmp_path, train):
    made = history(tmp_path / "it")
    more = PYPROJECT + '[tool.backburn.trainings.other]\ncommand = "python other.py"\n'
    head = commit(tmp_path / "it", "Another", {"pyproject.toml": more})
    train()
    with pytest.raises(UserError, match="no `backburn reproduce` was here"):
        blame(tmp_path / "it", good=made[0])
    bad = Outcome(check="reproduce/curve-holds", claim="c.", training="it", findings=(Finding(message="x"),))
    good = Outcome(check="reproduce/curve-holds", claim="c.", training="other")
    path = tmp_path / "it/build/backburn/reproduce/report.json"
    evidence.save(Report(stage="reproduce", question="q?", outcomes=(good,)), path)
    with pytest.raises(UserError, match="none of them failed"):
        blame(tmp_path / "it", good=made[0])
    evidence.save(Report(stage="reproduce", question="q?", outcomes=(bad, good)), path)
    one, _ = blame(tmp_path / "it", good=made[0])
    assert (one.training, one.bad, one.culprit.commit) == ("it", head, made[7])


def test_one_of_several_that_has_no_reference_keeps_nobody_from_the_others(tmp_path, train):
    made = history(tmp_path / "it")
    more = PYPROJECT + '[tool.backburn.trainings.another]\ncommand = "python another.py"\n'
    commit(tmp_path / "it", "Another", {"pyproject.toml": more})
    train()
    refer(tmp_path / "it", commit=made[0])
    bad = tuple(
        Outcome(check="reproduce/training-ran", claim="c.", training=name, findings=(Finding(message="x"),))
        for name in ("it", "another")
    )
    path = tmp_path / "it/build/backburn/reproduce/report.json"
    evidence.save(Report(stage="reproduce", question="q?", outcomes=bad), path)
    another, one = searching.blame(searching.Asked(folder=tmp_path / "it"))
    assert another.said == "another has no reference in references/reproduce. Name a commit that was good with --good."
    assert (another.conclusion, one.culprit.commit) == (Conclusion.UNJUDGED, made[7])


def test_a_training_whose_data_slide_is_not_searched(tmp_path):
    history(tmp_path / "it")
    more = '[tool.backburn.trainings.recent]\ncommand = "x"\n[tool.backburn.trainings.recent.reproduce]\n'
    commit(tmp_path / "it", "Another", {"pyproject.toml": PYPROJECT + more + 'lane = "sliding"\n'})
    bad = Outcome(check="reproduce/curve-holds", claim="c.", training="recent", findings=(Finding(message="x"),))
    path = tmp_path / "it/build/backburn/reproduce/report.json"
    evidence.save(Report(stage="reproduce", question="q?", outcomes=(bad,)), path)
    said = []
    assert searching.blame(searching.Asked(folder=tmp_path / "it", say=said.append)) == ()
    assert said == ["recent: its lane is sliding, and no commit is searched for it"]


def test_both_ends_the_same_an_end_that_cannot_be_trained_and_what_is_not_committed(tmp_path, train):
    made = history(tmp_path / "it")
    train()
    (tmp_path / "it" / "net.py").write_text("not committed\n")
    one, _ = blame(tmp_path / "it", good=made[8])
    assert (
        one.conclusion is Conclusion.UNJUDGED and "both come to the same, to the last bit, over 600 steps" in one.said
    )
    assert one.notes == ("what is not committed is no part of it",)
    git(tmp_path / "it", "checkout", "-q", "--", ".")
    commit(tmp_path / "it", "Break", {"net.py": "SyntaxError\n"})
    one, _ = blame(tmp_path / "it", good=made[0])
    assert "bad (" in one.said and "cannot be trained here: SyntaxError" in one.said


def test_one_that_never_repeats_is_weighed(tmp_path, train):
    made = history(tmp_path / "it")
    draw = random.Random(1)
    train(noise=draw.random, metric=lambda rates: 0.3 * 1.01 ** (draw.gauss() + 12 * (len(rates) - 1)))
    refer(
        tmp_path / "it",
        commit=made[0],
        figures={"final val_loss": (0.3, 0.303, 0.297, 0.299, 0.302)},
        seeds=(1, 2, 3, 4, 5),
    )
    one, _ = blame(tmp_path / "it", runs=14)
    assert (one.conclusion, one.culprit.commit, one.statistical) == (Conclusion.FOUND, made[7], True)
    assert one.certainty >= 0.95 and one.proven and "as good is" in one.proof and one.file == "net.py"
    one, _ = blame(tmp_path / "it", runs=0)
    assert one.conclusion is Conclusion.UNJUDGED and "no whole run is allowed" in one.said


def test_code_that_is_read_from_elsewhere_is_no_evidence(tmp_path, train, monkeypatch):
    made, trainer = history(tmp_path / "it"), train()

    def astray(*words, **more):
        import msgspec

        return msgspec.structs.replace(trainer(*words, **more), astray=str(tmp_path / "it" / "net.py"))

    monkeypatch.setattr(rerun, "train", astray)
    one, _ = blame(tmp_path / "it", good=made[0])
    assert one.conclusion is Conclusion.UNJUDGED and "which is no part of it" in one.said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_it_and_leaves_no_worktree(tmp_path, number, code):
    folder = tmp_path / "it"
    begin(folder, {"pyproject.toml": PYPROJECT.replace("python train.py", "sleep 60"), ".gitignore": "build/\n"})
    commit(folder, "Two", {"README.md": "two\n"})
    words = [sys.executable, "-m", "backburn", "blame", "--good", "HEAD~1"]
    child = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
    runs = folder / "build/backburn/blame/it/runs"
    deadline = time.monotonic() + 60
    while not list(runs.glob("*/output.txt")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (folder / "build/backburn/blame/it/tree/pyproject.toml").exists()
    child.send_signal(number)
    child.send_signal(number)
    assert child.wait(30) == code and "interrupted by" in child.stderr.read()
    assert not (folder / "build/backburn/blame/it/tree").exists()
    assert git(folder, "worktree", "list").count("\n") == 0 and git(folder, "status", "--porcelain") == ""


# A real training


REAL = {
    "pyproject.toml": f"""
[tool.backburn]
install = "none"
[tool.backburn.trainings.it]
command = ["{sys.executable}", "train.py"]
""",
    "train.py": """
import lightning.pytorch as pl

import data
import net

if __name__ == "__main__":
    pl.seed_everything(7)
    trainer = pl.Trainer(
        max_epochs=15, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(net.Net(), data.loader(True), data.loader(False))
""",
    "net.py": """
import lightning.pytorch as pl
import torch
from torch import nn


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.head = nn.Linear(16, 4)

    def loss(self, batch):
        return nn.functional.cross_entropy(self.head(self.encoder(batch[0])), batch[1])

    def training_step(self, batch, batch_idx):
        return self.loss(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)
""",
    "data.py": """
import csv
import torch
from torch.utils.data import DataLoader, TensorDataset


def loader(shuffle):
    with open("data/all.csv") as stream:
        rows = torch.tensor([[float(one) for one in row] for row in csv.reader(stream)])
    return DataLoader(TensorDataset(rows[:, :8], rows[:, 8].long()), batch_size=16, shuffle=shuffle)
""",
    ".gitignore": "build/\ndata/\n__pycache__/\n",
    "README.md": "it\n",
}


@pytest.mark.slow
def test_a_real_training_by_the_door(tmp_path):
    folder = tmp_path / "it"
    good = begin(folder, REAL)
    draw = random.Random(0)
    (folder / "data").mkdir()
    rows = [[draw.gauss() for _ in range(8)] for _ in range(256)]
    (folder / "data" / "all.csv").write_text(
        "".join(f"{','.join(map(repr, row))},{row.index(max(row[:4]))}\n" for row in rows)
    )
    for number in range(1, 9):
        commit(folder, f"Docs {number}", {"README.md": f"{number}\n"})
    commit(folder, "Note", {"net.py": REAL["net.py"] + "# note\n"})
    leaky = REAL["net.py"].replace("nn.ReLU()", "nn.LeakyReLU(0.011)")
    culprit_ = commit(folder, "Let some through (#42)", {"net.py": leaky + "# note\n"}, who="Grace")
    commit(folder, "Last", {"README.md": "last\n"})
    before = state(folder)[1:]
    words = [sys.executable, "-m", "backburn", "blame", "it", "--good", good, "--json", "--budget", "0"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["blame"]
    assert (one["culprit"]["commit"], one["culprit"]["pull_request"], one["proven"]) == (culprit_, 42, True)
    assert (one["step"], one["cause"], one["module"]) == (1, "forward", "encoder.1")
    assert "leaky_relu" in one["op"] and one["inherited"] == 9 and one["reruns"] <= 6 and one["cost"] <= 0.5
    assert f"{culprit_[:12]} changed it" in done.stderr and state(folder)[1:] == before
