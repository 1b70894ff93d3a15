"""The seeds that a script asks for: noted, and shifted where a training is to run under another one.

Python's and numpy's own generators are reached through Lightning's seed_everything only; a `torch.Generator` of the
script's own stays as it is: a split that has a seed of its own is part of what is trained.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
from collections.abc import Callable, Iterator
from multiprocessing import parent_process
from typing import Any

_NOTED = 16  # different seeds; a script may set one each step
_LIGHTNING = 2**32  # seed_everything's are below
_TORCH = 2**64
_SHIFTED = "BACKBURN_SHIFTED_SEED"  # the PL_GLOBAL_SEED that holds a shift already, for processes that inherit it


class Seeds:
    """What this process asked for (`asked`), each with `shift` added before it is set."""

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self.asked: list[int] = []
        self.homes: dict[str, Callable[[Any], None]] = {
            "torch": self.wrap_torch,
            "lightning.fabric.utilities.seed": self.wrap_lightning,
            "lightning_fabric.utilities.seed": self.wrap_lightning,
        }
        self._inside = False

    def wrap_torch(self, torch: Any) -> None:
        """`torch.manual_seed`, by both of its names. It is Lightning's own business when Lightning calls it, and a
        loader's in its worker.
        """
        manual_seed = torch.manual_seed

        @functools.wraps(manual_seed)
        def shifted(seed: Any) -> Any:
            if self._inside or parent_process() is not None:
                return manual_seed(seed)
            self._note(int(seed))
            return manual_seed((int(seed) + self.shift) % _TORCH if self.shift else seed)

        torch.manual_seed = torch.random.manual_seed = shifted

    def wrap_lightning(self, module: Any) -> None:
        """`seed_everything` where it is defined, before others import it by name; reset_seed gives it a seed that is
        shifted already.
        """
        seed_everything, reset_seed = module.seed_everything, module.reset_seed

        @functools.wraps(seed_everything)
        def shifted(seed: Any = None, *args: Any, **given: Any) -> Any:
            if self._inside:
                return seed_everything(seed, *args, **given)
            with self._alone():
                if not self.shift or (seed is None and _is_shifted()):
                    found = seed_everything(seed, *args, **given)
                    self._note(found - self.shift)
                    return found
                wanted = int(os.environ.get("PL_GLOBAL_SEED", 0) if seed is None else seed)
                found = seed_everything((wanted + self.shift) % _LIGHTNING, *args, **given)
            self._note(wanted)
            os.environ[_SHIFTED] = str(found)
            return found

        @functools.wraps(reset_seed)
        def reset() -> None:
            with self._alone():
                reset_seed()

        module.seed_everything, module.reset_seed = shifted, reset

    def seed_all(self, seed: int) -> None:
        """Seed what draws random numbers with `seed` and the shift, for a script that has not done so."""
        with self._alone():
            seed_all(seed + self.shift)

    def _note(self, seed: int) -> None:
        if seed not in self.asked and len(self.asked) < _NOTED:
            self.asked.append(seed)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        before, self._inside = self._inside, True
        try:
            yield
        finally:
            self._inside = before


def _is_shifted() -> bool:
    """Whether the seed that this process inherited was shifted by the one that started it (a rank of DDP)."""
    return os.environ.get(_SHIFTED, "-") == os.environ.get("PL_GLOBAL_SEED")


@functools.cache
def of(shift: int) -> Seeds:
    """This process's."""
    return Seeds(shift)


def seed_all(seed: int) -> None:
    """Seed Python's, torch's and, where it is loaded, numpy's generator."""
    import torch

    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
