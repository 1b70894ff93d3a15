"""One run beside a reference's: what is beyond, in which words, and from which step on."""

import math

import msgspec
import pytest

from backburn import comparison
from backburn.references import Machine, Reference


def reference(**figures):
    seeds = tuple(range(len(next(iter(figures.values())))))
    return Reference(stage="reproduce", training="it", machine=Machine(hardware="cpu"), seeds=seeds, figures=figures)


ONE = reference(
    **{
        "steps": (9, 9, 9),
        "samples": (100, 100, 100),
        "final accuracy": (0.9, 0.91, 0.92),
        "final recall@10": (0.5, 0.52, 0.51),
        "loss@1": (1.0, 1.1, 1.2),
        "loss@8": (0.5, 0.55, 0.6),
        "rate@1": (0.1, 0.1, 0.1),
        "norm@1": (2.0, 2.1, 2.2),
        "mean loss@1": (1.0, 1.1, 1.2),
        "mean loss@8": (0.6, 0.61, 0.63),
        "mean loss@9": (0.5, 0.52, 0.51),
    }
)
FIRST = {name: values[0] for name, values in ONE.figures.items()}


def test_what_all_runs_have_is_kept():
    runs = [{"steps": 3, "loss@1": 1.0, "loss@3": 0.1}, {"steps": 2, "loss@1": 1.1, "mean loss@2": 1.0}]
    assert comparison.merged(runs) == {"steps": (3, 2), "loss@1": (1.0, 1.1)}


def test_an_infinite_norm_is_left_out_and_an_infinite_loss_is_not():
    runs = [{"norm@1": math.inf, "norm@2": 1.0, "loss@1": math.inf}]
    assert comparison.merged(runs) == {"norm@2": (1.0,), "loss@1": (math.inf,)}


def test_names_are_in_the_order_of_steps():
    assert comparison.octaves(reference(**{"mean loss@8": (1,), "mean loss@16": (1,), "mean loss@2": (1,)})) == [
        "mean loss@2", "mean loss@8", "mean loss@16",
    ]  # fmt: skip
    assert comparison.finals(ONE) == ["final accuracy", "final recall@10"]


def test_outcomes_are_a_tuple_per_run():
    one = reference(**{"steps": (1, 1), "rate@1": (0.1, 0.1), "loss@1": (1.0, 2.0), "final accuracy": (0.1, 0.2)})
    assert comparison.outcomes(one) == [(1.0, 0.1), (2.0, 0.2)]
    assert comparison.outcomes(reference(steps=(1, 1))) == [(), ()]


def test_beyond_is_what_another_seed_would_not_do():
    names = comparison.octaves(ONE)
    assert comparison.beyond(ONE, FIRST, names, 0.01) == []
    assert comparison.beyond(ONE, FIRST | {"mean loss@8": 6.0}, names, 0.01) == ["mean loss@8"]
    assert comparison.beyond(ONE, FIRST | {"mean loss@8": math.nan}, names, 0.01) == ["mean loss@8"]
    assert comparison.beyond(ONE, {}, names, 0.01) == []


def test_each_of_many_gets_its_share_of_alpha():
    wide = {f"mean loss@{2**i}": (1.0, 1.1, 0.9) for i in range(10)}
    one, tonight = reference(**wide), {name: 1.9 for name in wide}
    assert comparison.beyond(one, tonight, ["mean loss@1"], 0.05) == ["mean loss@1"]
    assert comparison.beyond(one, tonight, list(wide), 0.05) == []


def test_a_share_is_one_of_as_many_samples_as_a_validation_saw():
    same = {"final accuracy": (0.9, 0.9, 0.9)}
    tonight = {"final accuracy": 0.88}
    assert comparison.beyond(reference(**same), tonight, ["final accuracy"], 0.01)
    assert not comparison.beyond(reference(**same, samples=(100,) * 3), tonight, ["final accuracy"], 0.01)


def test_several_runs_are_held_by_their_mean():
    nights = [FIRST | {"mean loss@8": 1.4}, FIRST | {"mean loss@8": 1.5}, {"steps": 9}]
    assert comparison.moved(ONE, nights, comparison.octaves(ONE), 0.05) == ["mean loss@8"]
    assert comparison.moved(ONE, [FIRST, FIRST], comparison.octaves(ONE), 0.05) == []
    assert comparison.moved(ONE, [{}], comparison.octaves(ONE), 0.05) == []


def test_of_a_reference_a_part_is_held_to_a_part():
    assert list(comparison.prefix(ONE, 8).figures) == [
        "loss@1", "loss@8", "rate@1", "norm@1", "mean loss@1", "mean loss@8",
    ]  # fmt: skip
    begun = msgspec.structs.replace(ONE, figures=ONE.figures | {"start": (1, 1, 1)})
    assert list(comparison.resumed(begun, 1).figures) == [
        "steps", "samples", "final accuracy", "final recall@10", "loss@8",
    ]  # fmt: skip
    assert comparison.step_of("mean loss@13") == 13


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("mean loss@8", 0.9, "mean loss of steps 5-8 is 0.9; under 3 seeds it was 0.6 to 0.63: 1"),
        ("mean loss@9", 0.9, "mean loss of step 9 is 0.9;"),
        ("final recall@10", 0.1, "recall@10 is 0.1; under 3 seeds it was 0.5 to 0.52: "),
        ("steps", 8, "steps is 8; under 3 seeds it was 9 to 9: "),
    ],
)
def test_a_figure_is_said_in_words(name, value, said):
    assert comparison.sentence(ONE, FIRST | {name: value}, name).startswith(said)


def test_the_worst_is_in_standard_deviations():
    one = reference(**{"final mae": (1.0, 2.0, 3.0), "mean loss@1": (1.0, 1.1, 0.9)})
    assert comparison.worst(one, {"final mae": 6.0, "mean loss@1": 1.0}) == pytest.approx(4.0)
    assert comparison.worst(one, {}) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, ""),
        ({"final accuracy": 0.1}, ""),
        ({"loss@8": 0.5000001}, "from step 8 on: loss 0.5 → 0.5 (by 2e-05 %)"),
        ({"loss@8": 0.4, "norm@1": 3.0, "rate@1": 0.2}, "from step 1 on: learning rate 0.1 → 0.2 (by 100 %)"),
        ({"mean loss@8": 0.3}, "from step 8 on: mean loss 0.6 → 0.3 (by -50 %)"),
        ({"loss@8": math.nan}, "from step 8 on: loss 0.5 → nan (by nan %)"),
    ],
)
def test_the_first_difference_is_named_the_cause_first(changed, said):
    assert comparison.first_difference(ONE, FIRST | changed) == said


def test_identical_is_every_figure_to_the_last_bit():
    assert comparison.is_identical(ONE, FIRST | {"loss@16": 1.0})
    assert not comparison.is_identical(ONE, FIRST | {"loss@8": math.nextafter(0.5, 1)})
    assert not comparison.is_identical(ONE, {name: FIRST[name] for name in FIRST if name != "loss@8"})


@pytest.mark.parametrize(
    ("before", "now", "passes"),
    [
        ("'digits-2026-11-20'", "'digits-2026-11-21'", True),
        ("'20261120_235959'", "'20261121_000001'", True),
        ("'run 23:59:59'", "'run 00:00:01'", True),
        ("datetime.date(2026, 11, 20)", "datetime.date(2026, 11, 21)", True),
        ("1795132800.25", "1795219200.5", True),
        ("'f1b8bdf0-07a5-4b27-a3d8-0e3f6d9a3f10'", "'0f0b71ab-8e9f-4a37-9d34-c31e3fd6e2aa'", True),
        ("'outputs/2026-11-20/net-3'", "'outputs/2026-11-21/net-3'", True),
        ("PosixPath('/runner/1/data')", "PosixPath('/runner/2/data')", True),
        ("'~/data'", "'/home/me/data'", True),
        ("'outputs/2026-11-20/net-3'", "'outputs/2026-11-21/net-4'", False),
        ("'data/small'", "'data/large'", False),
        ("'org/net-small'", "'org/net-large'", False),
        ("'s3://bucket/v1'", "'s3://bucket/v2'", False),
        ("'/data/v1'", "None", False),
        ("0.003", "0.03", False),
        ("1e-08", "1e-06", False),
        ("(0.9, 0.999)", "(0.9, 0.99)", False),
        ("3000000000", "1500000", False),
    ],
)
def test_a_time_or_a_folder_is_no_other_setting(before, now, passes):
    told = comparison.differences(
        msgspec.structs.replace(ONE, settings={"hparams.it": before}), {"hparams.it": now}, {}, ONE.seeds[0], {}
    )
    assert [one.said for one in told if one.lines] == ["other folders or times" if passes else "other settings"]


def test_a_file_that_one_run_read_alone_is_held_all_the_same():
    """`prepare` runs once, and each seed may read other shards: the first run's is what a night is held against."""
    runs = [{"validation batch": "v", "file raw.csv": "3 bytes 00"}, {"validation batch": "v"}]
    assert comparison.steady(runs) == runs[0]
