"""What the probe tells of a sound batch, to change one thing of, and all pages of checks that judge it."""

import types

import msgspec

from backburn.memorization import alignment, batch, data
from backburn.memorization.batch import Again, Alignment, Batch, Leaf, Leak

PAGES = types.SimpleNamespace(
    CHECKS=(*batch.CHECKS, *data.CHECKS, *alignment.CHECKS), kept=data.kept, figures=alignment.figures
)

X = Leaf(path="batch[0]", roles=("input",), dtype="float32", shape=(16, 8), low=-2.0, high=2.0, std=1.0, distinct=16)
Y = Leaf(
    path="batch[1]", roles=("target",), dtype="int64", shape=(16,), low=0, high=3, mean=1.5, std=1.1, whole=True,
    distinct=4, counts={"0": 4, "1": 4, "2": 4, "3": 4},
)  # fmt: skip
LEAK = Leak(path="batch[0]", column=3, target="batch[1]", correlation=0.2)
SOUND = Batch(
    rows=16,
    asked=16,
    leaves=(X, Y),
    leaks=(LEAK,),
    again=Again(),
    alignment=Alignment(samples=128, p=0.0025, clear=12.0),
)


def with_x(**change):
    return msgspec.structs.replace(SOUND, leaves=(msgspec.structs.replace(X, **change), Y))


def with_y(**change):
    return msgspec.structs.replace(SOUND, leaves=(X, msgspec.structs.replace(Y, **change)))


def with_again(**change):
    return msgspec.structs.replace(SOUND, again=Again(**change))
