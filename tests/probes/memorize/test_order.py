"""Another order of a sequence; real fits are in test_tokens.py."""

from types import SimpleNamespace

import pytest
import torch

from backburn.probes.memorize.order import _another_order
from backburn.probes.memorize.session import Untold


def test_another_order_is_neither_the_same_nor_the_other_way_round():
    changes = SimpleNamespace(generator=torch.Generator().manual_seed(0))
    for _ in range(50):
        ranks = _another_order(changes, 3).tolist()
        assert sorted(ranks) == [0, 1, 2] and ranks not in ([0, 1, 2], [2, 1, 0])
    with pytest.raises(Untold, match="only 2 positions"):
        _another_order(changes, 2)
