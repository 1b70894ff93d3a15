"""The first optimizer steps: fresh gradients, all of them used, in the right direction, and by a sound amount."""

from __future__ import annotations

import msgspec


class Optimizing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first `count` steps of the training did."""

    count: int = 0
