"""Do the tests and the doctests pass?

One pytest call in the project's own environment. Its options stay the project's; what is added: doctests of the
packages, a JUnit file, one line per test, and no stop at a file that cannot be collected: one report has every cause.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec

from .. import collection, config as configuration, environment, github, junit, process
from ..config import Seconds
from ..errors import Skip, Unjudged, UserError
from ..report import Figure, Finding, Level, after

_SLOWEST = 10
_WORTH_A_LINE = 0.1  # seconds from which one of the ten slowest is a figure of its own
_DETAILS = 100  # failures that keep their text; a suite that is red from end to end has one cause
_LINES = 400  # of the log, looked at for stacks and pytest's last words
_NOT_ON_A_PUSH = ("schedule", "workflow_dispatch")
_ENDINGS = {2: "pytest was interrupted", 3: "pytest stopped with an internal error", 4: "pytest could not start"}


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.unit]`. `select` is pytest's `-m`, and wins over one in the project's own pytest options."""

    install: str = "auto"  # how the project's environment is made (environment.md)
    select: str = ""  # pytest's -m, such as "not slow"; left out: what the project's own options say
    args: str | tuple[str, ...] = ()  # more words for pytest, such as "-n 4"; a string or a list
    paths: tuple[str, ...] = ()  # what to collect, in place of testpaths and the packages
    doctest: bool = True  # whether the packages' doctests are read
    budget: Seconds = Seconds(600)  # of wall time, a warning; not looked at in scheduled and hand-started workflows
    timeout: Seconds = Seconds(1800)  # of the call of pytest


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one pytest call did. `whole`: its JUnit file is; `stopped`: what it said when a test or a plugin ended it;
    `cause`: the error that kept it from starting or from going on.
    """

    kind: str = "unit"
    schema: int = 1
    command: tuple[str, ...] = ()
    event: str = ""
    code: int = 0
    seconds: float = 0.0
    timed_out: bool = False
    whole: bool = False
    stopped: str = ""
    cause: str = ""
    last: str = ""
    file: str = ""
    line: int = 0
    tail: str = ""
    tests: int = 0
    skipped: int = 0
    failed: tuple[junit.Test, ...] = ()
    unread: tuple[junit.Test, ...] = ()
    slowest: tuple[junit.Test, ...] = ()


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Run pytest in `root`. Raises UserError where the project has no pytest or the stage's options are refused."""
    root = root.resolve()
    found = environment.prepare(root, config.install, out / "install.log")
    words = _words(config, root, out)
    env = found.variables({"PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"})  # a crash leaves its stack and its log
    done = process.run(
        [str(found.python), *words], cwd=root, log=out / "pytest.log", env=env, timeout=config.timeout, label="testing"
    )
    text = done.tail(_LINES)
    if not done.timed_out:
        _refuse(config, text, done.code, found.python)
    file, line = junit.place(_stack(text), root)
    seen = Evidence(
        command=("python", *words),
        event=github.Actions.from_environ().event,
        code=done.code,
        seconds=done.seconds,
        timed_out=done.timed_out,
        stopped=_stopped(text),
        cause=_cause(text),
        last=_last_started(text),
        file=file,
        line=line,
        tail=done.tail(),
    )
    try:
        return _with_tests(seen, junit.read(out / "junit.xml", root), root)
    except ValueError:
        return seen


def _words(config: Config, root: Path, out: Path) -> list[str]:
    own = list(config.paths)
    if config.doctest:
        own = ["--doctest-modules", *(own or collection.arguments(root))]
    select = ["-m", config.select] if config.select else []
    words = ["-m", "pytest", "-v", "--continue-on-collection-errors", *own, *configuration.words(config.args), *select]
    # xunit1 is the family that names files and lines; "total" counts what a fixture takes.
    return [*words, "-o", "junit_family=xunit1", "-o", "junit_duration_report=total", f"--junitxml={out / 'junit.xml'}"]


def _refuse(config: Config, text: str, code: int, python: Path) -> None:
    """Raise what is not the tests' doing: no pytest at all, or our options refused."""
    if code == 1 and text.endswith("No module named pytest"):
        hint = 'Add it to the group or extra "dev" in pyproject.toml; or set install in [tool.backburn].'
        raise UserError("the project's environment has no pytest", where=str(python), hint=hint)
    given = (*configuration.words(config.args), *config.paths, *([config.select] if config.select else []))
    refused = [one for one in (*given, "--doctest-modules") if f" {one}" in _error(text)]
    if code == 4 and refused:
        hint = "Set doctest = false there." if refused == ["--doctest-modules"] else f"Correct {shlex.join(refused)}."
        raise UserError(f"pytest says: {_error(text)}", where="[tool.backburn.unit] or the command line", hint=hint)


def _error(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if re.match(r"ERROR: (?!usage)|.*: error: ", line))


_STACK = re.compile(  # the running thread's, by faulthandler; a conftest's that could not be loaded; pytest's own
    r"^Current thread .*(?:\n  File .*)*|^ImportError while loading conftest .*(?:\n.*)*"
    r"|^INTERNALERROR> .*(?:\nINTERNALERROR>.*)*",
    re.M,
)


def _stack(text: str) -> str:
    """Where the process ended, outermost call last in a crash, first in an error."""
    found = _STACK.search(text)
    return found[0].replace("INTERNALERROR> ", "") if found else ""


def _cause(text: str) -> str:
    """The error below pytest's own stack or a conftest's, or the option that it refuses; in one line."""
    said = re.findall(r"^(?:E   )?((?:\w+\.)*[A-Z]\w*(?:: .*)?)$", _stack(text), re.M)
    return said[-1] if said else re.sub(r"^(?:ERROR|.*: error): ", "", _error(text).partition("\n")[0])


def _stopped(text: str) -> str:
    """What pytest said last, where a test or a plugin ended it; `-x` and `--maxfail` are the project's own wish."""
    found = re.search(r"^!{3,} (?:_pytest\.outcomes\.)?(Exit: .*?|KeyboardInterrupt) !{3,}$", text, re.M)
    return found[1] if found else ""


def _last_started(text: str) -> str:
    """The test whose line has no outcome yet (`-v` writes its name first; a crash writes on, on the same line)."""
    lines = [line.partition(" Fatal Python error: ")[0] for line in text.splitlines() if re.match(r"\S+::\S", line)]
    if not lines or "\n[gw" in text or re.search(r" [A-Z]{4,}", lines[-1]):  # gw: xdist's, which start in bunches
        return ""
    return lines[-1].strip()


def _with_tests(seen: Evidence, tests: tuple[junit.Test, ...], root: Path) -> Evidence:
    broken = [one for one in tests if one.outcome in ("failed", "uncollected")]
    unread = [
        one for one in broken if one.outcome == "uncollected" and collection.is_excused(root, one.id, one.message)
    ]
    failed = [one for one in broken if one not in unread]
    bare = [msgspec.structs.replace(one, detail="") for one in failed[_DETAILS:]]
    collected = [one for one in tests if one.outcome != "uncollected"]
    slowest = sorted(collected, key=lambda one: -one.seconds)[:_SLOWEST]
    return msgspec.structs.replace(
        seen,
        whole=True,
        tests=len(collected),
        skipped=sum(one.outcome == "skipped" for one in tests),
        failed=(*failed[:_DETAILS], *bare),
        unread=tuple(unread),
        slowest=tuple(msgspec.structs.replace(one, message="", detail="") for one in slowest),
    )


def pytest_ran_to_its_end(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The call of pytest went through all the tests and wrote its JUnit file."""
    ended = f"signal {-seen.code}" if seen.code < 0 else f"exit code {seen.code}"
    during = f" in {seen.last}" if seen.last else ""
    hint = ""
    if seen.timed_out:
        message = f"no end after {config.timeout:.0f} s{during}"
        hint = "Mend the test that hangs, or raise timeout in [tool.backburn.unit]."
    elif seen.stopped:
        message = f"pytest was stopped: {seen.stopped}"
    elif seen.code in (3, 4) or (seen.code == 2 and not seen.failed):
        message = f"{_ENDINGS[seen.code]} (exit code {seen.code})" + (f": {seen.cause}" if seen.cause else "")
    elif not seen.whole:
        message = f"pytest was cut short ({ended}){during}: there is no whole JUnit file"
        hint = "A test ended the process (a crash in native code, os._exit, or the machine ran out of memory)."
    else:
        return
    file = seen.file or seen.last.partition("::")[0]
    yield Finding(message=message, file=file, line=seen.line, hint=hint, detail=seen.tail)


@after(pytest_ran_to_its_end)
def tests_were_collected(seen: Evidence, config: Config) -> Iterator[Finding]:
    """At least one test was there and ran."""
    chosen = f" with select = {config.select!r}" if config.select else ""
    hint = (
        "See pytest.log. Check testpaths, and `-m` in the project's pytest options and in [tool.backburn.unit] select."
    )
    if not seen.failed and seen.tests == 0 and chosen and seen.event in _NOT_ON_A_PUSH:
        # What the push leaves out may be nothing; a project without slow tests is not to be told so each night.
        raise Skip(f"no test is selected by {config.select!r}")
    if not seen.failed and seen.tests == 0:
        raise Unjudged(f"pytest collected no test{chosen}", hint=hint, detail=seen.tail)
    if not seen.failed and seen.skipped == seen.tests:
        raise Unjudged(f"all {seen.tests} tests were skipped{chosen}", hint=hint, detail=seen.tail)
    yield from ()


@after(pytest_ran_to_its_end, tests_were_collected)
def tests_pass(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Every test and doctest passes, and pytest says so too."""
    for test in seen.failed:
        again = f"Run it alone: python -m pytest {shlex.quote(test.id)}" + (
            " --doctest-modules" if not Path(test.id.partition("::")[0]).name.startswith("test_") else ""
        )
        yield Finding(message=test.message, file=test.file, line=test.line, hint=again, detail=test.detail)
    if seen.code not in (0, 5) and not seen.failed and not (seen.code == 1 and seen.unread):
        message = f"pytest ended with exit code {seen.code} although no test failed"
        hint = "A plugin asked for more: a coverage limit, say."
        yield Finding(message=message, hint=hint, detail=seen.tail)


@after(pytest_ran_to_its_end)
def doctests_were_read(seen: Evidence, config: Config) -> Iterator[Finding]:
    """Every module of the project's packages could be imported for its doctests."""
    for test in seen.unread:
        said = test.message.partition(": ")[2]
        copied = said.startswith("import file mismatch")
        needed = "Install the project editable" if copied else "Install the package for the tests too"
        hint = f"{needed}, or set doctest = false in [tool.backburn.unit]."
        yield Finding(
            message=f"its doctests did not run: {said}", level=Level.WARNING, file=test.file, line=test.line, hint=hint
        )


@after(pytest_ran_to_its_end)
def seconds_within_budget(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The tests end within the time that a push may wait for them."""
    if seen.event in _NOT_ON_A_PUSH:
        raise Skip(f"nobody waits for a {seen.event}")
    if not seen.seconds <= config.budget:
        first = seen.slowest[0] if seen.slowest else junit.Test(id="", outcome="")
        named = f"; the slowest is {first.id}" if seen.slowest else ""
        yield Finding(
            message=f"the tests took {seen.seconds:.0f} s, more than the budget of {config.budget:.0f} s{named}",
            level=Level.WARNING,
            file=first.file,
            hint='Mark the slowest with @pytest.mark.slow and set select = "not slow" in [tool.backburn.unit].',
            detail="\n".join(_slow(test) for test in seen.slowest),
        )


def _slow(test: junit.Test) -> str:
    return f"{test.seconds:.2f} s {test.id}"


def measured(seen: Evidence) -> tuple[Figure, ...]:
    """How many tests, how many of them failed or were skipped, how long it took, and what took longest."""
    slow = [one for place, one in enumerate(seen.slowest) if place == 0 or one.seconds >= _WORTH_A_LINE]
    return (
        Figure(name="tests", value=seen.tests if seen.whole else None),
        Figure(name="failed", value=len(seen.failed) if seen.whole else None),
        Figure(name="skipped", value=seen.skipped if seen.whole else None),
        Figure(name="seconds", value=round(seen.seconds, 2), unit="s"),
        *(Figure(name=f"slowest-{place}", text=_slow(one)) for place, one in enumerate(slow, 1)),
    )


CHECKS = (pytest_ran_to_its_end, tests_were_collected, tests_pass, doctests_were_read, seconds_within_budget)
