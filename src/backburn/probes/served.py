"""Which training batches a training was served, in which order: one digest over all of them, made as they come.

Each batch is read before it goes to a GPU, so that nothing waits; of a large tensor a part of each sample is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from typing import Any

from .batches import leaves
from .tensors import DIGITS, is_tensor, plain, raw

# Bytes up to which a tensor is read whole, and that are read of a larger one: 4 microseconds. It is to tell which
# samples come when; that each byte of them is as it was, the digests of whole batches at the recorded steps say.
_WHOLE, _MOST = 4096, 1024


class Served:
    """The chain over the batches of all fits of this process. `seconds` were spent on it."""

    def __init__(self) -> None:
        self.total: Any = hashlib.sha256()
        self.seconds = 0.0
        self._undo: Callable[[], None] = lambda: None

    def listen(self, trainer: Any) -> None:
        """Read each training batch of the fit that begins, until stop()."""
        strategy = trainer.strategy
        move = getattr(strategy, "batch_to_device", None)
        if self.total is None or move is None:
            return

        def batch_to_device(batch: Any, *args: Any, **given: Any) -> Any:
            if self.total is not None and trainer.training:  # not of a validation in between
                self.add(batch)
            return move(batch, *args, **given)

        strategy.batch_to_device = batch_to_device
        self._undo = lambda: _remove(strategy, batch_to_device)

    def stop(self) -> None:
        """The fit is over."""
        self._undo()
        self._undo = lambda: None

    def end(self) -> None:
        """It costs too much, or cannot be read: from now on there is no digest."""
        self.total = None
        self.stop()

    @property
    def digest(self) -> str:
        """Of all batches so far; "" where one was not read."""
        return self.total.hexdigest()[:DIGITS] if self.total is not None else ""

    def add(self, batch: Any) -> None:
        """One more batch, as its loader made it."""
        began = time.perf_counter()
        try:
            self._add(batch)
        except Exception:  # a batch that lies on a GPU, an attribute that raises: there is no digest then
            self.end()
        self.seconds += time.perf_counter() - began

    def _add(self, batch: Any) -> None:
        self.total.update(b"batch")
        if type(batch) in (list, tuple) and all(map(is_tensor, batch)):
            for one in batch:
                self._add_tensor(one)
            return
        for _, one in leaves(batch):
            if is_tensor(one):
                self._add_tensor(one)
            else:
                self.total.update(plain(one).encode())

    def _add_tensor(self, tensor: Any) -> None:
        if not tensor.is_cpu:
            raise ValueError("to read it would wait for its device")
        size = tensor.nbytes
        self.total.update(b"%d\0" % size)
        try:
            self.total.update(tensor.numpy() if size <= _WHOLE else raw(_thinned(tensor)))
        except (TypeError, ValueError, RuntimeError):  # no numpy, bfloat16, not in order: as it can be had
            self.total.update(raw(tensor if size <= _WHOLE else _thinned(tensor)))


def _thinned(tensor: Any) -> Any:
    """Every so many numbers of each sample, about _MOST bytes in all and one of each sample at least."""
    whole = tensor.contiguous()
    count = len(whole) if whole.dim() else 1
    width = whole.numel() // count
    kept = min(width, max(1, _MOST // (count * whole.element_size())))
    return whole.as_strided((count, kept), (width, width // kept), whole.storage_offset()).contiguous()


def _remove(strategy: Any, ours: Any) -> None:
    if vars(strategy).get("batch_to_device") is ours:
        with contextlib.suppress(AttributeError):
            del strategy.batch_to_device
