"""What root does with the files of jobs, by the shells and tools that an image may have: GNU's and busybox's."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from backburn.pool import cache

SCRIPT = Path(cache.__file__).with_name("chores.sh")
MOUNT = "/cache/hf"
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="NOT ROOT: devices and the files of others are made here")


@pytest.fixture(params=["gnu", "busybox"])
def chore(request, tmp_path):
    """Do one by this kind of tools alone."""
    path, shell = os.environ["PATH"], "sh"
    if request.param == "busybox":
        if shutil.which("busybox") is None:
            pytest.skip("NO BUSYBOX: apt-get install busybox-static")
        folder = tmp_path / "bin"
        folder.mkdir()
        subprocess.run(["busybox", "--install", "-s", folder], check=True)
        path, shell = str(folder), str(folder / "sh")

    def do(*words):
        command = [shell, SCRIPT, *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": path}, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return do


def tree(folder):
    """{path: what it holds, or where it leads}, of files and links, and the folders that are empty."""
    found = {}
    for path, folders, files in os.walk(folder):
        for name in (*files, *(one for one in folders if os.path.islink(os.path.join(path, one)))):
            one = Path(path, name)
            found[str(one.relative_to(folder))] = f"-> {os.readlink(one)}" if one.is_symlink() else _unseen(one)
        if not folders and not files and path != str(folder):
            found[str(Path(path).relative_to(folder)) + "/"] = ""
    return found


def _unseen(path):
    """What it holds, read as overlayfs reads it: its atime stays."""
    if not path.is_file():
        return "no file"  # a pipe would be waited for
    with open(path, opener=lambda name, flags: os.open(name, flags | os.O_NOATIME)) as stream:
        return stream.read()


def plant(folder, files):
    for name, content in files.items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(content[3:]) if content.startswith("-> ") else path.write_text(content)
    return folder


def taken(chore, upper, built):
    built.mkdir()
    chore("take", upper, built, MOUNT, 1_700_000_000)
    return tree(built)


def test_what_a_lease_wrote_becomes_a_layer_without_being_copied(chore, tmp_path):
    sound = {"a": "1", "d/e/f": "2", "d/.hidden": "3", "-rf": "4", "name with space ": "5", "q'\"$x`\\": "6"}
    upper = plant(tmp_path / "upper", sound)
    os.chown(upper / "d/e/f", 1001, 1001)
    os.chmod(upper / "d/e/f", 0o640)
    built = tmp_path / "built"
    built.mkdir()
    chore("take", upper, built, MOUNT, 1_700_000_000)
    stamps = {os.stat(path).st_atime for path in (built / "a", built / "d/e/f")}  # before a look at what they hold
    assert stamps == {1_700_000_000.0} and tree(built) == sound
    was, now = (upper / "d/e/f").stat(), (tmp_path / "built/d/e/f").stat()
    assert (was.st_ino, was.st_uid, was.st_mode & 0o7777) == (now.st_ino, 1001, 0o640)
    assert abs(now.st_mtime - time.time()) < 60


def test_what_is_no_plain_file_stays_behind(chore, tmp_path):
    upper = plant(tmp_path / "upper", {"good": "1", "folder/setuid": "2"})
    os.mkfifo(upper / "pipe")
    os.mknod(upper / "folder/whiteout", 0o020000, os.makedev(0, 0))
    os.mknod(upper / "disk", 0o060600, os.makedev(254, 0))
    (upper / "two\nlines").mkdir()
    (upper / "two\nlines/x\ny").write_text("")
    os.chmod(upper / "folder/setuid", 0o6755)
    os.chmod(upper / "folder", 0o2777)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(upper / "socket"))
    built = tmp_path / "built"
    assert taken(chore, upper, built) == {"good": "1", "folder/setuid": "2"}
    assert [os.stat(path).st_mode & 0o7000 for path in (built / "folder", built / "folder/setuid")] == [0, 0]


LINKS = (
    ("a/b/link", "../../blobs/x", True),
    ("a/b/link", "..", True),
    ("a/b/link", "../..", True),
    ("a/b/link", "../../..", False),
    ("a/b/link", "../../../etc/passwd", False),
    ("link", "x", True),
    ("link", "./x", True),
    ("link", "..", False),
    ("link", ".././..", False),
    ("a/link", "./../x", True),
    ("a/link", "x/../../../etc", False),
    ("a/link", "x/..", False),  # inside by its words; where x is a link, nobody knows
    ("a/link", "/etc/passwd", False),
    ("a/link", f"{MOUNT}/x/y", True),
    ("a/link", f"{MOUNT}/../pip", False),
    ("a/link", f"{MOUNT}-other/x", False),
    ("a/link", "/cache", False),
    ("a/link", "a name with spaces", True),
    ("a/link", "..x/...", True),
    ("a/link", "*", True),
    ("a/*", "../x", True),
)


def test_a_link_that_could_leave_stays_behind(chore, tmp_path):
    links = {f"{link}-{number}": target for number, (link, target, _) in enumerate(LINKS)}
    upper = plant(tmp_path / "upper", {"file": "1"} | {link: f"-> {target}" for link, target in links.items()})
    stays = {link for link, (*_, inside) in zip(links, LINKS, strict=True) if inside}
    assert set(taken(chore, upper, tmp_path / "built")) == {"file"} | stays


def test_layers_become_one_and_the_newest_counts(chore, tmp_path):
    old = {"same": "old", "only-old": "1", "was-file": "2", "was-folder/x": "3", "was-link": "-> elsewhere", "d/a": "4"}
    new = {"same": "new", "only-new": "5", "was-file/y": "6", "was-folder": "7", "was-link/z": "8", "d/b": "9"}
    newest = {"same": "-> only-new", "d/a": "10"}
    layers = [plant(tmp_path / name, files) for name, files in (("1", old), ("2", new), ("3", newest))]
    built = tmp_path / "built"
    built.mkdir()
    chore("merge", built, *layers)
    wanted = {"same": "-> only-new", "only-old": "1", "was-file/y": "6", "was-folder": "7", "was-link/z": "8"}
    assert tree(built) == wanted | {"only-new": "5", "d/a": "10", "d/b": "9"}
    assert [tree(layer) for layer in layers] == [old, new, newest], "an older layer is in use, and never changed"


def test_what_came_first_goes_first_and_what_came_together_goes_together(chore, tmp_path):
    built = tmp_path / "built"
    for stamp, names in ((100, ("pip/a", "hf/old/b", "hf/trailing ")), (200, ("pip/c",)), (300, ("hf/d", "pip/e"))):
        for name in names:
            plant(built, {name: "x" * 90})
            os.utime(built / name, (stamp, 0))
    plant(built, {"hf/dangling": "-> old/b", "hf/fine": "-> d", "pip/abroad": "-> /cache/pip/c"})
    every = tree(built)
    for kib, gone in ((36, set()), (35, {"pip/a", "hf/old/b", "hf/trailing ", "hf/dangling"}), (19, {"pip/c"})):
        chore("prune", kib, built / "pip", built / "hf")
        every = {name: content for name, content in every.items() if name not in gone}
        assert tree(built) == every
    assert not (built / "hf/old").exists()
    chore("prune", 0, built / "pip", built / "hf")
    assert set(tree(built)) == {"hf/", "pip/abroad"}


def test_a_folder_is_measured_and_emptied(chore, tmp_path):
    plant(tmp_path / "x", {"a": "1" * 9000, "b/-rf": "2", "..c": "3"})
    os.link(tmp_path / "x/a", tmp_path / "x/b/a")
    assert int(chore("measure", tmp_path / "x").split()[0]) in range(12, 40)
    chore("clear", tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []
