"""The checks of the batch, each on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import batch
from backburn.memorization.batch import Again, Alignment, Batch, Leaf, Leak
from backburn.memorization.dependence import Dependence, Leak as Leaked
from backburn.report import Level

from .evidence import found, reference, seen

X = Leaf(path="batch[0]", roles=("input",), dtype="float32", shape=(16, 8), low=-2.0, high=2.0, std=1.0, distinct=16)
Y = Leaf(
    path="batch[1]", roles=("target",), dtype="int64", shape=(16,), low=0, high=3, mean=1.5, std=1.1, whole=True,
    distinct=4, counts={"0": 4, "1": 4, "2": 4, "3": 4},
)  # fmt: skip
LEAK = Leak(path="batch[0]", column=3, target="batch[1]", correlation=0.2)
SOUND = Batch(
    rows=16,
    asked=16,
    leaves=(X, Y),
    leaks=(LEAK,),
    again=Again(),
    alignment=Alignment(samples=128, p=0.0025, clear=12.0),
)


def with_x(**change):
    return msgspec.structs.replace(SOUND, leaves=(msgspec.structs.replace(X, **change), Y))


def with_y(**change):
    return msgspec.structs.replace(SOUND, leaves=(X, msgspec.structs.replace(Y, **change)))


def with_again(**change):
    return msgspec.structs.replace(SOUND, again=Again(**change))


BROKEN = {
    "NaN": ("batch-is-finite", with_x(not_finite=3, first_row=5), "error", "3 numbers that are NaN or infinite"),
    "one row": (
        "batch-is-whole",
        with_x(shape=(1, 8), distinct=0),
        "warning",
        "1 rows, and the loader was asked for 16",
    ),
    "one input": ("inputs-vary", with_x(distinct=1, low=0, high=0, std=0), "error", "is 0 everywhere"),
    "repeated": ("samples-differ", with_x(distinct=8), "warning", "8 different samples in a batch of 16"),
    "one label": ("labels-vary", with_y(low=2, high=2, distinct=1), "error", "2 for all 16"),
    "another label": (
        "labels-stay-paired",
        with_again(targets=("batch[1]",), changed=9, labels=True),
        "error",
        "9 samp",
    ),
    "augmented, another label": (
        "labels-stay-paired",
        with_again(inputs=("batch[0]",), targets=("batch[1]",), changed=9, labels=True, likeness=0.8),
        "error",
        "another label",
    ),
    "drowned": (
        "augmentation-keeps-inputs",
        with_again(inputs=("batch[0]",), likeness=0.02, recognised=0.1),
        "warning",
        "cosine 0.02",
    ),
    "leak": (
        "labels-not-in-inputs",
        msgspec.structs.replace(SOUND, leaks=(msgspec.structs.replace(LEAK, correlation=1.0),)),
        "warning",
        "column 3, is batch[1]",
    ),
    "tiny": ("inputs-are-scaled", with_x(std=0.004), "warning", "hardly varies"),
    "huge": ("inputs-are-scaled", with_x(high=255.0), "warning", "reaches 255"),
    "by chance": (
        "labels-match-inputs",
        msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.6, clear=-0.2)),
        "notice",
        "p = 0.60",
    ),
}


def test_a_sound_batch_is_silent():
    assert found(batch.CHECKS, seen(batch=SOUND)) == {}
    assert found(batch.CHECKS, seen(batch=SOUND, reference=reference(batch, seen(batch=SOUND)))) == {}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_thing_is_found_by_one_check(name):
    check, broken, level, said = BROKEN[name]
    (named, (finding,)), *more = found(batch.CHECKS, seen(batch=broken, losses=(float("nan"),))).items()
    assert (named, finding.level.value, more) == (check, level, [])
    assert said in finding.message and finding.hint


def test_packed_samples_have_rows_of_their_own():
    """Nodes and edges of graphs: none is a row for each sample, and none is missing."""
    nodes = msgspec.structs.replace(X, path="batch.x", shape=(90, 8), distinct=5)
    edges = Leaf(path="batch.edge_index", roles=("input",), dtype="int64", shape=(2, 300), high=89, whole=True)
    packed = msgspec.structs.replace(SOUND, leaves=(nodes, edges, Y))
    assert found(batch.CHECKS, seen(batch=packed)) == {}


def test_a_weight_of_1_beside_inputs_that_cannot_be_counted_is_no_single_input():
    nodes = msgspec.structs.replace(X, path="batch.x", shape=(90, 8), distinct=0)
    weight = msgspec.structs.replace(X, path="batch.w", shape=(16, 1), distinct=1, low=1.0, high=1.0, std=0.0)
    (finding,) = found(batch.CHECKS, seen(batch=msgspec.structs.replace(SOUND, leaves=(nodes, weight, Y))))[
        "inputs-vary"
    ]
    assert finding.level is Level.WARNING


@pytest.mark.parametrize("far", [0.0, 0.5])
def test_what_the_model_makes_of_samples_is_asked_only_where_it_keeps_them_apart(far):
    healthy = msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.0025, clear=12.0, by_model=True))
    held = reference(batch, seen(batch=healthy))
    by_chance = msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.6, clear=0.1, by_model=True))
    leak = Dependence(leak=Leaked(output="net", far=far))
    assert ("labels-match-inputs" in found(batch.CHECKS, seen(held, batch=by_chance, dependence=leak))) is (far == 0)


def test_what_is_new_against_the_reference_fails():
    healthy = reference(batch, seen(batch=SOUND))
    (finding,) = found(batch.CHECKS, seen(batch=BROKEN["tiny"][1], reference=healthy))["data-are-as-reviewed"]
    assert finding.level is Level.ERROR and "standard deviation 0.004 instead of 1" in finding.message
    (finding,) = found(batch.CHECKS, seen(batch=BROKEN["by chance"][1], reference=healthy))["labels-match-inputs"]
    assert finding.level is Level.ERROR and "12.0 when reviewed" in finding.message


@pytest.mark.parametrize(
    "change", [{"dtype": "int64"}, {"whole": True}, {"shape": (16, 4, 2)}, {"std": 6.0}, {"mean": 5.0}]
)
def test_data_of_another_kind_are_new(change):
    healthy = reference(batch, seen(batch=SOUND))
    assert list(found(batch.CHECKS, seen(batch=with_x(**change), reference=healthy))) == ["data-are-as-reviewed"]


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"std": 2.0}, {"mean": 1.0}])
def test_another_batch_of_the_same_data_is_not(change):
    healthy = reference(batch, seen(batch=SOUND))
    assert found(batch.CHECKS, seen(batch=with_x(**change), reference=healthy)) == {}


@pytest.mark.parametrize(
    "again",
    [
        Again(inputs=("batch[0]",), targets=("batch[1]",), changed=16, reshaped=True),  # a masked language model
        Again(inputs=("batch[0]",), targets=("batch[1]",), changed=16, likeness=0.6),  # mixup: shares, no labels
        Again(inputs=("batch[0]",), likeness=0.19, recognised=0.19),  # a random crop
    ],
)
def test_what_is_drawn_anew_on_purpose_is_silent(again):
    assert found(batch.CHECKS, seen(batch=msgspec.structs.replace(SOUND, again=again))) == {}


def test_nan_that_the_loss_leaves_out_only_warns():
    broken = BROKEN["NaN"][1]
    (finding,) = found(batch.CHECKS, seen(batch=broken, losses=(1.0, 0.5)))["batch-is-finite"]
    assert finding.level is Level.WARNING


def test_a_step_that_writes_into_its_batch_is_a_warning():
    (finding,) = found(batch.CHECKS, seen(batch=SOUND, written="batch[0]"))["batch-is-fixed"]
    assert finding.level is Level.WARNING and "batch[0]" in finding.message


def test_what_drifts_is_a_warning():
    drifting = msgspec.structs.replace(SOUND, drifts=("batch[0]",))
    (finding,) = found(batch.CHECKS, seen(batch=drifting))["batch-is-fixed"]
    assert finding.level is Level.WARNING and "under the same random numbers" in finding.message


LOOKS = {"0": (1.0, 0.0), "1": (0.0, 1.0), "2": (-1.0, -1.0)}


@pytest.mark.parametrize(
    ("looks", "names"),
    [
        (LOOKS, []),
        ({"0": (0.7, 0.2), "1": (0.1, 1.3), "2": (-0.6, -1.2)}, []),
        ({"1": (1.0, 0.1), "2": (0.1, 0.9), "0": (-1.1, -1.0)}, ["data-are-as-reviewed"]),
    ],
)
def test_renumbered_labels_are_new(looks, names):
    def aligned(classes):
        return msgspec.structs.replace(SOUND, alignment=Alignment(samples=128, p=0.0025, clear=12.0, classes=classes))

    healthy = reference(batch, seen(batch=aligned(LOOKS)))
    assert list(found(batch.CHECKS, seen(batch=aligned(looks), reference=healthy))) == names


@pytest.mark.parametrize(("common", "level"), [(0.98, Level.NOTICE), (0.5, Level.ERROR), (1.0, Level.ERROR)])
def test_one_label_in_a_batch_may_be_luck_where_most_samples_have_it(common, level):
    alone = with_y(low=0, high=0, distinct=1)
    told = msgspec.structs.replace(alone, alignment=Alignment(samples=128, p=0.5, common=common))
    assert found([batch.labels_vary], seen(batch=told))["labels-vary"][0].level is level


@pytest.mark.parametrize(("count", "expected"), [(16, []), (2, ["batch-is-whole"])])
def test_a_list_of_samples_is_whole(count, expected):
    images = [msgspec.structs.replace(X, path=f"batch[0][{index}]", shape=(3, 8, 8)) for index in range(count)]
    told = msgspec.structs.replace(SOUND, leaves=(*images, Y))
    assert list(found([batch.batch_is_whole], seen(batch=told))) == expected


def part(**change):
    """A part over many samples: ones and zeros, half of each."""
    about = {"path": "batch[0]", "dtype": "float32", "shape": (32, 8), "rows": 192, "std": 1.0, "tail": 3.0}
    about |= {"low": -3.0, "high": 3.0, "between": 1.3, "negative": 0.5, "fractions": 1.0}
    return msgspec.structs.replace(SOUND, parts=(Leaf(**about | change),))


BITS = {"dtype": "int64", "low": 0, "high": 1, "mean": 0.65, "std": 0.48, "tail": 1.4, "between": 1.0, "negative": 0.0}
BITS |= {"fractions": 0.0, "whole": True, "counts": {"0": 67, "1": 125}, "common": 1, "share": 0.65}
TAGS = BITS | {"low": -100, "high": 3, "negative": 0.6, "ignored": 0.6, "common": 1, "share": 0.2}
TAGS |= {"counts": {"-100": 600, "1": 200, "2": 100, "3": 100}}
HEAVY = {"tail": 60.0, "between": 2.0, "std": 9.0}
COUNTS = {"fractions": 0.0, "whole": True, "negative": 0.0, "low": 0.0, "high": 40.0}


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({}, {"std": 2.7}, "standard deviation 2.7 instead of 1"),
        ({}, {"mean": 1.1}, "mean 1.1 instead of 0"),
        ({}, {"std": 0.0, "mean": 1.0, "between": 0.0, "tail": 0.0}, "1 everywhere"),
        ({}, {"negative": 0.0}, "no negative numbers instead of 50%"),
        ({"negative": 0.0}, {}, "50% negative numbers instead of none"),
        (COUNTS, COUNTS | {"fractions": 0.6, "whole": False}, "60% fractions instead of none"),
        (HEAVY, HEAVY | {"std": 90.0, "between": 20.0}, "standard deviation 90"),
        (BITS, BITS | {"mean": 0.35}, "turned round, 35% ones instead of 65%"),
        (BITS, BITS | {"mean": 0.01}, "1% ones instead of 65%"),
        (TAGS, TAGS | {"ignored": 0.2}, "20% of -100 (what a loss ignores) instead of 60%"),
        (TAGS, TAGS | {"ignored": 0.4, "counts": {"-100": 400, "0": 200, "1": 200}}, "lowest 0 instead of 1"),
        (TAGS, TAGS | {"counts": {"-100": 600, "1": 200, "2": 100, "90": 100}}, "highest"),
        (TAGS, TAGS | {"counts": {"-100": 600, "2": 200, "3": 200}}, "no 1 instead of 20%"),
    ],
)
def test_numbers_over_many_samples_are_held_closely(before, now, said):
    healthy = reference(batch, seen(batch=part(**before)))
    (finding,) = found(batch.CHECKS, seen(batch=part(**now), reference=healthy))["data-are-as-reviewed"]
    assert finding.level is Level.ERROR and said in finding.message


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {"std": 1.9, "mean": 0.6}),
        ({"rows": 16}, {"rows": 16, "std": 2.6, "mean": 1.4}),
        ({"rows": 8}, {"rows": 8, "std": 4.0, "mean": 3.0, "negative": 0.0}),  # too few to say more than before
        (HEAVY, HEAVY | {"std": 40.0, "between": 2.2}),
        ({"tail": 60.0, "rows": 32}, {"std": 0.0, "between": 0.0, "tail": 0.0, "rows": 32}),  # few ones among zeros
        ({"negative": 0.0}, {"negative": 0.02}),
        (BITS, BITS | {"mean": 0.5}),
        (BITS | {"rows": 16}, BITS | {"rows": 16, "mean": 0.35}),
        (TAGS, TAGS | {"ignored": 0.5}),
        (TAGS, TAGS | {"counts": {"-100": 600, "0": 4, "1": 200, "2": 100, "3": 100, "4": 4}}),  # rare classes
    ],
)
def test_samples_that_were_drawn_anew_are_the_same_data(before, now):
    healthy = reference(batch, seen(batch=part(**before)))
    assert found(batch.CHECKS, seen(batch=part(**now), reference=healthy)) == {}


def paired(far):
    return msgspec.structs.replace(
        SOUND, alignment=None, pairs={"batch[0] ~ batch[2]": far, "batch[0] ~ batch[3]": 3.1}
    )


@pytest.mark.parametrize(("before", "now", "level"), [(16.0, 0.4, Level.ERROR), (75.0, 4.0, Level.ERROR)])
def test_pairs_that_belong_together_no_more_are_new(before, now, level):
    healthy = reference(batch, seen(batch=paired(before)))
    (finding,) = found(batch.CHECKS, seen(batch=paired(now), reference=healthy))["labels-match-inputs"]
    assert finding.level is level and f"{before:.1f} when reviewed" in finding.message


@pytest.mark.parametrize(("before", "now"), [(16.0, 5.0), (9.5, 0.0), (10.0, 2.6)])
def test_pairs_that_were_never_clear_are_silent(before, now):
    healthy = reference(batch, seen(batch=paired(before)))
    assert found(batch.CHECKS, seen(batch=paired(now), reference=healthy)) == {}


def test_a_reference_without_parts_is_held_as_before():
    healthy = reference(batch, seen(batch=SOUND))
    assert found(batch.CHECKS, seen(batch=part(), reference=healthy)) == {}


def test_a_column_may_be_whether_a_label_is_one_class():
    leaking = Leak(path="batch[0]", column=2, target="batch[1]", correlation=1.0, value=3, rows=192)
    told = msgspec.structs.replace(SOUND, leaks=(leaking,))
    (finding,) = found(batch.CHECKS, seen(batch=told))["labels-not-in-inputs"]
    assert "column 2, is whether batch[1] is 3" in finding.message


@pytest.mark.parametrize(("std", "stream", "alarm"), [(8.0, False, True), (8.0, True, False), (99.0, True, True)])
def test_a_stream_may_be_of_other_scales(std, stream, alarm):
    """Of a policy's own rollouts, which change with the model."""
    healthy = reference(batch, seen(batch=msgspec.structs.replace(SOUND, stream=stream)))
    now = msgspec.structs.replace(with_x(std=std), stream=stream)
    assert ("data-are-as-reviewed" in found(batch.CHECKS, seen(healthy, batch=now))) is alarm
