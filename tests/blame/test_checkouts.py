"""The world as it is: what is kept, under what it is kept, and the settings of each commit."""

import time

import pytest

from backburn import pipeline
from backburn.blame.checkouts import Checkouts
from backburn.errors import Unjudged
from backburn.reproduction import rerun
from backburn.reproduction.rerun import Ask
from backburn.worktree import opened

from ..repositories import commit
from .projects import PYPROJECT, Trainer, history


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = history(tmp_path / "it", count=3, culprit=2)
    trainer = Trainer()
    plans = []
    monkeypatch.setattr(
        rerun, "train", lambda plan, *words, **more: plans.append(plan) or trainer(plan, *words, **more)
    )
    settings, top = pipeline.project(tmp_path / "it")
    with opened(top, tmp_path / "tree", "HEAD") as tree:
        about = {"tree": tree, "project": "", "name": "it", "settings": settings, "kept": tmp_path / "runs"}
        yield Checkouts(**about, stamp="s", until=time.monotonic() + 60, tell=lambda line: None), made, trainer, plans


def test_a_training_is_kept_under_what_decided_it(world):
    one, made, trainer, _ = world
    one.train(Ask(commit=made[0], until=5))
    one.train(Ask(commit=made[0], until=5))
    assert len(trainer.done) == 1
    one.train(Ask(commit=made[0], until=6))
    one.stamp = "another machine"
    one.train(Ask(commit=made[0], until=5))
    assert len(trainer.done) == 3
    for path in one.kept.glob("*/rerun.json"):
        path.write_text("cut sho")
    one.train(Ask(commit=made[0], until=5))
    assert len(trainer.done) == 4


def test_each_commit_has_its_own_command_and_one_without_has_that_of_today(world, tmp_path):
    one, made, _, plans = world
    other = commit(tmp_path / "it", "Move", {"pyproject.toml": PYPROJECT.replace("train.py", "-m it.train")})
    none = commit(tmp_path / "it", "None", {"pyproject.toml": ""})
    new = commit(tmp_path / "it", "Of tomorrow", {"pyproject.toml": PYPROJECT + "unknown = 1\n"})
    for commit_ in (made[0], other, none, new):
        one.train(Ask(commit=commit_, until=1))
    assert [plan.one.command for plan in plans] == [
        "python train.py",
        "python -m it.train",
        "python train.py",
        "python train.py",
    ]
    assert plans[0].settings == {"seed": 42, "require_gpu": False, "rehearsal": False} and plans[0].install == "none"


def test_the_time_for_all_of_them_is_one(world):
    one, made, _, _ = world
    one.until = time.monotonic()
    with pytest.raises(Unjudged, match="the time for all trainings is over"):
        one.train(Ask(commit=made[0], until=1))


def test_a_commit_whose_environment_cannot_be_made_cannot_be_trained(world, monkeypatch):
    one, made, _, _ = world

    def refuse(*words, **more):
        raise Unjudged("the index cannot be reached")

    monkeypatch.setattr(rerun, "train", refuse)
    ran = one.train(Ask(commit=made[0], until=1))
    assert ran.failed == "the index cannot be reached" and not list(one.kept.glob("*/rerun.json"))
