"""A training that was recorded, wherever that lies: a folder of evidence, a downloaded artifact, a reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from .. import comparison, evidence, references
from ..errors import UserError
from ..references import Machine, Reference
from . import divergence, roots, steps, told
from .steps import Step
from .told import Told

ANSWER = "probe.json"
CANDIDATE = "candidate.json"
_LISTED = 5  # trainings in a message
_WHAT = "Name the folder of a training's evidence, build/backburn/reproduce/<training>, an artifact's, or a reference."


class Recorded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One training. `training` is empty where its name is not known, `seed` None where it is not.

    `figures` are by the names that a reference has for them, `validation <metric>@<step>` beside; of several runs the
    first one's. `steps` is empty where none were recorded; `rooted` says that each table in them is a single root.
    """

    where: str
    stage: str = "reproduce"
    training: str = ""
    commit: str = ""
    ended: str = ""
    machine: Machine | None = None
    seed: int | None = None
    settings: dict[str, str] = {}
    data: dict[str, str] = {}
    figures: dict[str, float | int] = {}
    steps: tuple[Step, ...] = ()
    rooted: bool = False


def read(path: Path, training: str = "") -> Recorded:
    """What lies at `path`; of several trainings the one that is called `training`.

    Raises UserError for what is missing, corrupt, newer, of another training or holds none, and says which.
    """
    if not path.exists():
        raise UserError("there is no such file or folder", where=str(path), hint=_WHAT)
    if path.is_dir():
        found = _evidence(_folder(path, training))
    elif path.name == ANSWER:
        found = _evidence(path.parent)
    else:
        found = of_reference(references.load(path, mend=_WHAT), str(path))
    if training and found.training not in ("", training):
        raise UserError(f"it is a training called {found.training!r}, not {training!r}", where=str(path), hint=_WHAT)
    return found


def expect_same_training(one: Recorded, other: Recorded) -> None:
    """Raise UserError for two that are not the same training's, or that hold nothing to compare."""
    for before, now in ((one.stage, other.stage), (one.training, other.training)):
        if before and now and before != now:
            hint = "Two of one training can be compared."
            raise UserError(f"{one.where} is of {before!r}, {other.where} of {now!r}", hint=hint)
    for side in (one, other):
        if not side.figures and not side.steps:
            how = f": it ended with {side.ended!r}" if side.ended else ""
            raise UserError(f"it holds no step of a training{how}", where=side.where, hint=_WHAT)


def of_reference(one: Reference, where: str) -> Recorded:
    """A reference, or a candidate for one: its first run, which is the training as its author wrote it."""
    return Recorded(
        where=where,
        stage=one.stage,
        training=one.training,
        commit=one.commit,
        machine=one.machine,
        seed=one.seeds[0] if one.seeds else None,
        settings=one.settings,
        data=one.data,
        figures={name: values[0] for name, values in one.figures.items() if values},
        steps=tuple(_steps(one.hashes)),
        rooted=True,
    )


def rooted(one: Recorded) -> Recorded:
    """With nothing of its steps but their roots, as a reference keeps them."""
    if one.rooted:
        return one
    hashes = {f"{part}@{step.step}": root for step in one.steps for part, root in roots.grid_roots(step).items()}
    return msgspec.structs.replace(one, steps=tuple(_steps(hashes)), rooted=True)


def _steps(hashes: Mapping[str, str]) -> Iterator[Step]:
    """Steps whose tables have one entry, the root of the whole."""
    parts: dict[int, dict[str, Any]] = {}
    for name, root in hashes.items():
        part, _, step = name.rpartition("@")
        kept = {"torch": root} if part == "rng" else root if part in ("batch", "served", "loss") else {"": root}
        parts.setdefault(int(step), {})[part] = kept
    known = set(Step.__struct_fields__)
    for number in sorted(parts):
        yield Step(step=number, **{part: value for part, value in parts[number].items() if part in known})


def _folder(path: Path, training: str) -> Path:
    """The folder of evidence in `path`: itself, or the one that lies beneath it."""
    if (path / ANSWER).exists():
        return path
    answers = [one for one in sorted(path.rglob(ANSWER)) if _is_ours(one)]
    tops = [one.parent for one in answers if not any((above / ANSWER) in answers for above in one.parent.parents)]
    mine = [one for one in tops if training in ("", one.name)]
    if len(mine) == 1:
        return mine[0]
    listed = ", ".join(str(one) for one in (mine or tops)[:_LISTED])
    if mine:
        said = f"it holds {len(mine)} trainings"
        raise UserError(said, where=str(path), hint=f"Name one, by its folder or by --training: {listed}")
    said = f"it holds no training called {training!r}" if tops else f"it holds no {ANSWER} of a full training"
    raise UserError(said, where=str(path), hint=f"There is {listed}." if tops else _WHAT)


def _is_ours(path: Path) -> bool:
    """Whether it is reproduce's: other stages leave a file of the same name."""
    try:
        return bool(msgspec.json.decode(path.read_bytes())["kind"] == "reproduce-probe")
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError):
        return False


def _evidence(folder: Path) -> Recorded:
    answer = evidence.load(folder / ANSWER, Told)
    beside = folder / CANDIDATE
    candidate = references.load(beside, mend="Delete it, or run again.") if beside.exists() else None
    own_name = folder.absolute().name if folder.absolute().parent.name == "reproduce" else ""
    recorded = folder / steps.FILE
    return Recorded(
        where=str(folder),
        training=candidate.training if candidate else own_name,
        commit=candidate.commit if candidate else "",
        ended=answer.ended,
        machine=answer.machine,
        seed=told.seed(answer, candidate.seeds[0] if candidate else 0) if answer.seeded or candidate else None,
        settings=answer.settings,
        data=answer.data,
        figures=_figures(answer),
        steps=divergence.shifted(steps.load(recorded), answer.start) if recorded.exists() else (),
    )


def _figures(one: Told) -> dict[str, float | int]:
    """Those of a reference, and beside them each validation's; what measures the machine is none."""
    names = [name for name in one.validations if not comparison.is_clock(name)]
    return told.figures(one) | {
        f"validation {name}@{one.start + step}": value for name in names for step, value in one.validations[name]
    }
