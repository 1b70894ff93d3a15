"""One batch, fetched by the real way (loader, collate, transfer hooks), and from then on handed out again and again.

`overfit_batches` would fetch it anew each time: a custom batch_sampler, a stream or a random augmentation then give
another one, and each one-batch epoch starts its workers again. Here the whole fit is one epoch over a batch that is
held; who writes into it is found out, and the next step gets a fresh copy.
"""

from __future__ import annotations

import contextlib
import copy
import types
from collections.abc import Iterator
from typing import Any

from ..batches import leaves


class Replay:
    """In the place of a fit loop's data fetcher. `real` is the fetcher that was there."""

    def __init__(self, trainer: Any, real: Any, steps: int) -> None:
        self.trainer, self.steps = trainer, steps
        self.real: Any = real
        self.kept: Any = None  # as it came from the device transfer; nobody gets this one
        self.out: Any = None  # what training_step gets
        self.parts: list[tuple[str, Any]] = []
        self.versions: list[int] = []
        self.inside: list[int] = []
        self.written = ""  # the path of what a step wrote into
        self.fetched, self.length, self.done = 0, steps, False
        self._start_profiler = self._stop_profiler = _nothing
        self._ways: tuple[Any, ...] = ()
        self._watch_transfer()

    def __iter__(self) -> Replay:
        """Itself, as every fetcher."""
        return self

    def __next__(self) -> tuple[Any, int, int]:
        """The batch, its index, and 0 for the loader's."""
        if self.kept is None:
            batch, dataloader = self._fetch()
            while batch is None:  # of a collate that leaves broken samples out; Lightning goes past it
                batch, dataloader = self._fetch()
        else:
            batch, dataloader = self._again(), 0
        self.fetched += 1
        self.done = self.fetched >= self.steps
        return batch, self.fetched - 1, dataloader

    def _fetch(self) -> tuple[Any, int]:
        found = next(self.real)
        if isinstance(found, tuple):
            return found[0], found[2]
        return Taken(next(found)[0]), 0

    def _watch_transfer(self) -> None:
        """Keep what the first transfer made of the batch; what is held goes past the hooks."""
        module, strategy = self.trainer.lightning_module, self.trainer.strategy
        before, transfer = module._on_before_batch_transfer, strategy.batch_to_device
        self._ways = (before, transfer)

        def prepared(batch: Any, *args: Any, **given: Any) -> Any:
            return batch if self.kept is not None else before(batch, *args, **given)

        def moved(batch: Any, *args: Any, **given: Any) -> Any:
            if self.kept is None:
                self.hold(transfer(batch, *args, **given))
            return self.out if batch is not None else batch

        vars(module)["_on_before_batch_transfer"] = prepared
        strategy.batch_to_device = moved

    def transferred(self, batch: Any) -> Any:
        """Another batch, by the hooks that the held one came through."""
        for way in self._ways:
            batch = way(batch)
        return batch

    def hold(self, batch: Any) -> None:
        """Hold this one from now on."""
        self.kept = batch
        self._hand_out()

    def _hand_out(self) -> None:
        self.out = duplicate(self.kept)
        self.parts = list(_tensors(self.out))
        self.inside = _inside(self.out)
        self.versions = [one._version for _, one in self.parts]

    def _again(self) -> Any:
        # Only these are looked at: to go through the batch again is 10 microseconds of each step.
        if [one._version for _, one in self.parts] != self.versions or _inside(self.out) != self.inside:
            now = zip(self.parts, self.versions)
            self.written = self.written or next((path for (path, one), was in now if one._version != was), "batch")
            self._hand_out()
        return self.out

    def release(self) -> None:
        """Let the real fetcher go, workers and all: the batch is there."""
        if self.kept is not None and self.real is not None:
            self.real.teardown()
            self.real = None

    def teardown(self) -> None:
        """Leave no trace, as Lightning asks of every fetcher."""
        if self.real is not None:
            self.real.teardown()
        vars(self.trainer.lightning_module).pop("_on_before_batch_transfer", None)
        vars(self.trainer.strategy).pop("batch_to_device", None)


class Taken:
    """In the place of the loader that a `training_step(self, dataloader_iter)` takes its batch from."""

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def __iter__(self) -> Taken:
        """Itself, as every iterator."""
        return self

    def __next__(self) -> tuple[Any, int, int]:
        """The same batch again."""
        return self.batch, 0, 0


def duplicate(batch: Any) -> Any:
    """A copy that shares no tensor with `batch`; in whatever it is nested, and graphs left behind."""
    if _is_tensor(batch):
        return batch.detach().clone()
    if type(batch) in (list, tuple):
        return type(batch)(map(duplicate, batch))
    if type(batch) in (dict, types.MappingProxyType) or _is_its_own_dict(batch):
        return type(batch)({key: duplicate(one) for key, one in batch.items()})
    with contextlib.suppress(Exception):  # a tensor inside with a graph behind it, or what cannot be copied at all
        return copy.deepcopy(batch)
    with contextlib.suppress(Exception):
        return _rebuilt(batch)
    return batch


def _is_its_own_dict(batch: Any) -> bool:
    """Whether its attributes are its keys by `self.__dict__ = self`, which no copy keeps."""
    return isinstance(batch, dict) and bool(type(batch).__dictoffset__) and vars(batch) is batch


def _rebuilt(batch: Any) -> Any:
    """An object of the same class with copies of what it holds."""
    copied = copy.copy(batch)
    for key in batch if isinstance(batch, dict) else ():
        copied[key] = duplicate(batch[key])
    for name in vars(batch):
        setattr(copied, name, duplicate(getattr(batch, name)))
    return copied


def _inside(batch: Any) -> list[int]:
    """What a list or dict at the top holds: a step may have put other things there."""
    held = batch if type(batch) is list else batch.values() if type(batch) is dict else ()
    return list(map(id, held))


def _tensors(batch: Any) -> Iterator[tuple[str, Any]]:
    return ((path, one) for path, one in leaves(batch) if _is_tensor(one))


def _is_tensor(value: Any) -> bool:
    # A dict whose attributes are its keys may have any of them, or raise.
    return not isinstance(value, dict) and hasattr(value, "detach") and hasattr(value, "_version")


def _nothing(*args: Any) -> None:
    pass
