"""Reach a Trainer before the user's script does: override what it hard-codes, take out what follows a training.

Semi-private parts of Lightning are used here and in the probes only, and tried with each supported minor version.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from . import channel, elsewhere

# Where a Trainer lives -> the package that its callbacks come from.
HOMES = {
    "lightning.pytorch.trainer.trainer": "lightning.pytorch",
    "pytorch_lightning.trainer.trainer": "pytorch_lightning",
}
# Callbacks that save, upload, print, or end a training; by name, so that a subclass from a library counts too.
# SaveConfigCallback is LightningCLI's: it fails where its file is there already.
UNWANTED = {
    "BatchSizeFinder", "EarlyStopping", "GradientAccumulationScheduler", "ModelSummary", "OnExceptionCheckpoint",
    "ProgressBar", "SaveConfigCallback", "StochasticWeightAveraging", "Timer",
}  # fmt: skip
# A script may set `trainer.checkpoint_callback.filename` before it fits: this one goes when the fit starts.
UNWANTED_IN_FIT = UNWANTED | {"Checkpoint", "ModelCheckpoint"}
# Plugins of strategies that are not used then.
_FOREIGN = ("FSDP", "DeepSpeed", "XLA", "ClusterEnvironment")


class _Finder:
    """First on sys.meta_path: lets a module load as ever, then wraps what it holds."""

    def __init__(self, wraps: Mapping[str, Callable[[Any], None]]) -> None:
        self.wraps = wraps

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.wraps:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                execute(module)
                self.wraps[name](module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Wait for Lightning to be imported, whichever of its two packages, and for what else the probe asks for."""
    wraps: dict[str, Callable[[Any], None]] = {name: _wrap_trainer for name in HOMES}
    if asked := channel.asked():
        wraps |= elsewhere.of(asked.evidence).homes
        if watched := getattr(_probe(asked), "watched", None):
            wraps |= watched(asked)
    sys.meta_path.insert(0, _Finder(wraps))


def _wrap_trainer(module: Any) -> None:
    wrap(module.Trainer, HOMES[module.__name__])


def callbacks(package: str) -> list[Any]:
    """The probe's callbacks for a Trainer of `package`; Lightning gets them through its entry point."""
    asked = channel.asked()
    return [_probe(asked).callback(asked, package)] if asked else []


def wrap(trainer: Any, package: str) -> None:
    """Let the asked stage's probe see each Trainer as it is made; of a probe that ends trainings, none goes on."""
    asked = channel.asked()
    if asked is None:
        return
    probe = _probe(asked)
    probe.seed_all(asked)
    made = trainer.__init__

    @functools.wraps(made)
    def init(self: Any, *args: Any, **given: Any) -> None:
        elsewhere.of(asked.evidence).end()
        made(self, *args, **probe.overridden(asked, given))
        probe.adjust(asked, self)

    trainer.__init__ = init
    if not probe.ENDS:
        return
    for name in ("fit", "validate", "test", "predict"):
        setattr(trainer, name, _until_answered(asked, getattr(trainer, name)))


def _probe(asked: channel.Asked) -> Any:
    return importlib.import_module(f".{asked.stage}", __package__)


def _until_answered(asked: channel.Asked, method: Callable[..., Any]) -> Callable[..., Any]:
    """The process ends with the fit that answered; a script that swallows that goes no further than its next call."""

    @functools.wraps(method)
    def call(*args: Any, **given: Any) -> Any:
        if asked.answered:
            raise SystemExit(0)
        returned = method(*args, **given)
        if asked.answered:  # what follows a fit is not for a memorized toy
            raise SystemExit(0)
        return returned

    return call


def on_one_device(given: dict[str, Any], scratch: str) -> dict[str, Any]:
    """A Trainer's arguments for one process on one device, with nothing kept outside `scratch` (a folder).

    An accelerator that is not here becomes "auto"; an explicit "cpu" stays.
    """
    changed = dict(given, devices=1, num_nodes=1, strategy="auto", sync_batchnorm=False, fast_dev_run=False)
    changed["default_root_dir"] = scratch
    if not is_here(given.get("accelerator", "auto")):
        changed["accelerator"] = "auto"
    if given.get("plugins"):
        plugins = given["plugins"] if isinstance(given["plugins"], (list, tuple)) else [given["plugins"]]
        changed["plugins"] = [one for one in plugins if not _is_foreign(one)] or None
    return changed


def expect_gpu(asked: channel.Asked, record: Mapping[str, Any]) -> None:
    """Answer `record` and end the process where a GPU is required and none is seen; a rehearsal goes on without."""
    if asked.settings["require_gpu"] and not asked.settings["rehearsal"] and not has_gpu():
        channel.answer(asked, record)
        raise SystemExit(0)


def has_gpu() -> bool:
    """Whether this process sees a GPU that torch can use (CUDA, ROCm or Apple's)."""
    import torch

    return bool(torch.cuda.is_available() or torch.backends.mps.is_available())


def is_here(accelerator: Any) -> bool:
    """Whether a Trainer with this `accelerator` can be made here."""
    import torch

    name = (accelerator if isinstance(accelerator, str) else type(accelerator).__name__).lower()
    if name in ("cpu", "auto", "cpuaccelerator"):
        return True
    if name.startswith("mps"):
        return bool(torch.backends.mps.is_available())
    return has_gpu() if name == "gpu" else name.startswith("cuda") and bool(torch.cuda.is_available())


def _is_foreign(plugin: Any) -> bool:
    names = [plugin] if isinstance(plugin, str) else [one.__name__ for one in type(plugin).__mro__]
    return any(name.startswith(_FOREIGN) or name == "ClusterEnvironment" for name in names)


def take_out(trainer: Any, unwanted: set[str]) -> None:
    """Remove callbacks that have one of the names among their classes; quiet loggers take the place of loggers."""
    trainer.callbacks = [one for one in trainer.callbacks if not unwanted & {c.__name__ for c in type(one).__mro__}]
    trainer.loggers = [quiet_logger(trainer) for _ in trainer.loggers]


def quiet_logger(trainer: Any) -> Any:
    """Lightning's DummyLogger: `self.logger.experiment.anything()` goes on working. Its folders are the scratch one."""
    package = next(HOMES[one.__module__] for one in type(trainer).__mro__ if one.__module__ in HOMES)
    dummy = importlib.import_module(f"{package}.loggers.logger").DummyLogger
    folder = str(trainer.default_root_dir)
    # What paths are joined with, of Lightning's loggers and of the TensorBoard and Weights & Biases behind them; of
    # these the dummies would answer None, or a method.
    told = {"log_dir": folder, "dir": folder, "get_logdir": lambda self: folder, "id": "quiet", "name": "quiet"}
    told["config"] = property(lambda self: self)  # config.update() and config["x"] = 1
    own = {"save_dir": folder, "log_dir": folder, "root_dir": folder, "sub_dir": ""}
    quiet = type("QuietLogger", (dummy,), own)()
    quiet._experiment = type("QuietExperiment", (type(quiet.experiment),), told)()
    return quiet
