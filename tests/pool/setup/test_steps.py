"""Single steps, where they refuse; their work is in test_installation.py."""

import os
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.pool.config import Cache, Config, Pool
from backburn.pool.setup import files, service, steps
from backburn.pool.setup.journal import Journal
from backburn.pool.setup.request import Places


@pytest.fixture
def places(tmp_path):
    made = {"etc": tmp_path / "etc", "units": tmp_path / "units", "toolkit": tmp_path / "opt"}
    return Places(**made, command=tmp_path / "bin" / "backburn")


@pytest.fixture
def journal(places):
    journal = Journal(places.etc)
    journal.begin()
    return journal


def test_a_file_that_somebody_else_made_is_not_replaced(places, journal, tmp_path):
    source, target = tmp_path / "new", places.etc / "token"
    source.write_text("new")
    secret = steps.Secret(source, target, False, journal)
    assert [line.split(":")[0] for line in secret.changes()] == [str(target)]
    target.write_text("somebody's")
    with pytest.raises(UserError, match="setup did not make it"):
        list(secret.changes())
    journal.will("file", str(target), b"old")
    assert list(secret.changes())
    assert list(steps.Secret(None, target, False, journal).changes()) == []


def test_a_secret_is_roots_alone_and_there_once(places, journal, tmp_path):
    source, target = tmp_path / "new", places.etc / "token"
    source.write_text("new")
    secret = steps.Secret(source, target, False, journal)
    secret.make(print)
    assert files.is_so(target, b"new", 0o600, (0, 0)) and list(secret.changes()) == []


def test_a_folder_that_is_no_pools_is_not_taken(journal, tmp_path):
    state = steps.State(Config(pool=Pool(state=str(tmp_path / "state"))), journal)
    assert len(list(state.changes())) == 1
    (tmp_path / "state").mkdir()
    assert len(list(state.changes())) == 1
    (tmp_path / "state" / "thesis.tex").touch()
    with pytest.raises(UserError, match="no pool's"):
        list(state.changes())
    (tmp_path / "state" / "pool.sqlite3").touch()
    assert "with all in it" in "".join(state.changes())


def test_a_folder_for_caches_is_taken_where_it_is_nobodys(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(steps.user, "ids", lambda: (os.geteuid() or 4001, os.getegid()))
    state, root = tmp_path / "state", tmp_path / "srv" / "cache"
    config = Config(pool=Pool(name="lab1", state=str(state)), cache=Cache(root=str(root)))
    assert not list(steps.Shelves(Config(), journal).changes())
    below = Config(pool=Pool(state=str(tmp_path)), cache=Cache(root=str(root)))
    assert not list(steps.Shelves(below, journal).changes())
    shelves = steps.Shelves(config, journal)
    assert len(list(shelves.changes())) == 1
    shelves.make(print)
    assert root.stat().st_mode & 0o777 == 0o700 and journal.find("folder", str(root)) and not list(shelves.changes())
    if os.geteuid() == 0:
        os.chown(root, 0, 0)
        (root / "lab1").mkdir()
        assert len(list(shelves.changes())) == 1  # as uninstall left it
        (root / "thesis.tex").touch()
        assert not list(shelves.changes())


def test_a_unit_that_somebody_else_wrote_is_not_replaced(places, journal, monkeypatch):
    monkeypatch.setattr(service, "active", lambda: True)
    unit = steps.Unit("[Service]\nExecStart=/x pool run\n", Config(), places, (), journal)
    places.units.mkdir()
    assert len(list(unit.changes())) == 2
    unit.path.write_text("[Service]\nExecStart=/mine\n")
    with pytest.raises(UserError, match="setup did not make it"):
        list(unit.changes())
    journal.will("file", str(unit.path), b"")
    asked = []
    monkeypatch.setattr(service, "run", lambda *words: asked.append(words[1]) or "")
    unit.make(print)
    assert list(unit.changes()) == [] and asked == ["daemon-reload", "enable", "restart"]
    monkeypatch.setattr(service, "active", lambda: False)
    assert ["enabled" in line for line in unit.changes()] == [True]


def test_the_toolkit_is_ours_where_setup_sh_made_it(places, journal, monkeypatch):
    toolkit = steps.Toolkit(places, journal)
    assert list(toolkit.changes()) == []
    monkeypatch.setattr(service.sys, "prefix", str(places.toolkit / "0123"))
    assert len(list(toolkit.changes())) == 1
    toolkit.make(print)
    assert list(toolkit.changes()) == [] and journal.find("toolkit", str(places.toolkit))


def test_the_command_is_on_the_path_where_its_name_is_free(places, journal, monkeypatch):
    command = steps.Command(places, journal)
    places.command.parent.mkdir()
    assert list(command.changes()) == []  # somebody's own install
    monkeypatch.setattr(service.sys, "prefix", str(places.toolkit / "0123"))
    program = places.toolkit / "current/bin/backburn"
    assert list(command.changes()) == [f"{places.command}: a link to {program}"]
    command.make(print)
    assert places.command.readlink() == program and journal.find("link", str(places.command))
    assert list(command.changes()) == []
    places.command.unlink()
    places.command.write_text("another one")
    assert list(command.changes()) == []


def test_a_dry_run_of_setup_sh_names_what_its_own_environment_would_be(places, journal, monkeypatch):
    places.command.parent.mkdir()
    monkeypatch.setenv(service.COMING, str(places.toolkit))
    said = [*steps.Toolkit(places, journal).changes(), *steps.Command(places, journal).changes()]
    assert [line.split(":")[0] for line in said] == [str(places.toolkit), str(places.command)]


def test_a_pool_toml_of_ours_is_still_ours_after_a_new_image(places, journal, monkeypatch):
    monkeypatch.setattr(steps.user, "ids", lambda: (0, 0))
    text = '[github]\nurl = "https://github.com/acme"\ntoken = "env:X"\n'
    text += '[pool]\nname = "a"\nimage = "{}"\n[slots]\ncpu = 1\n'
    image = steps.Image(None, Config(), None, "one", journal)
    step = steps.PoolFile(places, image, text.format, journal)
    step.make(print)
    sha = journal.find("file", str(places.file)).sha
    assert list(step.changes()) == [] and sha == files.digest(text.format("one").encode())
    step.image.ready = "two"
    assert '+image = "two"' in "".join(step.changes())
    step.make(print)
    assert journal.find("file", str(places.file)).sha == files.digest(text.format("two").encode())
    places.file.write_text(places.file.read_text() + "# mine\n")
    step.image.ready = "three"
    step.make(print)
    assert "# mine" in places.file.read_text() and '"three"' in places.file.read_text()
    assert journal.find("file", str(places.file)).sha == files.digest(text.format("two").encode())
    assert Path(places.file).stat().st_mode & 0o777 == 0o640
