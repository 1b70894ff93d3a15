"""Which commit made a training differ? The search between a good commit and a bad one, from a door's words to a file.

`exact` compares bits and `chances` weighs whole runs; both ask a `world`, which `checkouts` is. `told` says it.
"""

from __future__ import annotations

from .asking import Asked, blame

__all__ = ["Asked", "blame"]
