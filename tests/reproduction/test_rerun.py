"""Where two trainings part, on a table of steps; and what a rerun touched, from its recorder's lines."""

import json
import math

import pytest

from backburn.config import Training
from backburn.reproduction.rerun import Apart, Ask, Plan, Ran, Touched, _homed, _ran, _touched, apart
from backburn.reproduction.steps import Step
from backburn.training import Ended


def step(number, **changed):
    about = {
        "loss": f"l{number}", "gradients": {"w": f"g{number}"}, "optimizer": {"0.m.w": f"o{number}"},
        "parameters": {"w": f"p{number}", "b": f"q{number}"}, "buffers": {"mean": f"b{number}"}, "rng": {"torch": "r"},
        "batch": "x", "settings": {"0.0.lr": "0x1p-3"},
    }  # fmt: skip
    return Step(step=number, **about | changed)


def ran(*steps, **changed):
    return Ran(**{"done": max(one.step for one in steps), "planned": 100, "steps": steps} | changed)


SOUND = [step(1), step(2), step(3, validation={"acc": "0.5", "epoch_time": "3"}), step(5)]


@pytest.mark.parametrize(
    ("place", "change", "expected"),
    [
        (0, {"loss": "z"}, Apart(last=0, step=1)),
        (1, {"gradients": {"w": "z"}}, Apart(last=1, step=2)),
        (1, {"optimizer": {"0.m.w": "z"}}, Apart(last=1, step=2)),
        (3, {"parameters": {"w": "z", "b": "q5"}}, Apart(last=3, step=5)),
        (1, {"parameters": {"w": "p2"}, "gradients": {"w": "z"}}, Apart(last=1, step=2)),
        (1, {"buffers": {"mean": "z"}}, Apart(last=1, step=2)),
        (2, {"validation": {"acc": "0.6"}}, Apart(last=2, step=3, late=True)),
        (2, {"validation": {"accuracy": "0.6"}}, Apart(last=2, step=3, late=True)),
        # No difference in what it comes to:
        (0, {"rng": {"torch": "z"}}, None),
        (1, {"batch": "z"}, None),
        (1, {"settings": {"0.0.rate": "0x1p-3"}}, None),
        (1, {"parameters": {"head.w": "p2", "head.b": "q2"}}, None),
        (1, {"gradients": {}}, None),
        (1, {"buffers": {"mean": "b2", "constant": "z"}}, None),
        (1, {"parameters": {"w": "p2"}}, None),
        (2, {"validation": {"acc": "0.5", "f1": "0.2", "epoch_time": "4"}}, None),
        (2, {"validation": {"accuracy": "0.5"}}, None),
    ],
)
def test_where_they_part(place, change, expected):
    other = [*SOUND]
    other[place] = step(other[place].step, **{"validation": other[place].validation} | change)
    assert apart(ran(*SOUND), ran(*other)) == expected
    assert apart(ran(*other), ran(*SOUND)) == expected
    if not expected or expected.step > 1:
        assert apart(ran(*SOUND), ran(*other), upto=expected.step - 1 if expected else 5) is None


def test_one_that_ends_earlier_and_metrics_at_the_end():
    assert apart(ran(*SOUND), ran(*SOUND[:3])) == Apart(last=3, step=4, ended=True)
    assert apart(ran(*SOUND), ran(*SOUND[:3]), upto=3) is None
    whole = {"whole": True, "metrics": {"test": 0.5, "nan": float("nan")}}
    assert apart(ran(*SOUND, **whole), ran(*SOUND, **whole)) is None
    other = whole | {"metrics": {"test": 0.6}}
    assert apart(ran(*SOUND, **whole), ran(*SOUND, **other)) == Apart(last=5, step=5, late=True, ended=True)


def test_a_line_that_holds_a_validation_alone_does_not_say_that_the_step_is_the_same():
    alone = Step(step=4, validation={"acc": "0.5"})
    one, other = ran(*SOUND[:3], alone, SOUND[3]), ran(*SOUND[:3], alone, step(5, loss="z"))
    assert apart(one, other) == Apart(last=3, step=5)


def plan(tmp_path, **changed):
    one = Training(name="it", command="python train.py", env={"PYTHONPATH": "more"})
    return Plan(**{"one": one, "root": tmp_path / "tree", "top": tmp_path / "tree", "home": tmp_path} | changed)


def test_what_was_touched_is_told_by_its_place_in_the_worktree(tmp_path):
    tree = tmp_path / "tree"
    lines = ["began command", "program python3.11", f"read {tree}/net.py", f"missed {tree}/conf.yml", "read /etc/x",
             f"listed {tree}/data", f"searched {tree}", "sought net", f"wrote {tree}/out.txt"]  # fmt: skip
    (tmp_path / "reached.txt").write_text("\n".join(lines))
    touched, astray = _touched(tmp_path / "reached.txt", plan(tmp_path))
    assert touched == Touched(
        files=frozenset({"net.py", "conf.yml"}),
        folders=frozenset({"data"}),
        modules=frozenset({"."}),
        sought=frozenset({"net"}),
    )
    assert astray == ""


@pytest.mark.parametrize(("line", "said"), [("module h5py", "it used the module h5py"), ("program sh", "program sh")])
def test_what_nobody_sees_is_said(tmp_path, line, said):
    (tmp_path / "reached.txt").write_text(f"began command\nread a\n{line}\n")
    assert said in _touched(tmp_path / "reached.txt", plan(tmp_path))[0].unseen
    assert "gave up" in _touched(tmp_path / "none.txt", plan(tmp_path))[0].unseen


def test_code_of_the_users_own_files_is_noticed(tmp_path):
    (tmp_path / "reached.txt").write_text(f"began command\nread {tmp_path}/src/net.py\nread {tmp_path}/data.csv\n")
    assert _touched(tmp_path / "reached.txt", plan(tmp_path))[1] == f"{tmp_path}/src/net.py"


def test_in_an_environment_that_is_found_the_worktrees_modules_come_first(tmp_path):
    (tmp_path / "tree").mkdir()
    assert _homed(plan(tmp_path)).env == {"PYTHONPATH": "more"}
    assert _homed(plan(tmp_path, install="none")).env == {"PYTHONPATH": f"{tmp_path}/tree:more"}
    (tmp_path / "tree" / "src").mkdir()
    assert _homed(plan(tmp_path, install="none")).env == {"PYTHONPATH": f"{tmp_path}/tree/src:more"}


def test_what_is_asked_is_what_the_probe_gets():
    assert Ask(commit="a", until=3, detail=(2, 3), operations=3).settings == {
        "until": 3, "detail": [2, 3], "operations": 3, "shift": 0,
    }  # fmt: skip
    assert Ask(commit="a").settings["detail"] == []


def test_two_that_touched_other_things_together():
    one = Touched(files=frozenset({"a"})) | Touched(files=frozenset({"b"}), unseen="x")
    assert one == Touched(files=frozenset({"a", "b"}), unseen="x")


@pytest.mark.parametrize(
    ("told", "ended", "failed", "lacking"),
    [
        ({"ended": "until", "steps": 3}, {}, "", False),
        ({"ended": "fit", "steps": 2}, {}, "", False),
        ({"ended": "running", "steps": 2}, {"code": 1, "message": "KeyError: 'x'"}, "KeyError: 'x'", False),
        ({"ended": "exception", "steps": 2}, {"code": 1, "message": "No space", "lacking": "disk"}, "No space", True),
        (
            {"ended": "running", "steps": 2},
            {"code": -15, "timed_out": True, "limit": "timeout of 9 s"},
            "timeout",
            True,
        ),
        ({"ended": "no-gpu", "steps": 0}, {}, "a GPU is required", True),
        (None, {"code": 1, "message": "SyntaxError: x"}, "SyntaxError: x", False),
        (None, {}, "no Trainer.fit was seen", False),
    ],
)
def test_how_it_ended(tmp_path, told, ended, failed, lacking):
    if told:
        metrics = {"val_loss": "nan", "epoch_time": 3.0}
        answer = {"kind": "reproduce-probe", "schema": 1, "metrics": metrics, "planned": 9, "more": [1]} | told
        (tmp_path / "probe.json").write_text(json.dumps(answer))
        lines = [{"kind": "steps", "schema": 1}, {"step": 1, "loss": "a"}, {"step": 4, "loss": "b"}]
        (tmp_path / "steps.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    one = _ran(Ended(**{"command": ("python",), "code": 0, "seconds": 1.0} | ended), Ask(commit="a", until=3), tmp_path)
    assert one.failed.startswith(failed) and bool(one.failed) is bool(failed) and one.lacking is lacking
    if told:
        assert (one.done, one.planned, [step.step for step in one.steps]) == (told["steps"], 9, [1])
        assert one.metrics.keys() == {"val_loss"} and math.isnan(one.metrics["val_loss"])
