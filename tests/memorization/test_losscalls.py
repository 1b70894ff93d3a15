"""What is told of the calls of loss functions: of sound ones no check says anything; of all of them together."""

import msgspec
import pytest

from backburn.errors import Skip
from backburn.memorization.losscalls import Term, used_calls

from .losses import CE, MSE, NLL, SOUND, TERM, evidence, found, with_call

SOUND_ONES = {
    "classes": SOUND,
    "squares": with_call(MSE),
    "log-probabilities": with_call(NLL),
    "a sum": with_call(weight=1.0, value=44.0, chance=44.0),
    "a masked language model": with_call(target=(32, 64), targets=2048, counted=300),
    "targets that are tokens": with_call(shift=1, causal=True),
    "a GAN's": msgspec.structs.replace(SOUND, manual=True, terms=(TERM, msgspec.structs.replace(TERM, sign=-1))),
    "a target that is one number": with_call(MSE, target=(), targets=1, different=1),
    "a regulariser too": msgspec.structs.replace(SOUND, terms=(TERM, Term(kind="weights", factor=9.0, size=9, sign=0))),
    "a margin that is kept": msgspec.structs.replace(
        SOUND, value=0.0, terms=(Term(kind="hinges", factor=0, size=8, sign=0),)
    ),
}


@pytest.mark.parametrize("name", SOUND_ONES)
def test_a_sound_loss_is_silent(name):
    assert found(SOUND_ONES[name]) == {}


def test_what_is_said_of_all_calls_together():
    """Of a call that the loss depends on, and one that is logged alone."""
    logged = msgspec.structs.replace(CE, weight=0.0, targets=99, share=0.1, taken="")
    told = msgspec.structs.replace(SOUND, calls=(msgspec.structs.replace(CE, share=0.75, never=(0,), shift=1), logged))
    assert (len(told.used), told.idle, told.share, told.never) == (1, 1, 0.75, ["next:0"])
    assert (told.taken, told.drawn, told.kinds, told.known) == ("a part of the batch", False, ["classes"], True)


def test_a_loss_that_depends_on_no_call_is_not_asked_about_them():
    with pytest.raises(Skip, match="no call of torch's loss functions"):
        used_calls(evidence(msgspec.structs.replace(SOUND, calls=())))
