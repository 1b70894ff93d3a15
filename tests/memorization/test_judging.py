"""How loud a finding is."""

import msgspec
import pytest

from backburn.memorization.judging import ERRORS, at, listed, meant, reviewed as held, spelled, suspected, trace
from backburn.references import Machine, Reference
from backburn.report import Finding, Level


def loss_sign(seen, config):
    """The sign is right."""


ONE = Finding(message="x is odd")


def reviewed(found, commit="a1b2c3d4e5"):
    machine = Machine(hardware="any")
    about = {"training": "it", "machine": machine, "seeds": (0,), "figures": {}, "settings": {"found": found}}
    return Reference(stage="memorize", commit=commit, **about)


@pytest.mark.parametrize(
    ("reference", "level", "message"),
    [
        (None, Level.WARNING, "x is odd"),
        (reviewed("loss-sign units-are-alive"), Level.NOTICE, "x is odd"),
        (reviewed("loss-sign-of-another"), Level.ERROR, "x is odd (new against the reference of a1b2c3d)"),
        (reviewed("", commit=""), Level.ERROR, "x is odd (new against the reference of the healthy run)"),
    ],
)
def test_what_has_a_healthy_reading_fails_only_where_it_is_new(reference, level, message):
    (finding,) = suspected([ONE], loss_sign, reference)
    assert (finding.level, finding.message) == (level, message)


@pytest.mark.parametrize(("reference", "says"), [(None, True), (reviewed("loss-sign"), False), (reviewed(""), True)])
def test_what_has_one_says_how_to_accept_it(reference, says):
    (finding,) = suspected([ONE], loss_sign, reference)
    assert ("`backburn bless memorize`" in finding.hint) is says


@pytest.mark.parametrize("hint", ["A count? [[tool.backburn.allow]].", 'On purpose? frozen = ["net.*"].'])
def test_a_hint_that_says_so_itself_stays(hint):
    assert meant(msgspec.structs.replace(ONE, hint=hint)).hint == hint


def test_names_are_grouped_and_the_rest_counted():
    names = tuple(f"encoder.{i}.weight" for i in range(4)) + ("head.weight", "head.bias", "tail")
    assert listed(names, 9) == (
        "7 of 9 trainable parameters (encoder.0.weight, encoder.1.weight, encoder.2.weight, encoder.3.weight, "
        "head.weight and 2 more)"
    )
    assert listed(("a.weight", "a.bias", "b"), 3, "buffers") == "3 of 3 buffers (a.{weight,bias}, b)"


def test_a_place_is_told_where_it_is_known():
    assert at(ONE, ("/a/train.py", 3)) == msgspec.structs.replace(ONE, file="/a/train.py", line=3)
    assert at(ONE, ("", 0)) == ONE
    assert (spelled(("/a/train.py", 3)), spelled(("", 0))) == (" (train.py:3)", "")


class Seen:
    def __init__(self, reference):
        self.reference = reference


def found_in(message, level=Level.ERROR):
    def loss_sign(seen, config):
        """The sign is right."""
        yield Finding(message=message, level=level)

    return loss_sign


@pytest.mark.parametrize(
    ("message", "level"),
    [
        ("batch[4] is 1 everywhere: 32 samples", Level.NOTICE),
        ("batch[4] is 3.5e-2 everywhere: 16 samples", Level.NOTICE),  # the same, with other numbers
        ("batch['x'] is 1 everywhere: 32 samples", Level.ERROR),
    ],
)
def test_an_error_that_was_reviewed_is_a_notice_and_another_of_its_check_is_not(message, level):
    check = found_in("batch[4] is 1 everywhere: 32 samples")
    (error,) = check(None, None)
    known = msgspec.structs.replace(reviewed("loss-sign"), settings={ERRORS: trace(check, error)})
    (one,) = held(found_in(message))(Seen(known), None)
    assert one.level is level and one.message.endswith("(as reviewed)") is (level is Level.NOTICE)
    (one,) = held(check)(Seen(None), None)
    assert one.level is Level.ERROR


def test_what_holds_a_check_keeps_its_name_and_its_order():
    check = found_in("x")
    check.after = ("training-ran",)
    assert (held(check).__name__, held(check).after) == ("loss_sign", ("training-ran",))
