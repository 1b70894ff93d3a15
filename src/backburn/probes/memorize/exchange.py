"""The same batch with another sample of the data set in the place of one: whatever a collate makes of samples (graphs,
ragged rows, objects of a library's own), what follows from a sample is seen by what moves with it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..batches import leaves
from .datasets import collated, loader_of, recollected
from .passes import Pass
from .session import Session, Untold, is_plain
from .snapshot import numbers_kept

_PLACES = 3  # of samples that are exchanged, one after the other
_FEWEST = 4  # samples in a batch, to tell one from the others
_SECONDS = 0.6  # of loading


class Exchange:
    """Passes in eval mode on the batch as it is collated anew (`plain`), and with one sample exchanged: `each` yields
    (its place, the pass). `rows` are the samples.

    Raises Untold where the data set cannot be asked for single samples, or draws them anew each time.
    """

    def __init__(self, session: Session) -> None:
        loader = loader_of(session)
        if loader is None or loader.batch_sampler is None or not hasattr(loader.dataset, "__getitem__"):
            raise Untold("its samples cannot be fetched one by one")
        self.session, self.loader = session, loader
        with numbers_kept(), recollected(loader):
            self.indices = list(next(iter(loader.batch_sampler)))
            if len(self.indices) < _FEWEST or not all(isinstance(one, int) for one in self.indices):
                raise Untold(f"fewer than {_FEWEST} samples")
            started = time.perf_counter()
            first = self._batch(self.indices, 1)
            if time.perf_counter() - started > _SECONDS:
                raise Untold("a batch takes too long to load")
            if not _alike(first, self._batch(self.indices, 2)):
                raise Untold("its samples are drawn anew each time")
        self.rows = len(self.indices)
        self.plain = session.run(first, evaluation=True)

    def each(self) -> Iterator[tuple[int, Pass]]:
        """One place after the other, with a sample there that the batch does not have, where there is one."""
        inside, count = set(self.indices), len(self.loader.dataset)
        others = [one for one in range(0, count, max(1, count // 64)) if one not in inside] or self.indices[::-1]
        for place, other in zip(range(1, 1 + _PLACES), others):
            changed = [other if at == place else one for at, one in enumerate(self.indices)]
            with numbers_kept(), recollected(self.loader):
                batch = self._batch(changed, 1)
            yield place, self.session.run(batch, evaluation=True)

    def turned(self) -> Pass:
        """The same samples, the last one first."""
        with numbers_kept(), recollected(self.loader):
            batch = self._batch(self.indices[::-1], 1)
        return self.session.run(batch, evaluation=True)

    def _batch(self, indices: list[int], seed: int) -> Any:
        return self.session.transferred(collated(self.loader, indices, seed))


def _alike(one: Any, other: Any) -> bool:
    pairs = list(zip(leaves(one), leaves(other)))
    return all(
        path == where and (not is_plain(a) or (a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())))
        for (path, a), (where, b) in pairs
    )
