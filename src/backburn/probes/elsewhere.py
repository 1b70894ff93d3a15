"""Who steps an optimizer where no Lightning Trainer was made, so that a stage can say what trains there instead.

One look at the stack of the first step: nothing of any library is wrapped, and a class derived from one counts too.
Once a Trainer is made, in whichever process of this training, nothing is looked at any more.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from . import channel

# Where the function that trains is defined -> what people call it. The first that is on the stack counts:
# Hugging Face's Trainer steps through Accelerate.
_KNOWN = {
    "transformers.trainer": "Hugging Face's Trainer",
    "lightning.fabric": "Lightning Fabric",
    "lightning_fabric": "Lightning Fabric",
    "accelerate": "Hugging Face Accelerate",
}


class Watch:
    """What waits for the first step of any optimizer in this process. It answers beside the probe's own answer."""

    def __init__(self, evidence: str) -> None:
        self.asked = channel.Asked("elsewhere", {}, os.path.join(os.path.dirname(evidence), "elsewhere.json"))
        self.handle: Any = None
        self.over = False

    @property
    def homes(self) -> dict[str, Callable[[Any], None]]:
        """The module to wrap as it is loaded: where torch defines its optimizers."""
        return {"torch.optim.optimizer": self._begin}

    def end(self) -> None:
        """A Trainer is made: whatever stepped before, this is Lightning's."""
        self.over = True
        if self.handle is not None:
            self.handle.remove()
        self._answer("")

    def _begin(self, module: Any) -> None:
        # Torch before 2.0 has no such hook, and no Lightning that is supported.
        if not self.over and hasattr(module, "register_optimizer_step_post_hook"):
            self.handle = module.register_optimizer_step_post_hook(self._stepped)

    def _stepped(self, *_: Any) -> None:
        """Note who stepped, once. The hook stays, as torch is going through its hooks: 0.1 microseconds a step."""
        if self.over:
            return
        self.over = True
        if not self.asked.answered:
            self._answer(_by(sys._getframe(1)))

    def _answer(self, by: str) -> None:
        with contextlib.suppress(OSError):  # the training goes on, as it would without us
            channel.answer(self.asked, {"kind": "elsewhere", "schema": 1, "by": by})


@functools.cache
def of(evidence: str) -> Watch:
    """This process's, for the file that the probe answers to."""
    return Watch(evidence)


def _by(frame: FrameType | None) -> str:
    """What trains, by the modules on the stack; "plain torch" where none of them is known."""
    names = []
    while frame is not None:
        names.append(str(frame.f_globals.get("__name__", "")))
        frame = frame.f_back
    for module, said in _KNOWN.items():
        if any(name == module or name.startswith(f"{module}.") for name in names):
            return said
    return "plain torch"
