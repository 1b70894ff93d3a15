"""The tools of others that are no dependency of ours: in a folder of their own, from requirements.txt.

Whoever runs the benchmark installs them by that (torchtest is under the AGPL, so it is never part of what we give
away); nothing they ask for touches the constraints of this repository.
"""

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parents[1]
FOLDER = HERE.parents[1] / "build" / "benchmarks" / "memorize" / "tools"
REQUIREMENTS = HERE / "requirements.txt"


def install():
    """Install what is not there yet; on failure the tools are told as not run, with pip's last words."""
    stamp = FOLDER / ".complete"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target", str(FOLDER)]
    done = subprocess.run([*command, "-r", str(REQUIREMENTS)], capture_output=True, text=True, check=False)
    if done.returncode:
        (FOLDER / "failed.txt").write_text(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed"
        )
    else:
        stamp.write_text(REQUIREMENTS.read_text())


@functools.cache
def missing(package):
    """Why this package cannot be imported, or nothing. Its folder comes last, so that it shadows nothing of ours."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    if importlib.util.find_spec(package):
        return ""
    failed = FOLDER / "failed.txt"
    return failed.read_text() if failed.exists() else f"{package} is not installed"
