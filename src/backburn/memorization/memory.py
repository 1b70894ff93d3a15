"""A GPU whose memory ran out: the training's own doing, unless others held it."""

from __future__ import annotations

import msgspec

from ..errors import Unjudged
from ..report import Finding

# Of the whole: a process of ours that does nothing yet has a CUDA context of 0.3 to 0.6 GiB, which counts as another's.
_OTHERS = 0.05
_CONTEXT = 2**30
_MARGIN = 0.9  # of what a straight line says would fit: fragments, and an optimizer's state that was not there yet


class Exhausted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a fit ran out of memory. Bytes; 0 where they are not known.

    `peak`: torch had allocated at most; `asked`: what it then asked for in vain; `total`: the GPU's; `others`: used by
    other processes when the fit started; `held`: by this one then (parameters and buffers, which no smaller batch
    makes less).
    """

    step: int
    samples: int
    peak: int = 0
    asked: int = 0
    total: int = 0
    others: int = 0
    held: int = 0

    @property
    def fitting(self) -> int:
        """Samples that would fit, by a straight line through what was held before the first step and what was asked."""
        needed = self.peak + self.asked - self.held
        left = self.total - self.others - self.held
        return int(_MARGIN * self.samples * left / needed) if needed > 0 and left > 0 else 0


def ran_out(one: Exhausted) -> Finding:
    """The finding. Raises Unjudged where others held more of the memory than a process without work does."""
    if one.others > max(_OTHERS * one.total, _CONTEXT):
        said = f"the GPU's memory ran out: other processes held {_spelled(one.others)} of its {_spelled(one.total)} GiB"
        raise Unjudged(said, hint="Look at `nvidia-smi`: one training at a time on this GPU.")
    message = f"out of GPU memory at step {one.step}"
    if one.total:
        message += f": {_spelled(one.peak)} of {_spelled(one.total)} GiB"
    message += f" with {one.samples} sample{'s' if one.samples != 1 else ''}"
    if one.total:
        some = 0 < one.fitting < one.samples
        message += f"; about {one.fitting} would fit" if some else "; not one would fit" if not one.fitting else ""
    return Finding(message=message, hint=_HINT)


_HINT = (
    "A smaller batch (with `accumulate_grad_batches`, to keep the gradient), bf16 or activation checkpointing need"
    " less; for this stage alone, `args` can make the batch smaller."
)


def _spelled(size: int) -> str:
    return f"{size / 2**30:.1f}"
