"""The check of ctc_loss, on evidence: sound, and with one thing broken."""

import msgspec
import pytest

from backburn.memorization import ctc
from backburn.memorization.ctc import Aligned, Ctc
from backburn.report import Level

from .evidence import found, reference, seen, skipped

SOUND = Aligned(where=("lit.py", 7), value=9.0, targets=64, samples=16)


def with_call(**change):
    return Ctc(calls=(msgspec.structs.replace(SOUND, **change),))


def test_a_sound_call_is_silent():
    assert found(ctc.CHECKS, seen(ctc=with_call())) == {}
    assert list(skipped(ctc.CHECKS, seen(untold={"ctc": "ctc_loss is not called"})).values()) == [
        "ctc_loss is not called"
    ]


@pytest.mark.parametrize(
    ("change", "words", "level"),
    [
        ({"normalised": False}, "no logarithms of probabilities: its loss", Level.ERROR),
        ({"normalised": False, "other_axis": True}, "along another axis than the last", Level.ERROR),
        ({"blanks": 5}, "5 of 64 labels of ctc_loss are 0, its blank", Level.ERROR),
        ({"short": 16}, "16 of 16 samples have fewer frames", Level.ERROR),
        ({"short": 2}, "2 of 16 samples have fewer frames", Level.WARNING),
    ],
)
def test_what_is_broken_is_found(change, words, level):
    (finding,) = found(ctc.CHECKS, seen(ctc=with_call(**change)))["ctc-fits-targets"]
    assert finding.level is level and words in finding.message and finding.hint and finding.file == "lit.py"


def test_a_few_long_labels_that_were_reviewed_are_known():
    known = reference(ctc, seen(ctc=with_call(short=2)))
    (finding,) = found(ctc.CHECKS, seen(known, ctc=with_call(short=3)))["ctc-fits-targets"]
    assert finding.level is Level.NOTICE
