"""actions/setup-python, rehearsed: no download, but the python of this machine that comes nearest to the asked one."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, List, Tuple

if TYPE_CHECKING:
    from backburn.rehearse.standins import step
else:  # served beside this file
    import step

_ASK = "import sys; print('.'.join(map(str, sys.version_info[:3]))); print(sys._base_executable)"
_PIP = "#!{python}\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"


def asked() -> str:
    """The version asked for; of several the last, which is the one that lands first on the PATH."""
    versions = step.lines("python-version")
    if versions:
        return versions[-1]
    named = step.given("python-version-file")
    if not named:
        return ""
    file = Path(os.environ["GITHUB_WORKSPACE"], named)
    if not file.is_file():
        step.fail(f"The specified python version file at: {named} doesn't exist.")
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".toml":
        found = re.search(r"^\s*requires-python\s*=\s*[\"'][^\d\"']*([\d.]+)", text, re.M)
        return found[1] if found else ""
    return next((line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"), "")


def find(version: str) -> Tuple[str, str]:
    """The version and path of `pythonX.Y` where it runs, else of `python3`."""
    short = re.match(r"3\.\d+", version)
    for name in ([f"python{short[0]}"] if short else []) + ["python3"]:
        done = subprocess.run([name, "-c", _ASK], capture_output=True, text=True) if shutil.which(name) else None
        if done and done.returncode == 0:
            found, path = done.stdout.split("\n")[:2]
            return found, path
    return ".".join(map(str, sys.version_info[:3])), sys.executable


def differs(version: str, found: str) -> bool:
    """Whether `3.12`, `3.12.1` or `3.x` asks for something else than was found; ranges are not judged."""
    plain = re.fullmatch(r"v?(\d+)(?:\.(\d+|x))?(?:\.(\d+|x))?", version)
    if plain is None:
        return version.startswith(("pypy", "graalpy"))
    return any(want not in (None, "x", have) for want, have in zip(plain.groups(), found.split(".")))


def environment(python: str) -> Path:
    """A fresh environment with pip, so that `pip install` in a step never reaches this machine's own packages."""
    folder = Path(tempfile.mkdtemp(prefix="python-", dir=os.environ["RUNNER_TEMP"]))
    run([python, "-m", "venv", "--without-pip", str(folder)])
    mine = str(folder / "bin" / "python")
    # Copying the base's pip costs 0.3 s, `python -m ensurepip` 3 to 5 s.
    where = run([python, "-c", "import pip, os; print(os.path.dirname(pip.__file__))"], check=False)
    site = run([mine, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"])
    if where:
        for one in [Path(where), *Path(where).parent.glob("pip-*-info")]:
            shutil.copytree(one, Path(site, one.name))
    if not where or not run([mine, "-m", "pip", "--version"], check=False):
        run([mine, "-m", "ensurepip", "--upgrade"])
    for name in ("pip", "pip3"):
        script = folder / "bin" / name
        script.write_text(_PIP.format(python=mine), encoding="utf-8")
        script.chmod(0o755)
    return folder


def run(command: List[str], check: bool = True) -> str:
    """What a program printed, stripped; empty when it failed and that is no error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and check:
        step.fail(f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[-500:]}")
    return done.stdout.strip() if done.returncode == 0 else ""


def main() -> None:
    """Find, compare, make the environment, and put it on the PATH."""
    version = asked()
    found, python = find(version)
    if differs(version, found):
        step.warn(f"rehearsed with {'.'.join(found.split('.')[:2])}, the workflow asks {version}")
    folder = environment(python)
    if step.yes("update-environment"):
        with open(os.environ["GITHUB_PATH"], "a", encoding="utf-8") as stream:
            stream.write(f"{folder / 'bin'}\n")
        step.append("GITHUB_ENV", "pythonLocation", folder)
    step.put("python-version", found)
    step.put("python-path", folder / "bin" / "python")
    print(f"Python {found} of this machine, from {python}")


if __name__ == "__main__":
    main()
