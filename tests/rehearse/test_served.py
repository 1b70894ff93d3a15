import json
import tempfile
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.rehearse import served

from .conftest import CHECKOUT, UPLOAD, git


@pytest.fixture
def server(tmp_path):
    def make(**more):
        (tmp_path / "clone").mkdir(exist_ok=True)
        settings = {"artifacts": tmp_path / "artifacts", "index": tmp_path / "index", "cache": tmp_path / "cache"}
        given = {"repository": "team/digits", "toolkit": None, "extra": {}, "node": False} | more
        scratch = Path(tempfile.mkdtemp(dir=tmp_path))
        return served.Server(clone=tmp_path / "clone", scratch=scratch, settings=settings, **given)

    return make


def action(folder, *uses, using="composite"):
    folder.mkdir(parents=True, exist_ok=True)
    steps = ", ".join(f"{{uses: '{one}'}}" for one in uses)
    (folder / "action.yml").write_text(f"name: x\nruns: {{using: {using}, steps: [{steps}]}}\n")
    return folder


def pairs(flags):
    assert flags[::2] == ["--local-repository"] * (len(flags) // 2)
    return {one.split("=", 1)[0]: Path(one.split("=", 1)[1]) for one in flags[1::2]}


def test_a_stand_in_answers_for_any_ref_and_knows_the_rehearsals_folders(server, tmp_path):
    found = pairs(server().flags([UPLOAD, "actions/upload-artifact@v1", CHECKOUT], "w.yml"))
    assert set(found) == {UPLOAD, "actions/upload-artifact@v1"}
    assert json.loads((found[UPLOAD] / "rehearsal.json").read_text())["artifacts"] == str(tmp_path / "artifacts")
    assert (found[UPLOAD] / "step.py").is_file()


def test_a_missing_stand_in_is_named_with_the_flag_that_supplies_one(server, tmp_path):
    with pytest.raises(UserError) as caught:
        server().flags(["foo/bar/sub@v1", "foo/bar@v2", "x/y@v3", UPLOAD], ".github/workflows/push.yml")
    said = str(caught.value)
    assert ".github/workflows/push.yml: no stand-in for foo/bar@v1, foo/bar@v2, x/y@v3" in said
    assert "--stand-in foo/bar=DIR --stand-in x/y=DIR" in said
    mine = {"foo/bar": action(tmp_path / "mine"), "x/y": action(tmp_path / "yours")}
    found = pairs(server(extra=mine).flags(["foo/bar/sub@v1", "foo/bar@v2", "x/y@v3"], "w.yml"))
    assert found == {"foo/bar@v1": mine["foo/bar"], "foo/bar@v2": mine["foo/bar"], "x/y@v3": mine["x/y"]}


def test_what_an_action_uses_is_served_too_to_the_bottom(server, tmp_path):
    clone, toolkit = tmp_path / "clone", tmp_path / "toolkit"
    action(clone / "local", "./deeper")
    action(clone / "deeper", "backburn-ci/backburn/actions/unit@abc")
    action(toolkit / "actions" / "unit", "actions/download-artifact@v8", "foo/bar@v1")
    with pytest.raises(UserError, match="no stand-in for foo/bar@v1"):
        server(toolkit=toolkit).flags(["./local"], "w.yml")
    action(toolkit / "actions" / "unit", "actions/download-artifact@v8")
    one = server(toolkit=toolkit)
    found = pairs(one.flags(["./local"], "w.yml"))
    assert set(found) == {"backburn-ci/backburn@abc", "actions/download-artifact@v8"}
    assert found["backburn-ci/backburn@abc"] == toolkit and one.pins == {"abc"}


def test_actions_that_use_each_other_come_to_an_end(server, tmp_path):
    action(tmp_path / "clone" / "a", "./b")
    action(tmp_path / "clone" / "b", "./a")
    assert server().flags(["./a"], "w.yml") == []


def test_a_toolkit_without_its_actions_names_the_flag(server):
    with pytest.raises(UserError, match="installed without its actions(?s:.*)--toolkit DIR"):
        server().flags(["backburn-ci/backburn/actions/unit@abc"], "w.yml")


def test_an_action_of_the_projects_own_repository_is_the_clone(server, tmp_path):
    action(tmp_path / "clone" / "mine")
    assert pairs(server().flags(["team/digits/mine@v1"], "w.yml")) == {"team/digits@v1": tmp_path / "clone"}


def test_a_container_action_is_refused(server):
    with pytest.raises(UserError, match="docker://alpine:3 is a container"):
        server().flags(["docker://alpine:3"], "w.yml")


@pytest.mark.parametrize(("node", "using"), [(True, "node24"), (False, "composite")])
def test_the_cache_saves_where_there_is_a_node(server, node, using):
    (folder,) = pairs(server(node=node).flags(["actions/cache@v6"], "w.yml")).values()
    assert f"using: {using}" in (folder / "action.yml").read_text()


def test_the_projects_own_action_may_use_the_self_repository_syntax(server, tmp_path):
    clone = tmp_path / "clone"
    action(clone / "outer", "$/inner")
    action(clone / "inner", UPLOAD)
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "x")
    assert set(pairs(server().flags(["./outer"], "w.yml"))) == {UPLOAD}
    assert "uses: './inner'" in (clone / "outer" / "action.yml").read_text()
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("uses", "repository", "stage"),
    [
        ("backburn-ci/backburn/actions/unit@abc", "team/digits", "unit"),
        ("./actions/unit", "backburn-ci/backburn", "unit"),
        ("./actions/unit", "team/digits", ""),
        ("team/backburn/actions/unit@abc", "team/digits", ""),
        ("backburn-ci/backburn/actions/publish@abc", "team/digits", ""),
        ("backburn-ci/backburn/actions/report@abc", "team/digits", ""),
        (CHECKOUT, "team/digits", ""),
    ],
)
def test_a_stage_is_known_by_its_action(uses, repository, stage):
    assert served.stage_of(uses, repository) == stage
