"""Where two recorded trainings part, and why."""

import pytest

from backburn.reproduction import digests
from backburn.reproduction.steps import Step


def step(number, **changed):
    about = {
        "batch": f"b{number}", "served": f"s{number}", "rng": {"torch": f"r{number}", "python": "any"},
        "loss": f"l{number}", "gradients": {"w": f"g{number}", "v": "g"}, "optimizer": {"0.exp_avg.w": f"o{number}"},
        "settings": {"0.0.lr": "0.1"}, "parameters": {"w": f"p{number}"}, "buffers": {"mean": f"m{number}"},
    }  # fmt: skip
    return Step(step=number, **about | changed)


GRID = (1, 2, 3, 5, 8)
BASE = digests.of(map(step, GRID))


def night(since, **changed):
    """The same up to there, and from there on with other parts (`True`: another value in each step)."""
    made = [step(n, **{key: _other(key, n) for key in changed} if n >= since else {}) for n in GRID]
    return digests.of(made)


def _other(part, number):
    word = f"x{number}"
    return word if part in ("batch", "served", "loss") else {"torch" if part == "rng" else "w": word}


DATA = ("batch", "served", "loss", "gradients", "parameters")
CASES = [
    (2, DATA, 2, 1, "data", "at step 2: batch and served and 3 more (data)"),
    (3, ("rng", "loss"), 3, 2, "rng", "at step 3: rng and loss (rng)"),
    (1, ("loss", "gradients"), 1, 0, "init or forward", "at step 1: loss and gradients (init or forward)"),
    (3, ("loss", "parameters"), 3, 2, "forward", "at step 3: loss and parameters (forward)"),
    (2, ("gradients",), 2, 1, "backward", "at step 2: gradients (backward)"),
    (2, ("settings", "parameters"), 2, 1, "optimizer", ""),
    (2, ("optimizer", "parameters"), 2, 1, "optimizer", "at step 2: state of the optimizer and parameters (optimizer)"),
    (2, ("buffers",), 2, 1, "buffer", "at step 2: buffers (buffer)"),
    (8, ("buffers",), 8, 5, "buffer", "between steps 6 and 8: buffers (buffer)"),
    (8, ("loss", "gradients"), 8, 5, "", "between steps 6 and 8: loss and gradients"),
    (8, DATA, 8, 5, "data", ""),
]


@pytest.mark.parametrize(("since", "parts", "at", "after", "kind", "said"), CASES)
def test_where_two_trainings_part(since, parts, at, after, kind, said):
    apart = digests.apart(BASE, night(since, **dict.fromkeys(parts, True)))
    assert (apart.step, apart.after, apart.kind) == (at, after, kind)
    assert not said or str(apart) == said


def test_the_same_steps_are_not_apart_whatever_else_was_recorded():
    assert digests.apart(BASE, BASE) is None
    assert digests.apart(BASE, digests.of(map(step, (1, 3, 4, 13)))) is None
    assert digests.apart({}, BASE) is None and digests.common({}, BASE) == 0
    assert digests.common(BASE, digests.of(map(step, (1, 3, 4)))) == 2


def test_another_batch_or_generator_without_effect_is_no_difference_and_no_cause():
    assert digests.apart(BASE, night(1, batch=True, rng=True)) is None
    idle = night(1, batch=True) | {name: root for name, root in night(3, loss=True).items() if name[:5] != "batch"}
    assert digests.apart(BASE, idle).parts == ("loss",)


def test_a_generator_that_begins_to_differ_is_the_cause():
    later = night(3, rng=True) | {name: root for name, root in night(8, loss=True).items() if name[:3] != "rng"}
    assert digests.apart(BASE, later).kind == "rng"


def test_python_s_own_generator_is_none_of_the_model_s():
    assert digests.of([step(1)]) == digests.of([step(1, rng={"torch": "r1", "python": "another"})])


def test_a_reference_keeps_what_came_out_the_same_twice():
    kept = digests.kept(BASE, night(2, rng=True))
    assert not [name for name in kept if name.startswith("rng@")] and kept["parameters@8"] == BASE["parameters@8"]
    assert digests.kept(BASE, {}) == BASE
    many = {f"loss@{n}": "0" * 16 for n in range(9000)}
    assert list(digests.kept(many, {}))[-1] == "loss@3999"


def test_steps_of_a_training_that_went_on_are_its_own():
    assert digests.of([step(3)], 100)["batch@103"] == "b3"


def test_buffers_that_differ_alone_are_told_from_a_training_that_does():
    assert digests.only_buffers(BASE, night(2, buffers=True)) and not digests.only_buffers(BASE, BASE)
    assert not digests.only_buffers(BASE, night(2, buffers=True, gradients=True))
