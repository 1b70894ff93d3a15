"""Fixtures that ask a stage inside a test, `memorize("digits")`, and markers. Nothing is imported until one is used."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from .report import Finding, Report

MARKERS = (
    "memorize: trains; set by backburn on each test that asks `memorize`, `reproduce` or `profile`",
    "gpu: skipped where this machine shows no GPU; fails there where one is required",
    "slow: takes long",
)
_REQUIRE = "backburn_require_gpu"
_GPU_IS_OURS = pytest.StashKey[bool]()
_HIDDEN = ("", "-1", "NoDevFiles")  # of CUDA_VISIBLE_DEVICES; the last is Slurm's


class Ask(Protocol):
    """What the fixtures hand out."""

    def __call__(
        self, *trainings: str, unjudged: Literal["skip", "fail"] = "skip", force: bool = False, **given: Any
    ) -> Report:
        """Judge `trainings`, names in the project's pyproject.toml (none: all), and return the report.

        `given` are fields of the stage's configuration (`steps=100`). The test fails with the report as its text where
        the stage does, and is skipped with the reason where it could not be judged (`unjudged="fail"`: fails).
        """


class AskOfModule(Protocol):
    """What the fixture `memorize` hands out."""

    def __call__(self, *asked: Any, unjudged: Literal["skip", "fail"] = "skip", **given: Any) -> Report:
        """As `Ask`, of names; of a LightningModule and its data judge these, in this process.

        `given` are then the keywords of `backburn.memorize`; a reference's path is taken from the project's folder.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    """An ini key and no option: `--require-gpu` may be the project's own, and two of one name end pytest."""
    required = os.environ.get("BACKBURN_REQUIRE_GPU", "").lower() in ("1", "true", "t", "yes", "y", "on")
    parser.addini(_REQUIRE, "without a GPU, tests marked `gpu` fail", type="bool", default=required)


@pytest.hookimpl(trylast=True)  # a conftest.py registers its own first
def pytest_configure(config: pytest.Config) -> None:
    """Register the markers that the project has not: what it calls `gpu` stays its own."""
    own = {line.partition(":")[0].partition("(")[0].strip() for line in config.getini("markers")}
    for line in MARKERS:
        if line.partition(":")[0] not in own:
            config.addinivalue_line("markers", line)
    config.stash[_GPU_IS_OURS] = "gpu" not in own


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what trains, and skip what needs a GPU where there is none."""
    for item in items:
        if _asks(item):
            item.add_marker("memorize")
        lacking = item.get_closest_marker("gpu") and config.stash[_GPU_IS_OURS] and _no_gpu()
        if lacking and not config.getini(_REQUIRE):
            item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.hookimpl(tryfirst=True)  # before fixtures that may take long
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What could not run is never a pass: a test that needs a GPU, on a machine that must have one."""
    if item.get_closest_marker("gpu") and item.config.stash[_GPU_IS_OURS] and item.config.getini(_REQUIRE):
        if lacking := _no_gpu():
            pytest.fail(f"{lacking}, and one is required ({_REQUIRE} or BACKBURN_REQUIRE_GPU)", pytrace=False)


def _asks(item: pytest.Item) -> bool:
    """Whether it uses a fixture of ours: a project may have its own of the same name, or one that asks ours."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for name in ("memorize", "reproduce", "profile"):
        for one in reversed(known.get(name, ())):
            if getattr(one.func, "__module__", "") == __name__:
                return True
            if name not in one.argnames:
                break
    return False


def _no_gpu() -> str:
    """Why no GPU is to be had here, as nodes, programs and variables say: to ask torch takes seconds."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    if hidden.strip() in _HIDDEN:
        return f"no GPU: CUDA_VISIBLE_DEVICES is {hidden!r}"
    # WSL has the program and no nodes. A container without a GPU has /proc/driver/nvidia all the same: the host's.
    shown = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")] or shutil.which("nvidia-smi")
    return "" if shown else "no GPU: this machine shows neither NVIDIA's nor AMD's"


@pytest.fixture(scope="session")
def memorize(pytestconfig: pytest.Config) -> AskOfModule:
    """`memorize("digits")` or `memorize(module, data)`: can the model memorize one batch?"""
    root = pytestconfig.rootpath
    ask = _asking("memorize", root)

    def either(*asked: Any, unjudged: Literal["skip", "fail"] = "skip", **given: Any) -> Report:
        __tracebackhide__ = True
        if (asked and not isinstance(asked[0], str)) or "module" in given:
            return _conclude(_of_module(root, asked, given), _expected(unjudged))
        return ask(*asked, unjudged=unjudged, **given)

    return either


@pytest.fixture(scope="session")
def reproduce(pytestconfig: pytest.Config) -> Ask:
    """`reproduce("digits")`: does the full training still come out as the reference says?"""
    return _asking("reproduce", pytestconfig.rootpath)


@pytest.fixture(scope="session")
def profile(pytestconfig: pytest.Config) -> Ask:
    """`profile("digits")`: does a training step cost what the reference says?"""
    return _asking("profile", pytestconfig.rootpath)


def _asking(stage: str, root: Path) -> Ask:
    asked: set[str] = set()

    def ask(*trainings: str, unjudged: Literal["skip", "fail"] = "skip", force: bool = False, **given: Any) -> Report:
        __tracebackhide__ = True
        _expected(unjudged)
        again = f"{trainings} {given}"  # a test that is run again (pytest-rerunfailures) is there to be run
        report = _report(stage, root, trainings, given, force or again in asked)
        asked.add(again)
        if report.interrupted:
            raise KeyboardInterrupt(report.interrupted)
        return _conclude(report, unjudged)

    return ask


def _expected(unjudged: str) -> str:
    __tracebackhide__ = True
    if unjudged not in ("skip", "fail"):
        raise ValueError(f'unjudged is "skip" or "fail", got {unjudged!r}')
    return unjudged


def _of_module(root: Path, asked: tuple[Any, ...], given: dict[str, Any]) -> Report:
    """`backburn.memorize` of objects; its reference, and files in its findings, as seen from the project's folder."""
    __tracebackhide__ = True
    import msgspec

    from . import api
    from .errors import UserError

    if isinstance(given.get("reference"), (str, Path)):
        given["reference"] = root / given["reference"]
    try:
        report = api.memorize(*asked, **given)
    except UserError as error:
        said = str(error)
    else:
        named = (msgspec.structs.replace(one, findings=tuple(_named(one.findings, root))) for one in report.outcomes)
        return msgspec.structs.replace(report, outcomes=tuple(named))
    pytest.fail(f"backburn memorize: {said}", pytrace=False)


def _named(findings: Iterable[Finding], root: Path) -> Iterator[Finding]:
    import msgspec

    from . import git

    for one in findings:
        yield msgspec.structs.replace(one, file=git.relative(Path(one.file), root)) if one.file else one


def _report(stage: str, root: Path, trainings: tuple[str, ...], given: dict[str, Any], force: bool) -> Report:
    """The stage's report, trained by the Python that runs this test: its environment is the project's."""
    __tracebackhide__ = True
    from . import pipeline
    from .errors import UserError

    asked = pipeline.Asked(folder=root, trainings=trainings, given={**given, "install": "none"}, force=force)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
        try:
            with _in_turn(root):
                return pipeline.run(stage, asked)[0]
        except UserError as error:
            said = str(error)
    pytest.fail(f"backburn {stage}: {said}", pytrace=False)  # out of the except: pytest would say it twice


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
    from .report import Look, Verdict

    if report.verdict is Verdict.PASS:
        return report
    reasons = [outcome.unjudged for outcome in report.worst_first if outcome.unjudged]
    if report.verdict is Verdict.UNJUDGED and unjudged == "skip":
        pytest.skip(f"backburn {report.stage}: unjudged: {'; '.join(reasons)}")
    here = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    look = Look() if report.folder else Look(again=f"pytest {here}")  # in this process nothing is written
    pytest.fail(f"{_first(report)}\n\n{terminal.render([report], look)}", pytrace=False)


def _first(report: Report) -> str:
    """The cause, in one line: pytest's short summary shows no other."""
    cause = report.worst_first[0]
    of = f" [{cause.training}]" if cause.training else ""
    said = cause.findings[0].message if cause.findings else cause.unjudged
    return f"{cause.check}{of}: {said.partition(chr(10))[0]}"
