"""One digest for many: of a whole table of digests, of each module in it, of each part of a step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from .steps import Step

_DIGITS = 16  # as the digests that it is made of
_TABLES = ("parameters", "buffers", "gradients", "optimizer", "settings")
# Python's and numpy's generators are left out: a script that seeds torch alone has others in each run, and where they
# matter the batches differ too.
_GENERATORS = ("torch", "cuda", "mps", "xpu")


def roots(table: Mapping[str, str]) -> dict[str, str]:
    """The root of each module that has something below it, by its path; the whole table's is at "".

    A root is a SHA-256 over the sorted names and digests of everything below, children included: two modules of the
    same root have the same bits, whatever order they were made in.

    >>> one = roots({"encoder.0.weight": "aa", "encoder.1.weight": "bb", "head.bias": "cc"})
    >>> [*one]
    ['', 'encoder', 'encoder.0', 'encoder.1', 'head']
    """
    below: dict[str, list[tuple[str, str]]] = {}
    for name, digest in sorted(table.items()):
        path = name
        while path:
            path = path.rpartition(".")[0]
            below.setdefault(path, []).append((name.removeprefix(f"{path}."), digest))
    return {path: _root(below[path]) for path in sorted(below)}


def root(table: Mapping[str, str]) -> str:
    """Of the whole table; empty for an empty one, which was not recorded."""
    return _root(sorted(table.items())) if table else ""


def grid_roots(step: Step) -> dict[str, str]:
    """What a reference keeps of a step: part → root; parts that were not recorded are not there."""
    rng = {name: digest for name, digest in step.rng.items() if name.partition(":")[0] in _GENERATORS}
    found = {"batch": step.batch, "served": step.served, "rng": root(rng), "loss": step.loss}
    found |= {name: root(getattr(step, name)) for name in _TABLES}
    return {part: digest for part, digest in found.items() if digest}


def _root(leaves: list[tuple[str, str]]) -> str:
    total = hashlib.sha256()
    for name, digest in leaves:
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()[:_DIGITS]
