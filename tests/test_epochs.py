"""A change of environment, blessed on the reference's own commit; what it moved, and what the code did since."""

import msgspec
import pytest

from backburn import epochs
from backburn.errors import UserError
from backburn.references import Epoch, Machine, Reference


def reference(torch="2.12", loss=0.5, commit="a" * 40, **about):
    figures = {"steps": (9, 9, 9), "final val_loss": (loss, loss + 0.1, loss - 0.1), "loss@1": (1.0, 2.0, 3.0)}
    machine = Machine(hardware="cpu", hard={"torch": torch})
    about = {"figures": figures, "date": "2026-11-20"} | about
    return Reference(stage="reproduce", training="it", machine=machine, seeds=(1, 2, 3), commit=commit, **about)


OLD = reference()


def test_another_environment_is_an_epoch_and_nothing_else():
    with pytest.raises(UserError, match="another environment than the reference's: torch: 2.12 → 2.13") as caught:
        epochs.with_history(reference("2.13"), OLD, epoch=False)
    assert "--epoch" in caught.value.hint
    new = epochs.with_history(reference("2.13", 0.6), OLD, epoch=True)
    (one,) = new.epochs
    assert (one.before, one.after, one.commit) == ({"torch": "2.12"}, {"torch": "2.13"}, "a" * 40)
    assert one.moved["final val_loss"] == pytest.approx((0.5, 0.6))


REFUSED = {
    "no reference": (reference("2.13"), None, "there is no reference for cpu yet"),
    "the same environment": (reference(), OLD, "there is no epoch to begin"),
    "another commit": (reference("2.13", commit="b" * 40), OLD, "what moved could be the code"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_an_epoch_that_could_not_tell_what_moved_is_refused(what):
    new, old, said = REFUSED[what]
    with pytest.raises(UserError, match=said):
        epochs.with_history(new, old, epoch=True)


def test_a_first_reference_and_one_of_the_same_environment_need_no_epoch():
    assert epochs.with_history(OLD, None, epoch=False) == OLD
    assert epochs.with_history(reference(loss=0.6), OLD, epoch=False).epochs == ()


def test_drift_is_counted_from_the_first_and_told_apart_from_that_of_environments():
    second = epochs.with_history(reference(loss=0.6, commit="b" * 40), OLD, epoch=False)
    third = epochs.with_history(reference("2.13", 0.75, commit="b" * 40), second, epoch=True)
    fourth = epochs.with_history(reference("2.13", 0.70, commit="c" * 40), third, epoch=False)
    assert fourth.origin == {"final val_loss": pytest.approx(0.5)} and len(fourth.epochs) == 1
    assert epochs.drift(fourth)["final val_loss"] == pytest.approx((0.2, 0.15))
    assert epochs.drift(OLD) == {}


def test_a_metric_that_came_later_drifts_from_where_it_began():
    later = msgspec.structs.replace(
        OLD, figures=OLD.figures | {"final f1": (0.5, 0.5, 0.5)}, origin={"final val_loss": 1.0}
    )
    assert epochs.with_history(reference(), later, epoch=False).origin == {"final val_loss": 1.0, "final f1": 0.5}


def test_before_anything_is_trained_the_commit_is_looked_at():
    epochs.expect_commit({"cpu": OLD}, "a" * 40, "it")
    for known, said in (({"cpu": OLD}, "aaaaaaaaaaaa"), ({}, "none")):
        with pytest.raises(UserError, match=f"{said}\\), and bbbbbbbbbbbb is checked out") as caught:
            epochs.expect_commit(known, "b" * 40, "it")
        assert "git worktree add" in caught.value.hint


def test_an_epoch_is_plain_data():
    one = Epoch(commit="a", date="b", before={}, after={}, moved={"x": (1.0, 2.0)})
    assert msgspec.convert(msgspec.to_builtins(one), Epoch) == one
