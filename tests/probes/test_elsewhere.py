"""What trains where no Lightning Trainer does: real trainings, each told apart by who steps the optimizer."""

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .trainings import SETTINGS

SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
ONPATH = Path(__file__).parents[2] / "src" / "backburn" / "probes" / "onpath"

LOOP = """
import torch
net = torch.nn.Linear(8, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(3):
    net(torch.randn(2, 8)).sum().backward()
    optimizer.step()
"""
FABRIC = """
import torch
from lightning.fabric import Fabric
fabric = Fabric(accelerator="cpu")
net = torch.nn.Linear(8, 4)
net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.1))
fabric.backward(net(torch.randn(2, 8)).sum())
optimizer.step()
"""
MAKES = "from lightning.pytorch import Trainer\nTrainer(accelerator='cpu', logger=False)\n"
STEPS_ELSEWHERE = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {LOOP!r}], check=True)\n"


def told(code, path, folder=""):
    """What the probe noted of a whole process; None where it noted nothing."""
    asked = {"stage": "memorize", "settings": SETTINGS | {"scratch": str(path)}, "evidence": str(path / "probe.json")}
    env = os.environ | {"PYTHONPATH": f"{ONPATH}{os.pathsep}{folder}", "BACKBURN_PROBE": json.dumps(asked)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, cwd=path)
    noted = path / "elsewhere.json"
    assert not (path / "probe.json").exists() and not list(path.glob("*.part"))
    return json.loads(noted.read_text())["by"] if noted.exists() else None


@pytest.mark.parametrize(("code", "by"), [(LOOP, "plain torch"), SLOW(FABRIC, "Lightning Fabric")])
def test_who_steps_the_optimizer_is_named(tmp_path, code, by):
    assert told(code, tmp_path) == by


# Stand-ins of Hugging Face's two packages, as the real ones are 100 MB: what is looked at is where a function is.
STANDINS = {
    "transformers/trainer.py": "from accelerate.optimizer import Stepper\n"
    "class Trainer:\n    def train(self, optimizer):\n        Stepper().step(optimizer)\n",
    "accelerate/optimizer.py": "class Stepper:\n    def step(self, optimizer):\n        optimizer.step()\n",
}


@pytest.mark.parametrize(
    ("last", "by"),
    [
        (
            "from transformers.trainer import Trainer\nclass Own(Trainer): pass\nOwn().train(optimizer)",
            "Hugging Face's Trainer",
        ),
        SLOW("from accelerate.optimizer import Stepper\nStepper().step(optimizer)", "Hugging Face Accelerate"),
        ("import transformers.trainer\noptimizer.step()", "plain torch"),
    ],
)
def test_hugging_faces_are_told_apart_by_who_calls(tmp_path, last, by):
    for name, text in STANDINS.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    assert told(LOOP.partition("for _")[0] + last, tmp_path, tmp_path) == by


@pytest.mark.parametrize(
    "code", [STEPS_ELSEWHERE + LOOP + MAKES, SLOW(MAKES + LOOP + STEPS_ELSEWHERE)], ids=["before", "after"]
)
def test_once_a_trainer_is_made_it_is_lightnings(tmp_path, code):
    assert told(code, tmp_path) == ""


def test_without_a_step_nothing_is_noted(tmp_path):
    assert told("import torch\ntorch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)", tmp_path) is None


def test_a_step_costs_next_to_nothing_and_under_a_trainer_nothing(tmp_path):
    from backburn.probes import elsewhere

    watch = elsewhere.of(str(tmp_path / "probe.json"))
    import torch.optim.optimizer as module

    before = len(module._global_optimizer_post_hooks)
    watch.homes["torch.optim.optimizer"](module)
    watch._stepped()
    started = time.thread_time()  # others on the machine take none of it
    for _ in range(10_000):
        watch._stepped()
    assert time.thread_time() - started < 0.02  # 2 microseconds each; 0.1 is usual
    assert len(module._global_optimizer_post_hooks) == before + 1
    watch.end()
    assert len(module._global_optimizer_post_hooks) == before
