"""Running a training: what its probe is asked, what becomes of its answer, its record and its checkpoints."""

import json
import sys
import time
from pathlib import Path

import pytest

from backburn.config import Training
from backburn.environment import Environment
from backburn.reproduction.runs import NEVER, Runs

TRAIN = """
import json, os
asked = json.loads(os.environ["BACKBURN_PROBE"])
open("asked", "a").write(json.dumps(asked["settings"]) + "\\n")
open(os.path.join(asked["settings"]["scratch"], "big.ckpt"), "w").close()
told = {"kind": "reproduce-probe", "schema": 1, "ended": "fit", "steps": 3, "start": 10}
open(asked["evidence"], "w").write(json.dumps(told))
steps = os.path.join(os.path.dirname(asked["evidence"]), "steps.jsonl")
open(steps, "w").write(open("steps").read())
"""
HEADER = '{"kind": "steps", "schema": 1}\n'
STEP = '{"step": 1, "loss": "0x1p+0", "parameters": {"w": "a"}}\n'


@pytest.fixture
def runs(tmp_path):
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "steps").write_text(HEADER + STEP)
    one = Training(name="it", command=(sys.executable, "train.py"))
    python = Environment(python=Path(sys.executable))
    about = {"settings": {"seed": 42, "seconds": 0}, "python": python, "root": tmp_path, "out": tmp_path / "out"}
    return Runs(one=one, args=(), deadline=time.monotonic() + 60, **about)


def test_a_night_and_what_runs_beside_it(runs, tmp_path):
    night = runs.night()
    assert night.told.steps == 3 and night.roots["loss@11"] == "0x1p+0" and "parameters@11" in night.roots
    runs.aside("again", "once more", until=NEVER)
    runs.aside("ulp-1", "rounding 1 of 8", ulp=1)
    asked = [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]
    assert [(it["shift"], it["ulp"], it["until"], it["seed"]) for it in asked] == [
        (0, 0, 0, 42), (0, 0, NEVER, 42), (0, 1, 0, 42),
    ]  # fmt: skip
    out = tmp_path / "out"
    assert (out / "steps.jsonl").exists() and (out / "again" / "steps.jsonl").exists()
    assert not (out / "ulp-1" / "steps.jsonl").exists()  # nothing is held against its tensors
    assert not list(out.rglob("*.ckpt"))


@pytest.mark.parametrize("content", ["", "{", HEADER + "{\n" + STEP, HEADER.replace("1", "2")])
def test_a_record_that_cannot_be_read_is_none(runs, tmp_path, content):
    (tmp_path / "steps").write_text(content)
    night = runs.night()
    assert night.told.steps == 3 and night.roots == {}


def test_time_that_is_left(runs):
    assert runs.has(1) and not runs.has(100)
