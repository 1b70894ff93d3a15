"""Start the toolkit of this very commit: `python3 bootstrap.py <stage>`, the one command of every action.

GitHub downloads the whole repository at an action's ref, so the toolkit is two folders up. It is installed once per
source, Python and machine into an environment of its own in the runner's cache, and started in place of this process.
Standard library only, and it must parse on Python 3.6: a `python3` that is too old gets a sentence, not a SyntaxError.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OLDEST = (3, 11)
TOOLKIT = Path(__file__).resolve().parents[1]
ASKED_WRONGLY, UNJUDGED = 2, 3
UNUSED = 30 * 86400  # seconds after which a version that no job has started is removed
BUILT_BY = ("constraints.txt", "hatch_build.py", "pyproject.toml")
LIMIT = 900  # seconds for one installer call; a cold one takes 10
TAIL = 20  # lines of the installer's output that a person sees
# Of pip's settings only those that say where packages come from: PIP_TARGET or PIP_NO_DEPS would break the install.
WHERE_FROM = ("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST", "CERT", "CLIENT_CERT", "PROXY")
HOW = ("CACHE_DIR", "CONFIG_FILE", "DEFAULT_TIMEOUT", "KEYRING_PROVIDER", "RETRIES", "TIMEOUT")


class Failure(Exception):
    """Ends the action before the stage could begin, with an exit code and a sentence."""

    def __init__(self, code, sentence):
        """Take the code and what the user reads."""
        super().__init__(sentence)
        self.code = code


def main(arguments):
    """Become `backburn <arguments>`. Raises Failure where that cannot be."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        raise Failure(
            ASKED_WRONGLY,
            "backburn needs Python 3.11 or newer, but `python3` is {} ({}). Put a setup-python step before this one, "
            "or a newer python3 first on PATH.".format(found, sys.executable),
        )
    try:
        python = str(environment() / "bin" / "python")
    except OSError as error:
        raise Failure(UNJUDGED, "backburn could not be installed: {}".format(error)) from error
    # -I: neither the working directory nor the job's PYTHONPATH reaches the toolkit; both still reach the project.
    os.execve(python, [python, "-I", "-m", "backburn"] + arguments, dict(os.environ))


def environment():
    """Return the toolkit's environment, built where it is not there yet; of several jobs that need it, one builds."""
    files = sources()
    folder = cache() / "toolkit" / key(files)
    if not is_complete(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(folder.name + ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_complete(folder):
                build(files, folder)
                prune(folder)
    with contextlib.suppress(OSError):  # a cache that is mounted read-only is one all the same
        os.utime(str(folder / ".complete"))
    return folder


def sources():
    """Return the files that make the toolkit what it is, relative to its folder."""
    code = (path for path in (TOOLKIT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    code = (path for path in code if not any(part.endswith(".egg-info") for part in path.parts))
    return sorted(path.relative_to(TOOLKIT) for path in code) + [Path(name) for name in BUILT_BY]


def key(files):
    """Return the environment's name: 16 digits of a hash over names and contents, the Python, the machine."""
    digest = hashlib.sha256()
    for path in files:
        content = (TOOLKIT / path).read_bytes()
        digest.update("{}\0{}\0".format(path.as_posix(), len(content)).encode() + content)
    version = ".".join(map(str, sys.version_info[:3]))
    return "{}-py{}-{}".format(digest.hexdigest()[:16], version, os.uname().machine)


def cache():
    """Return the folder of our caches: the runner's tool cache survives a job, a home in a container may not."""
    if os.environ.get("BACKBURN_CACHE"):
        return Path(os.environ["BACKBURN_CACHE"]).absolute()
    parent = os.environ.get("RUNNER_TOOL_CACHE") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(parent).expanduser().absolute() / "backburn"


def is_complete(folder):
    """Tell whether it was built to the end and the Python it was made from is still there."""
    return (folder / ".complete").exists() and (folder / "bin" / "python").exists()


def build(files, folder):
    """Make the environment; `.complete` comes last, so that a build cut short is seen as such."""
    print("installing backburn (once per version) …", file=sys.stderr, flush=True)
    shutil.rmtree(str(folder), ignore_errors=True)
    try:
        install(sys.executable, "-I", "-m", "venv", str(folder))  # -I: the project may have a venv.py
        with tempfile.TemporaryDirectory(prefix="source-", dir=str(folder.parent)) as copy:
            for path in files + [Path("README.md"), Path("LICENSE")]:  # the build asks for these two as well
                target = Path(copy) / path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(TOOLKIT / path), str(target))  # a build writes beside its source: not there
            pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
            install(*pip, "--disable-pip-version-check", "--constraint", os.path.join(copy, "constraints.txt"), copy)
        (folder / ".complete").touch()
    except BaseException:
        shutil.rmtree(str(folder), ignore_errors=True)  # a full disk is no fuller than before
        raise


def install(*command):
    """Run one installer to its end. Raises Failure with the tail of its output."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            command, env=clean(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = child.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = "no end after {} s".format(LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # interrupted too: the lock must not outlive who writes
            child.wait()
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()
    if code != 0:
        said = "\n".join(lines[-TAIL:])
        raise Failure(UNJUDGED, "backburn could not be installed, the installer ended with {}:\n{}".format(code, said))


def clean():
    """Return the environment for an installer: nothing that points Python or pip elsewhere."""
    kept = {name for name in os.environ if not name.startswith(("PIP_", "PYTHON", "UV_"))} - {"VIRTUAL_ENV"}
    kept |= {"PIP_" + name for name in WHERE_FROM + HOW} & set(os.environ)
    return dict({name: os.environ[name] for name in kept}, PIP_USER="0")


def prune(current):
    """Remove what no job has used for 30 days; what another job builds right now is locked, and stays."""
    for folder in (path for path in current.parent.iterdir() if path.is_dir() and path != current):
        mark = folder / ".complete"
        if (mark if mark.exists() else folder).stat().st_mtime > time.time() - UNUSED:
            continue
        with folder.with_name(folder.name + ".lock").open("a") as lock, contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(str(folder), ignore_errors=True)


def say(failure):
    """Tell the log, the annotations and the step's outputs, and return the exit code."""
    warn = failure.code == UNJUDGED and os.environ.get("BACKBURN_UNJUDGED") == "warn"
    sentence = str(failure).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    if os.environ.get("GITHUB_ACTIONS") == "true":
        print("::{} title=backburn::{}".format("warning" if warn else "error", sentence))
    print("error: {}".format(failure), file=sys.stderr)
    if failure.code == UNJUDGED and os.environ.get("GITHUB_OUTPUT"):
        with open(os.environ["GITHUB_OUTPUT"], "a") as stream:
            stream.write("verdict=unjudged\n")
    return 0 if warn else failure.code


def interrupt(number, frame):
    """Leave by the way of `finally`, with the code a shell gives."""
    sys.exit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    try:
        main(sys.argv[1:])
    except Failure as failure:
        sys.exit(say(failure))
