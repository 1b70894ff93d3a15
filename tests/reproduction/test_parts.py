"""A planted defect of each kind, seen at its first step, by its kind and its name; and its sound twin."""

import msgspec
import pytest

from backburn.reproduction import pair
from backburn.reproduction.divergence import first
from backburn.reproduction.pair import Kind
from backburn.reproduction.steps import Step
from tests.reproduction.symbols import at, trained

SOUND = trained()


def several(*defects):
    def defect(place, value, step):
        for one in defects:
            value = one(place, value, step)
        return value

    return defect


def momentarily(place, step, to):
    return lambda where, value, now: to if where == place and now == step else value


# name -> (defect, step, kind, name, module, part of the sentence)
CASES = {
    "order of the data": (at("order"), 1, Kind.DATA, "", "", "the batch is another one"),
    "order of the second epoch": (at("order", 5), 5, Kind.DATA, "", "", "the batch is another one"),
    "augmentation": (at("augment", 3), 3, Kind.DATA, "", "", "the batch is another one"),
    "shuffling lost, which draws": (
        several(at("order"), at("draws.torch", to=0)), 1, Kind.DATA, "", "", "the batch is another one",
    ),
    "a draw in a training step": (
        momentarily("draws.torch", 1000, 2), 2, Kind.RNG, "torch", "", "more or less was drawn since step 1",
    ),
    "a draw in a training step, before the dropout": (
        at("a draw", 3, True), 3, Kind.FORWARD, "net.drop", "net.drop", "random numbers are drawn, by it or before it",
    ),
    "another seed": (at("rng.torch", 0), 1, Kind.RNG, "torch", "", "another seed, or one number more or less"),
    "another scale of first weights": (
        several(at("init.net.second.weight", 0), at("norm.net.second.weight", 0, (900.0, 42.0))),
        1, Kind.INIT, "net.second.weight", "net.second", "first weights differ: net.second.weight",
    ),
    "other first weights, and more draws for them": (
        several(at("rng.torch", 0), at("norm.net.second.weight", 0, (900.0, 42.0))),
        1, Kind.INIT, "net.second.weight", "net.second", "first weights differ",
    ),
    "a buffer that begins otherwise": (
        at("init.running_mean", 0), 1, Kind.INIT, "net.norm.running_mean", "net.norm", "first weights differ",
    ),
    "another rate of dropout": (at("p", to=0.2), 1, Kind.FORWARD, "net.drop", "net.drop", "output of net.drop"),
    "dropout off": (at("off", to=True), 1, Kind.FORWARD, "net.drop", "net.drop", "output of net.drop"),
    "dropout lost": (at("drops", to=False), 1, Kind.FORWARD, "net.drop", "net.drop", "no longer net.drop"),
    "dropout lost later": (at("drops", 7, False), 7, Kind.FORWARD, "net.drop", "net.drop", "no longer net.drop"),
    "a module more": (at("more", to=True), 1, Kind.FORWARD, "net.more", "net.more", "only now net.more"),
    "a module behind one that hands on": (
        several(at("identity", to=True), at("second")), 1, Kind.FORWARD, "net.second", "net.second", "net.second",
    ),
    "another computation": (at("second", 4), 4, Kind.FORWARD, "net.second", "net.second", "output of net.second"),
    "label smoothing": (at("loss"), 1, Kind.FORWARD, "loss", "", "the loss itself: it is 0."),
    "scale of the loss": (at("scale", to=2), 1, Kind.BACKWARD, "", "", "all gradients differ"),
    "a gradient scaled on its way back": (
        at("back.net.second.weight", 2), 2, Kind.BACKWARD, "net.second.weight", "net.second",
        "first to net.second.weight",
    ),
    "a gradient of the first layer": (
        at("back.net.first.weight"), 1, Kind.BACKWARD, "net.first.weight", "net.first", "net.first.weight",
    ),
    "a frozen layer": (
        at("frozen", 3, ("net.first.weight",)), 3, Kind.BACKWARD, "net.first.weight", "net.first",
        "no longer net.first",
    ),
    "two frozen layers": (
        at("frozen", to=("net.first.weight", "net.second.weight")), 1, Kind.BACKWARD, "net.second",
        "net.second", "no longer",
    ),
    "clipping lost": (at("clipping", to=False), 1, Kind.CLIP, "", "", "clipped no more"),
    "clipping at another norm": (at("clip", 6), 6, Kind.CLIP, "", "", "clipped otherwise"),
    "learning rate + 1 %": (
        at("lr", to=0.0101), 1, Kind.OPTIMIZER, "lr", "", "lr of the optimizer is 0.0101, was 0.01",
    ),
    "a schedule's length": (at("lr", 9, 0.009), 9, Kind.OPTIMIZER, "lr", "", "is 0.009, was 0.01"),
    "epsilon": (at("eps", to=1e-7), 1, Kind.OPTIMIZER, "eps", "", "eps of the optimizer is 1e-07, was 1e-08"),
    "another optimizer": (
        at("settings", to={"0.0.lr": (0.01).hex(), "0.0.momentum": (0.9).hex()}),
        1, Kind.OPTIMIZER, "momentum", "", "no longer 0.0.eps; only now 0.0.momentum",
    ),
    "its own state": (at("state", 2), 2, Kind.OPTIMIZER, "", "", "keeps other state"),
    "its own update": (
        at("update.net.second.weight", 2), 2, Kind.OPTIMIZER, "net.second.weight", "net.second", "moves otherwise",
    ),
    "steps at other batches": (at("steps", 2, False), 2, Kind.OPTIMIZER, "accumulation", "", "steps here no longer"),
    "an average's decay": (at("average", 3), 3, Kind.BUFFER, "average", "", "no gradient moves"),
    "momentum of a batch norm": (at("mean"), 1, Kind.BUFFER, "net.norm.running_mean", "net.norm", "buffers differ"),
    "dropout on in evaluation": (
        several(at("evaluation"), at("evaluation draws", to=True)), 4, Kind.EVALUATION, "val_accuracy", "",
        "only the evaluation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_defect_is_found_where_it_begins(name):
    defect, step, kind, called, module, said = CASES[name]
    found = first(SOUND, trained(defect))
    assert (found.step, found.kind, found.name, found.module, found.exact) == (step, kind, called, module, True)
    assert said in found.said and str(step) in str(found)


@pytest.mark.parametrize("name", CASES)
def test_its_sound_twin_is_the_same(name):
    assert first(trained(CASES[name][0]), trained(CASES[name][0])) is None


@pytest.mark.parametrize(
    "harmless",
    [
        at("identity", to=True),  # a module that hands on what it gets
        at("time", to=2.0),  # how long a validation took
        at("rng.python", 0),  # a script that seeds torch alone
        several(at("rng.python", 0), at("rng.numpy", 0)),
    ],
)
def test_what_moves_nothing_is_no_difference(harmless):
    assert first(SOUND, trained(harmless)) is None


def changed(steps, step, **parts):
    """The steps, one of them with other parts."""
    return tuple(msgspec.structs.replace(one, **parts) if one.step == step else one for one in steps)


def test_a_setting_that_moves_nothing_is_no_difference():
    (one,) = [step for step in SOUND if step.step == 3]
    more = one.settings | {"0.0.fused": "True"}
    assert first(SOUND, changed(SOUND, 3, settings=more)) is None
    moved = first(SOUND, changed(SOUND, 3, settings=more, parameters=one.parameters | {"net.first.weight": "other"}))
    assert (moved.kind, moved.name, moved.said) == (
        Kind.OPTIMIZER, "fused", "the optimizer has other settings: only now 0.0.fused",
    )  # fmt: skip


def test_weights_that_something_else_changes_between_two_steps():
    (one,) = [step for step in SOUND if step.step == 6]
    found = first(SOUND, changed(SOUND, 6, before=one.before | {"net.first.weight": "clamped"}))
    assert (found.step, found.kind, found.name) == (6, Kind.OPTIMIZER, "net.first.weight")
    assert found.said == "changed since the step before, and by no optimizer: net.first.weight"
    found = first(SOUND, changed(SOUND, 6, before=one.before | {"average": "swapped"}))
    assert (found.kind, found.module) == (Kind.BUFFER, "")


def test_a_validation_that_trains_before_the_first_step():
    """Lightning's sanity check: in train mode it moves the statistics of a batch norm."""
    moved = {"net.norm.running_mean": "moved", "net.norm.num_batches_tracked": "2"}
    counted = {"net.norm.num_batches_tracked": "0"}
    one, *_ = SOUND
    base = changed(SOUND, 1, before=one.before | counted, buffers=one.buffers | counted)
    found = first(base, changed(base, 1, before=one.before | moved))
    assert (found.step, found.kind, found.module) == (1, Kind.EVALUATION, "net.norm")
    weights = moved | {"net.first.weight": "other"}
    assert first(base, changed(base, 1, before=one.before | weights)).kind is Kind.INIT


def test_gradients_that_end_behind_a_module_are_named_by_it():
    names = ("stem.weight", "body.weight", "head.weight")
    one = Step(step=1, forward=(("stem", "a"), ("body", "b"), ("head", "c")), gradients=dict.fromkeys(names, "a"))
    found = first((one,), (msgspec.structs.replace(one, gradients={"head.weight": "a"}),))
    assert (found.kind, found.name, found.module) == (Kind.BACKWARD, "body", "body")
    assert first((msgspec.structs.replace(one, gradients={"head.weight": "a"}),), (one,)).name == "body"


def test_of_a_part_of_a_module_the_last_names_where_gradients_end():
    names = ("net.stem.weight", "net.body.weight", "net.body.bias", "net.head.weight")
    one = Step(step=1, forward=(("net.stem", "a"), ("net.body", "b"), ("net.head", "c")),
               gradients=dict.fromkeys(names, "a"))  # fmt: skip
    cut = msgspec.structs.replace(one, gradients={"net.head.weight": "a"})
    assert first((one,), (cut,)).name == "net.body"
    frozen = msgspec.structs.replace(one, gradients={name: "a" for name in names if "body" not in name})
    assert first((one,), (frozen,)).name == "net.body"


def validating(steps, *at):
    return tuple(msgspec.structs.replace(one, validation={"val": "a"} if one.step in at else {}) for one in steps)


def test_a_validation_more_is_of_the_evaluation_and_a_shorter_epoch_of_the_data():
    twice = first(validating(SOUND, 4, 8), validating(SOUND, 2, 4, 6, 8))
    assert (twice.step, twice.kind, twice.said) == (2, Kind.EVALUATION, "a validation runs behind it only now")
    (fourth,) = [one for one in SOUND if one.step == 4]
    short = changed(validating(SOUND, 3, 8), 4, batch="other", rng=fourth.rng | {"torch": "drawn"})
    found = first(validating(SOUND, 4, 8), short)
    assert (found.step, found.kind) == (4, Kind.DATA)
    bare = [tuple(msgspec.structs.replace(one, before={}) for one in many) for many in (validating(SOUND, 4, 8), short)]
    assert first(*bare).kind is Kind.DATA
    drawn = changed(validating(SOUND, 4, 8), 4, batch="other", rng=fourth.rng | {"torch": "drawn"})
    assert first(validating(SOUND, 4, 8), drawn).kind is Kind.RNG


def test_a_model_with_other_parts_and_one_with_another_buffer():
    renamed = tuple(
        msgspec.structs.replace(
            one, **{part: {name.replace("second", "2nd"): value[::-1] for name, value in getattr(one, part).items()}
                    for part in ("before", "parameters", "gradients", "clipped")}
        )
        for one in SOUND
    )  # fmt: skip
    found = first(SOUND, renamed)
    assert (found.step, found.kind, found.name, found.module) == (1, Kind.INIT, "net.2nd.weight", "net.2nd")
    assert found.said == "the model has other parts: no longer net.second.weight; only now net.2nd.weight"
    masked = tuple(
        msgspec.structs.replace(one, before=one.before | {"mask": "a"}, buffers=one.buffers | {"mask": "a"})
        for one in SOUND
    )
    assert first(SOUND, masked) is None


def test_a_random_state_of_numpy_that_was_never_seeded_is_said_where_the_batch_follows():
    found = first(SOUND, trained(several(at("rng.numpy", 0), at("augment", 2))))
    assert (found.step, found.kind) == (2, Kind.DATA)
    assert found.said == "the batch is another one, and the random state of numpy"
    drawn = first(SOUND, changed(SOUND, 5, rng=SOUND[4].rng | {"numpy": "drawn"}))
    assert (drawn.step, drawn.kind, drawn.name) == (5, Kind.RNG, "numpy")


GRID = (1, 2, 3, 5, 8)


def grids(defect):
    return first(trained(detailed=False, grid=GRID), trained(defect, detailed=False, grid=GRID))


@pytest.mark.parametrize(
    ("defect", "since", "step", "exact", "kind", "part"),
    [
        (at("order", 5), 3, 5, False, Kind.DATA, "batch"),
        (momentarily("batch", 6, "other"), 5, 8, False, Kind.DATA, "served"),
        (at("rng.torch", 0), 0, 1, True, None, "batch"),  # or the data
        (several(at("init.net.second.weight", 0)), 0, 1, True, None, "loss"),  # or the forward pass
        (at("second", 2), 1, 2, True, Kind.FORWARD, "loss"),
        (at("second", 6), 5, 8, False, None, "loss"),
        (at("scale", 1, 2), 0, 1, True, Kind.BACKWARD, "gradients"),
        (at("clip", 2), 1, 2, True, None, "optimizer"),  # or the optimizer
        (at("lr", 7, 0.02), 5, 8, False, Kind.OPTIMIZER, "settings"),
        (at("update.net.second.weight", 2), 1, 2, True, Kind.OPTIMIZER, "parameters"),
        (at("steps", to=False), 0, 1, True, Kind.OPTIMIZER, "optimizer"),
        (at("average", 6), 5, 8, False, Kind.BUFFER, "parameters"),
        (at("mean", 7), 5, 8, False, Kind.BUFFER, "buffers"),
        (at("mean", 1), 0, 1, True, None, "buffers"),  # or it began so
        (momentarily("evaluation", 4, "other"), 3, 4, True, Kind.EVALUATION, "validation"),
        (at("evaluation", 12), 8, 12, False, None, "validation"),  # the weights of step 12 were not recorded
    ],
)
def test_of_the_grid_alone_it_says_what_is_known(defect, since, step, exact, kind, part):
    found = grids(defect)
    assert (found.since, found.step, found.exact, found.kind, found.part) == (since, step, exact, kind, part)
    assert grids(at("none")) is None


@pytest.mark.parametrize(
    ("names", "either_"),
    [(("a", "b", "c", "d", "e"), "no longer a, b, c and 2 more"), ((), "")],
)
def test_long_lists_are_counted(names, either_):
    assert pair.either(names, ()) == either_
