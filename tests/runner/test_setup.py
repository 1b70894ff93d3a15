"""runner/setup.sh: what it refuses, and all of it in a Debian of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import pytest

from backburn.pool.door import pool as door
from tests.conftest import REPOSITORY
from tests.pool import realistic
from tests.pool.setup.conftest import base, server  # noqa: F401
from tests.pool.setup.ground import Machine, missing
from tests.pool.setup.test_installation import BACKUPS, DATABASES

SCRIPT = REPOSITORY / "runner/setup.sh"
SUITE_PYTHON = "3.11"  # of Debian 12, in which it is tried
PARTS = ("LICENSE", "README.md", "actions", "constraints.txt", "hatch_build.py", "pyproject.toml", "runner", "src")
PARTS += ("templates",)
PROGRAMS = ("bash", "cat", "chmod", "cut", "dirname", "id", "ln", "mkdir", "mktemp", "mv", "rm", "sed", "touch")
PROGRAMS += ("cp", "env", "find", "sha256sum", "sort", "xargs")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes root")


@pytest.fixture
def place():
    """A folder that anybody may enter, with the script in it and nothing else of the toolkit."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        (Path(folder) / "runner").mkdir()
        shutil.copy2(SCRIPT, Path(folder) / "runner/setup.sh")
        yield Path(folder)


@pytest.fixture
def path(tmp_path):
    """A PATH with what every machine has, and whatever a test puts there."""
    for name in PROGRAMS:
        (tmp_path / name).symlink_to(shutil.which(name))
    return tmp_path


def program(path, name, text):
    (path / name).write_text(f"#!/bin/sh\n{text}\n")
    (path / name).chmod(0o755)


def typed(place, path, *words, before=()):
    command = [*before, str(place / "runner/setup.sh"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(path)}, timeout=60)
    return done.returncode, done.stdout, done.stderr


@as_root
def test_who_is_not_root_is_told_how(place):
    code, _, said = typed(
        place, os.environ["PATH"], "--cpu", "1", before=["setpriv", "--reuid=65534", "--clear-groups"]
    )
    assert code == 2 and "only root may set a machine up" in said and "setup.sh --cpu 1" in said


def test_help_says_what_it_is(place, path):
    code, said, _ = typed(place, path, "--help")
    assert code == 0 and "#" not in said and "set -euo" not in said and said.endswith("`backburn pool --help`.\n")
    named = {option for verb in ("setup", "uninstall") for one in door.commands[verb].params for option in one.opts}
    assert set(re.findall(r"--[a-z-]+", said)) == named | {"--uninstall", "--help"}


@as_root
@pytest.mark.parametrize(
    ("python", "docker", "said"),
    [
        (None, True, "apt-get install python3"),
        ("[ $1 = --version ] && echo Python 3.9.2; exit 1", True, "Python 3.9.2 is too old"),
        ('case "$2" in *ensurepip*) exit 1 ;; esac', True, "apt-get install python3-venv"),
        ("exit 0", False, "Docker Engine is not installed"),
        ("exit 0", True, "the toolkit is not whole"),
    ],
)
def test_what_the_machine_lacks_is_said_with_what_to_do(place, path, tmp_path, python, docker, said):
    if python is not None:
        program(path, "python3", python)
    if docker:
        for name in ("docker", "dockerd"):
            program(path, name, "exit 0")
    elif Path("/var/run/docker.sock").exists():
        pytest.skip("this machine has an engine")
    code, _, error = typed(place, path)
    assert code == 3 and error.startswith("error: ") and said in error
    assert not Path("/opt/backburn-pool").exists()


# In place of an environment: what is left in it says what was done there.
VENV = """[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\\nexit 0\\n' >"$3/bin/python"
printf '#!/bin/sh\\n%s\\n' "{backburn}" >"$3/bin/backburn"
chmod +x "$3"/bin/*
"""


@as_root
@pytest.mark.parametrize(
    ("backburn", "left"),
    [
        ("exit 2", False),
        ("exit 0", False),
        ("mkdir -p /etc/backburn; touch /etc/backburn/installed.json; exit 3", True),
    ],
)
def test_what_was_refused_leaves_no_environment(place, path, backburn, left):
    """With /opt and /etc of its own."""
    whole(place)
    for name in ("docker", "dockerd"):
        program(path, name, "exit 0")
    program(path, "python3", VENV.format(backburn=backburn))
    mounts = "mount -t tmpfs none /opt && mkdir /opt/etc && cp /etc/passwd /opt/etc && mount --bind /opt/etc /etc"
    script = (
        f"{mounts} && cd / && {{ PATH={path} {place}/runner/setup.sh --cpu 1; echo code $?; ls /opt/backburn-pool; }}"
    )
    command = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f"code {backburn[-1]}\n" in said.stdout and ("current" in said.stdout) is left, said


def whole(place):
    """As if all of the toolkit were there."""
    for name in PARTS:
        (place / name).mkdir(exist_ok=True) if "." not in name and name != "LICENSE" else (place / name).touch()


@as_root
def test_without_a_network_pip_says_so_and_a_dry_run_leaves_nothing(place, path, tmp_path):
    """python3 -m venv works, and pip finds nothing."""
    whole(place)
    for name in ("docker", "dockerd"):
        program(path, name, "exit 0")
    program(
        path, "python3", '[ "$2" = venv ] && mkdir -p "$3/bin" && ln -s "$(command -v false)" "$3/bin/python"; exit 0'
    )
    (path / "false").symlink_to(shutil.which("false"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = ["env", f"TMPDIR={scratch}", str(place / "runner/setup.sh"), "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(path)}, timeout=60)
    assert done.returncode == 3 and "pip could not install backburn" in done.stderr, done
    assert list(scratch.iterdir()) == [] and not Path("/opt/backburn-pool").exists()


# In a Debian of its own

_MOUNTS = """
set -e
mount -t overlay -o "lowerdir={root},upperdir={folder}/up,workdir={folder}/work" overlay {folder}/root
mount -t proc proc {folder}/root/proc
mount --rbind /dev {folder}/root/dev
touch {folder}/root/run/docker.sock
mount --bind {socket} {folder}/root/run/docker.sock
mkdir {folder}/root/mnt/toolkit {folder}/root/mnt/wheels {folder}/root/mnt/given
mount --bind {toolkit} {folder}/root/mnt/toolkit
mount --bind {wheels} {folder}/root/mnt/wheels
mount --bind {given} {folder}/root/mnt/given
echo ready
exec sleep infinity
"""
OURS = {"/mnt/toolkit", "/mnt/wheels", "/mnt/given", "/run/docker.sock", "/etc/hostname", "/etc/resolv.conf"}


def wheels(folder):
    """All that setup.sh lets pip install, as the index of this machine's pip has it, for the Debian's Python."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["pool"]]
    wanted += project["build-system"]["requires"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(folder), "--only-binary", ":all:"]
    command += ["--python-version", SUITE_PYTHON, "--constraint", str(REPOSITORY / "constraints.txt"), *wanted]
    subprocess.run(command, check=True, timeout=600)
    return folder


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """Its root, unpacked; with the group that docker.io makes."""
    if said := missing() or realistic.absent():
        pytest.skip(f"NO DOCKER ENGINE: {said}")
    root = tmp_path_factory.mktemp("debian")
    image = realistic.build(REPOSITORY / "build/cache/realistic")
    subprocess.run(["tar", "-C", str(root), "--numeric-owner", "-xf", str(image)], check=True)
    gid = Path("/etc/group").read_text().partition("docker:x:")[2].partition(":")[0]
    subprocess.run(["chroot", str(root), "/usr/sbin/groupadd", "--gid", gid, "docker"], check=True)
    return root


class Debian(Machine):
    """Its root under an overlay, so that all that a command changes is in the upper folder."""

    def __init__(self, daemon, folder, server, base, root, wheels):  # noqa: F811
        super().__init__(daemon, folder, server, base)
        self.root, self.wheels = root, wheels
        for name in ("up", "work", "root", "given", "toolkit"):
            (self.folder / name).mkdir()
        for name in PARTS:
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy2
            copy(REPOSITORY / name, self.folder / "toolkit" / name)
        shutil.copy2(self.token, self.folder / "given/token")

    def script(self):
        return _MOUNTS.format(
            root=self.root,
            folder=self.folder,
            socket=self.daemon.socket,
            toolkit=self.folder / "toolkit",
            wheels=self.wheels,
            given=self.folder / "given",
        )

    def command(self, words):
        environment = [
            "PIP_NO_INDEX=1",
            "PIP_FIND_LINKS=/mnt/wheels",
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        ]
        return ["chroot", str(self.folder / "root"), "env", "-i", *environment, "COLUMNS=120", *words]

    def lower(self, path):
        return self.root / path.lstrip("/")

    @property
    def wanted(self):
        given = super().wanted
        return tuple("/mnt/given/token" if one == self.token else one for one in given)

    def setup_sh(self, *words, **given):
        return self.run("/mnt/toolkit/runner/setup.sh", *words, **given)

    def tree(self):
        """What differs from a fresh Debian, but for what the test put there, users, and below the environment."""
        found = {path for path in self.changed() if path not in OURS | BACKUPS | DATABASES}
        return {one for one in found if not one.startswith("/opt/backburn-pool/") and not one.startswith("/dev")}


@pytest.mark.slow
def test_a_fresh_debian(engine_daemon, tmp_path, server, base, debian, tmp_path_factory):  # noqa: F811
    """Tried, interrupted, set up, set up again, and taken back."""
    with Debian(engine_daemon, tmp_path, server, base, debian, wheels(tmp_path_factory.mktemp("wheels"))) as machine:
        fresh = machine.changed()
        code, said = machine.setup_sh(*machine.wanted, "--dry-run", within=300)
        assert code == 0 and "This will change:" in said and "Nothing was changed." in said, said
        assert "/usr/local/bin/backburn: a link" in said and "/opt/backburn-pool: backburn" in said
        assert machine.changed() == fresh

        process = machine.start("/mnt/toolkit/runner/setup.sh", *machine.wanted, start_new_session=True)
        while not list(machine.upper("/opt/backburn-pool").glob("*/lib/python3*/site-packages/click")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert not machine.upper("/opt/backburn-pool/current").is_symlink()

        begun = time.monotonic()
        code, said = machine.setup_sh(*machine.wanted, within=300)
        print(f"\nset up after {time.monotonic() - begun:.1f} s")
        assert (
            code == 0 and "Ready to start: sudo -u backburn-pool /opt/backburn-pool/current/bin/backburn" in said
        ), said
        made = {"/etc/backburn", "/etc/backburn/installed.json", "/etc/backburn/pool.toml", "/etc/backburn/token"}
        made |= {"/opt/backburn-pool", "/usr/local/bin/backburn", "/var/lib/backburn-pool"}
        assert {one for one in machine.tree() if not one.startswith("/tmp")} == made
        assert all(one in said for one in made)
        kinds = [one["kind"] for one in json.loads(machine.upper("/etc/backburn/installed.json").read_text())["made"]]
        assert kinds[:4] == ["folder", "toolkit", "link", "user"]

        code, said = machine.setup_sh(*machine.wanted, within=300)
        assert code == 0 and "Nothing to change." in said, said
        doctor = ("setpriv", "--reuid=backburn-pool", "--regid=backburn-pool", "--init-groups")
        code, said = machine.run(*doctor, "backburn", "pool", "doctor")
        assert code == 0 and "Nothing is wrong." in said, said
        code, said = machine.setup_sh("--uninstall", "--purge")
        assert code == 0 and "kept" not in said, said
        assert {one for one in machine.tree() if not one.startswith("/tmp")} == set()
        assert set(machine.changed()) - set(fresh) <= BACKUPS | {
            one for one in machine.changed() if one.startswith("/tmp")
        }
        assert machine.setup_sh("--uninstall") == (0, "Setup has made nothing here.\n")
