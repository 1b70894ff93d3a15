"""A fit inside the caller's own process, after which everything is as it was."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import signal
import traceback
from collections.abc import Iterator
from typing import Any

from .. import channel, seeds
from ..trainer import quiet_logger
from . import frames
from .session import eagerly
from .snapshot import Optimizers, Snapshot, numbers_kept

# Of a training whose length nobody says: what reads `trainer.max_epochs` or `estimated_stepping_batches` to make a
# schedule needs a number, and OneCycleLR raises for infinity.
_EPOCHS = 100
_LENGTHS = {"max_epochs", "max_steps", "max_time"}
_QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


def fit(
    probe: Any, asked: channel.Asked, module: Any, data: Any, given: dict[str, Any], quiet: dict[str, Any] = _QUIET
) -> dict[str, Any] | None:
    """Fit `module` to one batch of `data` by a Trainer with the arguments `given` and then `quiet`, and put everything
    back. `data` is a DataModule, loaders, batches, or None where the module makes its own.

    Returns what the training raised: `message`, `file`, `line` and `tail`; None where it raised nothing.
    """
    home = package(module)
    lightning = importlib.import_module(home)
    is_datamodule = any(one.__name__ == "LightningDataModule" for one in type(data).__mro__)
    held: list[Snapshot | Optimizers] = [Optimizers(module), Snapshot(module, host=True)]
    held += [Snapshot(data)] if is_datamodule else []
    with numbers_kept(), eagerly(), _interruptible():
        try:
            seeds.seed_all(int(asked.settings["seed"]))
            asked.settings["unplanned"] = not _LENGTHS & set(given)
            length = {"max_epochs": _EPOCHS} if asked.settings["unplanned"] else {}
            given = length | given | quiet | {"enable_model_summary": False, "barebones": False}
            given = probe.overridden(asked, given)
            given["callbacks"] = [*_listed(given.get("callbacks")), probe.callback(asked, home)]
            trainer = lightning.Trainer(**given)
            trainer.loggers = trainer.loggers or [quiet_logger(trainer)]  # for `self.logger.experiment.add_scalar()`
            probe.adjust(asked, trainer)
            trainer.fit(module, datamodule=data) if is_datamodule else trainer.fit(module, _loader(data))
        except (Exception, SystemExit) as error:
            if isinstance(error.__context__, KeyboardInterrupt):  # of which Lightning makes exit(1)
                raise KeyboardInterrupt from None
            if type(error).__name__ == "SIGTERMException":  # of which Lightning makes an error of the training
                raise _Terminated from None
            if frames.is_ours(_innermost(error)):  # our own bug is not the training's
                raise
            return _told(error)
        finally:
            for one in held:
                one.restore()
    return None


class _Terminated(BaseException):
    """The process was told to end while Lightning held the signal."""


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning, once interrupted, has the process ignore Ctrl-C for good; a SIGTERM that it took is sent again."""
    handlers = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    terminated = False
    try:
        yield
    except _Terminated:
        terminated = True
    finally:
        for one, handler in handlers.items():
            if handler is not None and signal.getsignal(one) is not handler:
                signal.signal(one, handler)
    if terminated:
        signal.raise_signal(signal.SIGTERM)
        raise SystemExit(128 + signal.SIGTERM)  # where a handler of the caller's let it go on


class _Batches:
    """Batches as a loader: of a plain list Lightning would make a loader of each batch."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> Any:
        return iter(self.batches)


def _loader(data: Any) -> Any:
    from torch.utils.data import DataLoader

    several = isinstance(data, (list, tuple)) and data and all(isinstance(one, DataLoader) for one in data)
    if data is None:
        return None
    return data if isinstance(data, (DataLoader, dict)) or hasattr(data, "flattened") or several else _Batches(data)


def arguments(module: Any) -> set[str]:
    """The names of what the Trainer of this module's package takes."""
    trainer = importlib.import_module(package(module)).Trainer
    return set(inspect.signature(trainer.__init__).parameters) - {"self"}


def package(module: Any) -> str:
    """Where the class of a module comes from: `lightning.pytorch` or `pytorch_lightning`."""
    names = [one.__module__ for one in type(module).__mro__ if one.__name__ == "LightningModule"]
    return "pytorch_lightning" if names and names[0].startswith("pytorch_lightning") else "lightning.pytorch"


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]


def _innermost(error: BaseException) -> str:
    """The file that raised; a function of torch's that is called by way of a mode of ours is not ours."""
    stack = [one for one in traceback.extract_tb(error.__traceback__) if one.name != "__torch_function__"]
    return stack[-1].filename if stack else ""


def _told(error: BaseException) -> dict[str, Any]:
    lines = traceback.format_exception(error)
    own = [one for one in traceback.extract_tb(error.__traceback__) if frames.is_theirs(one.filename)]
    place = {"file": own[-1].filename, "line": own[-1].lineno or 0} if own else {}
    return {"message": f"{type(error).__name__}: {error}", "tail": "".join(lines[-12:]), **place}
