"""`backburn.probes` under a name of its own, and the factories that Lightning's Trainer asks for callbacks."""

from __future__ import annotations

import os
from typing import Any

__path__ = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]


def for_lightning() -> list[Any]:
    """Callbacks for a `lightning.pytorch.Trainer`: none unless a stage is on."""
    return _callbacks("lightning.pytorch")


def for_pytorch_lightning() -> list[Any]:
    """Callbacks for a `pytorch_lightning.Trainer`: none unless a stage is on."""
    return _callbacks("pytorch_lightning")


def _callbacks(package: str) -> list[Any]:
    if not os.environ.get("BACKBURN_PROBE"):
        return []
    import importlib

    found: list[Any] = importlib.import_module("backburn_probes.trainer").callbacks(package)
    return found
