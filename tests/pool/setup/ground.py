"""A machine to set up, made of this one: its /etc, /opt, /var/lib and /run under an overlay, so that what a command
changes there is what lies in the overlay's upper folder, and this machine stays as it is.
"""

import hashlib
import os
import random
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from backburn.pool.clock import SystemClock
from backburn.pool.simulation.hub import Hub
from tests.pool.daemon import missing as no_engine
from tests.pool.daemon import program_path
from tests.pool.rig import TOKEN

from . import registry

COVERED = ("/etc", "/opt", "/var/lib", "/run")
_SCRIPT = """
set -e
for place in {covered}; do
  mount -t overlay -o "lowerdir=$place,upperdir={folder}/up$place,workdir={folder}/work$place" overlay "$place"
done
touch /run/docker.sock
mount --bind {socket} /run/docker.sock
echo ready
exec sleep infinity
"""


def missing():
    """Why there can be none here; "" where there can."""
    absent = [name for name in ("unshare", "useradd") if shutil.which(name, path=program_path()) is None]
    return no_engine() or registry.missing() or (f"not installed: {', '.join(absent)}" if absent else "")


def new_hub():
    """A GitHub that has seen nobody yet."""
    return Hub(SystemClock(), random.Random(0), limit=0, points=0)


class Machine:
    """`run` and `start` as often as you like, in one mount namespace: what they change stays, until its end."""

    def __init__(self, daemon, folder, server, base):
        self.daemon, self.folder, self.base, self.server = daemon, Path(folder), base, server
        self.hub = server.hub = new_hub()
        self.path = program_path()
        self.token = self.secret("token", TOKEN)
        self._holder = None

    def script(self):
        """In bash, what mounts it, says `ready` and waits."""
        raise NotImplementedError

    def command(self, words):
        """What runs these words in it, inside the namespace."""
        return words

    def lower(self, path):
        """Where a path lies that was not changed."""
        return Path(path)

    def __enter__(self):
        command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", self.script()]
        self._holder = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout.readline().strip() == "ready"
        return self

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.communicate()

    @property
    def url(self):
        """Of the organisation, whose API lies below it as GHES has it."""
        return f"{self.server.url}/acme"

    def secret(self, name, content):
        """A file that its owner alone may read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        return path

    def start(self, *words, **given):
        """subprocess.Popen of a command in there."""
        inside = self.command([str(word) for word in words])
        environment = {"PATH": self.path, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "COLUMNS": "120"}
        return subprocess.Popen(
            ["nsenter", "--mount", "--target", str(self._holder.pid), "--wd=/", *inside],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | environment,
            **given,
        )

    def run(self, *words, within=120.0):
        """Exit code and output."""
        process = self.start(*words)
        said, _ = process.communicate(timeout=within)
        return process.returncode, said

    @property
    def wanted(self):
        """What setup is asked for: one slot without a GPU, and no service."""
        words = ("--url", self.url, "--token-file", self.token, "--gpus", "none", "--cpu", "1", "--no-service")
        return (*words, "--base", self.base)

    def upper(self, place):
        """Where a path of the machine lies if it was changed."""
        return self.folder / f"up{place}"

    def changed(self):
        """{path: (kind and mode, owner, group, first of the hash} of all that differs from before."""
        top, found = self.folder / "up", {}
        for path in sorted(top.rglob("*")):
            place = f"/{path.relative_to(top)}"
            seen, before = _look(path), _look(self.lower(place))
            if seen != before:
                found[place] = seen
        return found


class Ground(Machine):
    """This machine's own /etc, /opt, /var/lib and /run, each under an overlay."""

    def __init__(self, daemon, folder, server, base):
        super().__init__(daemon, folder, server, base)
        for kind in ("up", "work"):
            for place in COVERED:
                (self.folder / f"{kind}{place}").mkdir(parents=True)

    def script(self):
        """One overlay after the other, and the engine's socket where everybody looks for it."""
        return _SCRIPT.format(covered=" ".join(COVERED), folder=self.folder, socket=self.daemon.socket)

    def pool(self, *words, **given):
        """`backburn pool …`."""
        return self.run(sys.executable, "-m", "backburn", "pool", *words, **given)

    def setup(self, *words, **given):
        """`backburn pool setup …`."""
        return self.pool("setup", *self.wanted, *words, **given)

    def changed(self):
        """Without what this put there itself."""
        mounts = {*COVERED, "/var", "/run/docker.sock"}
        return {path: seen for path, seen in super().changed().items() if path not in mounts}


def _look(path):
    """None where there is nothing, as for an overlay's mark of what was deleted."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
        return None
    content = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if stat.S_ISREG(found.st_mode) else ""
    kind = "d" if stat.S_ISDIR(found.st_mode) else "l" if stat.S_ISLNK(found.st_mode) else "-"
    return f"{kind}{stat.S_IMODE(found.st_mode):04o}", found.st_uid, found.st_gid, content
