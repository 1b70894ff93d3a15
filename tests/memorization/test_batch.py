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
