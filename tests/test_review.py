"""The text for the pull request of a new reference."""

import msgspec

from backburn import epochs, review
from backburn.references import Machine, Reference


def reference(loss=0.5, torch="2.12", **about):
    figures = {
        "steps": (9, 9, 9), "final val_loss": (loss, loss + 0.1, loss - 0.1), "final acc": (0.9, 0.9, 0.9),
        "loss@1": (loss, 1.0, 1.2), "loss@2": (0.5, 0.6, 0.7),
    }  # fmt: skip
    about = {"figures": figures, "commit": "a" * 40, "date": "2026-11-20", "repeated": 20} | about
    machine = Machine(hardware="cpu", hard={"torch": torch}, soft={"kernel": "6"})
    return Reference(stage="reproduce", training="digits", machine=machine, seeds=(1, 2, 3), **about)


def lines(new, old=None, who="Ada"):
    return review.markdown([(new, old)], who).splitlines()


def test_the_first_reference_says_so():
    said = lines(reference(reason="the first"))
    assert said[0] == "## `reproduce digits` on `cpu`"
    assert "- before: there was none" in said and "- blessed by `Ada`: `the first`" in said
    assert "- a second run of the same commit and seed: the same to the last bit over 20 steps" in said
    assert "| `val_loss` | - | 0.5 ± 0.1 | new |  |  |  |" in said


def test_what_moved_is_told_relative_in_s_and_since_the_first():
    old = reference(hashes={"loss@1": "a", "gradients@1": "x"})
    new = reference(0.6, hashes={"loss@1": "b", "gradients@1": "y"}, settings={"lr": "0.2"}, data={"train": "b"})
    new = epochs.with_history(new, old, epoch=False)
    said = lines(new, old)
    assert "| `val_loss` | 0.5 ± 0.1 | 0.6 ± 0.1 | +20.000% | +1.00 | +0.1 | +0 |" in said
    assert "- parts from the one before `at step 1: loss and gradients (init or forward)`" in said
    assert "- settings: `lr: - → 0.2`" in said and "- data: `train: - → b`" in said
    gone = lines(msgspec.structs.replace(new, figures={"final val_loss": (0.6, 0.6, 0.6)}), old)
    assert "| `acc` | 0.9 | - | gone |  |  |  |" in gone


def test_without_hashes_the_curve_tells_where_it_parts():
    assert any("from step 1 on: loss 0.5 → 0.6" in line for line in lines(reference(0.6), reference()))
    assert "- the curve of the first run is the one before's" in lines(reference(), reference())


def test_an_epoch_is_told_and_bits_are_not_compared():
    new = epochs.with_history(reference(0.6, "2.13"), reference(), epoch=True)
    said = lines(new, reference())
    assert "- bits are not compared: another environment" in said
    assert "- epoch of `2026-11-20` on `aaaaaaaaaaaa`: `torch: 2.12 → 2.13`" in said
    assert "- environment: `torch: 2.12 → 2.13`" in said
    assert any(line.startswith("| `val_loss` |") and line.endswith("| +0.1 | +0.1 |") for line in said)


def test_one_that_does_not_repeat_says_where_and_many_differences_are_counted():
    one = reference(apart="at step 1: gradients (backward)", settings={str(n): "x" for n in range(30)})
    said = lines(one, reference(repeated=0))
    assert "- a second run of the same commit and seed: came out otherwise, `at step 1: gradients (backward)`" in said
    assert "- settings: 10 more differ" in said
    assert any("not made" in line for line in lines(reference(repeated=0)))


def test_a_candidate_from_elsewhere_gives_github_no_orders():
    evil = "`<img src=x>` @team \x1b[2J | [a](b)"
    new = reference(reason=evil, settings={evil: evil})
    text = review.markdown([(new, reference())], evil)
    assert "\x1b" not in text and "`<img" not in text.replace("'<img", "")
    assert all(line.count("`") % 2 == 0 for line in text.splitlines())


def test_who_is_unknown_is_said():
    assert "- blessed by `nobody known to git`" in lines(reference(), who="")
