"""The only list of looks, in the order in which they are taken. To add one: a file beside this, a line here.

A look has `look(session) -> record` and may raise Untold with the reason why it does not apply.
"""

from __future__ import annotations

import time
from typing import Any

from . import (
    after,
    batch,
    census,
    ctc,
    dependence,
    draws,
    lossfacts,
    metrics,
    modes,
    pairing,
    parameters,
    pulls,
    purity,
    standing,
    units,
    untrained,
)
from .session import Session, Untold

FIRST: dict[str, Any] = {
    "standing": standing,
    "batch": batch,
    "loss_calls": lossfacts,
    "ctc": ctc,
    "pulls": pulls,
    "parameters": parameters,
    "census": census,
    "modes": modes,
    "units": units,
    "metrics_first": metrics,
}  # before the first step
MOVED: dict[str, Any] = {
    "standing_moved": standing,
    "units_moved": units,
    "pairing": pairing,
    "forward": purity,
    "draws": draws,
    "dependence": dependence,
    "metrics_moved": metrics,
    "untrained": untrained,
}  # after the first few steps: a head that starts at zero shows nothing before
LAST: dict[str, Any] = {"standing_last": standing, "after": after}  # once it has memorized, or cannot


def take(looks: dict[str, Any], session: Session, limit: float) -> dict[str, Any]:
    """What each look told, by name; of one that told nothing, the reason under `untold`.

    After `limit` seconds no further look is begun: a model whose every pass is slow is better trained than looked at.
    """
    told: dict[str, Any] = {}
    untold: dict[str, str] = {}
    started = time.perf_counter()
    for name, one in looks.items():
        if time.perf_counter() - started > limit:
            untold[name] = f"the looks before took {limit:.0f} s"
            continue
        try:
            told[name] = one.look(session)
        except Untold as reason:
            untold[name] = str(reason)
        except Exception as error:  # whatever surprised us, the training goes on
            untold[name] = f"it raised {type(error).__name__}: {error}"[:300]
    return {**told, "untold": untold}
