"""A Docker Engine of the tests' own: its containerd, its sockets, its folders. The machine's engine is never touched.

Also for `python -m benchmarks.pool`. A containerd that outlives its dockerd is what lets one come back after SIGKILL.
"""

import contextlib
import ctypes
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PREFIX = "bb-"  # short: the path of a unix socket has 107 characters at most, and containerd adds its own
_DETACH = 2  # umount2: out of sight now, gone when nobody uses it
_NEEDED = ("containerd", "docker", "dockerd", "runc", "docker-init", "busybox")


def missing():
    """Why no engine of our own can run here; "" where one can."""
    if os.geteuid() != 0:
        return "a Docker Engine of one's own takes root"
    if absent := [name for name in _NEEDED if shutil.which(name, path=program_path()) is None]:
        return f"not installed: {', '.join(absent)} (apt-get install docker.io busybox-static)"
    return "" if importlib.util.find_spec("docker") else "not installed: the docker SDK (pip install 'backburn[pool]')"


def program_path():
    """Where programs are: as a person's PATH may lack sbin, that is looked at last."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _program(name):
    found = shutil.which(name, path=program_path())
    if found is None:
        raise FileNotFoundError(name)
    return found


class Daemon:
    """dockerd, with `term`, `kill`, `hang` and `up` again. `host` is its address; containers have the host's network.

    `live_restore` may be changed while it is down: the next `up` has it.
    """

    def __init__(self, *, live_restore=True):
        reclaim()
        self.live_restore = live_restore
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        (self.folder / "owner").write_text(f"{os.getpid()} {_born(os.getpid())}")
        self.socket = self.folder / "d.sock"
        self.host = f"unix://{self.socket}"
        self.pidfile = self.folder / "d.pid"
        self.cgroup = f"/{self.folder.name}"
        self.log = self.folder / "log"
        self.error = ""
        self._containerd = None
        self._dockerd = None

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        """Of dockerd, while it runs."""
        return self._dockerd.pid if self._dockerd is not None and self._dockerd.poll() is None else 0

    def up(self, patience=30.0):
        """Start it where it does not run, and wait until it answers. Raises RuntimeError with its log."""
        if self._containerd is None or self._containerd.poll() is not None:
            self._start_containerd(patience)
        if not self.pid:
            for stale in (self.socket, self.pidfile):
                stale.unlink(missing_ok=True)
            self._dockerd = self._start(
                *("dockerd", "--containerd", str(self.folder / "c.sock"), "--host", self.host),
                *("--data-root", str(self.folder / "data"), "--exec-root", str(self.folder / "exec")),
                *("--pidfile", str(self.pidfile), "--cgroup-parent", self.cgroup),
                *("--exec-opt", "native.cgroupdriver=cgroupfs", "--bridge=none"),
                *("--iptables=false", "--ip-forward=false", "--ip-masq=false"),
                *(
                    "--config-file",
                    str(self._config()),
                    "--storage-driver",
                    os.environ.get("BACKBURN_STORAGE", "overlay2"),
                ),
                *(["--live-restore"] if self.live_restore else []),
            )
        self._wait(lambda: self.ask("version"), patience, "dockerd")
        return self

    def _config(self):
        config = self.folder / "daemon.json"  # not the machine's own /etc/docker/daemon.json
        config.write_text("{}")
        return config

    def _start_containerd(self, patience):
        config = self.folder / "c.toml"
        config.write_text(
            f'version = 2\nroot = "{self.folder}/cr"\nstate = "{self.folder}/cs"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{self.folder}/c.sock"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\npath = "{self.folder}/opt"\n'
        )
        self._containerd = self._start("containerd", "--config", str(config))
        self._wait((self.folder / "c.sock").exists, patience, "containerd")

    def _start(self, name, *words):
        environment = os.environ | {"PATH": program_path()}
        with self.log.open("ab") as log:  # a session of its own: Ctrl-C is for us, and we stop it in order
            return subprocess.Popen(
                [_program(name), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def _wait(self, answers, patience, name):
        end = time.monotonic() + patience
        while not answers():
            died = any(
                process is not None and process.poll() is not None for process in (self._containerd, self._dockerd)
            )
            if died or time.monotonic() > end:
                raise RuntimeError(f"{name} does not come up:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def ask(self, *words):
        """What the `docker` command says; None where it fails, with the reason in `error`."""
        command = [_program("docker"), "--host", self.host, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.error = done.stderr.strip()
        return done.stdout.strip() or "ok" if done.returncode == 0 else None

    def term(self, patience=40.0):
        """SIGTERM, and wait: without live-restore it stops its containers first (10 s for one that does not listen)."""
        self._signal(signal.SIGTERM, patience)

    def kill(self):
        """SIGKILL, as a crash."""
        self._signal(signal.SIGKILL, 10.0)

    def _signal(self, number, patience):
        if self.pid:
            self._dockerd.send_signal(number)
            self._dockerd.wait(patience)

    @contextlib.contextmanager
    def hang(self):
        """SIGSTOP while inside: it takes connections, and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        while not _stopped(self.pid):  # each of its threads stops when it comes by; one still answered a ping
            time.sleep(0.001)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def load(self, name, content, *changes):
        """An image from a tar; `changes` as in a Dockerfile."""
        tar = self.folder / "image.tar"
        tar.write_bytes(content)
        flags = [word for change in changes for word in ("--change", change)]
        assert self.ask("import", *flags, str(tar), name), self.error
        return name

    def listener(self, port):
        """The image whose listener is listener.sh and whose GitHub listens on this port of this host."""
        name = f"listener:{port}"
        if self.ask("image", "inspect", name) is None:
            self.load(name, root_filesystem(), 'ENTRYPOINT ["/listener"]', f"ENV PORT={port}", "ENV HOME=/home/runner")
        return name

    def stop(self):
        """End everything of it: containers, both daemons, shims, mounts, control groups, the folder."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, signal.SIGCONT)
        _sweep(self.folder, [process for process in (self._dockerd, self._containerd) if process is not None])


def reclaim():
    """Clean up after daemons whose tests were killed: nothing of theirs can be in use."""
    for owner in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/owner"):
        pid, born = (*owner.read_text().split(), "", "")[:2]
        if pid.isdigit() and _born(int(pid)) != born:
            _sweep(owner.parent, [])


def _born(pid):
    """When a process started, in ticks; "" where there is none. With its number, this names one process for good."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _stopped(pid):
    try:
        threads = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    except OSError:  # one has just ended
        return False
    return all(said.rpartition(")")[2].split()[0] == "T" for said in threads)


def _sweep(folder, processes):
    folder = folder.resolve()
    for _ in range(100):  # first what runs in containers: shims end by themselves then, and tidy up
        inside = [pid for path in _groups(folder.name) for pid in _members(path)]
        for pid in inside:
            _kill(pid, signal.SIGKILL)
        if not inside:
            break
        time.sleep(0.05)
    for process in processes:  # dockerd first
        _end(process)
    for address in folder.glob("cs/*/*/*/address"):
        Path(address.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)
    for pid in _ours(folder):
        _kill(pid, signal.SIGKILL)
    _unmount(folder)
    _remove_bridges(folder)
    for path in sorted(_groups(folder.name), key=lambda path: -len(path.parts)):
        _remove_group(path)
    shutil.rmtree(folder, ignore_errors=True)


def _remove_bridges(folder):
    """The interfaces of networks that were never removed; dockerd leaves them when it ends."""
    database = folder / "data/network/files/local-kv.db"
    known = re.findall(
        rb"docker/network/v1\.0/bridge/([0-9a-f]{12})", database.read_bytes() if database.exists() else b""
    )
    for name in {f"br-{identity.decode()}" for identity in known}:
        if Path("/sys/class/net", name).exists():
            subprocess.run([_program("ip"), "link", "delete", name], check=False)


def _groups(name):
    """Each control group of ours, in every hierarchy of v1 and in v2."""
    tops = [*Path("/sys/fs/cgroup").glob(name), *Path("/sys/fs/cgroup").glob(f"*/{name}")]
    # os.walk and not rglob: what a shim removes meanwhile is no error.
    return [Path(path) for top in tops if not top.parent.is_symlink() for path, _, _ in os.walk(top)]


def _members(group):
    with contextlib.suppress(OSError):
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    return []


def _remove_group(path):
    for _ in range(50):  # a killed process stays in its group until it is reaped
        try:
            return path.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.02)
    return None


def _ours(folder):
    """Processes that were started with a path in our folder: daemons whose owner is gone, shims."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if (
                int(path.parent.name) != os.getpid()
                and _is_engine(words)
                and any(bytes(folder) + b"/" in word for word in words)
            ):
                yield int(path.parent.name)


def _is_engine(words):
    return os.path.basename(words[0]).startswith((b"containerd", b"dockerd", b"docker-proxy"))


def _kill(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _end(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _unmount(folder):
    libc = ctypes.CDLL(None, use_errno=True)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4].encode().decode("unicode_escape")
        if place.startswith(f"{folder}/"):
            libc.umount2(os.fsencode(place), _DETACH)


def root_filesystem(extra=None):
    """A tar with a static busybox, the listener and a home. `extra` is {path: (bytes, mode)}, of the runner's user."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, mode, user in _FOLDERS:
            add(tar, name, mode=mode, user=user, kind=tarfile.DIRTYPE)
        add(tar, "bin/busybox", Path(_program("busybox")).read_bytes(), 0o755)
        for applet in subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                add(tar, f"bin/{applet}", kind=tarfile.SYMTYPE, target="busybox")
        add(tar, "etc/passwd", b"root:x:0:0::/:/bin/sh\nrunner:x:1001:1001::/home/runner:/bin/sh\n")
        add(tar, "etc/group", b"root:x:0:\nrunner:x:1001:\n")
        add(tar, "listener", (HERE / "listener.sh").read_bytes(), 0o755)
        for name, (content, mode) in (extra or {}).items():
            add(tar, name, content, mode, user=1001)
    return packed.getvalue()


_FOLDERS = (
    *((name, 0o755, 0) for name in ("bin", "dev", "etc", "home", "proc", "run", "sys")),
    ("tmp", 0o1777, 0),
    ("home/runner", 0o755, 1001),
)


def add(tar, name, content=b"", mode=0o644, *, user=0, kind=tarfile.REGTYPE, target=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.uid, entry.gid, entry.size, entry.linkname = (
        kind,
        mode,
        user,
        user,
        len(content),
        target,
    )
    tar.addfile(entry, io.BytesIO(content))


def _session_of(**options):
    if said := missing():
        pytest.skip(f"NO DOCKER ENGINE: {said}")
    with Daemon(**options) as daemon:
        yield daemon


@pytest.fixture(scope="session")
def engine_daemon():
    """One for all tests that leave it running."""
    yield from _session_of()


@pytest.fixture
def own_daemon():
    """One to stop, to kill and to hang; live-restore as the test sets it."""
    yield from _session_of()
