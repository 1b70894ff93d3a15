"""One step op by op: read back, and the operation that differs, by a table of programs."""

import json

import msgspec
import pytest

from backburn.errors import UserError
from backburn.reproduction import operations
from backburn.reproduction.divergence import Divergence
from backburn.reproduction.operations import Operation, Parting, first_operation, placed
from backburn.reproduction.pair import Kind
from tests.reproduction.symbols import digest


def run(*lines):
    """`target = name(inputs) @ module`, each value the digest of its name, the extra words and what it gets."""
    values, done = {}, []
    for line in lines:
        target, _, call = line.partition(" = ")
        call, _, module = call.partition(" @ ")
        name, *words = call.split()
        names = [word for word in words if word in values or word.islower() and not word.startswith("x")]
        inputs = [values.setdefault(word, digest(word)) for word in names]
        values[target] = digest(name, *inputs, *(word for word in words if word not in names))
        done.append(Operation(index=len(done), name=name, module=module, inputs=inputs, outputs=(values[target],)))
    return tuple(done)


LINEAR = ("h = addmm batch w @ first", "r = relu h", "o = addmm r v @ second", "l = nll o target", "s = sum l")
SOUND = run(*LINEAR)


def changed(place, *lines):
    return run(*LINEAR[:place], *lines, *LINEAR[place + 1 :])


@pytest.mark.parametrize(
    ("head", "op", "module", "said"),
    [
        (changed(2, "o = addmm r v x2 @ second"), "addmm", "second", "second gets the same and gives something else"),
        (changed(1, "r = gelu h"), "gelu", "", "gelu in the LightningModule's own code is there only now"),
        (changed(1, "r = relu h", "d = mul r x0.5 @ drop", "r = add d"), "mul", "drop", "drop is there only now"),
        (changed(0, "h = addmm other w @ first"), "addmm", "first", "which no operation before it made"),
        (changed(3, "l = nll o shifted"), "nll", "", "gets something else"),
        (run(*LINEAR[:1], "o = addmm h v @ second", *LINEAR[3:]), "relu", "", "is there no longer"),
    ],
)  # fmt: skip
def test_the_operation_that_differs_is_named(head, op, module, said):
    found = first_operation(SOUND, head)
    assert (found.op, found.module) == (op, module)
    assert said in found.said
    assert first_operation(head, head) is None


def test_operations_on_which_nothing_depends_are_no_difference():
    more = run("m = mean batch @ log", *LINEAR[:2], "n = norm r @ log", "n = sqrt n @ log", *LINEAR[2:], "e = mean l")
    assert first_operation(SOUND, more) is None
    assert first_operation(more, SOUND) is None
    late = run("m = mean batch @ log", *LINEAR[:3], "l = nll o target x1.1", LINEAR[4])
    assert first_operation(SOUND, late).op == "nll"


def test_what_held_nothing_agrees_with_anything():
    blank = Operation(index=0, name="empty", outputs=("",))
    drawn = Operation(index=1, name="bernoulli_", inputs=("",), outputs=("a",))
    assert first_operation((blank, drawn), (blank, drawn)) is None
    other = Operation(index=1, name="bernoulli_", inputs=("",), outputs=("b",))
    assert first_operation((blank, drawn), (blank, other)).said == (
        "bernoulli_ in the LightningModule's own code gets the same and gives something else"
    )


def test_a_number_drawn_earlier_is_why_a_later_draw_differs():
    drop = "d = bernoulli h x{} @ drop"
    base = run("h = addmm batch w @ first", drop.format(1), "o = mul h d @ drop")
    head = run("h = addmm batch w @ first", "n = rand @ noise", drop.format(2), "o = mul h d @ drop")
    found = first_operation(base, head)
    assert (found.op, found.module, found.said) == ("rand", "noise", "rand in noise is there only now, and draws")
    assert first_operation(head, base).said == "rand in noise is there no longer, and draws"
    other = run("h = addmm batch w @ first", drop.format(2), "o = mul h d @ drop")
    assert first_operation(base, other).module == "drop"


def test_operations_of_one_name_are_told_apart_by_what_comes_out():
    """A frozen layer leaves out some of many that are called alike."""
    base = run("a = t batch", "b = mm a w", "c = t b", "d = mm c w", "e = t d", "f = mm e w", "g = sum f")
    head = run("x = t other", "y = mm x w") + base
    assert first_operation(base, head) is None
    assert first_operation(head, base) is None


@pytest.mark.parametrize(
    ("kind", "part", "phase", "module", "name", "there"),
    [
        (Kind.FORWARD, "forward", "forward", "block", "block", "block"),
        (Kind.FORWARD, "forward", "forward", "", "child", ""),
        (Kind.FORWARD, "loss", "forward", "", "child", ""),
        (Kind.BACKWARD, "gradients", "backward", "block", "block", "block"),
        (Kind.BACKWARD, "gradients", "forward", "", "child", "of"),
        (Kind.RNG, "rng", "forward", "block", "child", "of"),  # as it is
    ],
)
def test_a_divergence_is_placed_in_the_module_whose_code_it_is(kind, part, phase, module, name, there):
    found = Divergence(
        step=1, since=0, exact=True, kind=kind, part=part, name="child", module="of", said="a", names=("child",)
    )
    parting = Parting(op="gelu", module=module, phase=phase, index=0, said="b")
    one = placed(found, parting)
    assert (one.name, one.module) == (name, there)
    assert one.said == ("a" if kind is Kind.RNG else "a; b") and one.kind is kind


def test_what_lies_elsewhere_is_not_placed():
    found = Divergence(
        step=1, since=0, exact=True, kind=Kind.OPTIMIZER, part="settings", name="lr", module="", said="a"
    )
    parting = Parting(op="mul", module="head", phase="optimizer", index=0, said="b")
    assert placed(found, parting) == found == placed(found, None)
    frozen = msgspec.structs.replace(found, kind=Kind.BACKWARD, part="gradients", name="a", names=("a.x", "a.y"))
    assert placed(frozen, msgspec.structs.replace(parting, phase="backward")).name == "a"
    drop = msgspec.structs.replace(found, kind=Kind.FORWARD, part="forward", name="drop", module="drop")
    drawn = placed(drop, msgspec.structs.replace(parting, op="aten.rand.default", phase="forward"))
    assert (drawn.kind, drawn.module) == (Kind.RNG, "head")
    off = placed(drop, msgspec.structs.replace(parting, op="aten.bernoulli_", module="drop", phase="forward"))
    assert (off.kind, off.module) == (Kind.FORWARD, "drop")


def test_phases_are_told_apart():
    forward = Operation(index=0, name="mul", outputs=("a",))
    backward = [Operation(index=1, name="mul", module="head", phase="backward", outputs=(one,)) for one in "bc"]
    found = first_operation((forward, backward[0]), (forward, backward[1]))
    assert (found.phase, found.module, found.index) == ("backward", "head", 1)


def test_long_recordings_that_have_little_in_common_end():
    base = tuple(Operation(index=n, name=f"a{n}", outputs=(f"{n}",)) for n in range(3000))
    head = tuple(Operation(index=n, name=f"b{n}", outputs=(f"{n}",)) for n in range(3000))
    assert first_operation(base, head) is None  # nothing that both have


LINE = {"index": 0, "name": "aten.mm.default", "module": "", "phase": "forward", "inputs": ["a"], "outputs": ["b"]}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (({"kind": "steps", "schema": 1}, LINE), "expected a file of kind 'operations'"),
        (({"kind": "operations", "schema": 2}, LINE), "newer"),
        (({"kind": "operations", "schema": 1}, LINE | {"input": []}), "unknown field `input`"),
    ],
)
def test_it_is_read_back_or_refused(tmp_path, lines, said):
    path = tmp_path / operations.FILE
    path.write_text("".join(json.dumps(one) + "\n" for one in ({"kind": "operations", "schema": 1}, LINE)) + '{"ind')
    (one,) = operations.load(path)
    assert one == Operation(index=0, name="aten.mm.default", inputs=("a",), outputs=("b",))
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    with pytest.raises(UserError, match=said):
        operations.load(path)
