"""The likely cause of a night that came out otherwise."""

import msgspec
import pytest

from backburn.references import Machine, Reference
from backburn.reproduction import causes
from backburn.reproduction.told import Told

ONE = Reference(
    stage="reproduce", training="it", machine=Machine(hardware="cpu", soft={"kernel": "6.1"}), seeds=(42, 43),
    figures={"loss@1": (1.0, 2.0), "rate@1": (0.1, 0.1)}, settings={"lr": "0.1"}, data={"validation batch": "c"},
    commit="0123456789", date="2026-11-20",
)  # fmt: skip
SAME = Told(
    ended="fit", steps=1, seeded=(42,), losses=((1, 1.0),), rates=((1, 0.1),), settings={"lr": "0.1"},
    data={"validation batch": "c"}, machine=ONE.machine,
)  # fmt: skip
THE_CODE = "Likely: the code, as settings, data and machine are the reference's."


def likely(**changed):
    return causes.likely(ONE, msgspec.structs.replace(SAME, **changed), 42)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"losses": ((1, 1.5),)}, f"{THE_CODE} The curve differs from step 1 on: loss 1 → 1.5 (by 50 %)."),
        ({}, f"{THE_CODE} The curve is the same: only the evaluation differs."),
        ({"settings": {"lr": "0.2"}}, "Likely: other settings (lr: 0.1 → 0.2)."),
        ({"seeded": (7,)}, "Likely: another seed (seed: 42 → 7)."),
        ({"machine": Machine(hardware="cpu", soft={"kernel": "6.2"})}, "a slightly other machine (kernel: 6.1 → 6.2)"),
    ],
)
def test_the_likely_cause_is_named_and_the_reference(changed, said):
    assert said in likely(**changed)
    assert likely(**changed).endswith(
        "The reference is of 0123456 2026-11-20; if the change is meant: backburn bless reproduce."
    )


def test_a_commit_is_short_and_says_that_the_tree_was_dirty():
    assert causes.commit(msgspec.structs.replace(ONE, commit="0123456789+")) == "0123456+ 2026-11-20"
    assert causes.commit(msgspec.structs.replace(ONE, commit="", date="")) == "no commit"
