"""The data set that a batch came from: any of its samples, collated as the loader does it, and no trace of that."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator, Sequence
from typing import Any


def loader_of(session: Any) -> Any:
    """The one DataLoader that the batch came from, of a data set that has samples by number; None for several, for a
    stream, or for another iterable.
    """
    from torch.utils.data import DataLoader, IterableDataset

    combined = getattr(session.trainer.fit_loop, "_combined_loader", None)
    flat = list(combined.flattened) if combined is not None else []
    one = flat[0] if len(flat) == 1 and isinstance(flat[0], DataLoader) else None
    return None if one is None or isinstance(one.dataset, IterableDataset) else one


def collated(loader: Any, indices: Sequence[Any], seed: int) -> Any:
    """These samples as a batch, with the random numbers of `seed`."""
    import torch
    from torch.utils.data._utils.fetch import _MapDatasetFetcher

    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed)
    fetcher: Any = _MapDatasetFetcher(loader.dataset, True, loader.collate_fn, False)
    return fetcher.fetch(list(indices))


@contextlib.contextmanager
def recollected(loader: Any) -> Iterator[None]:
    """What is fetched inside must not be seen by the data set: its own counters and generators are put back."""
    held = []
    for one in (loader.dataset, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        if hasattr(one, "__dict__"):
            # Only what it says of itself: tensors of a data set may be gigabytes.
            held.append((one, {key: value for key, value in vars(one).items() if not hasattr(value, "detach")}))
    generator: Any = getattr(loader, "generator", None)
    state = generator.get_state() if generator is not None else None
    try:
        yield
    finally:
        for one, values in held:
            vars(one).update(values)
        if state is not None:
            generator.set_state(state)
