"""The evidence of memorize: what the probe told, how the command ended, and the reviewed reference, if there is one."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from ..errors import Skip, Unjudged
from ..references import Reference
from ..training import Ended
from .afterwards import After, Metrics
from .batch import Batch
from .census import Census
from .ctc import Ctc
from .falling import Origin
from .dependence import Dependence
from .draws import Draws
from .forward import Forward
from .modes import Modes
from .losscalls import LossCalls, Pairing
from .memory import Exhausted
from .optimizing import Optimizing
from .parameters import Parameters
from .pulls import Pulls
from .standing import Standing, Untrained
from .units import Units

Look = TypeVar("Look")


class Told(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the probe saw. Memory is in bytes.

    `ended`: memorized · fallen (by enough for a loss without a known floor) · seen (a loss that says nothing: several
    optimizers) · verdict (a step showed what is wrong) · futile (it stands still) · late (no time was left) · steps
    (all of them) · cut (the fit ended itself) · exception · no-gpu.

    Each look's own record is None where it told nothing; `untold` says why, by the look's name.
    """

    ended: str
    steps: int = 0
    seconds: float = 0.0
    losses: tuple[float, ...] = ()
    functions: str = ""
    sign: int = 0
    bound: float | None = None
    constant: float | None = None
    batch_digest: str = ""
    written: str = ""
    optimizers: int = 1
    manual: bool = False
    trainable: int = 0
    elements: int = 0  # trainable numbers
    without_gradient: tuple[str, ...] = ()
    zero_gradient: tuple[str, ...] = ()
    zero_share: float = 0.0  # of the trainable elements
    unmoved: tuple[str, ...] = ()
    noisy: tuple[str, ...] = ()
    device: str = ""
    peak_memory: int = 0
    versions: dict[str, str] = {}
    untold: dict[str, str] = {}
    exhausted: Exhausted | None = None
    origin: Origin | None = None
    batch: Batch | None = None
    loss_calls: LossCalls | None = None
    ctc: Ctc | None = None
    pairing: Pairing | None = None
    pulls: Pulls | None = None
    parameters: Parameters | None = None
    modes: Modes | None = None
    forward: Forward | None = None
    units: Units | None = None
    units_moved: Units | None = None
    dependence: Dependence | None = None
    draws: Draws | None = None
    optimizing: Optimizing | None = None
    after: After | None = None
    standing: Standing | None = None
    standing_moved: Standing | None = None
    standing_last: Standing | None = None
    untrained: Untrained | None = None
    census: Census | None = None
    metrics_first: Metrics | None = None
    metrics_moved: Metrics | None = None
    planted: tuple[Planted, ...] = ()
    kind: str = "memorize-probe"
    schema: int = 2


class Planted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the same fit told with a bug in it (`--prove`), or why there is none (`untold`)."""

    name: str
    bug: str
    told: Told | None = None
    untold: str = ""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the command ended, what the probe told (None: it was never reached), and the training's reference."""

    ended: Ended
    told: Told | None = None
    reference: Reference | None = None
    rehearsed: bool = False
    kind: str = "memorize"
    schema: int = 2

    @property
    def probe(self) -> Told:
        """What the probe told. Raises Unjudged where there is nothing."""
        if self.told is None:
            raise Unjudged("no Trainer.fit was seen")
        return self.told

    def look(self, name: str, one: type[Look]) -> Look:
        """The record of one look. Raises Skip with the reason where it told nothing."""
        record = getattr(self.probe, name)
        if not isinstance(record, one):
            raise Skip(self.probe.untold.get(name, "the fit ended before it could be seen"))
        return record
