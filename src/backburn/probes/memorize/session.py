"""One training at its first batch, for looks at it: run its own step as often as needed, and leave no trace of that."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..batches import leaves, size
from .datasets import loader_of
from .passes import Pass, observed
from .replay import Replay, duplicate
from .snapshot import Numbers, Optimizers, Snapshot, numbers_kept


class Untold(Exception):
    """A look that does not apply, or could not be taken; its text is the reason."""


class Session:
    """A fit that stands before its first step, with its batch.

    `batch` is on the training's device, as training_step gets it; looks may read it and must not change it (`copy()`
    gives one that they may). `size` is its number of samples. `settings` are the stage's.
    """

    def __init__(self, trainer: Any, replay: Replay, settings: Mapping[str, Any], numbers: Numbers) -> None:
        self.trainer, self.module, self.replay, self.settings = trainer, trainer.lightning_module, replay, settings
        self.numbers = numbers  # the random numbers that every pass gets, as every step does
        self.began = Snapshot(self.module, host=True)  # before anything moved
        self.accumulated = int(settings.get("accumulated", 1))  # batches whose gradients the user's Trainer adds up
        self.planned: float = 0  # steps that the user's own Trainer would take; inf where that is not known
        self.schedules: Any = None  # of the learning rate, as they were tried ahead
        self.roles: dict[str, set[str]] | None = None  # of the parts of the batch, once they were asked for
        self.standing: Any = None  # what is not trained, as it was, once that was looked at
        self._first: Pass | None = None

    @property
    def batch(self) -> Any:
        """The held batch."""
        return self.replay.kept

    @property
    def optimizers(self) -> list[Any]:
        """The Trainer's, or where it has none, those that the module holds and steps itself."""
        given = [one for one in self.trainer.optimizers if type(one).__name__ != "_MockOptimizer"]
        return given or Optimizers.of(self.module)

    @property
    def asked(self) -> int:
        """Samples that the loader was asked for in a batch; 0 where it does not say."""
        loader = loader_of(self)
        asked = getattr(loader, "batch_size", None) or getattr(
            getattr(loader, "batch_sampler", None), "batch_size", None
        )
        with contextlib.suppress(Exception):
            if isinstance(asked, int) and len(loader.dataset) < asked:
                return len(loader.dataset)
        return asked if isinstance(asked, int) else 0

    @property
    def size(self) -> int:
        """Samples in the batch: rows of its first tensor, or as many as were asked for where its tensors have other
        rows too (a batch of graphs: nodes, edges).
        """
        rows = {one.shape[0] for one in self.tensors().values() if one.dim()}
        return self.asked if self.asked in rows else size(self.batch)

    def transferred(self, batch: Any) -> Any:
        """A collated batch as the step gets it: through the training's own hooks, on its device."""
        return self.replay.transferred(batch)

    def copy(self) -> Any:
        """The batch, to be changed at will: edit its tensors in place, by the paths of `leaves`.

        Raises Untold where it cannot be copied.
        """
        copied = duplicate(self.batch)
        held = {id(one) for _, one in leaves(self.batch) if is_plain(one)}
        if any(id(one) in held for _, one in leaves(copied)):
            raise Untold(f"a {type(self.batch).__name__} cannot be copied")
        return copied

    def tensors(self, batch: Any = None) -> dict[str, Any]:
        """Path -> tensor, of the held batch or another one; none that is sparse or quantized."""
        return {path: one for path, one in leaves(self.batch if batch is None else batch) if is_plain(one)}

    @property
    def first(self) -> Pass:
        """One pass as training does it, before anything moved. Raises what training_step raises."""
        if self._first is None:
            self._first = self.run()
        return self._first

    @property
    def returns_loss(self) -> bool:
        """Whether training_step returns its loss; where it cannot be run, whether Lightning optimizes by it."""
        try:
            return self.first.returned is not None
        except Exception:
            return bool(self.module.automatic_optimization)

    def run(self, batch: Any = None, *, evaluation: bool = False, seed: int | None = None) -> Pass:
        """training_step on a copy of the batch (or on `batch`), with the random numbers of every step (or of `seed`).

        `evaluation` puts all modules into eval mode for it. Afterwards parameters, buffers, gradients, flags, hooks,
        counters and optimizers are what they were. Raises what training_step raises.
        """
        done, given = Pass(), duplicate(self.batch) if batch is None else batch
        done.batch = given
        with self._untouched(), numbers_kept(self.numbers), eagerly(), observed(self.module, done):
            if seed is not None:
                import torch

                torch.manual_seed(seed)
            if evaluation:
                self.module.eval()
            done.returned = _loss(self._step(given))
            done.drew = self.numbers.drawn().some
        return done

    def evaluate(self, hook: str = "validation_step", batch: Any = None) -> Pass:
        """As `run`, of another of the module's steps, without gradients, in the mode that it is validated in."""
        import torch

        done, given = Pass(), duplicate(self.batch) if batch is None else batch
        with contextlib.ExitStack() as stack:
            stack.callback(_modes_of(self.optimizers))
            for one in (self._untouched(), numbers_kept(self.numbers), eagerly(), observed(self.module, done)):
                stack.enter_context(one)
            stack.enter_context(torch.no_grad())
            before = _marks(self.module)
            self.module.on_validation_model_eval()  # Lightning's own is eval(); a project's may do more, or less
            with contextlib.suppress(Exception):  # what they expect of a validation loop is not there
                self.module.on_validation_start()
                self.module.on_validation_epoch_start()
            done.swapped = before != _marks(self.module)
            done.returned = _loss(self._step(given, hook))
        return done

    def _step(self, batch: Any, hook: str = "training_step") -> Any:
        kwargs: OrderedDict[str, Any] = OrderedDict([("batch", batch)])
        names = list(_parameters(getattr(self.module, hook)))
        if "batch_idx" in names or len(names) > 1:
            kwargs["batch_idx"] = 0
        call = _lightning(self.trainer, "trainer.call")
        return call._call_strategy_hook(self.trainer, hook, *kwargs.values())

    @contextlib.contextmanager
    def _untouched(self) -> Iterator[None]:
        """All that the pass may change is put back: also by an own optimizer step, or a forward that writes weights."""
        held, outside = Snapshot(self.module), Snapshot(self.trainer.datamodule) if self.trainer.datamodule else None
        steps = _optimizer_steps_off(self.optimizers)
        progress = _progress(self.trainer)
        try:
            yield
        finally:
            steps()
            held.restore()
            if outside is not None:
                outside.restore()
            progress()


@contextlib.contextmanager
def eagerly() -> Iterator[None]:
    """Inside, torch.compile compiles nothing (torch 2.6 and later): looks would see nothing of what is compiled."""
    import torch

    stance = getattr(torch.compiler, "set_stance", None)
    with stance("force_eager") if stance else contextlib.nullcontext():
        yield


def _modes_of(optimizers: Any) -> Callable[[], None]:
    """What the groups of optimizers say (a hook may put schedule-free ones into eval mode); returns what undoes it."""
    held = [(group, dict(group)) for one in optimizers for group in one.param_groups]

    def undo() -> None:
        for group, own in held:
            group.clear()
            group.update(own)

    return undo


def _marks(module: Any) -> list[tuple[int, int]]:
    """What tells whether somebody put other numbers into the parameters."""
    return [(one.data_ptr(), one._version) for one in module.parameters()]


def is_plain(value: Any) -> bool:
    """Whether a leaf of a batch is a tensor whose elements lie there one by one."""
    return hasattr(value, "detach") and str(getattr(value, "layout", "")) == "torch.strided" and not value.is_quantized


def _optimizer_steps_off(optimizers: Any) -> Callable[[], None]:
    """Let `step` do nothing but its closure; returns what undoes it."""
    own = [(one, vars(one).get("step")) for one in optimizers]

    def only_closure(closure: Any = None) -> Any:
        return closure() if closure is not None else None

    for one in optimizers:
        vars(one)["step"] = only_closure

    def undo() -> None:
        for one, step in own:
            vars(one).pop("step", None)
            if step is not None:
                vars(one)["step"] = step

    return undo


def _progress(trainer: Any) -> Callable[[], None]:
    """What manual optimization counts; returns what puts it back."""
    counted = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    total, current = vars(counted.total).copy(), vars(counted.current).copy()

    def undo() -> None:
        vars(counted.total).update(total)
        vars(counted.current).update(current)

    return undo


def _lightning(trainer: Any, name: str) -> Any:
    """`lightning.pytorch.<name>` or `pytorch_lightning.<name>`, whichever the Trainer is of."""
    import importlib

    home = next(one.__module__ for one in type(trainer).__mro__ if one.__module__.endswith(".trainer.trainer"))
    return importlib.import_module(f"{home.removesuffix('.trainer.trainer')}.{name}")


def _parameters(step: Any) -> Mapping[str, Any]:
    import inspect

    return inspect.signature(step).parameters


def _loss(returned: Any) -> Any:
    loss = returned.get("loss") if isinstance(returned, dict) else returned
    return loss if hasattr(loss, "detach") else None
