"""A project in real git whose training is stood in for: what it comes to is read from a file of the worktree."""

import atexit
import functools
import re
import shutil
import tempfile
from pathlib import Path

from backburn.references import Machine
from backburn.reproduction.rerun import Ran, Touched
from backburn.reproduction.steps import Step

from ..repositories import begin, commit

PYPROJECT = """
[tool.backburn]
install = "none"
[tool.backburn.trainings.it]
command = "python train.py"
"""
NET = "import torch\nRATE = 0.01  # from step 1 on\n"


@functools.cache
def _template(count, culprit, since, broken):
    """One for all tests that want the same: they get copies."""
    folder = Path(tempfile.mkdtemp(prefix="backburn-history-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder / "it", _history(folder / "it", count, culprit, since, broken)


def history(folder, count=12, culprit=8, since=4, broken=()):
    """`count` commits after the first: each third one has a note more in net.py, the culprit a rate; others: docs."""
    template, made = _template(count, culprit, since, broken)
    shutil.copytree(template, folder, symlinks=True)
    return list(made)


def _history(folder, count, culprit, since, broken):
    begin(folder, {"pyproject.toml": PYPROJECT, "net.py": NET, "README.md": "it\n", ".gitignore": "build/\ndata/\n"})
    text, made = NET, []
    for number in range(1, count + 1):
        if number == culprit:
            text = text.replace(NET, f"{NET}RATE = 0.02  # from step {since} on\n")
            made.append(commit(folder, f"Raise the rate (#{number})", {"net.py": text}, who="Grace"))
        elif number in broken:
            made.append(commit(folder, "Break it", {"net.py": text + "SyntaxError\n"}))
        elif number % 3 == 0:
            text += f"# note {number}\n"
            made.append(commit(folder, f"Note {number}", {"net.py": text}))
        else:
            made.append(commit(folder, f"Docs {number}", {"README.md": f"it {number}\n"}))
    return made


class Trainer:
    """Stands in for `rerun.train`: RATE lines of net.py decide, each from its step on; `noise` of a run, if any."""

    def __init__(self, planned=600, noise=lambda: "", metric=None):
        self.planned, self.noise, self.metric, self.done = planned, noise, metric, []

    def __call__(self, plan, ask, out, *, timeout, label):
        self.done.append((ask.commit, ask.until, ask.without))
        text = (plan.root / "net.py").read_text()
        if "SyntaxError" in text:
            return Ran(failed="SyntaxError: invalid syntax", touched=Touched(files=frozenset({"net.py"})))
        rates = [(rate, int(since)) for rate, since in re.findall(r"RATE = (\S+)  # from step (\d+)", text)]
        done = min(ask.until or self.planned, self.planned)
        noise = self.noise()
        steps = tuple(self.step(number, rates, noise) for number in range(1, done + 1))
        metrics = {"val_loss": self.metric(rates)} if self.metric else {}
        about = {"machine": Machine(hardware="cpu-test"), "touched": Touched(files=frozenset({"net.py"}))}
        return Ran(done=done, planned=self.planned, whole=done == self.planned, steps=steps, metrics=metrics, **about)

    @staticmethod
    def step(number, rates, noise):
        rate = [one for one, since in rates if since <= number][-1]
        state = f"{number} {rate} {noise}"
        return Step(step=number, loss="0x1p0", settings={"0.0.lr": float(rate).hex()}, parameters={"w": state})
