"""The callback: hold a fit to its first batch, look at that, watch it being memorized, and end the training there."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import sys
import time
from typing import Any

from .. import channel, machine
from ..batches import digest, leaves, size
from ..floor import Relation, recorder
from ..loaders import fit_alone
from ..losses import returned
from ..movement import Movement
from ..schedules import Schedules
from ..trainer import UNWANTED, UNWANTED_IN_FIT, expect_gpu, take_out
from . import looks, memory, origin, prove
from .replay import Replay
from .session import Session, Untold, eagerly
from .snapshot import Numbers
from .steps import Steps

_LOOKS = 2  # steps whose loss calls are looked at: two, as a factor may follow a schedule
_TOLERANCE = 0.01  # of the way from the first loss to the bound: bfloat16 keeps 8 bits
_EVERY = 10  # steps between looks at whether the loss stands still
_SEEN = 40  # steps of a training whose loss says nothing: a GAN's
_EASY = 60  # steps at least of a loss whose floor is not known,
_FALLEN = 0.1  # and the share of its size that it has to fall by
_PATIENCE = 0.4  # of the steps: CTC stands on its plateau of blanks for 100 of 300 (research, section 3)
_FAR = 90  # times the steps, and it still would not be there: three times what a check calls slow
_SOUND = ("memorized", "fallen", "seen")  # ends of a fit that bugs may be planted into
_LIMIT = 20.0  # seconds after which no further look is begun


class Memorizer:
    """It writes its evidence when the batch is memorized, or cannot be, and ends the fit there."""

    def __init__(self, asked: channel.Asked) -> None:
        self.asked, self.settings = asked, dict(asked.settings)  # as they are for this Trainer; a second one's differ
        self.eagerly = contextlib.ExitStack()
        self.limit = float(self.settings.get("limit", math.inf))  # seconds of a fit in the caller's own process
        self._forget()

    def _forget(self) -> None:
        self.losses: list[float] = []
        self.replay: Any = None
        self.session: Session | None = None
        self.looked: dict[str, Any] = {}
        self.watched: Steps | None = None
        self.relations: list[Relation] = []
        self.looks = _LOOKS
        self.movement: Movement | None = None
        self.schedules: Schedules | None = None
        self.planned: float = math.inf
        self.ended = ""
        self.started = self.seconds = 0.0
        self.numbers: Any = None
        self.drawn: Any = None
        self.logged: dict[str, Any] = {}
        self.memory: dict[str, int] = {}
        self.steps = 0
        self.again = 0  # how many losses there are at a third look; fewer than steps where a step returned none
        self.has_floor = self.rivals = False
        self.mark, self.lowest = -math.inf, -sys.float_info.max
        self.running = int(self.settings["running"])
        vars(self).pop("on_before_optimizer_step", None)

    # Before the first step

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Leave out validation, loggers and checkpoints; a script that validates before it fits does so on a batch."""
        if stage != "fit":
            trainer.limit_val_batches = trainer.limit_test_batches = trainer.limit_predict_batches = 1
            return
        from . import blank

        expect_gpu(self.asked, blank("no-gpu"))
        self._forget()
        self.eagerly.enter_context(eagerly())  # to compile takes a minute, and hides what a look is for
        take_out(trainer, UNWANTED | UNWANTED_IN_FIT)
        fit_alone(trainer)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make of this fit one epoch over one batch, and keep schedules of the learning rate out of it."""
        loop, steps = trainer.fit_loop, int(self.settings["steps"])
        self.started = time.perf_counter()
        self.planned = math.inf if self.settings.get("unplanned") else _planned(trainer)
        self.memory = memory.at_start(pl_module)
        self.rivals = len(trainer.optimizers) > 1  # one's loss may rise because another's falls
        self.movement = Movement(pl_module)
        self.schedules = Schedules(trainer, steps)
        self.replay = loop._data_fetcher = Replay(trainer, loop._data_fetcher, steps)
        loop.max_batches, loop.max_epochs, loop.min_epochs = steps, 1, None
        # It counts what optimizers do, several in a step of a GAN. Schedules were made by now, and read it before.
        loop.epoch_loop.max_steps, loop.epoch_loop.min_steps = -1, None
        self.numbers = Numbers()

    # Each step

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Look at the first batch before anything moved, and give each step the random numbers of the first one."""
        if self.session is None:
            self.session = Session(trainer, self.replay, self.settings, self.numbers)
            self.session.planned, self.session.schedules = self.planned, self.schedules
            self.looked = looks.take(looks.FIRST, self.session, _LIMIT)
            self.replay.release()
            self.watched = Steps(self.session)
            if not self.session.returns_loss:
                self._listen(pl_module)
        # All of them in every tenth step, to see which ones are drawn: to put all back is a quarter of a small step.
        (self.drawn if self.steps % _EVERY else self.numbers).again()
        if self.schedules is not None and self.schedules.ways:
            self.schedules.before_step(self.steps)
        if self.watched is not None:
            self.watched.before(self.steps)
        if len(self.relations) < self.looks and not _is_compiled(pl_module):
            self._watch_step(pl_module)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Look at the gradients that this step is going to use."""
        if self.movement is not None:
            self.movement.before_step([one for one in trainer.optimizers if one is not optimizer])

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Any) -> None:
        """A loss that is no number: look where it comes from while the parameters are still what they were."""
        if "origin" not in self.looked and self.session is not None and not _is_finite(loss):
            self._look({"origin": origin})
            self.looked.setdefault("origin", None)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Conclude the step; end the fit where there is nothing more to see."""
        if self.steps % _EVERY == 0:
            self.drawn = self.numbers.drawn()
        self.steps += 1
        loss = returned(outputs)
        if loss is None:
            loss = self._logged()
        if loss is not None:
            self.losses.append(float(loss))
        if self.watched is not None and self.watched.after(self.steps):
            self._stop_watching()
            self._look(looks.MOVED)
        if self.movement is not None and self.movement.unmoved:
            self.movement.after_step()
            if not self.movement.unmoved:
                vars(self)["on_before_optimizer_step"] = None  # Lightning skips what is not callable
        reason = self._reason_to_stop() or ("late" if time.perf_counter() - self.started > self.limit else "")
        if reason or self.steps >= int(self.settings["steps"]):
            self.ended = reason or "steps"
            self._look(looks.LAST)
            self._leave(trainer, pl_module)

    def _look(self, at: dict[str, Any]) -> None:
        assert self.session is not None
        told = looks.take(at, self.session, _LIMIT)
        self.looked["untold"] |= told.pop("untold")
        self.looked |= told

    def _stop_watching(self) -> None:
        watched, self.watched = self.watched, None
        if watched is None:
            return
        watched.stop()
        try:
            self.looked["optimizing"] = watched.record()
        except Untold as reason:
            self.looked["untold"]["optimizing"] = str(reason)

    def _listen(self, pl_module: Any) -> None:
        """Hear what is logged as a loss from now on: training_step returned none."""
        log = pl_module.log

        @functools.wraps(log)
        def heard(name: str, value: Any, *args: Any, **given: Any) -> Any:
            if "loss" in name.lower():
                self.logged[name] = value
            return log(name, value, *args, **given)

        vars(pl_module)["log"] = heard

    def _logged(self) -> Any:
        values = [one.detach() if hasattr(one, "detach") else one for one in self.logged.values()]
        return sum(float(one) for one in values) if values else None

    def _watch_step(self, pl_module: Any) -> None:
        """Wrap this module's training_step for one call, to see the loss functions that it uses."""
        own, step = vars(pl_module).get("training_step"), pl_module.training_step

        @functools.wraps(step)
        def watched(*args: Any, **given: Any) -> Any:
            if own is None:
                del pl_module.training_step
            else:
                pl_module.training_step = own
            with recorder() as seen:
                returned = step(*args, **given)
            loss = returned.get("loss") if isinstance(returned, dict) else returned
            if hasattr(loss, "detach"):
                self.relations.append(Relation(loss, seen.calls))
            return returned

        pl_module.training_step = watched

    # When to stop

    @property
    def relation(self) -> Relation | None:
        """How the returned loss follows from known loss functions, where the first and the last look agree on it."""
        if len(self.relations) < self.looks or not self.relations[0].agrees(self.relations[-1]):
            return None
        return self.relations[-1]

    def _reason_to_stop(self) -> str:
        if self.rivals or not self.losses:
            return "seen" if self.steps >= _SEEN and not self._waiting else ""
        if len(self.losses) < _LOOKS:
            return ""
        if len(self.losses) in (_LOOKS, self.again):
            self._set_marks()
        # One comparison in most steps: of a small model's step, 5 % is 70 microseconds. NaN is below no mark.
        if self.lowest <= self.losses[-1] < math.inf and self.losses[-1] >= self.mark:
            return "" if self.steps % _EVERY or self._waiting else self._standing()
        if not math.isfinite(self.losses[-1]) or self.lowest == math.inf:
            return "verdict"
        if self.losses[-1] < self.lowest:
            return self._below()
        fallen = len(self.losses) > self.running and max(self.losses[-self.running :]) < self.mark
        return "memorized" if fallen and not self._waiting else ""

    @property
    def _waiting(self) -> bool:
        """Whether something else than the loss is still to be seen."""
        return (self.movement is not None and self.movement.pending) or self.watched is not None

    def _standing(self) -> str:
        """Every tenth step: whether the loss fell as far as one without a floor must, or stands still for good."""
        first, low, now = self.losses[0], min(self.losses), self.losses[-1]
        if not self.has_floor and self.steps >= _EASY and first - low >= _FALLEN * max(abs(first), abs(low)):
            return "fallen"
        if len(self.losses) < max(_PATIENCE * int(self.settings["steps"]), _EASY):
            return ""
        before, after = (sorted(part)[10] for part in (self.losses[-40:-20], self.losses[-20:]))
        gap = after - self.mark if self.has_floor else _FALLEN * abs(after)
        return (
            "futile"
            if max(before - after, 0.0) * _FAR * int(self.settings["steps"]) / 20 < gap and now > low - gap
            else ""
        )

    def _below(self) -> str:
        """Below the bound: look once more, as the bound itself may have fallen (targets that a teacher gives)."""
        if self.again:
            return "verdict" if len(self.losses) >= self.again else ""
        self.looks, self.again = _LOOKS + 1, len(self.losses) + 1
        return ""

    def _set_marks(self) -> None:
        """The loss to get below, and the one that nothing sound gets below, as far as two steps can tell."""
        known, first = self.relation, self.losses[0]
        bound = known.floor if known else None
        configured = self.settings["floor"]
        floor = float(configured) if configured is not None else bound or 0.0
        threshold = float(self.settings["threshold"])
        way = first - floor
        if known and known.constant is not None and way <= threshold * (known.constant - floor):
            way = known.constant - floor  # it began where others end: it need only stay there
        self.has_floor = configured is not None or (bound is not None and not _is_of_pairs(self.looked))
        self.mark = floor + threshold * way if way > 0 and self.has_floor else -math.inf
        self.lowest = -sys.float_info.max if bound is None else bound - _TOLERANCE * abs(first - bound)
        if known and known.sign < 0:
            self.lowest = math.inf

    # The end

    def _leave(self, trainer: Any, pl_module: Any) -> None:
        """Answer, and leave the fit as Lightning's tuner does: no further hook of the user's runs on a toy."""
        self.seconds = time.perf_counter() - self.started
        record = self._record(trainer, pl_module, "cut")
        if self.settings.get("prove") and self.session is not None and self.ended in _SOUND:
            record["planted"] = prove.planted(self.session, self.asked, self.steps)
        channel.answer(self.asked, record)
        home = type(self).__mro__[2].__module__.partition(".callbacks")[0]
        raise importlib.import_module(f"{home}.utilities.exceptions")._TunerExitException

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Answer where the fit ended itself."""
        if self.started and not self.asked.answered:
            self.seconds = time.perf_counter() - self.started
            self._answer(trainer, pl_module, "cut")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Answer with what was seen until the training crashed or left; the traceback is in its output."""
        if trainer.state.fn == "fit" and self.started and not self.asked.answered:
            self.seconds = self.seconds or time.perf_counter() - self.started
            if memory.is_exhausted(exception):
                samples = size(self.replay.kept) if self.replay is not None else 0
                step = self.steps + 1
                self.looked["exhausted"] = memory.exhausted(self.memory, exception, pl_module, step, samples)
            self._answer(trainer, pl_module, "exception")

    def _answer(self, trainer: Any, pl_module: Any, otherwise: str) -> None:
        channel.answer(self.asked, self._record(trainer, pl_module, otherwise))

    def _record(self, trainer: Any, pl_module: Any, otherwise: str) -> dict[str, Any]:
        from . import blank

        self.eagerly.close()
        self._stop_watching()
        record = blank(self.ended or otherwise) | self._about_loss() | self.looked
        record["versions"]["lightning"] = " ".join(machine.lightning(trainer))
        record |= {"device": machine.device(pl_module), "peak_memory": machine.peak_memory(pl_module)}
        record |= {"steps": self.steps, "seconds": self.seconds, "optimizers": len(trainer.optimizers)}
        record["elements"] = sum(one.numel() for one in pl_module.parameters() if one.requires_grad)
        record["manual"] = not pl_module.automatic_optimization
        if self.replay is not None and self.replay.kept is not None:
            record |= {"batch_digest": digest(leaves(self.replay.kept)), "written": self.replay.written}
        if self.movement is not None:
            record |= self.movement.record()
        return record

    def _about_loss(self) -> dict[str, Any]:
        seen = self.relations[-1] if self.relations else None
        known = self.relation
        return {
            "losses": self.losses,
            "functions": seen.names if seen else "",
            "sign": known.sign if known else 0,
            "bound": known.floor if known else None,
            "constant": known.constant if known else None,
        }


def _is_of_pairs(looked: dict[str, Any]) -> bool:
    """Whether samples are told from each other by their likeness, as `backburn.memorization.falling` asks: that loss
    stays far above its bound, and to train it to its end would take all steps.
    """
    told = looked.get("loss_calls") or {}
    return any(
        one["name"] == "cross_entropy"
        and one["weight"]
        and one.get("targets", 0) > 1
        and not one.get("taken")
        and one.get("classes", 0) >= max(told["size"], 2)
        for one in told.get("calls", ())
    )


def _is_compiled(pl_module: Any) -> bool:
    """Whether its training_step runs compiled: no call can be seen there, and torch before 2.6 knows no stance."""
    import torch

    return getattr(pl_module, "_compiler_ctx", None) is not None and not hasattr(torch.compiler, "set_stance")


def _is_finite(loss: Any) -> bool:
    """Of one number by Python: as a tensor it takes 20 microseconds of each step."""
    return math.isfinite(loss.item()) if loss.numel() == 1 else bool(loss.detach().isfinite().all())


def _planned(trainer: Any) -> float:
    """Steps that the user's own Trainer would take; inf where no end is set."""
    batches, epochs = trainer.num_training_batches, trainer.max_epochs
    by_epochs = float(batches) * epochs if epochs not in (None, -1) else math.inf
    by_steps = trainer.max_steps if trainer.max_steps not in (None, -1) else math.inf
    return min(by_epochs, by_steps)
