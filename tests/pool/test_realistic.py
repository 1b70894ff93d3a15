"""The image for real jobs: a job of bash, git and a virtual environment, in a CPU slot, by the listener's own word."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from backburn.pool.config import Limits, Pool
from backburn.pool.docker import DockerEngine
from backburn.pool.engine import Unreachable
from tests.pool import realistic
from tests.pool.daemon import Daemon
from tests.pool.lab import CPU0, GitHub, begun, ended, settings
from tests.pool.rig import Rig

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(realistic.absent()), reason=f"NO DOCKER ENGINE OR DEBIAN: {realistic.absent()}"),
]
REPOSITORY = Path(__file__).parents[2]
CACHE = REPOSITORY / "build" / "cache"
KEPT = Path(os.environ.get("BACKBURN_CACHE") or CACHE)
JOB = "cd; git init -q work && cd work && python3 -m venv v && v/bin/python -c 'import ssl' && [[ $(id -u) == 1001 ]]"


def test_a_real_job_runs_in_a_slot():
    image = realistic.build(KEPT / "realistic")
    github = GitHub()
    with Daemon() as daemon:
        pool = Pool(name="lab", image=realistic.load(daemon, image, github.port))
        engine = DockerEngine(settings(daemon, github, pool=pool, limits=Limits()))
        for job, code in ((f"bash -c {JOB!r}", 100), ("false", 102)):
            container = begun(engine, github, f"behave=command\ncommand={job}\nmarker=1\n", CPU0)
            assert ended(engine, container, 60).code == code, engine.logs(container).decode()
            engine.remove(container)
    github.server.shutdown()


def _mounts():
    """This repository with its environment, and the interpreter of that: read-only."""
    environment = Path(sys.prefix).resolve()
    places = {REPOSITORY, environment, environment.parent, Path(sys.base_prefix).resolve()} - {Path("/usr")}
    outer = {one for one in places if not any(one != other and one.is_relative_to(other) for other in places)}
    return [f"{place}:{place}" for place in sorted(outer)]


def _command(toolkit):
    """The job. What this machine has installed for the toolkit and for trainings is used, and not written to."""
    return " && ".join(
        [
            "cd $HOME",
            "git config --global --add safe.directory '*'",
            "cp -r /mounted/digits digits",
            f"mkdir -p cache/toolkit && for one in {CACHE}/toolkit/*/; do ln -s ${{one%/}} cache/toolkit/; done",
            "export BACKBURN_CACHE=$HOME/cache OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1",
            f"export PATH={Path(sys.base_prefix)}/bin:$PATH",
            f"{sys.executable} -m backburn rehearse gpu --toolkit {toolkit} -C digits",
            "echo REPORT",
            "find digits/build/rehearsal/gpu/artifacts -name report.json -exec cat {} +",
            "echo END",
            "sleep 5",
        ]
    )


def test_the_gpu_workflow_of_the_template_runs_in_a_slot_and_its_report_comes_back(baked, tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBURN_CACHE", str(CACHE))
    mounted = tmp_path / "mounted"
    project = Path(shutil.copytree(baked, mounted / "digits", symlinks=True))
    mounted.chmod(0o755)
    settings = (project / "pyproject.toml").read_text()
    for old, new in (
        ('install = "auto"', 'install = "none"'),
        ('command = "python -m', f'env = {{ PYTHONPATH = "src" }}\ncommand = "{sys.executable} -m'),
    ):
        assert old in settings
        settings = settings.replace(old, new)
    (project / "pyproject.toml").write_text(settings)  # torch and Lightning are there: this repository's own
    for words in (["add", "."], ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "none"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    subprocess.run(["git", "clone", "-q", REPOSITORY, mounted / "toolkit"], check=True)
    # Here first: that installs the toolkit, which the slot only reads.
    words = ["rehearse", "gpu", "--toolkit", str(mounted / "toolkit"), "-C", str(project)]
    here = subprocess.run([sys.executable, "-m", "backburn", *words], capture_output=True, text=True)
    assert here.returncode == 0, here.stdout + here.stderr
    shutil.rmtree(project / "build")
    image = realistic.build(KEPT / "realistic")
    mounts = [*_mounts(), f"{mounted}:/mounted"]
    with Daemon() as daemon, Rig(daemon, tmp_path, docker=f"mounts = {json.dumps(mounts)}") as rig:
        port = int(rig.server.url.rpartition(":")[2])
        large = realistic.load(daemon, image, port)
        rig.file.write_text(rig.file.read_text().replace(f'image = "listener:{port}"', f'image = "{large}"'))
        rig.start()
        rig.until(rig.all_online)
        (job,) = rig.submit(behave="command", command=_command("/mounted/toolkit"))
        (container,) = [one.id for one in rig.engine.containers()]
        kept = [""]
        rig.until(lambda: "\nEND\n" in _said(rig, container, kept) or rig.ledger(), within=300)
        told = json.loads(kept[-1].partition("REPORT\n")[2].partition("END")[0] or "{}")
        assert told.get("stage") == "memorize" and told["kind"] == "report", kept[-1][-4000:]
        (entry,) = rig.until(rig.ledger)
        assert entry.outcome == "succeeded" and entry.seconds > 5 and job.progress == "finished"


def _said(rig, container, kept):
    """What its job has printed so far; of one that is being removed, what it had printed before."""
    with contextlib.suppress(Unreachable):
        kept[:] = [rig.engine.logs(container).decode(errors="replace")] if rig.engine.inspect(container) else kept
    return kept[-1]
