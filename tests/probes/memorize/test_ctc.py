"""What ctc_loss is really given, in real fits."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from . import fits as t

LENGTHS = torch.tensor([2, 3, 4, 3] * 4)


class Speech(t.Net):
    """12 frames of 8 numbers, up to 4 letters of 5; 0 is the blank."""

    def __init__(self, normalised=lambda z: z.log_softmax(-1), frames=12, lengths=LENGTHS, flat=False):
        super().__init__()
        self.head = nn.Linear(32, 6)
        self.normalised, self.frames, self.lengths, self.flat = normalised, frames, lengths, flat

    def training_step(self, batch, batch_idx):
        x, y = batch
        scores = self.normalised(self(x)).transpose(0, 1)
        targets = torch.cat([row[:n] for row, n in zip(y, LENGTHS)]) if self.flat else y
        frames = torch.full((len(x),), self.frames)
        return F.ctc_loss(scores, targets, frames, self.lengths, zero_infinity=True)


def told(module, letters=lambda y: y):
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(16, 12, 8, generator=draw), torch.randint(1, 6, (16, 4), generator=draw)
    padded = letters(y) * (torch.arange(4) < LENGTHS[:, None])
    torch.manual_seed(0)
    (one,) = t.told(module, t.loader(torch.utils.data.TensorDataset(x, padded), shuffle=False), steps=9).ctc.calls
    return one


@pytest.mark.parametrize("flat", [False, True])
def test_a_sound_call(flat):
    one = told(Speech(flat=flat))
    assert (one.normalised, one.blanks, one.short, one.targets) == (True, 0, 0, 48)
    assert one.where[0] == __file__


@pytest.mark.parametrize(
    ("module", "letters", "fields"),
    [
        (Speech(lambda z: z), lambda y: y, {"normalised": False, "other_axis": False}),
        (Speech(lambda z: z.log_softmax(1)), lambda y: y, {"normalised": False, "other_axis": True}),
        (Speech(lambda z: z.softmax(-1)), lambda y: y, {"normalised": False}),
        (Speech(lengths=torch.full((16,), 4)), lambda y: y, {"blanks": 16}),  # padding is counted
        (Speech(), lambda y: y - 1, {"blanks": 7}),  # a letter has the blank's number
        (Speech(frames=2), lambda y: y, {"short": 12}),
        (Speech(frames=3), lambda y: 0 * y + 2, {"short": 12}),  # the same letter twice needs a blank between
    ],
)
def test_a_planted_defect_is_told(module, letters, fields):
    one = told(module, letters)
    assert {name: getattr(one, name) for name in fields} == fields
