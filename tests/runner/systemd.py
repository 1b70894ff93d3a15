"""A systemd of the tests' own, in namespaces and control groups of its own, on this machine's programs: boots in 2 s.

It shares the network and nothing that can be written; /root is hidden from the unit, and Python comes by another way.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from backburn import __file__ as package
from tests.pool.daemon import _groups, _remove_group, program_path
from tests.pool.daemon import missing as no_engine

from .scratch import RUNNER

INIT = Path("/usr/lib/systemd/systemd")
_NEEDED = ("systemctl", "unshare", "nsenter", "chroot", "mount")
_USERS = "root:x:0:0::/root:/bin/sh\nbackburn-pool:x:990:990::/var/lib/backburn-pool:/usr/sbin/nologin\n"
DOCKER = 991  # a group's number
_ETC = {
    "passwd": _USERS,
    "group": f"root:x:0:\nbackburn-pool:x:990:\ndocker:x:{DOCKER}:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "hosts": "127.0.0.1 localhost\n",
    "machine-id": f"{1:032x}\n",
}
_FOLDERS = ("dev", "etc/systemd/system", "etc/backburn", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var/lib")
_BACKBURN = """#!/bin/sh
export PYTHONPATH=/opt/src:/opt/site PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -m backburn "$@"
"""
_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("kmsg", 1, 11))
_BOOT = r"""
set -eu
mount --make-rprivate /
mount --bind "$root" "$root"
mount --make-rshared "$root"  # credentials come into a unit's own namespace that way
while read -r from to; do mount --bind "$from" "$root$to"; done <"$root/binds"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/engine"
mount --bind "$engine" "$root/run/engine"
[ -e /sys/fs/cgroup/cgroup.controllers ] || mount -t tmpfs tmpfs "$root/sys/fs/cgroup" # of v1 there are several
while read -r kind options place; do
  mkdir -p "$root$place"
  mount -t "$kind" -o "$options" cgroup "$root$place"
done <"$root/groups"
path=/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$root" env -i container=other PATH=$path /usr/lib/systemd/systemd --unit=basic.target
"""


def missing():
    """Why none can be booted here; "" where one can."""
    absent = [name for name in _NEEDED if shutil.which(name, path=program_path()) is None]
    said = f"not installed: systemd, or {', '.join(absent)}" if absent or not INIT.exists() else ""
    return no_engine() or said


class Machine:
    """Booted inside `with`: `ask` is a command in it. `engine` is a folder, at /run/engine there."""

    def __init__(self, folder, engine):
        self.root, self.engine = Path(folder) / "root", Path(engine)
        self.name = f"bb-systemd-{os.getpid()}"
        for name in (
            "dev",
            "etc/systemd/system",
            "etc/backburn",
            "opt",
            "proc",
            "root",
            "run",
            "sys",
            "tmp",
            "usr",
            "var/lib",
        ):
            (self.root / name).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        for name in ("bin", "lib", "lib64", "sbin"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name, text in _ETC.items():
            (self.root / "etc" / name).write_text(text)
        shutil.copy2("/etc/ld.so.cache", self.root / "etc")
        for name, major, minor in _NODES:
            os.mknod(self.root / "dev" / name, 0o20666, os.makedev(major, minor))
            (self.root / "dev" / name).chmod(0o666)
        self._install()

    def _install(self):
        binds = {
            "/usr": "/usr",
            sys.base_prefix: "/opt/python",
            str(Path(msgspec.__file__).parents[1]): "/opt/site",
            str(Path(package).parents[1]): "/opt/src",
        }
        for place in binds.values():
            (self.root / place[1:]).mkdir(exist_ok=True)
        (self.root / "binds").write_text("".join(f"{source} {place}\n" for source, place in binds.items()))
        program = self.root / "opt/backburn-pool/current/bin/backburn"
        program.parent.mkdir(parents=True)
        program.write_text(_BACKBURN)
        program.chmod(0o755)
        shutil.copy(RUNNER / "backburn-pool.service", self.root / "etc/systemd/system")

    def __enter__(self):
        self._join()
        words = [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--uts",
            "--ipc",
            "--cgroup",
            "bash",
            "-c",
            _BOOT,
        ]
        env = os.environ | {"PATH": program_path(), "root": str(self.root), "engine": str(self.engine)}
        groups = " ".join(str(path) for path in self._made)
        move = f'for one in {groups}; do echo $$ >"$one/cgroup.procs"; done; exec "$@"'
        with (self.root.parent / "boot.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", move, "-", *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env
            )
        self._wait()
        return self

    def _join(self):
        """The hierarchies of this machine, and a group in each."""
        lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
        mounts = [(kind, place, options) for _, place, kind, options, *_ in lines if kind in ("cgroup", "cgroup2")]
        kept, self._made = [], []
        for kind, place, options in mounts:
            if "cpuset" in options.split(","):  # takes nobody before it is told its processors
                continue
            group = Path(place, self.name)
            group.mkdir(exist_ok=True)
            self._made.append(group)
            chosen = ",".join(
                one for one in options.split(",") if one not in ("rw", "ro", "relatime", "nosuid", "nodev", "noexec")
            )
            kept.append(f"{kind} {('none,' if chosen.startswith('name=') else '') + chosen or 'rw'} {place}\n")
        (self.root / "groups").write_text("".join(kept))

    def _wait(self):
        end = time.monotonic() + 30
        while self.ask("systemctl", "is-active", "basic.target")[1].strip() != "active":
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError((self.root.parent / "boot.log").read_text())
            time.sleep(0.1)

    @property
    def _first(self):
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()[:1]
        return []

    def ask(self, *words):
        """(exit code, what it said)."""
        if not self._first:
            return 1, ""
        command = ["nsenter", "--target", *self._first, "-m", "-p", "-u", "-i", "-C", "-r", "-w", *words]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": program_path()}, check=False)
        return done.returncode, done.stdout + done.stderr

    def shown(self, *names):
        """Properties of our unit."""
        _, said = self.ask("systemctl", "show", "backburn-pool", f"--property={','.join(names)}")
        return dict(re.findall(r"^(\w+)=(.*)$", said, re.MULTILINE))

    def __exit__(self, *_):
        for first in self._first:
            os.kill(int(first), signal.SIGKILL)
        self._process.wait(20)
        for path in sorted(_groups(self.name), key=lambda path: -len(path.parts)):
            _remove_group(path)
