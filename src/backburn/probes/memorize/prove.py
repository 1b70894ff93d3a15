"""`--prove`: once a training has passed, the same fit again in this process, once for each planted bug."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from .. import channel
from .bugs import BUGS, Ground, found
from .session import Session, Untold
from .snapshot import Snapshot

_LIMIT = 300.0  # seconds after which no further bug is planted
_LEAST = 60  # steps for each,
_TIMES = 3  # or so many times those of the sound fit: what is sound memorizes in fewer


def planted(session: Session, asked: channel.Asked, steps: int) -> list[dict[str, Any]]:
    """What the fit with each bug told: `name`, `bug` (a sentence), and `told` or, where there is none, `untold`.

    `steps` are those of the sound fit that is at its end. Everything is put back to what it was before it.
    """
    asked.settings["prove"] = False  # the Trainers made from here on are ours
    session.began.restore()
    session.replay.teardown()  # its hooks hand out the held batch
    started = time.perf_counter()
    ground: list[Ground] = []
    done: list[dict[str, Any]] = []
    for name, (sentence, plant) in BUGS.items():
        one: dict[str, Any] = {"name": name, "bug": sentence}
        try:
            if time.perf_counter() - started > _LIMIT:
                raise Untold(f"the bugs before took {_LIMIT:.0f} s")
            ground = ground or [Ground(session, _data(session.trainer))]
            one["told"] = _fit(session, asked, plant, ground[0], steps)
        except Untold as reason:
            one["untold"] = str(reason)
        except Exception as error:  # what was seen of the sound fit is not to be lost by it
            one["untold"] = f"planting it raised {type(error).__name__}: {error}"[:300]
        done.append(one)
    return done


def _fit(session: Session, asked: channel.Asked, plant: Any, ground: Ground, steps: int) -> dict[str, Any]:
    from .. import memorize as probe
    from .inprocess import fit

    most = min(int(asked.settings["steps"]), max(_LEAST, _TIMES * steps))
    again = channel.Asked("memorize", {**asked.settings, "steps": most, "prove": False}, "")
    held = [Snapshot(one) for one in (session.module, *_sources(ground.data))]
    try:
        plant(ground)
        with _alone():
            raised = fit(probe, again, session.module, ground.data, asked.settings.get("trainer", {}), quiet={})
    finally:
        for one in held:
            one.restore()
    if again.record is None:
        raise Untold(f"the fit ended without an answer: {(raised or {}).get('message', 'nothing was trained')}")
    return again.record


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Inside, Lightning takes no probe of ours through its entry point: that one's fit is not over."""
    asked = os.environ.pop(channel.VARIABLE, None)
    try:
        yield
    finally:
        if asked is not None:
            os.environ[channel.VARIABLE] = asked


def _sources(data: Any) -> list[Any]:
    return [data] if hasattr(data, "train_dataloader") else found(data)


def _data(trainer: Any) -> Any:
    """The DataModule or the loaders that the fit was called with; None where the module makes its own."""
    if trainer.datamodule is not None:
        return trainer.datamodule
    source = trainer.fit_loop._data_source.instance
    return None if source is trainer.lightning_module else source
