"""The checks of the batch, each on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import batch
from backburn.memorization.batch import Again, Alignment, Leaf, Leak
from backburn.report import Level

from .batches import LEAK, PAGES, SOUND, X, Y, with_again, with_x, with_y
from .evidence import found, reference, seen

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
}


def test_a_sound_batch_is_silent():
    assert found(PAGES.CHECKS, seen(batch=SOUND)) == {}
    assert found(PAGES.CHECKS, seen(batch=SOUND, reference=reference(PAGES, seen(batch=SOUND)))) == {}


@pytest.mark.parametrize("name", BROKEN)
def test_one_broken_thing_is_found_by_one_check(name):
    check, broken, level, said = BROKEN[name]
    (named, (finding,)), *more = found(PAGES.CHECKS, seen(batch=broken, losses=(float("nan"),))).items()
    assert (named, finding.level.value, more) == (check, level, [])
    assert said in finding.message and finding.hint


def test_packed_samples_have_rows_of_their_own():
    """Nodes and edges of graphs: none is a row for each sample, and none is missing."""
    nodes = msgspec.structs.replace(X, path="batch.x", shape=(90, 8), distinct=5)
    edges = Leaf(path="batch.edge_index", roles=("input",), dtype="int64", shape=(2, 300), high=89, whole=True)
    packed = msgspec.structs.replace(SOUND, leaves=(nodes, edges, Y))
    assert found(PAGES.CHECKS, seen(batch=packed)) == {}


def test_a_weight_of_1_beside_inputs_that_cannot_be_counted_is_no_single_input():
    nodes = msgspec.structs.replace(X, path="batch.x", shape=(90, 8), distinct=0)
    weight = msgspec.structs.replace(X, path="batch.w", shape=(16, 1), distinct=1, low=1.0, high=1.0, std=0.0)
    (finding,) = found(PAGES.CHECKS, seen(batch=msgspec.structs.replace(SOUND, leaves=(nodes, weight, Y))))[
        "inputs-vary"
    ]
    assert finding.level is Level.WARNING


@pytest.mark.parametrize(
    "again",
    [
        Again(inputs=("batch[0]",), targets=("batch[1]",), changed=16, reshaped=True),  # a masked language model
        Again(inputs=("batch[0]",), targets=("batch[1]",), changed=16, likeness=0.6),  # mixup: shares, no labels
        Again(inputs=("batch[0]",), likeness=0.19, recognised=0.19),  # a random crop
        Again(inputs=("batch[0]",), likeness=0.02, recognised=0.06, smooth=True),  # RandAugment of small pictures
    ],
)
def test_what_is_drawn_anew_on_purpose_is_silent(again):
    assert found(PAGES.CHECKS, seen(batch=msgspec.structs.replace(SOUND, again=again))) == {}


@pytest.mark.parametrize(("changed", "level"), [(4, Level.WARNING), (10, Level.ERROR)])
def test_a_label_drawn_from_several_annotators_only_warns(changed, level):
    broken = with_again(targets=("batch[1]",), changed=changed, labels=True)
    (finding,) = found([batch.labels_stay_paired], seen(batch=broken))["labels-stay-paired"]
    assert finding.level is level


def test_nan_that_the_loss_leaves_out_only_warns():
    broken = BROKEN["NaN"][1]
    (finding,) = found(PAGES.CHECKS, seen(batch=broken, losses=(1.0, 0.5)))["batch-is-finite"]
    assert finding.level is Level.WARNING


def test_a_step_that_writes_into_its_batch_is_a_warning():
    (finding,) = found(PAGES.CHECKS, seen(batch=SOUND, written="batch[0]"))["batch-is-fixed"]
    assert finding.level is Level.WARNING and "batch[0]" in finding.message


def test_what_drifts_is_a_warning():
    drifting = msgspec.structs.replace(SOUND, drifts=("batch[0]",))
    (finding,) = found(PAGES.CHECKS, seen(batch=drifting))["batch-is-fixed"]
    assert finding.level is Level.WARNING and "under the same random numbers" in finding.message


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


def test_a_column_may_be_whether_a_label_is_one_class():
    leaking = Leak(path="batch[0]", column=2, target="batch[1]", correlation=1.0, value=3, rows=192)
    told = msgspec.structs.replace(SOUND, leaks=(leaking,))
    (finding,) = found(PAGES.CHECKS, seen(batch=told))["labels-not-in-inputs"]
    assert "column 2, is whether batch[1] is 3" in finding.message
