"""A root for the image's scripts: this machine's own bash, coreutils, jq and git, beside a listener that is a script.

As a folder to chroot into, which takes milliseconds, and as a tar from which the real `docker build` makes the image.
"""

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.pool.daemon import missing as no_engine
from tests.pool.daemon import program_path

RUNNER = REPOSITORY / "runner"
HERE = Path(__file__).parent
USER = 1001
GPU = "GPU-6f1a0b2c-0000-4000-8000-000000000001"
PROGRAMS = (
    *("apt-get", "bash", "busybox", "cat", "chmod", "docker-init", "env", "find", "git", "head", "install", "jq"),
    *("mv", "rm", "setpriv", "sh", "sleep", "timeout", "wc"),
)
_MISSABLE = ("apt-get",)  # a base that has all the rest does not ask for it
_NEEDED = ("unshare", "chroot", "ldd")
_FOLDERS = ("bin", "dev", "etc", "home/runner/bin", "proc", "run", "tmp", "usr/bin")
_APPLETS = ("cp", "grep", "id", "ln", "ls", "mkdir", "mkfifo", "ps", "sed", "setsid", "touch", "tr", "wget")


def missing():
    """Why there can be none here; "" where there can."""
    absent = [name for name in (*PROGRAMS, *_NEEDED) if name not in _MISSABLE and not _found(name)]
    return no_engine() or (f"not installed: {', '.join(absent)} (apt-get install jq git)" if absent else "")


def _found(name):
    return shutil.which(name, path=program_path())


def make(root):
    """The base: programs with their libraries, users, and GitHub's runner as far as the image looks at it."""
    for name in _FOLDERS:
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in PROGRAMS:
        if name not in _MISSABLE:
            _copy(Path(_found(name)).resolve(), root, f"usr/bin/{name}")
    for name in ("bash", "sh"):
        (root / "bin" / name).symlink_to(f"/usr/bin/{name}")
    for name in _APPLETS:
        (root / "usr/bin" / name).symlink_to("busybox")
    (root / "etc/passwd").write_text(f"root:x:0:0::/:/bin/bash\nrunner:x:{USER}:{USER}::/home/runner:/bin/bash\n")
    (root / "etc/group").write_text(f"root:x:0:\nrunner:x:{USER}:\n")
    for name, number in (("null", 3), ("zero", 5)):
        os.mknod(root / "dev" / name, 0o20666, os.makedev(1, number))
        (root / "dev" / name).chmod(0o666)
    program(root, "home/runner/bin/Runner.Listener", (HERE / "listener.sh").read_text())
    program(root, "home/runner/bin/Runner.Worker", (HERE / "worker.sh").read_text())
    program(root, "listener", (HERE.parent / "pool/listener.sh").read_text())
    for path in (root / "home/runner", *(root / "home/runner").rglob("*")):
        os.chown(path, USER, USER)
    return root


def _copy(source, root, name):
    shutil.copy2(source, root / name)
    said = subprocess.run(["ldd", source], capture_output=True, text=True, check=False).stdout  # fails for a static one
    for library in re.findall(r"(/\S+) \(0x", said):
        place = root / library.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            shutil.copy2(Path(library).resolve(), place)


def program(root, name, text):
    """A file that can be executed. Never changed in place: a copy of this root may share it."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def dress(root):
    """What the Dockerfile does: test_image.py holds that it does the same."""
    shutil.copytree(RUNNER / "hooks", root / "opt/backburn/hooks")
    for name in ("entrypoint.sh", "view.sh"):
        shutil.copy2(RUNNER / name, root / "opt/backburn" / name)
    (root / "run/backburn").mkdir(mode=0o700)
    os.chown(root / "run/backburn", USER, USER)
    return root


def tar(root, to):
    """The base as `docker import` takes it."""
    with tarfile.open(to, "w") as packed:
        packed.add(root, arcname=".", recursive=True)
    return to


class Scratch:
    """One root, changed as a test likes; `run` as the runner's user in namespaces of its own, under Docker's init."""

    def __init__(self, dressed, folder):
        self.root = Path(folder) / "root"
        subprocess.run(["cp", "--archive", "--link", dressed, self.root], check=True)  # programs are shared: 15 MB
        self.here = self.root / "run/backburn"
        self.workspace = self.root / "home/runner/_work/model/model"

    def start(self, *words, init=True, **env):
        """subprocess.Popen of it; its output is read as text."""
        inside = ["docker-init", "--", *words] if init else words
        script = f'mount -t proc proc {self.root}/proc; exec chroot --userspec={USER}:{USER} {self.root} "$@"'
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", script, "-", *inside]
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={"PATH": program_path(), "HOME": "/home/runner", **env},
        )

    def run(self, *words, within=30, **env):
        """(exit code, what it printed)."""
        with self.start(*words, **env) as process:
            said, _ = process.communicate(timeout=within)
        return process.returncode, said

    def give(self, name, text, mode=0o600):
        """A file of the runner's user, at a path in this root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        os.chown(path, USER, USER)
        return path

    def node(self, name, mode=0o666):
        """A stand-in for a GPU's device node."""
        return self.give(f"dev/{name}", "", mode)

    def hasten(self, name, old, new):
        """Another time limit in one of our scripts: a test need not wait for the real one."""
        text = (self.root / name).read_text()
        assert text.count(old) == 1
        program(self.root, name, text.replace(old, new))

    def sleepless(self):
        """Nobody waits until what was printed is on its way."""
        program(self.root, "usr/bin/sleep", "#!/bin/bash\n")

    def smi(self, script):
        """An nvidia-smi that does as it is told."""
        return program(self.root, "usr/bin/nvidia-smi", f"#!/bin/bash\n{script}\n")
