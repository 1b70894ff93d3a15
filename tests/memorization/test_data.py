"""The data held against the reference, each on evidence: the same drawn anew, and with one thing changed."""

import msgspec
import pytest

from backburn.memorization.batch import Alignment, Leaf
from backburn.report import Level

from .batches import PAGES, SOUND, X, with_x
from .evidence import found, reference, seen


def test_a_scale_that_is_new_against_the_reference_fails():
    healthy = reference(PAGES, seen(batch=SOUND))
    (finding,) = found(PAGES.CHECKS, seen(batch=with_x(std=0.004), reference=healthy))["data-are-as-reviewed"]
    assert finding.level is Level.ERROR and "standard deviation 0.004 instead of 1" in finding.message


@pytest.mark.parametrize(
    "change", [{"dtype": "int64"}, {"whole": True}, {"shape": (16, 4, 2)}, {"std": 6.0}, {"mean": 5.0}]
)
def test_data_of_another_kind_are_new(change):
    healthy = reference(PAGES, seen(batch=SOUND))
    assert list(found(PAGES.CHECKS, seen(batch=with_x(**change), reference=healthy))) == ["data-are-as-reviewed"]


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"std": 2.0}, {"mean": 1.0}])
def test_another_batch_of_the_same_data_is_not(change):
    healthy = reference(PAGES, seen(batch=SOUND))
    assert found(PAGES.CHECKS, seen(batch=with_x(**change), reference=healthy)) == {}


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

    healthy = reference(PAGES, seen(batch=aligned(LOOKS)))
    assert list(found(PAGES.CHECKS, seen(batch=aligned(looks), reference=healthy))) == names


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
        (COUNTS, COUNTS | {"fractions": 0.6, "whole": False, "std": 0.4}, "60% fractions instead of none"),
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
    healthy = reference(PAGES, seen(batch=part(**before)))
    (finding,) = found(PAGES.CHECKS, seen(batch=part(**now), reference=healthy))["data-are-as-reviewed"]
    assert finding.level is Level.ERROR and said in finding.message


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [((), ("a=b",), True), (("a=b",), ("a=b",), False), ((), (), False), ((), ("a=c",), False)],
)
def test_views_that_are_one(before, now, said):
    def told(copies):
        views = tuple(msgspec.structs.replace(X, path=path) for path in "ab")
        return msgspec.structs.replace(SOUND, parts=views, copies=copies)

    held = seen(batch=told(now), reference=reference(PAGES, seen(batch=told(before))))
    messages = [one.message for one in found(PAGES.CHECKS, held).get("data-are-as-reviewed", ())]
    assert ["b is a, number for number" in one for one in messages] == [True] * said


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
        (COUNTS, COUNTS | {"fractions": 0.6, "whole": False, "std": 1.3}),  # boxes of pictures that are resized
        (BITS | {"rows": 16}, BITS | {"rows": 16, "mean": 0.35}),
        (TAGS, TAGS | {"ignored": 0.5}),
        (TAGS, TAGS | {"counts": {"-100": 600, "0": 4, "1": 200, "2": 100, "3": 100, "4": 4}}),  # rare classes
    ],
)
def test_samples_that_were_drawn_anew_are_the_same_data(before, now):
    healthy = reference(PAGES, seen(batch=part(**before)))
    assert found(PAGES.CHECKS, seen(batch=part(**now), reference=healthy)) == {}


def test_a_reference_without_parts_is_held_as_before():
    healthy = reference(PAGES, seen(batch=SOUND))
    assert found(PAGES.CHECKS, seen(batch=part(), reference=healthy)) == {}


@pytest.mark.parametrize(("std", "stream", "alarm"), [(8.0, False, True), (8.0, True, False), (99.0, True, True)])
def test_a_stream_may_be_of_other_scales(std, stream, alarm):
    """Of a policy's own rollouts, which change with the model."""
    healthy = reference(PAGES, seen(batch=msgspec.structs.replace(SOUND, stream=stream)))
    now = msgspec.structs.replace(with_x(std=std), stream=stream)
    assert ("data-are-as-reviewed" in found(PAGES.CHECKS, seen(healthy, batch=now))) is alarm
