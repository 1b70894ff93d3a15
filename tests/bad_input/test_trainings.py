"""Trainings that go wrong in every way: whose fault it is said to be, and where it happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import PYPROJECT, commit

SLOW = pytest.mark.slow
MACHINE = "unjudged: memorize/training-ran [net]"
FAULT = "error: memorize/training-ran [net]"
SERVER = """import http.server, threading, urllib.request
class Refuses(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(STATUS)
server = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""
GET = "urllib.request.urlopen(f'http://127.0.0.1:{server.server_port}/weights')\n"

# What the training does -> exit code, where its outcome stands, and words of its message.
ROWS = {
    "crashes": ("\n\nraise ValueError('labels: (3,) and (4,)')", 1, f"{FAULT} train.py:3", "ValueError: labels: (3,)"),
    "ends with a code": ("import os\nos._exit(7)", 1, FAULT, "python ended with exit code 7"),
    "aborts": ("import os\nos.abort()", 1, f"{FAULT} train.py:2", "Fatal Python error: Aborted"),
    "is no Python": ("no Python at all", 1, FAULT, "ended with exit code 1: SyntaxError: invalid syntax"),
    "hangs": ("import time\ntime.sleep(99)", 1, f"{FAULT} train.py:2", "still running after"),
    "hangs and ignores SIGTERM": (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.signal(signal.SIGABRT, "
        "signal.SIG_IGN)\ntime.sleep(99)", 1, FAULT, "(timeout of 3 s in [tool.backburn.trainings.net])",
    ),
    "hangs with children": (
        "import subprocess, sys, time\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])\n"
        "time.sleep(99)", 1, f"{FAULT} train.py:3", "still running after",
    ),
    "leaves a child behind": (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(99)'])",
        3, MACHINE, "no Trainer.fit was seen",
    ),
    "prints a megabyte": ("[print('x' * 99) for _ in range(10_000)]\n1 / 0",
                          1, f"{FAULT} train.py:2", "ZeroDivisionError: division by zero"),
    "prints a megabyte in one line": ("print('x' * 10**6)\nraise SystemExit(5)", 1, FAULT, "exit code 5"),
    "prints what is no text": (
        "import sys\nsys.stdout.buffer.write(bytes(range(256)) * 99)\nsys.stdout.flush()\nraise KeyError('é✗')",
        1, f"{FAULT} train.py:4", "KeyError: 'é✗'",
    ),
    "writes nothing": ("", 3, MACHINE, "no Trainer.fit was seen"),
    "reads what nobody types": ("input('Go on? ')", 1, f"{FAULT} train.py:1", "EOFError"),
    "is killed": ("import os\nos.kill(os.getpid(), 9)", 3, MACHINE, "it was killed (SIGKILL), most likely because"),
    "runs out of memory": (
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\nx = bytearray(2**30)",
        3, MACHINE, "the machine's memory ran out",
    ),
    "runs out of torch's memory": ("import torch\ntorch.empty(2**50)", 3, MACHINE, "the machine's memory ran out"),
    "runs out of the GPU's memory": (
        "import torch\nraise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 20.00 GiB.')",
        3, MACHINE, "the GPU's memory ran out",
    ),
    "fills the GPU's memory in a fit": (
        "import torch\nimport lightning.pytorch as pl\n\n\nclass Net(pl.LightningModule):\n"
        "    def training_step(self, batch, batch_idx):\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory.')\n\n"
        "    def configure_optimizers(self):\n"
        "        return torch.optim.SGD([torch.zeros(1, requires_grad=True)])\n\n\n"
        "pl.Trainer().fit(Net(), [torch.zeros(64, 1)])\n",
        1, f"{FAULT} train.py:7", "out of GPU memory at step 1",
    ),
    "lacks its data": ("open('/nowhere/train.csv')", 3, MACHINE, "data is missing: /nowhere/train.csv"),
    "lacks data that git ignores": ("open('build/x.csv')", 3, MACHINE, "data is missing: build/x.csv"),
    "lacks a file of its own": ("open('labels.csv')", 1, f"{FAULT} train.py:1", "No such file or directory: 'labels."),
    "lacks its credentials": (SERVER.replace("STATUS", "401") + GET, 3, MACHINE, "credentials are missing or refused"),
    "is refused": (SERVER.replace("STATUS", "403") + GET, 3, MACHINE, "credentials are missing or refused"),
    "is let down": (SERVER.replace("STATUS", "503") + GET, 3, MACHINE, "a server could not be reached"),
    "finds no hub": (  # as huggingface_hub 1.x words it
        "class LocalEntryNotFoundError(FileNotFoundError): pass\nraise LocalEntryNotFoundError('An error happened "
        "while trying to locate the file on the Hub')", 3, MACHINE, "a server could not be reached",
    ),
    "finds a hub that is shut": (
        "class GatedRepoError(OSError): pass\nraise GatedRepoError('401 Client Error.\\n\\nCannot access gated repo')",
        3, MACHINE, "credentials are missing or refused",
    ),
    "asks for what is not there": (SERVER.replace("STATUS", "404") + GET, 1, FAULT, "HTTP Error 404: Not Found"),
    "lacks a package": ("import nosuchpackage", 1, f"{FAULT} train.py:1", "No module named 'nosuchpackage'"),
}  # fmt: skip
IN_CI = {
    "hangs and ignores SIGTERM", "runs out of torch's memory", "runs out of the GPU's memory",
    "fills the GPU's memory in a fit", "is let down",
}  # fmt: skip
TIMEOUT = {"hangs", "hangs and ignores SIGTERM", "hangs with children"}


@pytest.mark.parametrize("row", [pytest.param(one, marks=SLOW) if one in IN_CI else one for one in ROWS])
def test_whose_fault_it_is(make, row):
    code, expected, where, what = ROWS[row]
    project = make(train=code, pyproject=PYPROJECT.replace("60s", "3s") if row in TIMEOUT else PYPROJECT)
    done = project.backburn("memorize")
    assert (done.code, where in done.out, what in done.out) == (expected, True, True), done.said
    report = project.out("memorize") / "report.json"
    assert report.stat().st_size < 100_000 and len(done.said) < 20_000
    assert (project.out("memorize") / "net" / "output.txt").exists()


def test_a_megabyte_is_kept_whole_where_the_report_points(make):
    project = make(train=ROWS["prints a megabyte"][0])
    done = project.backburn("memorize")
    assert (project.out("memorize") / "net" / "output.txt").stat().st_size > 10**6
    assert "Page: build/backburn/memorize/report.html" in done.out
    assert "Evidence: <code>build/backburn/memorize/</code>" in (project.out("memorize") / "report.html").read_text()


# The disk


@pytest.fixture
def full(tmp_path, mount):
    """A real file system of 512 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", folder)
    return folder


@pytest.mark.parametrize(
    "code",
    [
        "open('{0}/x', 'wb').write(bytes(10**6))",
        pytest.param("import torch\ntorch.save(torch.zeros(10**6), '{0}/x.ckpt')", marks=SLOW),
    ],
    ids=["a file", "a checkpoint"],
)
def test_a_training_that_fills_a_disk_of_its_own(make, full, code):
    done = make(train=code.format(full)).backburn("memorize")
    assert (done.code, "the disk is full" in done.out) == (3, True), done.said


@pytest.mark.parametrize("code", ["while True: print('x' * 999)", "open('build/x', 'wb').write(bytes(10**6))"])
def test_a_training_that_fills_the_disk_of_its_evidence(make, full, code):
    project = make(train=code)
    (project.root / "build").symlink_to(full)
    (project.root / ".gitignore").write_text("build\n")
    commit(project.root)
    done = project.backburn("memorize", left=False)
    assert (done.code, "the disk is full" in done.said) == (3, True), done.said
    assert "Traceback" not in done.err
    project.expect_nobody_left()
    project.expect_unlocked("memorize")
    assert not list(full.rglob("*.part")) and not list(full.rglob(".report*"))


# What ends it from outside


def started(project, *words, **env):
    """A call whose training has begun."""
    child = project.start(*words, **env)
    log = project.out(words[0]) / "net" / "output.txt"
    until = time.monotonic() + 20
    while not (log.exists() and "begun" in log.read_text()):
        assert child.poll() is None and time.monotonic() < until, child.communicate()
        time.sleep(0.02)
    return child


STUBBORN = """import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
print("begun", flush=True)
time.sleep(99)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupt_in_the_middle(make, number, code):
    project = make(train=STUBBORN)
    child = started(project, "memorize")
    begun = time.monotonic()
    for _ in range(3):  # impatience must not cut the clean-up short
        child.send_signal(number)
        time.sleep(0.1)
    done = project.ended(child, "memorize")
    assert time.monotonic() - begun < 5
    assert (done.code, f"interrupted by {number.name}" in done.out) == (code, True), done.said
    assert done.report["interrupted"] == f"interrupted by {number.name}"
    project.expect_sound(done, "memorize")


def test_two_at_once_in_one_folder(make):
    project = make(train="import time\nprint('begun', flush=True)\ntime.sleep(2)\n")
    child = started(project, "memorize")
    command = [sys.executable, "-m", "backburn", "memorize"]
    second = subprocess.run(command, cwd=project.root, env=project.environ(), capture_output=True, text=True)
    assert second.returncode == 2 and "another `backburn memorize` is at work in this folder" in second.stderr
    assert "Wait for it to end" in second.stderr and "Traceback" not in second.stderr
    done = project.ended(child, "memorize")
    assert (done.code, "no Trainer.fit was seen" in done.out) == (3, True), done.said
    project.expect_sound(done, "memorize")


def test_one_that_is_named_twice_runs_once(make):
    project = make(train="open('build/runs', 'a').write('x')\n")
    assert project.backburn("memorize", "net", "net").code == 3
    assert (project.root / "build" / "runs").read_text() == "x"


@SLOW
def test_after_a_kill_the_next_call_is_sound(make):
    """Nothing can tidy up after SIGKILL; the lock is the kernel's, and is gone."""
    project = make(train="import os, time\nprint('begun', os.getpid(), flush=True)\ntime.sleep(99)\n")
    child = started(project, "memorize")
    child.kill()
    child.communicate()
    orphan = int((project.out("memorize") / "net" / "output.txt").read_text().split()[1])
    os.kill(orphan, signal.SIGKILL)
    while Path(f"/proc/{orphan}").exists():
        time.sleep(0.02)
    project.write(train="raise KeyError('next')\n")
    commit(project.root)
    done = project.backburn("memorize")
    assert (done.code, "KeyError: 'next'" in done.out) == (1, True)


# What is no Lightning Trainer's

LOOP = """import torch
net = torch.nn.Linear(8, 4)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
net(torch.randn(2, 8)).sum().backward()
"""
FABRIC = """import torch
from lightning.fabric import Fabric
net = torch.nn.Linear(8, 4)
fabric = Fabric(accelerator="cpu")
net, optimizer = fabric.setup(net, torch.optim.SGD(net.parameters(), lr=0.1))
fabric.backward(net(torch.randn(2, 8)).sum())
optimizer.step()
"""
STEP = "class Trainer:\n    def train(self, optimizer):\n        optimizer.step()\n"


def elsewhere(make, code, stage):
    project = make(train=code)
    (project.root / "transformers").mkdir()
    (project.root / "transformers" / "trainer.py").write_text(STEP)  # the real package is too large to install here
    commit(project.root)
    return project.backburn(stage)


@pytest.mark.parametrize(
    ("stage", "code", "by"),
    [
        ("memorize", LOOP + "optimizer.step()\n", "plain torch"),
        pytest.param("reproduce", LOOP + "optimizer.step()\n", "plain torch", marks=SLOW),
        pytest.param("profile", FABRIC, "Lightning Fabric", marks=SLOW),
        pytest.param(
            "memorize", LOOP + "from transformers.trainer import Trainer\nTrainer().train(optimizer)\n",
            "Hugging Face's Trainer", marks=SLOW,
        ),
    ],
)  # fmt: skip
def test_what_is_no_lightning_trainers_is_named(make, stage, code, by):
    done = elsewhere(make, code, stage)
    assert done.code == 2 and f"[tool.backburn.trainings.net]: this trains with {by}: " in done.err, done.said
    assert "Name a command that makes one" in done.err


@SLOW
@pytest.mark.parametrize(
    ("last", "code", "what"),
    [("raise KeyError('late')", 1, "KeyError: 'late'"), ("import os\nos.kill(os.getpid(), 9)", 3, "SIGKILL")],
)
def test_a_crash_after_a_step_is_still_a_crash(make, last, code, what):
    done = elsewhere(make, LOOP + f"optimizer.step()\n{last}\n", "memorize")
    assert (done.code, what in done.out) == (code, True), done.said
