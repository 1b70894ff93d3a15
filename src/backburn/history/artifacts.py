"""The artifacts of a job that ran a training: nothing in them is believed but a small, well-formed report.json."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .. import received
from ..errors import UserError
from ..received import line
from ..reproduction.culprit import Blame
from . import culprits
from .night import Told, told

REPORTS = 50


@dataclass(frozen=True, kw_only=True)
class Found:
    """The reports by stage, and what was refused, a sentence each. `blames` are by training, and `unread` is what was
    refused of them: a night has its verdict without.
    """

    reports: dict[str, Told]
    refused: tuple[str, ...]
    blames: dict[str, Blame] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def read(folder: Path, stages: Sequence[str]) -> Found:
    """Look through `folder`, one folder per artifact. `stages` are those that may report; nothing is raised.

    An artifact that has neither a report nor the name of a stage is the project's own, and none of our business.
    """
    artifacts = _artifacts(folder)
    if len(artifacts) > REPORTS:
        return Found(reports={}, refused=(f"refused: {len(artifacts)} artifacts, more than {REPORTS}",))
    reports: dict[str, list[Told]] = {}
    refused = []
    blamed = [culprits.read(artifact) for artifact in artifacts if artifact.name.partition("-")[0] == culprits.NAME]
    for artifact in artifacts:
        if not _is_ours(artifact, stages):
            continue
        try:
            one = _report(artifact, stages)
            reports.setdefault(one.stage, []).append(one)
        except UserError as error:
            refused.append(f"{line(artifact.name, 80)}: refused: {line(error.problem)}")
    refused += [f"{stage}: refused: {len(ones)} reports" for stage, ones in reports.items() if len(ones) > 1]
    single = {stage: reports[stage][0] for stage in stages if len(reports.get(stage, ())) == 1}
    blames = {training: one for found in blamed for training, one in found.blames.items()}
    unread = tuple(said for found in blamed for said in found.refused)
    return Found(reports=single, refused=tuple(refused), blames=blames, unread=unread)


def _artifacts(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_ours(artifact: Path, stages: Sequence[str]) -> bool:
    named = artifact.name.partition("-")[0] in stages
    return named or not os.path.isdir(artifact) or os.path.lexists(artifact / "report.json")


def _report(artifact: Path, stages: Sequence[str]) -> Told:
    return told(received.report(artifact / "report.json", stages))
