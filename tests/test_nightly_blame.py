"""A real history of 64 commits with a planted one, through the template's nightly, by the real act, to the issue."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from backburn import rehearse
from backburn.report import Verdict
from tests.conftest import NOBODY, REPOSITORY

COMMITS, PLANTED = 64, 41
PROJECT = f"""
[project]
name = "net"
version = "1"

[tool.backburn]
install = "none"

[tool.backburn.trainings.net]
command = "{sys.executable} train.py"

[tool.backburn.reproduce]
seeds = 3
ulps = 0
"""
TRAIN = """
import lightning.pytorch as pl
import torch

from net import loss, model


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = model.parts()

    def training_step(self, batch, batch_idx):
        return loss.of(self.head(self.encoder(batch[0])), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


if __name__ == "__main__":
    pl.seed_everything(7)
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(256, 8, generator=draw)
    data = torch.utils.data.TensorDataset(x, x[:, :4].argmax(1))
    trainer = pl.Trainer(max_epochs=6, accelerator="cpu", logger=False, enable_progress_bar=False)
    trainer.fit(Net(), torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))
"""
MODEL = """
from torch import nn


def parts():
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU()), nn.Linear(16, 4)
"""
LOSS = """
from torch.nn import functional


def of(outputs, labels):
    return functional.cross_entropy(outputs, labels)
"""
SMOOTH = LOSS.replace("(outputs, labels)\n", "(outputs, labels, label_smoothing=0.05)\n", 2).replace(
    "def of(outputs, labels, label_smoothing=0.05)", "def of(outputs, labels)"
)
FILES = {
    "pyproject.toml": PROJECT,
    "train.py": TRAIN,
    "net/__init__.py": "",
    "net/model.py": MODEL,
    "net/loss.py": LOSS,
}
FILES |= {".gitignore": "build/\n__pycache__/\n*.ckpt\ncheckpoints/\n"}


def git(folder, *words, **more):
    done = subprocess.run(["git", *NOBODY, *words], cwd=folder, check=True, capture_output=True, text=True, **more)
    return done.stdout.strip()


def history():
    """What 62 more commits change: docs, a module that nothing imports, remarks; one makes the loss another."""
    for number in range(2, COMMITS):
        if number == PLANTED:
            text = f"# Reviewed 40 times.\n{SMOOTH}"
            yield "Smooth the labels (#123)", "Ann @all <ann@example.com>", "net/loss.py", text
        elif number % 5 == 0:
            text = f"# Reviewed {number} times.\n{SMOOTH if number > PLANTED else LOSS}"
            yield f"Review {number}", "Bob <bob@example.com>", "net/loss.py", text
        elif number % 3 == 0:
            yield f"Later {number}", "Bob <bob@example.com>", "net/later.py", f"VERSION = {number}\n"
        else:
            yield f"Say {number}", "Cem <cem@example.com>", "README.md", f"It has been said {number} times.\n"


def imported(start):
    """The same for `git fast-import`."""
    for number, (subject, who, name, text) in enumerate(history()):
        about = f"author {who} {1_790_000_000 + number} +0000\ncommitter {who} {1_790_000_000 + number} +0000\n"
        above = f"from {start}\n" if number == 0 else ""
        yield f"commit refs/heads/main\n{about}data {len(subject)}\n{subject}\n{above}"
        yield f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n"


@pytest.fixture
def project(tmp_path, baked, monkeypatch):
    """A repository whose first commit is blessed, and 63 on top, with the template's nightly but for two stages."""
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    root = tmp_path / "net"
    nightly = (baked / ".github/workflows/nightly.yml").read_text()
    for stage in ("unit", "profile"):
        nightly, taken = re.subn(rf"      - uses: \S+/actions/{stage}@.*\n(?:        .*\n)+", "", nightly)
        assert taken == 1
    nightly = nightly.replace("with: { path: artifacts, result", "with: { path: artifacts, expect: reproduce, result")
    for name, text in (FILES | {".github/workflows/nightly.yml": nightly}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "Begin")
    words = [sys.executable, "-m", "backburn", "bless", "reproduce", "-C", str(root)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    git(root, "add", "references")
    git(root, "commit", "-qm", "Bless")
    git(root, "fast-import", "--quiet", input="".join(imported(git(root, "rev-parse", "HEAD"))))
    git(root, "reset", "-q", "--hard", "main")
    assert git(root, "rev-list", "--count", "main") == str(COMMITS)
    return root


@pytest.mark.slow
def test_the_issue_names_the_commit_among_64(project):
    said = []
    rehearsal = rehearse.rehearse(project, ("nightly",), rehearse.Options(toolkit=REPOSITORY), said.append)
    print("\n".join(said))
    verdicts = {row.stage or row.job: row.verdict for row in rehearsal.rows}
    assert verdicts["reproduce"] is Verdict.FAIL and verdicts["publish"] is Verdict.PASS
    folder = project / "build" / "rehearsal" / "nightly"
    (found,) = (folder / "artifacts").glob("blame-train-*/**/blame.json")
    planted = git(project, "log", "--format=%H", "--grep=Smooth the labels")
    blame = json.loads(found.read_text())
    assert (blame["conclusion"], blame["culprit"]["commit"], blame["proven"]) == ("found", planted, True)
    assert blame["commits"] == COMMITS - 1 and blame["inherited"] >= 40 and blame["cost"] <= 0.5
    body = issue(folder)
    assert re.search(rf"would open: nightly: reproduce failed \[net\] on cpu-\S+ since {planted[:7]}\n", body)
    link = f"[`{planted[:12]}`](https://github.com/rehearsal/net/commit/{planted})"
    assert f"**First bad commit:** {link} `Smooth the labels (#123)` by `Ann @all`" in body
    assert "pull request [123](" in body and "label_smoothing=0.05" in body and "**Proof:** `" in body
    assert f"`git revert {planted[:12]}`" in body and "| first step that differs | 1 |" in body


def issue(folder):
    """What publish would send, as its rehearsal says it in the log."""
    stream = [json.loads(line) for line in (folder / "act.jsonl").read_text().splitlines() if line.startswith("{")]
    text = "\n".join(str(line.get("msg", "")).rstrip("\n") for line in stream if line.get("raw_output"))
    return text[text.index("would open: ") :]
