"""actions/cache's stand-in, by the real act."""

import os
import shutil
import sys

import pytest

from backburn.report import Verdict

CACHE = "actions/cache@55cc8345863c7cc4c66a329aec7e433d2d1c52a9"
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="only a node action has a post step")


def job(inputs, *more, needs=""):
    steps = ", ".join([f"{{id: it, uses: {CACHE}, with: {{{inputs}}}}}", *more])
    told = "{run: 'echo \"hit=[${{ steps.it.outputs.cache-hit }}]\"; cat kept/* 2>/dev/null || true'}"
    return f"{{runs-on: x, {f'needs: {needs}, ' if needs else ''}steps: [{steps}, {told}]}}"


MAKE = "{run: 'mkdir -p kept && echo made > kept/file'}"


def rehearse(place, *jobs):
    text = "on: push\njobs:\n" + "".join(f"  j{n}: {one}\n" for n, one in enumerate(jobs))
    here = place(push=text)
    return here, here.rehearse()


def said(here, name):
    lines = [line.split("| ")[-1] for line in here.log().splitlines() if line.startswith(f"{name} | echo")]
    return [line for line in lines if line == "made" or line.startswith("hit=")]


@needs_node
def test_the_very_key_a_prefix_and_none(place):
    here, made = rehearse(
        place,
        job("path: kept, key: k-1", MAKE),
        job("path: kept, key: k-1", needs="j0"),
        job(r'path: kept, key: k-2, restore-keys: "x-\n\nk-"', needs="j0"),
        job("path: kept, key: k-3", needs="j0"),
        job("path: elsewhere, key: k-1", needs="j0"),
        job("path: kept, key: k-1, lookup-only: true", needs="j0"),
    )
    assert made.verdict is Verdict.PASS
    assert {n: said(here, f"j{n}") for n in range(6)} == {
        0: ["hit=[]", "made"],
        1: ["hit=[true]", "made"],
        2: ["hit=[false]", "made"],
        3: ["hit=[]"],
        4: ["hit=[]"],
        5: ["hit=[true]"],
    }


@needs_node
def test_a_failed_job_saves_nothing(place):
    here, made = rehearse(place, job("path: kept, key: k", MAKE, "{run: exit 1}"), job("path: kept, key: k"))
    assert made.verdict is Verdict.FAIL and "Cache saved" not in here.log()
    assert "hit=[]" in here.log()


@needs_node
def test_a_key_is_written_once_and_a_path_must_be_there(place):
    here, made = rehearse(
        place,
        job("path: kept, key: k", MAKE),
        job("path: nowhere, key: k", needs="j0"),
        "{runs-on: x, needs: j0, steps: [" + MAKE + ", {uses: actions/cache/save@v6, with: {path: kept, key: k}}]}",
        "{runs-on: x, needs: j0, steps: [{uses: actions/cache/restore@v6, with: {path: kept, key: k}},"
        " {run: cat kept/file}]}",
    )
    assert made.verdict is Verdict.PASS
    assert here.log().count("Cache saved with key: k") == 1
    assert "Path(s) specified in the action for caching do(es) not exist" in here.log()
    assert "Unable to reserve cache with key k" in here.log()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            "path: kept, key: k, fail-on-cache-miss: true",
            "Failed to restore cache entry. Exiting as fail-on-cache-miss",
        ),
        ("path: kept, key: 'a,b'", "Key Validation Error: a,b cannot be larger than 512 characters or contain commas."),
        ("path: kept, key: ''", "Input required and not supplied: key"),
    ],
)
def test_what_the_real_one_refuses(place, inputs, message):
    here, made = rehearse(place, job(inputs))
    assert made.verdict is Verdict.FAIL and message in here.log()


def test_what_lies_outside_the_workspace_is_this_machines_own(place, tmp_path, monkeypatch):
    """A rehearsal neither copies ~/.cache/pre-commit (158 MB) away nor writes there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache" / "pre-commit").mkdir(parents=True)
    (tmp_path / ".cache" / "pre-commit" / "db").write_text("mine\n")
    inputs = "path: ~/.cache/pre-commit, key: k"
    look = "{run: 'cat ~/.cache/pre-commit/db'}"
    here, made = rehearse(place, job(inputs, look), job(inputs, look, needs="j0"))
    assert made.verdict is Verdict.PASS and here.log().count("| mine") == 2
    assert (tmp_path / ".cache" / "pre-commit" / "db").read_text() == "mine\n"
    if shutil.which("node"):
        assert f"Left as it is, outside the workspace: {tmp_path}/.cache/pre-commit" in here.log()


def test_without_node_it_restores_nothing_and_says_so(place, tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("git", "bash", "mkdir", "cat"):
        (tools / name).symlink_to(shutil.which(name))
    (tools / "python3").symlink_to(os.path.realpath(sys.executable))
    monkeypatch.setenv("PATH", str(tools))
    here, made = rehearse(place, job("path: kept, key: k", MAKE))
    assert made.verdict is Verdict.PASS and "this rehearsal saves no cache" in here.log()
    assert "hit=[]" in here.log()
