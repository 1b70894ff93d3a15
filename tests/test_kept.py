"""What is kept from one run to the next: under which key, how much, how long, and what is not believed."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from backburn import environment, kept, reach
from backburn.config import Seconds, Training
from backburn.stages import memorize


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BACKBURN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    monkeypatch.setattr(kept, "_toolkit", lambda: "the same")  # whoever edits this repository meanwhile
    return tmp_path / "cache"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    loss: float = 0.5


PYPROJECT = '[project]\nname = "net"\nversion = "1"\ndependencies = ["torch>=2"]\n'


@pytest.fixture
def root(tmp_path):
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo" / "pyproject.toml").write_text(PYPROJECT)
    return tmp_path / "repo"


def place(root, install="auto", **given):
    training = Training(name="net", command="python train.py", env=given.pop("env", {}))
    own = memorize.Config(training=training, install=install, **given)
    return kept.place("memorize", own, "net", root, root)


def keep(where, loss=0.5, *, content="x = 1\n", commit="1a2b3c4d5e"):
    """Keep what a training left that read one file."""
    out = where.root / "build" / "net"
    out.mkdir(parents=True, exist_ok=True)
    (where.root / "train.py").write_text(content)
    (out / "output.txt").touch()
    (out / reach.FILE).write_text(f"began command\nread {where.root}/train.py\n")
    where.keep(Seen(loss=loss), commit, out, time.time() + 1)
    return sorted(where.folder.glob("*")) if where.folder.exists() else []


def test_what_is_kept_is_found_and_says_of_when_it_is(root):
    where = place(root)
    assert where.find() == (None, "")
    (path,) = keep(where, loss=float("nan"))
    found, _ = where.find()
    assert found.evidence == {"loss": "nan"} and found.reached.files.keys() == {"train.py"}
    assert str(found) == f"{found.date} UTC, when commit 1a2b3c4 was trained" and time.strftime("%Y-%m") in found.date
    assert json.loads(path.read_text())["kind"] == "kept"
    assert "with changes" in str(msgspec.structs.replace(found, commit="1a2b3c4d+"))
    (root / "train.py").write_text("x = 2\n")
    assert where.find() == (None, "train.py")


def test_one_branch_does_not_put_out_the_others(root):
    where = place(root)
    keep(where, 0.1, content="x = 1")
    keep(where, 0.2, content="x = 2")
    (root / "train.py").write_text("x = 1")
    assert where.find()[0].evidence == {"loss": 0.1}
    assert len(keep(where, 0.3, content="x = 1")) == 2  # in its place
    assert where.find()[0].evidence == {"loss": 0.3}


def changed_environment(root, monkeypatch):
    (root / "pyproject.toml").write_text(PYPROJECT.replace("torch>=2", "torch>=2.1"))


def changed_lock(root, monkeypatch):
    (root / "constraints.txt").write_text("torch==2.1\n")


def changed_reference(root, monkeypatch):
    (root / "references" / "memorize" / "net").mkdir(parents=True)
    (root / "references" / "memorize" / "net" / "cpu.json").write_text("{}")


def changed_threads(root, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")


def changed_toolkit(root, monkeypatch):
    monkeypatch.setattr(kept, "_toolkit", lambda: "another")


def changed_driver(root, monkeypatch):
    real = kept._lines
    monkeypatch.setattr(kept, "_lines", lambda path: ["580.1"] if path.name == "version" else real(path))


@pytest.mark.parametrize(
    "change",
    [changed_environment, changed_lock, changed_reference, changed_threads, changed_toolkit, changed_driver],
)
def test_what_decides_beforehand_is_in_the_key(root, monkeypatch, change):
    before = place(root)
    assert place(root) == before
    change(root, monkeypatch)
    assert place(root).folder != before.folder


def test_a_reference_that_only_judges_is_not_in_the_key(root, monkeypatch):
    own = memorize.Config(training=Training(name="net", command="python train.py"))
    before = kept.place("memorize", own, "net", root, root, measured_by_reference=False)
    changed_reference(root, monkeypatch)
    assert kept.place("memorize", own, "net", root, root, measured_by_reference=False) == before


@pytest.mark.parametrize(
    "given",
    [{"steps": 299}, {"args": "--small"}, {"env": {"DATA": "x"}}, {"install": "pip"}, {"timeout": Seconds(60)}],
)
def test_all_of_the_config_is_in_the_key(root, given):
    assert place(root, **given).folder != place(root).folder


def test_what_is_of_one_checkout_or_run_is_not_in_the_key(root, tmp_path, monkeypatch):
    other = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    monkeypatch.setenv("GITHUB_SHA", "1")
    before = place(root)
    (other / "README.md").write_text("It trains.")
    monkeypatch.setenv("GITHUB_SHA", "2")
    assert place(other).folder == before.folder


@pytest.mark.parametrize(("visible", "same"), [("GPU-1", True), ("GPU-1,GPU-2", False), ("MIG-1", False)])
def test_which_of_several_gpus_that_are_alike_is_no_difference(root, monkeypatch, visible, same):
    monkeypatch.setattr(kept, "_lines", lambda path: ["Model: H200"])
    monkeypatch.setattr(kept.Path, "glob", lambda self, pattern: [Path("a/information"), Path("b/information")])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0")
    before = list(kept._machine())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert (list(kept._machine()) == before) is same


def test_it_is_known_in_no_time(root):
    started = time.process_time()
    assert place(root)
    assert time.process_time() - started < 0.5


def test_where_the_stage_itself_has_something_to_say_there_is_no_place(root, monkeypatch):
    (root / "poetry.lock").touch()
    assert place(root) is None
    assert place(root, install="none")
    monkeypatch.setenv("PATH", "/nowhere")
    assert place(root, install="none") is None


def test_the_toolkits_own_source_is_one_digest(monkeypatch, tmp_path):
    monkeypatch.undo()
    package = Path(shutil.copytree(Path(kept.__file__).parent, tmp_path / "backburn"))
    before = kept._toolkit()
    monkeypatch.setattr(kept, "__file__", str(package / "kept.py"))
    copied = kept._toolkit()
    (package / "probes" / "memorize.py").write_text("x = 1")
    assert copied != kept._toolkit() and len(before) == len(copied)


def test_an_environment_that_is_found_is_known_by_what_is_installed_there(root, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]]))
    seen = [environment.identity(root, "none")]
    for name, content in (
        ("net-1.dist-info/RECORD", "net/model.py,sha256=abc,10"),
        ("net-1.dist-info/RECORD", "net/model.py,sha256=abd,10"),  # the same version, built of another commit
        ("net.pth", "/somewhere"),
        ("loose.py", "x = 1"),
    ):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(content)
        seen.append(environment.identity(root, "none"))
        assert seen[-1] == environment.identity(root, "none")
    assert len(set(seen)) == len(seen)


def test_an_environment_that_prints_as_it_starts_is_known_too(root, tmp_path, monkeypatch):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    (site / "loud.pth").write_text("import sys; print('telemetry is on')\n")
    monkeypatch.setenv("PATH", os.pathsep.join([str(tmp_path / "venv" / "bin"), os.environ["PATH"]]))
    before = environment.identity(root, "none")
    (site / "loud.pth").write_text("import sys; print('telemetry is off')\n")
    assert environment.identity(root, "none") != before


# What lies there


def test_no_more_than_twenty_of_a_key_are_kept(root):
    where = place(root)
    for number in range(22):
        paths = keep(where, content=f"x = {number}")
    assert len(paths) == 20
    assert where.find()[0]


def test_after_a_month_it_is_trained_again(root):
    where, other = place(root), place(root, steps=299)
    (path,), (another,) = keep(where), keep(other)
    for one in (path, another):
        os.utime(one, (time.time() - 31 * 86400,) * 2)
    assert where.find() == (None, "") and not path.exists()
    assert another.exists()
    keep(where)
    assert not another.parent.exists()


@pytest.mark.parametrize(("days", "found"), [(6.4, True), (6.6, False)])
def test_a_stage_of_a_shorter_term_is_trained_again_sooner(root, days, found):
    own = memorize.Config(training=Training(name="net", command="python train.py"))
    where = kept.place("memorize", own, "net", root, root, term=kept.Term(days=6.5))
    (path,) = keep(where)
    os.utime(path, (time.time() - days * 86400,) * 2)
    assert (where.find()[0] is not None) is found


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b'{"kind": "report", "schema": 1}',
        b'{"kind": "kept", "schema": 99}',
        b'{"kind": "kept", "schema": 1, "commit": 3}',
        b"\x80\x04K\x01.",
    ],
)
def test_what_is_damaged_or_foreign_is_passed_over_and_removed(root, content):
    where = place(root)
    (path,) = keep(where)
    path.with_name("damaged.json").write_bytes(content)
    (path.parent / "folder.json").mkdir()
    assert where.find()[0]
    assert not path.with_name("damaged.json").exists()


def test_a_link_or_a_huge_file_is_not_read(root, tmp_path, monkeypatch):
    where = place(root)
    (path,) = keep(where)
    path.rename(tmp_path / "away.json")
    path.symlink_to(tmp_path / "away.json")
    assert where.find() == (None, "") and (tmp_path / "away.json").exists()
    (path,) = keep(where)
    monkeypatch.setattr(kept, "_LARGEST", 10)
    assert where.find() == (None, "")
    assert keep(where) == []


def test_a_cache_that_cannot_be_written_is_no_error(root, cache):
    cache.write_text("a file in its place")
    where = place(root)
    assert keep(where) == [] and where.find() == (None, "")


def test_what_cannot_be_looked_after_is_not_kept(root):
    where = place(root)
    keep(where)
    out = root / "build" / "net"
    shutil.rmtree(where.folder)
    (out / reach.FILE).open("a").write("network example.org\n")
    where.keep(Seen(), "", out, time.time() + 1)
    assert not where.folder.exists()
