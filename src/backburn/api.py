"""What others call from their own code: `backburn.memorize(module, data)`."""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import tempfile
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from . import evidence, references
from .config import nearest
from .memorization.seen import Evidence, Told
from .probes import channel
from .references import Reference
from .report import Curve, Figure, Finding, Level, Outcome, Report, Table, name_of
from .stages import memorize as stage
from .training import Ended

_CANDIDATE = "candidate"  # the table of a report that a later one is held against


def memorize(
    module: Any,
    data: Any,
    *,
    reference: Report | Reference | Path | str | None = None,
    allow: Collection[str] = (),
    frozen: Collection[str] = (),
    steps: int = 300,
    seed: int = 0,
    trainer: Mapping[str, Any] | None = None,
) -> Report:
    """Can this module memorize one batch of these data, and if not, why?

    `module` is a LightningModule (of lightning or pytorch_lightning), `data` a LightningDataModule or an iterable of
    batches (a DataLoader, a list), `trainer` arguments for the Trainer. `reference` is a report of a healthy run, or a
    file that `backburn bless memorize` wrote. `allow` are checks (`memorize/loss-sign` or `loss-sign`, `*` and `?` as
    in a shell) whose errors become notices; `frozen` patterns of parameters that are frozen on purpose. The batch is
    trained for `steps` steps at most, fewer where that is enough, and for five minutes: where that was too short,
    `report.verdict` is unjudged.

    Everything is left as it was: parameters, buffers, optimizers, flags, hooks, random numbers, the DataModule; no
    file is written. `report.verdict` is pass, fail or unjudged, `report.cause` the check that is named first.
    Raises TypeError or ValueError for wrong use only; what the training raises is in the report.
    """
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    _expect(module, data)
    _expect_arguments(module, trainer, allow, frozen)
    config = stage.Config(steps=steps, seed=seed, frozen=tuple(frozen), running=min(3, max(1, steps - 1)))
    held = _reference(reference)
    seen = gather(module, data, config, dict(trainer or {}))
    return _report(msgspec.structs.replace(seen, reference=held), config, tuple(allow))


def gather(module: Any, data: Any, config: stage.Config, trainer: dict[str, Any]) -> Evidence:
    """As the stage's `gather`, of a module in this process."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="backburn-") as scratch:
        ended, record = _train(module, data, config, scratch, trainer)
    told = evidence.convert(record, Told, "the probe's answer") if record else None
    return Evidence(ended=msgspec.structs.replace(ended, seconds=time.perf_counter() - started), told=told)


def _expect(module: Any, data: Any) -> None:
    if not _is_a(module, "LightningModule"):
        raise TypeError(f"module must be a LightningModule, got {_kind(module)}")
    if not _is_a(data, "LightningDataModule") and (isinstance(data, type) or not hasattr(data, "__iter__")):
        raise TypeError(f"data must be a LightningDataModule or an iterable of batches, got {_kind(data)}")


def _is_a(one: Any, name: str) -> bool:
    """By name, as there are two packages, and none of them is to be imported for it."""
    return name in {base.__name__ for base in type(one).__mro__}


def _kind(one: Any) -> str:
    return f"the class {one.__name__}: make one" if isinstance(one, type) else type(one).__name__


def _expect_arguments(module: Any, trainer: Any, allow: Any, frozen: Any) -> None:
    from .probes.memorize.inprocess import arguments

    if trainer is not None and not isinstance(trainer, Mapping):
        raise TypeError(f"trainer must be a dict of Trainer arguments, got {type(trainer).__name__}")
    taken = arguments(module)
    for name in sorted(set(trainer or ()) - taken):
        raise TypeError(f"trainer has no argument {name!r}. {nearest(str(name), taken)}")
    for what, of, given in (("allow", "checks", allow), ("frozen", "patterns", frozen)):
        if isinstance(given, str):
            raise TypeError(f"{what} must be a list of {of}, got the str {given!r}")
    known = {name_of(check) for check in stage.CHECKS}
    for one in allow:
        if not any(_matches(name, one) for name in known):
            raise ValueError(f"no check of memorize is called {one!r}. {nearest(one.rpartition('/')[2], known)}")


def _reference(given: Report | Reference | Path | str | None) -> Reference | None:
    if given is None or isinstance(given, Reference):
        return given
    if isinstance(given, Report):
        table = next((one for one in given.tables if one.name == _CANDIDATE), None)
        if table is None:
            raise ValueError("this report cannot be a reference: its fit was not seen to its end")
        return references.from_rows(table.rows)
    return references.load(Path(given))


def _train(
    module: Any, data: Any, config: stage.Config, scratch: str, given: dict[str, Any]
) -> tuple[Ended, dict[str, Any] | None]:
    from .probes import memorize as probe
    from .probes.memorize.inprocess import fit

    names = ("steps", "threshold", "running", "floor", "seed", "require_gpu", "rehearsal")
    settings = {name: getattr(config, name) for name in names} | {"scratch": scratch, "limit": float(config.budget)}
    asked = channel.Asked("memorize", settings, "")
    started = time.perf_counter()
    about: dict[str, Any] = {"command": ("backburn.memorize",), "code": 0}
    with _quiet():
        raised = fit(probe, asked, module, data, given)
    if raised is not None:
        about |= {"code": 1, "raised": True, **raised}
    return Ended(**about, seconds=time.perf_counter() - started), asked.record


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No warnings and no log lines of Lightning's: what they say about a Trainer of ours is nothing to the user."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "pytorch_lightning", "lightning.fabric")]
    levels = [one.level for one in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one in loggers:
            one.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for one, level in zip(loggers, levels):
                one.setLevel(level)


def _report(seen: Evidence, config: stage.Config, allow: tuple[str, ...]) -> Report:
    from . import pipeline

    outcomes = pipeline.judge(stage, "memorize", seen, config)
    measured = stage.measured(seen)
    candidate = stage.candidate(seen, config)
    tables = [one for one in measured if isinstance(one, Table)]
    if candidate is not None:
        tables.append(Table(name=_CANDIDATE, rows=references.to_rows(candidate)))
    return Report(
        stage="memorize",
        question=(stage.__doc__ or "").strip().splitlines()[0],
        outcomes=tuple(_allowed(one, allow) for one in outcomes),
        figures=tuple(one for one in measured if isinstance(one, Figure)),
        curves=tuple(one for one in measured if isinstance(one, Curve)),
        tables=tuple(tables),
        seconds=round(seen.ended.seconds, 3),
    )


def _allowed(outcome: Outcome, allow: tuple[str, ...]) -> Outcome:
    if not any(_matches(outcome.check.partition("/")[2], one) for one in allow):
        return outcome
    return msgspec.structs.replace(outcome, findings=tuple(map(_as_notice, outcome.findings)))


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(f"memorize/{name}", pattern)


def _as_notice(finding: Finding) -> Finding:
    if finding.level is not Level.ERROR:
        return finding
    return msgspec.structs.replace(finding, level=Level.NOTICE, message=f"{finding.message} (allowed)")
