"""An image in which a real job can run: Debian's smallest system with bash, git and Python. Built once into a folder.

Its listener is the same script, which knows `command=` then: what the job is. Building took 230 to 330 s on two busy
cores and gives 214 MB; each daemon that gets it takes 8 s more.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .daemon import HERE, add, missing, program_path

SUITE = "bookworm"
PACKAGES = ("bash", "git", "python3-venv", "ca-certificates", "busybox-static")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/opt/listener"
_USELESS = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man", "debootstrap")


def absent():
    """Why it cannot be built here; "" where it can."""
    return missing() or ("" if shutil.which("debootstrap", path=program_path()) else "not installed: debootstrap")


def build(folder, *, mirror=""):
    """`folder`/bookworm.tar, made where it is not there yet. debootstrap knows Debian's mirror; `mirror` is another."""
    folder = Path(folder)
    image = folder / f"{SUITE}.tar"
    if image.exists():
        return image
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place, "root")
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
        environment = os.environ | {"PATH": program_path(), "DEBIAN_FRONTEND": "noninteractive"}
        done = subprocess.run(
            [*command, *([mirror] if mirror else [])], capture_output=True, text=True, env=environment, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"debootstrap: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        for useless in _USELESS:
            shutil.rmtree(root / useless, ignore_errors=True)
        _users(root)
        written = Path(place, "image.tar")
        subprocess.run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(written), "."], check=True)
        written.rename(image)  # whole, or not at all
    return image


def _users(root):
    """As many as the engine's default user: one, of uid 1001."""
    with (root / "etc/passwd").open("a") as passwd, (root / "etc/group").open("a") as group:
        passwd.write("runner:x:1001:1001::/home/runner:/bin/bash\n")
        group.write("runner:x:1001:\n")
    (root / "root").chmod(0o755)  # an interpreter that is mounted may lie below it
    (root / "home/runner").mkdir()
    os.chown(root / "home/runner", 1001, 1001)


def _add_listener(image):
    """As it is now, and busybox's wget after every other program. No path may stand in an imported tar twice."""
    with tarfile.open(image, "a") as tar:
        add(tar, "./opt/listener", mode=0o755, kind=tarfile.DIRTYPE)
        add(tar, "./opt/listener/wget", mode=0o777, kind=tarfile.SYMTYPE, target="/bin/busybox")
        add(tar, "./listener", (HERE / "listener.sh").read_bytes(), 0o755)


def load(daemon, image, port):
    """The image `realistic:PORT` in this daemon, whose listener asks the GitHub on that port of this host."""
    name = f"realistic:{port}"
    if daemon.ask("image", "inspect", name) is None:
        copied = shutil.copy(image, daemon.folder / "realistic.tar")
        _add_listener(copied)
        environment = {"PORT": port, "HOME": "/home/runner", "LANG": "C.UTF-8", "PATH": _PATH}
        flags = ['ENTRYPOINT ["/listener"]', *(f"ENV {key}={value}" for key, value in environment.items())]
        assert daemon.ask(
            "import", *(word for flag in flags for word in ("--change", flag)), str(copied), name
        ), daemon.error
        copied.unlink()
    return name
