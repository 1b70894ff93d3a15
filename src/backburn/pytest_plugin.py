"""Fixtures that ask a stage inside a test: `memorize("digits")`. Nothing heavy is imported until one is used."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from .report import Report


class Ask(Protocol):
    """What the fixtures hand out."""

    def __call__(self, *trainings: str, unjudged: Literal["skip", "fail"] = "skip", **given: Any) -> Report:
        """Judge `trainings`, names in the project's pyproject.toml (none: all), and return the report.

        `given` are fields of the stage's configuration (`steps=100`). The test fails with the report as its text where
        the stage does, and is skipped with the reason where it could not be judged (`unjudged="fail"`: fails).
        """


@pytest.fixture(scope="session")
def memorize(pytestconfig: pytest.Config) -> Ask:
    """`memorize("digits")`: can the model memorize one batch?"""
    return _asking("memorize", pytestconfig.rootpath)


@pytest.fixture(scope="session")
def reproduce(pytestconfig: pytest.Config) -> Ask:
    """`reproduce("digits")`: does the full training still come out as the reference says?"""
    return _asking("reproduce", pytestconfig.rootpath)


@pytest.fixture(scope="session")
def profile(pytestconfig: pytest.Config) -> Ask:
    """`profile("digits")`: does a training step cost what the reference says?"""
    return _asking("profile", pytestconfig.rootpath)


def _asking(stage: str, root: Path) -> Ask:
    def ask(*trainings: str, unjudged: Literal["skip", "fail"] = "skip", **given: Any) -> Report:
        __tracebackhide__ = True
        if unjudged not in ("skip", "fail"):
            raise ValueError(f'unjudged is "skip" or "fail", got {unjudged!r}')
        report = _report(stage, root, trainings, given)
        if report.interrupted:
            raise KeyboardInterrupt(report.interrupted)
        return _conclude(report, unjudged)

    return ask


def _report(stage: str, root: Path, trainings: tuple[str, ...], given: dict[str, Any]) -> Report:
    """The stage's report, trained by the Python that runs this test: its environment is the project's."""
    __tracebackhide__ = True
    from . import pipeline
    from .errors import UserError

    asked = pipeline.Asked(folder=root, trainings=trainings, given={**given, "install": "none"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        try:
            with _in_turn(root):
                return pipeline.run(stage, asked)[0]
        except UserError as error:
            return pytest.fail(f"backburn {stage}: {error}", pytrace=False)


@contextlib.contextmanager
def _in_turn(root: Path) -> Iterator[None]:
    """Wait for another pytest that asks here: pytest-xdist's workers share the folder, and the GPU."""
    number = os.open(root, os.O_RDONLY)  # the folder itself is the lock: nothing is written, and it ends with us
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def _conclude(report: Report, unjudged: str) -> Report:
    __tracebackhide__ = True
    from .renderers import terminal
    from .report import Verdict

    if report.verdict is Verdict.PASS:
        return report
    reasons = [outcome.unjudged for outcome in report.worst_first if outcome.unjudged]
    if report.verdict is Verdict.UNJUDGED and unjudged == "skip":
        pytest.skip(f"backburn {report.stage}: unjudged: {'; '.join(reasons)}")
    pytest.fail("\n" + terminal.render([report]), pytrace=False)
