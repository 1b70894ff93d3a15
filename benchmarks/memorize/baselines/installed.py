"""The tools of others that are no dependency of ours: in a folder of their own, from requirements.txt.

Whoever runs the benchmark installs them by that (torchtest is under the AGPL, so it is never part of what we give
away); nothing they ask for touches the constraints of this repository.
"""

import functools
import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parents[1]
FOLDER = HERE.parents[1] / "build" / "benchmarks" / "memorize" / "tools"
REQUIREMENTS = HERE / "requirements.txt"


def install():
    """Install what is not there yet; on failure the tools are told as not run, with pip's last words."""
    interpreter()
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


def interpreter():
    """A Python that finds what this one does, and the tools: TrainCheck overwrites PYTHONPATH."""
    found = FOLDER.parent / "python" / "bin" / "python"
    if not found.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(found.parents[1])], check=True)
        libraries = next((found.parents[1] / "lib").glob("python*")) / "site-packages"
        (libraries / "found.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{FOLDER}\n")
    return str(found)
