"""A small real project, the real command line in it, and what every call must leave behind, good or bad."""

import fcntl
import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

BIN = Path(sys.executable).parent
PYPROJECT = """[tool.backburn]
install = "none"

[tool.backburn.trainings.net]
command = "python train.py"
timeout = "60s"
"""
VERDICTS = {"pass": 0, "fail": 1, "unjudged": 3}
STALE = b'{"from": "an earlier run"}'


class Project:
    """A folder, and calls of `python -m backburn` in it; `mark` is in the environment of whatever they start."""

    def __init__(self, root):
        self.root, self.mark = root, f"ROW={root}"

    def write(self, **texts):
        for name, text in texts.items():
            path = self.root / {"pyproject": "pyproject.toml", "train": "train.py"}[name]
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self

    def environ(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "BACKBURN_"))}
        kept |= {"PATH": f"{BIN}{os.pathsep}{kept['PATH']}", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
        return kept | dict([self.mark.split("=", 1)]) | more

    def start(self, *words, before=(), cwd=None, **env):
        """A call that goes on; an earlier run's evidence lies in its way."""
        out = self.out(words[0])
        if out.parent.parent.parent.is_dir() and os.access(self.root, os.W_OK):
            self.plant(out)
        command = [*before, sys.executable, "-m", "backburn", *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
        hears = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)  # a test session may run under nohup
        return subprocess.Popen(command, cwd=cwd or self.root, env=self.environ(**env), preexec_fn=hears, **streams)

    def plant(self, out):
        (out / "net").mkdir(parents=True, exist_ok=True)
        for name in ("report.json", "net/evidence.json", "net/probe.json"):
            (out / name).write_bytes(STALE)

    def ended(self, child, stage):
        out, err = child.communicate(timeout=120)
        path = self.out(stage) / "report.json"
        report = json.loads(path.read_text()) if path.exists() and path.read_bytes() != STALE else None
        return SimpleNamespace(code=child.returncode, out=out, err=err, said=out + err, report=report)

    def backburn(self, *words, left=True, **given):
        """A whole call. What it leaves behind is looked at, unless the row does so itself."""
        done = self.ended(self.start(*words, **given), words[0])
        if left:
            self.expect_sound(done, words[0])
        return done

    def expect_sound(self, done, stage):
        assert "Traceback" not in done.err and "bug of backburn" not in done.err, done.said
        if done.code == 2:
            assert done.report is None
        else:
            assert done.code == VERDICTS[verdict(done.report)] or done.report["interrupted"], done.said
        for path in self.out(stage).rglob("*"):
            assert not path.name.endswith(".part") and not path.name.startswith((".report", ".evidence")), path
            assert path.is_dir() or path.read_bytes() != STALE, path
        self.expect_nobody_left()
        self.expect_unlocked(stage)
        status = subprocess.run(["git", "status", "--porcelain"], cwd=self.root, capture_output=True, text=True)
        assert status.stdout == ""

    def expect_nobody_left(self):
        mine = self.mark.encode()
        for one in Path("/proc").glob("[0-9]*/environ"):
            try:
                words = one.read_bytes().split(b"\0")
            except OSError:
                continue
            assert mine not in words, (one.parent / "cmdline").read_bytes()

    def expect_unlocked(self, stage):
        lock = self.out(stage).with_name(f".{stage}.lock")
        if lock.exists():
            with lock.open() as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def out(self, stage):
        return self.root / "build" / "backburn" / stage


def verdict(report):
    """What the outcomes in a report.json come to, by the rule in docs/architecture.md."""
    found = {_verdict(one) for one in report["outcomes"]}
    return next((one for one in ("fail", "unjudged", "pass") if one in found), "unjudged")


def _verdict(outcome):
    if any(one["level"] == "error" for one in outcome["findings"]):
        return "fail"
    return "unjudged" if outcome["unjudged"] else "skip" if outcome["skipped"] else "pass"


def commit(folder, message="Begin"):
    """All of it, ignored files apart."""
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], ["commit", "-q", "--allow-empty", "-m", message]):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture
def make(tmp_path):
    """`make(pyproject="…", train="…", folder="…")`: a project, committed."""

    def make(folder="project", repository=True, **texts):
        root = tmp_path / folder
        root.mkdir(parents=True)
        (root / ".gitignore").write_text("build/\n__pycache__/\n")
        (root / "test_one.py").write_text("def test_one():\n    pass\n")
        project = Project(root).write(**{"pyproject": PYPROJECT, "train": "print('no fit here')\n"} | texts)
        if repository:
            commit(root)
        return project

    return make


@pytest.fixture
def mount(tmp_path):
    """`mount("-t", "tmpfs", …, folder)`: mounted until the test is over, or the test is skipped."""
    mounted = []

    def mount(*words):
        if subprocess.run(["mount", *map(str, words)], capture_output=True).returncode:
            pytest.skip("mounting is not permitted here")
        mounted.append(words[-1])

    yield mount
    for folder in reversed(mounted):
        subprocess.run(["umount", str(folder)], check=True)
