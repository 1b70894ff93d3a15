"""`references/<stage>/<training>/<hardware>.json`: reviewed evidence that a later training is held against."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from . import evidence
from .errors import Unjudged, UserError

FOLDER = Path("references")
_MEND = "Take it back by git, or delete it and bless again."
_SELDOM = ("hashes", "envelope", "repeated", "apart", "origin", "epochs")  # in the file only where filled
_LISTED = 3  # differences in a sentence
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # of a folder or file: a candidate may come from anywhere


class Machine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a training ran, as its probe tells it.

    `hardware` names the class (`cpu-avx512`, `nvidia-h200`, `nvidia-h200-x4`) and the reference's file. Bits may be
    compared only where all of `hard` is the same (torch, CUDA, threads, flags …); a difference in `soft` (kernel,
    driver of a disk, versions of other packages …) is only told.
    """

    hardware: str
    hard: dict[str, str] = {}
    soft: dict[str, str] = {}

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """All of it, what matters most first."""
        return (("hardware", self.hardware), *self.hard.items(), *self.soft.items())


class Epoch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of environment on one commit: what it was before and after, and each metric's mean on either side."""

    commit: str
    date: str
    before: dict[str, str]
    after: dict[str, str]
    moved: dict[str, tuple[float, float]] = {}


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was reviewed; a candidate for it, before `backburn bless`, has the same shape.

    `figures` has a value per run, in the order of `seeds`; the first run is the training as its author wrote it. A
    value is exact: the shortest text that reads back as the same float64. `settings` and `data` say what was
    trained on what, word by word. `commit` ends in `+` where tracked files differed.

    Of the first run alone are `hashes` (a root per part and step, `parameters@13`) and `envelope` (the relative
    distance that roundings drove each figure to by then). It ran a second time: the same over `repeated` steps, or not
    (`apart` says where). `origin` holds the metrics' means when the training was first blessed, `epochs` the changes
    of environment since.
    """

    stage: str
    training: str
    machine: Machine
    seeds: tuple[int, ...] = ()
    figures: dict[str, tuple[float | int, ...]] = {}
    settings: dict[str, str] = {}
    data: dict[str, str] = {}
    commit: str = ""
    date: str = ""
    reason: str = ""
    hashes: dict[str, str] = {}
    envelope: dict[str, float] = {}
    repeated: int = 0
    apart: str = ""
    origin: dict[str, float] = {}
    epochs: tuple[Epoch, ...] = ()
    kind: str = "reference"
    schema: int = 2

    def runs(self, name: str) -> tuple[float | int, ...]:
        """The values of one figure, one per run; empty where the reference lacks it."""
        return self.figures.get(name, ())

    @property
    def not_finite(self) -> tuple[str, ...]:
        """The figures that hold a NaN, an infinity, or an integer beyond all floats."""
        several = self.figures | {f"envelope of {name}": (value,) for name, value in self.envelope.items()}
        return tuple(name for name, values in several.items() if not all(map(_is_finite, values)))


def _is_finite(value: float | int) -> bool:
    return abs(value) <= sys.float_info.max


class Found(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The reference of a training for one machine, if there is one, and which other hardware has one."""

    reference: Reference | None = None
    others: tuple[str, ...] = ()


def known(root: Path, stage: str, training: str) -> dict[str, Reference]:
    """Every reference of a training, by hardware. Read before a long training starts: a file that cannot be used
    raises UserError (corrupt, newer, foreign, moved by hand), and nothing was run.
    """
    found = {}
    for path in sorted((root / FOLDER / stage / training).glob("*.json")):
        one = load(path)
        if (one.stage, one.training, one.machine.hardware) != (stage, training, path.stem):
            said = f"it is the reference of {one.stage}/{one.training}/{one.machine.hardware}"
            raise UserError(said, where=str(path), hint="References are written by `backburn bless`, not moved.")
        if one.not_finite:
            listed = ", ".join(one.not_finite[:3])
            raise UserError(f"not finite: {listed}", where=str(path), hint=_MEND)
        found[path.stem] = one
    return found


def load(path: Path, mend: str = _MEND) -> Reference:
    """One reference or candidate. Raises UserError for a missing, corrupt, foreign or newer file, and says which;
    `mend` is what to do about it.
    """
    try:
        one = evidence.load(path, Reference)
    except UserError as error:
        hint = error.hint if "newer" in error.problem else mend
        raise UserError(error.problem, where=error.where, hint=hint) from error
    for name in (one.stage, one.training, one.machine.hardware):
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r} cannot be part of a reference's path", where=str(path), hint=mend)
    short = [name for name, values in one.figures.items() if len(values) != len(one.seeds)]
    if short:
        said = f"{short[0]!r} has not one value for each of {len(one.seeds)} seeds"
        raise UserError(said, where=str(path), hint=mend)
    return one


def find(known_ones: Mapping[str, Reference], hardware: str) -> Found:
    """The reference for this hardware, and the names of the others."""
    return Found(reference=known_ones.get(hardware), others=tuple(one for one in known_ones if one != hardware))


def comparable(found: Found, machine: Machine, stage: str) -> Reference:
    """The reference, where this machine may be held against it. Raises Unjudged with the difference printed."""
    look = f"Look at candidate.json in the evidence, then `backburn bless {stage}`"
    again = f"{look}; of a run in CI, download the artifact and name its folder behind it."
    reference = found.reference
    if reference is None:
        there = f"; there is one for {', '.join(found.others)}" if found.others else ""
        raise Unjudged(f"no reference for {machine.hardware}{there}", hint=again)
    changed = differences(reference.machine.hard, machine.hard)
    if changed:
        said, more = "; ".join(changed[:_LISTED]), len(changed) > _LISTED
        raise Unjudged(
            f"another environment than the reference's: {said}{' …' if more else ''}",
            hint=again,
            detail="\n".join(changed) if more else "",
        )
    return reference


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """`torch: 2.12.0 → 2.13.0`, a line per key that differs; `-` for one that is not there."""
    keys = sorted({*before, *now}, key=natural)
    return tuple(
        f"{key}: {before.get(key, '-')} → {now.get(key, '-')}" for key in keys if before.get(key) != now.get(key)
    )


def beside(one: Reference, now: Mapping[str, float | int]) -> tuple[tuple[str, str], ...]:
    """A reference to look up: its file, commit, date and reason, then each figure, its runs' and what it is now."""
    file = path_of(one, Path()).as_posix()
    about = {"file": file, "commit": one.commit, "date": one.date, "reason": one.reason}
    names = sorted({*one.figures, *now}, key=natural)
    figures = ((name, f"{_span(one.runs(name))} → {_span((now[name],) if name in now else ())}") for name in names)
    return (*((name, text or "-") for name, text in about.items()), *figures)


def _span(values: Sequence[float | int]) -> str:
    """`0.41 to 0.44`: the least and the most of some runs.

    >>> _span((0.44, 0.41, 0.42)), _span((1280, 1280)), _span(())
    ('0.41 to 0.44', '1,280', '-')
    """
    ends = [f"{one:,}" if isinstance(one, int) else f"{one:.6g}" for one in sorted(values)]
    return " to ".join(dict.fromkeys((ends[0], ends[-1]))) if ends else "-"


def path_of(one: Reference, root: Path) -> Path:
    """Where it belongs."""
    return root / FOLDER / one.stage / one.training / f"{one.machine.hardware}.json"


def write(one: Reference, path: Path) -> None:
    """Write it atomically, sorted, one figure per line, so that a review shows what changed and merges stay small."""
    evidence.write(dumps(one), path)


def to_rows(one: Reference) -> tuple[tuple[str, str], ...]:
    """One as (name, JSON) rows, the form in which a report carries it."""
    return tuple((name, json.dumps(value, ensure_ascii=False)) for name, value in evidence.plain(one).items())


def from_rows(rows: Iterable[tuple[str, str]]) -> Reference:
    """What `to_rows` made rows of. Raises UserError for anything else."""
    return evidence.convert({name: json.loads(text) for name, text in rows}, Reference, "a report's candidate")


def dumps(one: Reference) -> bytes:
    """The file's bytes: fields in their order, every table sorted as people count (`loss@8` before `loss@13`)."""
    plain = {name: value for name, value in evidence.plain(one).items() if value or name not in _SELDOM}
    return ("{\n" + ",\n".join(_entries(plain, " ", plain)) + "\n}\n").encode()


def _entries(table: Mapping[str, object], indent: str, order: Iterable[str]) -> Iterator[str]:
    for key in order:
        value = table[key]
        if isinstance(value, dict) and value:
            inner = ",\n".join(_entries(value, indent + " ", sorted(value, key=natural)))
            yield f"{indent}{json.dumps(key, ensure_ascii=False)}: {{\n{inner}\n{indent}}}"
        else:
            yield f"{indent}{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"


def natural(text: str) -> list[tuple[int, str]]:
    """A sorting key that counts: `loss@8` comes before `loss@13`.

    >>> sorted(["loss@13", "loss@8", "accuracy"], key=natural)
    ['accuracy', 'loss@8', 'loss@13']
    """
    return [(int(part), "") if odd % 2 else (-1, part) for odd, part in enumerate(re.split(r"([0-9]+)", text))]
