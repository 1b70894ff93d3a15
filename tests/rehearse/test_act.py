import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.rehearse import act, workflow

WORKFLOW = workflow.read(
    "on: push\njobs:\n  one: {runs-on: [self-hosted, gpu], timeout-minutes: 0.001}\n"
    "  two: {runs-on: windows-latest}\n  three: {container: x, runs-on: only-three}\n",
    "push.yml",
    "push",
)


def entry(**more):
    return {"job": "push/one", "jobID": "one", "matrix": {}, "level": "info", "msg": ""} | more


def step(name, result, number="0", **more):
    msg = {"msg": f"{result} {name}", "stage": "Main", "step": name, "stepID": [number], "stepResult": result}
    return entry(**msg | {"executionTime": 1_250_000_000} | more)


@pytest.fixture
def told(tmp_path):
    """`told(lines)` -> the stream after these, and what it said."""

    def tell(*lines, partial=""):
        said = []
        stream = act.Stream(tmp_path / "act.jsonl", tmp_path / "log.txt", WORKFLOW, said.append)
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (tmp_path / "act.jsonl").write_text(text + partial)
        stream.read()
        return stream, said

    return tell


def test_a_line_per_step_of_the_workflow(told):
    inner = step("echo inside", "success", stepID=["1", "0"])
    long = step("o/r/actions/x@" + "29d2ed6" + "0" * 33, "success", "2")
    _, said = told(step("say\nmore", "success"), inner, long, step("Post x", "success", "0", stage="Post"))
    assert said == ["push / one · say … 1.2 s ok", "push / one · o/r/actions/x@29d2ed6 … 1.2 s ok"]


def test_a_failing_step_keeps_its_last_output(told):
    lines = [entry(msg=f"\x1b[31mline {n}\x1b[m\r\n", raw_output=True, stepID=["0"], step="x") for n in range(60)]
    bar = entry(msg="10 %\r100 %\r\n", raw_output=True, stepID=["0"], step="x")
    wrong = entry(msg="exit status 1", level="error", stepID=["0"], step="x")
    after = entry(msg="later", raw_output=True, stepID=["1"], step="y")
    stream, said = told(*lines, bar, step("x", "failure"), after, wrong, entry(jobResult="failure"))
    leg = stream.legs["one"]
    assert leg.failed == "x" and leg.outcome == "failure"
    assert leg.tail()[-2:] == ("100 %", "exit status 1") and len(leg.tail()) == 40
    assert said == ["push / one · x … 1.2 s FAILED"]


def test_each_failing_step_keeps_its_own_output(told):
    lines = [entry(msg=f"because of {name}", raw_output=True, stepID=[name], step=name) for name in "xyz"]
    ends = [step("x", "failure", "x"), step("y", "success", "y"), step("z", "failure", "z")]
    stream, _ = told(*lines, *ends, entry(jobResult="failure"))
    leg = stream.legs["one"]
    assert (leg.failed, [*leg.broken]) == ("x", ["x", "z"])
    assert leg.tail() == ("because of x",) and leg.tail("z") == ("because of z",)


def test_a_failure_that_is_allowed_is_said_and_not_held_against_the_job(told):
    allowed = entry(msg="Failed but continue next step", stage="Main", step="x", stepID=["0"])
    stream, said = told(allowed, step("x", "failure"), step("y", "failure", "1"), entry(jobResult="failure"))
    assert stream.legs["one"].failed == "y"
    assert said[0] == "push / one · x … 1.2 s FAILED, and the job goes on"


def test_a_step_that_takes_long_is_mentioned_now_and_then(told, monkeypatch):
    monkeypatch.setattr(act, "_PATIENCE", 0.5)
    start = step("train", "", msg="⭐ Run Main train", jobID="three")
    del start["stepResult"]
    stream, said = told(start)
    for wait in (0, 0.6, 0):
        time.sleep(wait)
        stream.tick("", 0)
    assert [re.sub(r"\d+ s", "1 s", one) for one in said] == ["push / three · train … 1 s so far"]


def test_legs_of_a_matrix_are_told_apart(told):
    stream, _ = told(entry(matrix={"v": 1, "os": "a"}), entry(matrix={"v": 2, "os": "a"}), entry(matrix=None))
    assert list(stream.legs) == ["one (1, a)", "one (2, a)", "one"]


def test_a_sound_leg_is_sound_whatever_act_says_of_the_whole_matrix(told):
    one, two, three = ({"matrix": {"v": number}} for number in (1, 2, 3))
    end = {"jobResult": "failure"}
    lines = (step("a", "success", **one), step("a", "failure", **two), entry(**two | end), entry(**one | end))
    stream, _ = told(*lines, entry(**three | end))  # the third never came to its first step
    outcomes = {label: leg.outcome for label, leg in stream.legs.items()}
    assert outcomes == {"one (1)": "success", "one (2)": "failure", "one (3)": "failure"}


def test_artifacts_are_known_by_the_number_that_a_step_put_out(told):
    put = {"command": "set-output", "name": "artifact-id", "arg": "17", "stepID": ["1"]}
    stream, _ = told(entry(**put), entry(**put | {"name": "other", "arg": "18"}))
    assert stream.legs["one"].artifacts == {"17"}


def test_half_a_line_waits_for_its_end(told, tmp_path):
    whole = json.dumps(step("late", "success"))
    stream, said = told(partial=whole[:20])
    assert said == []
    with (tmp_path / "act.jsonl").open("a") as file:
        file.write(whole[20:] + "\n")
    stream.read()
    assert said == ["push / one · late … 1.2 s ok"]


def test_what_is_no_json_is_acts_complaint(told):
    stream, _ = told("Error: yaml: line 3", '{"level":"warning","msg":"no docker"}', "[1]")
    assert stream.complaint == ["Error: yaml: line 3"] and stream.legs == {}


def test_a_job_past_its_limit_ends_act_and_what_follows_is_not_its_doing(told, tmp_path):
    stream, said = told(entry(), entry(jobID="two"))
    time.sleep(0.1)
    with pytest.raises(act.Late, match="one timed out"):
        stream.tick("", 0.1)
    with (tmp_path / "act.jsonl").open("a") as file:
        file.write(json.dumps(step("killed", "failure", jobID="two")) + "\n")
    stream.read()
    assert stream.legs["one"].timed_out and stream.legs["one"].outcome == "failure"
    assert stream.legs["two"].outcome == "" and stream.legs["two"].failed == "" and said == []


def test_a_job_that_ended_has_no_limit(told):
    stream, _ = told(entry(), entry(jobResult="success"))
    time.sleep(0.1)
    stream.tick("", 0.1)
    assert stream.legs["one"].outcome == "success"


def test_every_label_but_those_of_another_system_runs_here():
    words = act.command(Path("w"), Path("c"), "push", Path("e"), WORKFLOW.jobs, {"var": {"A": "b=c"}})
    mapped = [words[n + 1] for n, word in enumerate(words) if word == "-P"]
    assert mapped == ["gpu=-self-hosted", "self-hosted=-self-hosted"]
    assert words[words.index("--var") + 1] == "A=b=c"
    assert all(words[words.index(f"--{kind}-file") + 1] == os.devnull for kind in ("env", "var", "secret", "input"))


def test_no_act_is_said_with_what_installs_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"act is not installed(?s:.*)pip install 'backburn\[rehearse\]'"):
        act.locate()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
def test_what_a_step_left_running_is_ended_and_nothing_else():
    ours, other = (
        subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], "RUNNER_TRACKING_ID": mark})
        for mark in ("backburn_test_1", "backburn_test_12")
    )
    try:
        for one in (ours, other):  # from fork to exec a child still has our environment
            while b"backburn_test_1" not in Path(f"/proc/{one.pid}/environ").read_bytes():
                time.sleep(0.01)
        act.sweep("backburn_test_1")
        assert ours.wait(5) == -9 and other.poll() is None
    finally:
        for one in (ours, other):
            one.kill()
            one.wait()
