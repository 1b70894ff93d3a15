"""Caches as a container has them: real overlays, by a real engine."""

import os
import subprocess
import threading
import time

import pytest
from msgspec.structs import replace

from backburn.pool.cache.fitting import ENVIRONMENT, Fitted, Fitter, bare
from backburn.pool.cache import clearing
from backburn.pool.config import CACHES
from backburn.pool.engine import Declined, Unreachable
from backburn.pool.lease import Lease
from tests.pool.cache.shop import Shop
from tests.pool.lab import needs_an_engine
from tests.pool.moments import Moments


@pytest.fixture
def shop(engine_daemon, tmp_path):
    return Shop(tmp_path, daemon=engine_daemon, image=engine_daemon.listener(1))


def marks(folder):
    """What overlayfs has written down about what is in a folder."""
    paths = [os.path.join(where, one) for where, folders, files in os.walk(folder) for one in (*folders, *files)]
    return {name for path in paths for name in os.listxattr(path, follow_symlinks=False) if name.endswith("opaque")}


@needs_an_engine
def test_a_lease_reads_what_a_protected_one_wrote_and_writes_for_itself_alone(shop, engine_daemon):
    shop.run(first := shop.begin(), "cd /cache/pip; id -u >who; mkdir -p new/folder; echo 1 >new/folder/one")
    shop.end(first[0])
    shop.keeper.round()
    second = shop.begin()
    shop.run(
        second, "cd /cache/pip; mv new old; mkdir new; echo 2 >new/two; echo 3 >../hf/three; ln -s folder/one new/link"
    )
    assert "trusted.overlay.opaque" in marks(shop.shelf.upper(second[0].id, "pip")), "it would hide new/folder/one"
    shop.end(second[0])
    shop.keeper.round()
    kept = {
        "who": "1001\n",
        "new/folder/one": "1\n",
        "new/link": "-> folder/one",
        "new/two": "2\n",
        "old/folder/one": "1\n",
    }
    assert shop.seen() == kept, "also what it deleted"
    assert marks(shop.shelf.folder / "layers") == set() and shop.tidy()
    third = shop.begin()
    told = shop.run(
        third, "cd /cache/pip; cat who new/link new/two ../hf/three; echo mine >>new/two; rm -r new/folder who; ls new"
    )
    assert told.split() == ["1001", "1", "2", "3", "link", "two"]
    assert shop.run(shop.begin(), "cat /cache/pip/new/two /cache/pip/who").split() == ["2", "1001"]
    shop.end(third[0], protected=False)
    shop.keeper.round()
    assert shop.seen()["new/two"] == "2\n" and shop.notes == []
    assert engine_daemon.ask("volume", "ls", "--quiet") == engine_daemon.ask("ps", "--all", "--quiet") == "ok"


@needs_an_engine
def test_what_a_hostile_job_leaves_is_neither_kept_nor_in_the_way(shop):
    one = shop.begin()
    shop.run(
        one,
        """cd /cache/pip; echo fine >fine; ln -s /etc/passwd away; ln -s ../../etc/passwd up; mkfifo pipe; mkdir d
        cp /bin/busybox d/root; chmod 6755 d/root; touch "$(printf 'two\\nlines')" ./-rf '*' 'a b'; mkdir shut
        echo x >shut/x; chmod 000 shut/x shut; truncate -s 1000G sparse; chmod 2770 d
        (mknod disk b 254 0 || mknod null c 1 3) 2>/dev/null || echo no devices >none""",
    )
    shop.end(one[0])
    shop.keeper.round()
    assert shop.run(shop.begin(), "ls -1 /cache/pip").split("\n")[:-1] == [
        *("*", "-rf", "a b", "d", "fine", "none", "shut", "sparse")
    ]
    (layer,) = shop.shelf.current("pip")
    inside = shop.shelf.folder / "layers/pip" / layer
    assert (inside / "d/root").stat().st_mode & 0o6000 == (inside / "d").stat().st_mode & 0o6000 == 0
    assert shop.keeper.figures().bytes["pip"] < 10 << 20 and shop.notes == []


@needs_an_engine
@pytest.mark.slow
def test_a_lease_that_runs_sees_neither_new_layers_nor_their_merging(shop, monkeypatch):
    monkeypatch.setattr(clearing, "LAYERS", 3)
    shop.run(first := shop.begin(), "echo old >/cache/pip/file")
    shop.end(first[0])
    shop.keeper.round()
    said, reader = [], shop.begin()
    look = "for one in 1 2 3 4 5 6 7 8 9; do cat /cache/pip/*; sleep 0.3; done"
    watching = threading.Thread(target=lambda: said.append(shop.run(reader, look)))
    watching.start()
    time.sleep(0.5)
    for number in range(3):
        shop.write(lease := shop.begin()[0], "pip", file="new", **{f"file{number}": "new"})
        shop.end(lease)
    shop.keeper.round()
    assert any(one.endswith("base") for one in shop.shelf.current("pip")) and len(shop.seen()) == 4
    watching.join()
    assert said == ["old\n" * 9]
    shop.end(reader[0], protected=False)
    shop.keeper.round()
    assert shop.shelf.layers("pip") == shop.shelf.current("pip") and shop.tidy()


@needs_an_engine
def test_a_look_through_an_overlay_leaves_no_trace(shop):
    """So that no file says when it was last read, and what came first goes first."""
    shop.run(one := shop.begin(), "echo 1 >/cache/pip/file")
    shop.end(one[0])
    shop.keeper.round()
    (layer,) = shop.shelf.current("pip")
    file = shop.shelf.folder / "layers/pip" / layer / "file"
    os.utime(file, (1, 1))
    assert shop.run(shop.begin(), "cat /cache/pip/file") == "1\n" and file.stat().st_atime == 1


@needs_an_engine
def test_the_longest_options_that_there_can_be_are_mounted(engine_daemon, tmp_path):
    root = tmp_path / ("x" * (99 - len(str(tmp_path))))
    shop = Shop(root.parent, daemon=engine_daemon, image=engine_daemon.listener(1), names=("torch",))
    config = replace(
        shop.config, cache=replace(shop.config.cache, root=str(root)), pool=replace(shop.config.pool, name="n" * 20)
    )
    fitter = Fitter(config, shop.clock, lambda *said: shop.notes.append(said))
    fitter.shelf.prepare()
    for _ in range(16):
        fitter.shelf.add(fitter.shelf.build("x"), "torch", "f" * 16)
    fitted = fitter.fit(Lease(id="e" * 16, slot="cpu0", runner="x"), {})
    assert len(fitted.mounts[0]["VolumeOptions"]["DriverConfig"]["Options"]["o"]) < 4096
    fitter.porter.run("1001:1001", ["/bin/sh", "-c", ": >/cache/torch/x"], list(fitted.mounts), limit=30.0)


@needs_an_engine
def test_a_machine_that_cannot_has_no_caches_and_says_so_once(engine_daemon, tmp_path):
    """Its folder is itself in an overlay, which takes no other above it."""
    for one in ("lower", "upper", "work", "merged"):
        (tmp_path / one).mkdir()
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, tmp_path / "merged"], check=True)
    try:
        clock = Moments()
        shop = Shop(tmp_path / "merged", daemon=engine_daemon, image=engine_daemon.listener(1), clock=clock)
        assert [shop.begin()[1] for _ in range(3)] == [Fitted()] * 3
        shop.keeper.round()
        ((_, level, said),) = shop.notes
        assert level == "warning" and "cannot do it" in said and "mount" in said
        clock.wait(3600)
        assert shop.begin()[1] == Fitted() and len(shop.notes) == 1
        assert shop.tidy() or shop.shelf.litter()
    finally:
        subprocess.run(["umount", "--lazy", tmp_path / "merged"], check=True)


@needs_an_engine
def test_a_layer_that_somebody_deleted_is_said_with_what_to_do(shop):
    (built := shop.shelf.build("x")).rename(shop.shelf.folder / "layers/pip/00000001-0a0a")
    one = shop.begin()
    os.rmdir(shop.shelf.folder / "layers/pip/00000001-0a0a")
    with pytest.raises(Declined, match="failed to mount local volume") as caught:
        shop.run(one, "true")
    assert "[cache] root" in caught.value.hint and not built.exists()


@needs_an_engine
def test_what_is_mended_is_tried_again(engine_daemon, tmp_path):
    clock = Moments()
    shop = Shop(tmp_path, daemon=engine_daemon, image="later:1", clock=clock)
    assert shop.begin()[1] == Fitted() and "no such image" in shop.notes[0][2].lower()
    engine_daemon.ask("tag", engine_daemon.listener(1), "later:1")
    assert shop.begin()[1] == Fitted()
    clock.wait(601)
    assert len(shop.begin()[1].mounts) == 2
    engine_daemon.ask("rmi", "later:1")


def test_an_engine_that_does_not_answer_says_nothing_about_the_machine(tmp_path):
    shop = Shop(tmp_path)
    shop.fitter.porter, shop.fitter._good = type(shop.porter).__mro__[1](shop.config, shop.shelf.folder), False
    for _ in range(2):  # asked again the next time, and not in ten minutes
        with pytest.raises(Unreachable):
            shop.begin()
    shop.keeper.round()
    assert shop.notes == []


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match="cache"):
        Shop(tmp_path)


def test_each_cache_is_found_by_its_tool_and_a_token_is_in_none(tmp_path):
    assert set(ENVIRONMENT) == set(CACHES)
    shop = Shop(tmp_path, names=CACHES)
    _, fitted = shop.begin()
    assert {mount["Target"] for mount in fitted.mounts} == {f"/cache/{name}" for name in CACHES}
    assert "PIP_CACHE_DIR=/cache/pip" in fitted.environment and "UV_LINK_MODE=copy" in fitted.environment
    assert not any(word.startswith("HF_HOME=") for word in fitted.environment)
    assert bare(Lease(id="0" * 8, slot="cpu0", runner="x"), {}) == Fitted()


def test_the_same_lease_has_the_same_layers_when_it_is_asked_for_again(tmp_path):
    shop = Shop(tmp_path)
    lease, fitted = shop.begin()
    shop.job(a="1")
    shop.keeper.round()
    assert shop.fitter.fit(lease, {"of": "a test"}) == fitted and shop.shelf.current("pip")
