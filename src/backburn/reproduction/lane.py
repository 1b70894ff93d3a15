"""The nights of a sliding lane, as the branch `backburn-history` of this clone has them; nothing is fetched."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from .. import commits
from ..comparison import FINAL, is_clock
from ..errors import Unjudged
from .sliding import ENOUGH, MOST, Lane, Point, alarms, effects

FIXED, SLIDING = "fixed", "sliding"
_BRANCHES = ("refs/remotes/origin/backburn-history", "refs/heads/backburn-history")
_MONTHS = 6
_BYTES = 16 << 20  # of one month; a night has some kB
_STAGE = "reproduce"


class _Stage(msgspec.Struct):
    """What is read of a stage in a line; all else is passed over."""

    figures: dict[str, dict[str, float]] = {}
    hardware: dict[str, str] = {}
    reused: tuple[str, ...] = ()


class _Night(msgspec.Struct):
    date: str
    commit: str = ""
    ref: str = ""
    stages: dict[str, _Stage] = {}


class _Beside(msgspec.Struct):
    """What is read of the evidence of the training beside."""

    told: tuple[dict[str, object] | None, ...] = ()


def read(root: Path, training: str, fixed: str, hardware: str, environ: Mapping[str, str] = os.environ) -> Lane:
    """The nights before, of this branch and hardware, that trained. A line that is none of ours is passed over."""
    branch = next(
        (one for one in _BRANCHES if commits.tried(root, "rev-parse", "--verify", "--quiet", one)[0] == 0), ""
    )
    points, beside = [], dict[str, float]()
    ref = environ.get("GITHUB_REF", "")
    for night in _nights(root, branch) if branch else ():
        stage = night.stages.get(_STAGE)
        if stage is None or (ref and night.ref != ref):
            continue
        if fixed not in stage.reused:  # where nothing changed for the fixed lane, it is what it was
            beside = _metrics(stage.figures.get(fixed, {}))
        known = stage.hardware.get(training, "")
        if training in stage.figures and known in ("", hardware):
            figures = _metrics(stage.figures[training])
            points.append(Point(date=night.date, commit=night.commit, figures=figures, beside=beside))
    return Lane(points=tuple(points[-MOST:]), fixed=fixed, where=branch)


def tonight(metrics: Mapping[str, float], out: Path, fixed: str) -> Point:
    """This night; of the training beside what lies in the folder next to this one's, if it ran before this."""
    own = {name: value for name, value in metrics.items() if _is_figure(name, value)}
    return Point(date="", figures=own, beside=_beside(out.parent / fixed / "evidence.json") if fixed else {})


def judged(lane: Lane, now: Point, alpha: float) -> Iterator[str]:
    """A sentence for each metric that is off. Raises Unjudged where too few nights have a metric of tonight."""
    nights = max((sum(name in one.figures for one in lane.points) for name in now.figures), default=len(lane.points))
    if nights < ENOUGH:
        where = lane.where.removeprefix("refs/remotes/") or "backburn-history, which this clone has not"
        hint = "It is held against its nights, which `publish` writes down. Check out with fetch-depth: 0."
        raise Unjudged(f"{nights} of {ENOUGH} nights of this lane are known, by the branch {where}", hint=hint)
    if not now.figures:
        raise Unjudged("no metric was logged", hint='Log one in validation or test: self.log("val_loss", loss).')
    yield from (f"{name} was not measured, and the last night had it" for name in gone(lane, now))
    done = {one.name: str(one) for one in effects(lane, now)}
    for one in alarms(lane, now, alpha):
        how = "has drifted" if one.drift else f"is {now.figures[one.name]:.6g}"
        since = f"; since the last night: {done[one.name]}" if one.name in done else ""
        off = f"{one.deviation:.1f} sd off" if math.isfinite(one.deviation) else "and it had not moved in"
        yield f"{one.name} {how}, {off} the {one.nights} nights of this lane before{since}"


def gone(lane: Lane, now: Point) -> list[str]:
    """The metrics of the last night that tonight lacks."""
    return [name for name in lane.points[-1].figures if name not in now.figures]


def _nights(root: Path, branch: str) -> Iterator[_Night]:
    listed = commits.tried(root, "ls-tree", "-r", "-z", "--name-only", branch, "nights/")[1].split(b"\0")
    for name in sorted(os.fsdecode(one) for one in listed if one.endswith(b".jsonl"))[-_MONTHS:]:
        place = f"{branch}:{name}"
        size = commits.tried(root, "cat-file", "-s", place)[1].strip()
        if size.isdigit() and int(size) <= _BYTES:
            yield from filter(None, map(_decoded, commits.tried(root, "cat-file", "blob", place)[1].splitlines()))


def _decoded(line: bytes) -> _Night | None:
    try:
        return msgspec.json.decode(line, type=_Night)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _metrics(figures: Mapping[str, float]) -> dict[str, float]:
    named = {name.removeprefix(FINAL): value for name, value in figures.items() if name.startswith(FINAL)}
    return {name: value for name, value in named.items() if _is_figure(name, value)}


def _is_figure(name: str, value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value) and not is_clock(name)


def _beside(path: Path) -> dict[str, float]:
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Beside).told
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    metrics = found[0].get("metrics") if found and found[0] else None
    named = metrics.items() if isinstance(metrics, dict) else ()
    return {str(name): float(value) for name, value in named if _is_figure(str(name), value)}
