"""Leave all but the training out of a fit, and say from how much its loaders draw."""

from __future__ import annotations

import contextlib
from typing import Any


def fit_alone(trainer: Any) -> None:
    """Let this fit train and do nothing else. `limit_val_batches` is overwritten where `overfit_batches` is set."""
    trainer.overfit_batches = trainer.limit_val_batches = trainer.num_sanity_val_steps = 0
    trainer.reload_dataloaders_every_n_epochs = 0
    trainer.accumulate_grad_batches = 1
    # Weights of a resumed checkpoint are taken; its count of steps would end the fit before it starts.
    trainer._checkpoint_connector.restore_loops = lambda: None


def _flattened(loop: Any) -> list[Any]:
    combined = getattr(loop, "_combined_loader", None)
    return list(combined.flattened) if combined is not None else []


def sizes(trainer: Any) -> dict[str, str]:
    """`train samples` and `validation samples` (`640 + 64` of two): of the datasets that have a length."""
    found = {}
    for name, loop in (("train", trainer.fit_loop), ("validation", trainer.fit_loop.epoch_loop.val_loop)):
        lengths = []
        for loader in _flattened(loop):
            with contextlib.suppress(Exception):  # a stream has none, and a __len__ that fails is nothing to us
                lengths.append(str(len(loader.dataset)))
        if lengths:
            found[f"{name} samples"] = " + ".join(lengths)
    return found
