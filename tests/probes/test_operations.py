import pytest
import torch
from torch import nn

from backburn.probes import tensors
from backburn.probes.lines import Lines
from backburn.probes.operations import operations

from . import recorded as r, trainings as t


def told(path, run, net=None, optimizers=()):
    """What is written while `run` runs."""
    lines = Lines(str(path / "operations.jsonl"), "operations")
    mode = operations(lines, net or nn.Linear(1, 1), optimizers)
    with mode:
        run()
    mode.close()
    return r.operations(path)[1]


def test_each_operation_tells_what_it_gets_and_gives(tmp_path):
    r.fitted(tmp_path, operations=2, until=3, trainer={"gradient_clip_val": 0.1})
    header, lines = r.operations(tmp_path)
    assert header == {"kind": "operations", "schema": 1}
    assert [line["index"] for line in lines] == list(range(len(lines)))
    (first,) = [line for line in lines if line["name"].startswith("aten.addmm") and line["module"] == "encoder.0"]
    assert first["phase"] == "forward" and len(first["inputs"]) == 3
    names = {line["name"] for line in lines if line["phase"] == "optimizer"}
    assert "aten._foreach_norm.Scalar" in names and "aten.addcdiv_.default" in names  # it clips, and it steps
    assert list(dict.fromkeys(line["phase"] for line in lines)) == ["forward", "backward", "optimizer"]


def test_a_backward_belongs_to_the_module_whose_forward_it_is_of(tmp_path):
    r.fitted(tmp_path, operations=1, until=1)
    _, lines = r.operations(tmp_path)
    backward = [(line["name"].split(".")[1], line["module"]) for line in lines if line["phase"] == "backward"]
    assert ("threshold_backward", "encoder.1") in backward and ("native_batch_norm_backward", "encoder.2") in backward
    assert [module for name, module in backward if name == "mm"] == ["head", "head", "encoder.0"]


def test_parameters_gradients_and_operations_meet(tmp_path):
    """The same tensor has the same digest in both files."""
    r.fitted(tmp_path, operations=2, detail=[2, 2], until=2)
    step, (_, lines) = r.read(tmp_path)[2], r.operations(tmp_path)
    given = {one for line in lines for one in line["inputs"]}
    made = {one for line in lines for one in line["outputs"]}
    assert set(step.before.values()) & given and set(step.gradients.values()) <= made
    assert set(step.parameters.values()) <= made


def test_our_own_operations_are_not_written(tmp_path):
    r.fitted(tmp_path / "one", operations=2, until=2)
    r.fitted(tmp_path / "other", operations=4, until=4)  # which is not on the grid
    counts = [[line["name"] for line in r.operations(tmp_path / name)[1]] for name in ("one", "other")]
    assert counts[0] == counts[1]
    r.fitted(tmp_path / "third", operations=2, detail=[1, 2], until=2)
    assert r.operations(tmp_path / "third") == r.operations(tmp_path / "one")


def test_two_trainings_with_the_same_bits_have_the_same_lines(tmp_path):
    for name in "ab":
        r.fitted(tmp_path / name, operations=3, until=3)
    assert r.operations(tmp_path / "a") == r.operations(tmp_path / "b")


def test_memory_that_nothing_was_written_to_has_no_digest(tmp_path):
    def run():
        blank = torch.empty(3)
        view = blank[1:]
        view.add(1)
        view.fill_(2.0)
        view.mul(2)

    found = [(line["name"], line["inputs"], line["outputs"]) for line in told(tmp_path, run)]
    two = tensors.digest(torch.full((2,), 2.0))
    assert found[0] == ("aten.empty.memory_format", [], [""])
    assert found[1][1:] == ([""], [""])
    assert found[2][1] == [""] and found[3] == ("aten.fill_.Scalar", [], [two])
    assert found[4][1] == [two]


def test_what_is_overwritten_is_no_input(tmp_path):
    def run():
        torch.add(torch.ones(2), 1, out=torch.zeros(2))
        torch.zeros(2).copy_(torch.ones(2))

    added, copied = [line for line in told(tmp_path, run) if line["name"] in ("aten.add.out", "aten.copy_.default")]
    assert added["inputs"] == copied["inputs"] == [tensors.digest(torch.ones(2))]
    assert added["outputs"] == [tensors.digest(torch.full((2,), 2.0))]


def test_an_operation_on_many_tells_what_it_changed(tmp_path):
    (line,) = told(tmp_path, lambda: torch._foreach_mul_([ones], 2.0)) if (ones := torch.ones(2)) is not None else []
    assert line["outputs"] == [tensors.digest(torch.full((2,), 2.0))]


@pytest.mark.parametrize("module", [t.Manual, t.Adversarial])
def test_a_script_that_steps_itself_has_phases_too(module, tmp_path):
    r.fitted(tmp_path, module=module, operations=1, until=1)
    phases = [line["phase"] for line in r.operations(tmp_path)[1]]
    assert set(phases) == {"forward", "backward", "optimizer"} and phases[0] == "forward"
