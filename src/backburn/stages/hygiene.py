"""Is the project tidy?

Starts the project's own pre-commit hooks once, on all its files or on those changed since a base, and turns what each
hook says into findings with file and line. What a hook mends stays mended in the work tree, as with pre-commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from .. import git, github, installers, precommit
from ..config import Seconds
from ..errors import Skip, Unjudged, UserError
from ..precommit import Hook, Status
from ..report import Check, Figure, Finding, Generated, Level, name_of


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[tool.backburn.hygiene]`. A `base` on the command line means `scope = "changed"`."""

    scope: Literal["all", "changed"] = "all"  # "changed": since a pull request's target; else all files
    base: str = ""  # a revision to compare with; implies "changed"
    skip: tuple[str, ...] = ()  # ids of hooks, such as "no-commit-to-branch"; SKIP in the environment adds to them
    # Ten seconds is what one waits for before a commit; the template's hooks take 2 s, their installation apart.
    budget: Seconds = Seconds(10)  # of the hooks, a warning; what installing them took is a figure of its own
    timeout: Seconds = Seconds(600)  # of all together


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call of pre-commit. Files in `hooks` are relative to the project; `files` counts those it was given."""

    hooks: tuple[Hook, ...]
    files: int
    seconds: float
    base: str = ""
    install_seconds: float = 0.0
    code: int = 0
    timed_out: bool = False
    tail: str = ""
    kind: str = "hygiene"
    schema: int = 1


def gather(config: Config, root: Path, out: Path) -> Evidence:
    """Raises UserError without a repository or a config that pre-commit takes; Unjudged when a clone is too shallow
    for the base, or the hooks cannot be installed.
    """
    top = git.top(root)
    if top is None:
        raise UserError("not a git repository", where=str(root), hint="`git init && git add --all`, then try again.")
    chosen = next((folder / precommit.FILE for folder in (root, top) if (folder / precommit.FILE).is_file()), None)
    if chosen is None:
        raise UserError(f"no {precommit.FILE}", where=str(root), hint=_NO_CONFIG)
    base = config.base or (github.Actions.from_environ().base if config.scope == "changed" else "")
    files = git.changed_since(root, base) if base else git.tracked(root)
    ran = precommit.run(
        chosen,
        top,
        out,
        files=None if root == top and not base else [str(root / file) for file in files],
        skip=config.skip,
        timeout=config.timeout,
    )
    return Evidence(
        hooks=tuple(_within(hook, root, top) for hook in ran.hooks),
        files=len(files),
        base=base,
        seconds=round(ran.seconds, 3),
        install_seconds=round(ran.install_seconds, 3),
        code=ran.code,
        timed_out=ran.timed_out,
        tail=ran.tail,
    )


_NO_CONFIG = "`pre-commit sample-config > .pre-commit-config.yaml` makes a first one; see docs/hygiene.md."


def _within(hook: Hook, root: Path, top: Path) -> Hook:
    """Hooks work in the repository's top folder; a project may lie below it."""
    if root == top:
        return hook
    places = (msgspec.structs.replace(place, file=git.relative(top / place.file, root)) for place in hook.places)
    return msgspec.structs.replace(hook, places=tuple(places))


_KILLED = (-9, 137)  # SIGKILL
_IDLE = {Status.SKIPPED, Status.OTHER_STAGE}


def _lacking(code: int, output: str) -> str:
    """What the machine ran out of, where a hook ended by that: nobody's code is at fault."""
    if code in _KILLED:  # the kernel does so, and hardly anybody else
        return "ended by SIGKILL: most likely the machine ran out of memory"
    return installers.full(output)


def every_hook_ran(seen: Evidence, config: Config) -> Iterator[Finding]:
    """pre-commit came to the end of its hooks."""
    if not seen.hooks:
        raise Unjudged(f"{precommit.FILE} lists no hook")
    cut = next((hook for hook in seen.hooks if hook.status is Status.CUT_SHORT), None)
    said = f"{cut.name}: " if cut else ""
    if seen.timed_out:
        hint = "Find out why it hangs, or raise `timeout` in [tool.backburn.hygiene]."
        yield Finding(message=f"{said}ended after {config.timeout:g} s, the time limit", hint=hint, detail=seen.tail)
    elif lacking := _lacking(seen.code, seen.tail if cut else ""):
        raise Unjudged(f"{said}{lacking}", detail=seen.tail)
    elif cut or seen.code not in (0, 1):
        yield Finding(message=f"{said}pre-commit ended with exit code {seen.code}", detail=seen.tail)
    elif {hook.status for hook in seen.hooks} <= _IDLE:
        by_name = any(hook.status is Status.SKIPPED for hook in seen.hooks)
        why = f"was {Status.SKIPPED.value}" if by_name else f"is {Status.OTHER_STAGE.value}"
        raise Unjudged(f"every hook {why}", hint="Look at SKIP, at `skip` in [tool.backburn.hygiene], and at `stages`.")


def hooks(seen: Evidence) -> Iterator[Check]:
    """One check for each hook, under its own id; a second of the same id is `<id>-2`."""
    taken = {name_of(every_hook_ran), name_of(within_budget)}
    for hook in seen.hooks:
        identity, count = hook.id.replace("_", "-"), 2
        while identity in taken:
            identity, count = f"{hook.id.replace('_', '-')}-{count}", count + 1
        taken.add(identity)
        yield _check(hook, identity, seen.hooks)


def _check(hook: Hook, identity: str, hooks: Sequence[Hook]) -> Check:
    def check(seen: Evidence, config: Config) -> Iterable[Finding]:
        if hook.status is Status.NOT_REACHED:
            stopped = [one.id for one in hooks if one.status in (Status.FAILED, Status.CUT_SHORT)]
            raise Skip(f"not reached: pre-commit stopped at {stopped[-1] if stopped else 'another hook'}")
        if hook.status is Status.CUT_SHORT:
            raise Skip(f"after {name_of(every_hook_ran)}")
        if hook.status not in (Status.PASSED, Status.FAILED):
            raise Skip(hook.status.value)
        return _findings(hook) if hook.status is Status.FAILED else ()

    check.__name__ = identity
    check.__doc__ = f"The hook {hook.name!r} passes."
    check.seconds = hook.seconds  # type: ignore[attr-defined]
    return check


def _findings(hook: Hook) -> Iterator[Finding]:
    if not hook.places and (lacking := _lacking(hook.code, hook.tail)):
        raise Unjudged(f"{hook.name}: {lacking}", detail=hook.tail)
    mend = f"`pre-commit run {hook.id} --all-files` makes the change; commit it." if hook.changed else ""
    for place in hook.places:
        yield Finding(
            message=place.message,
            file=place.file,
            line=place.line,
            column=place.column,
            hint=mend if place.message.endswith("changed this file") else "",
            detail=place.detail,
        )
    if not hook.places:
        said = f"{hook.name} failed with exit code {hook.code}" if hook.code else f"{hook.name} changed files"
        yield Finding(
            message=said, detail=hook.tail, hint=mend or f"`pre-commit run {hook.id} --all-files` repeats it."
        )


def within_budget(seen: Evidence, config: Config) -> Iterator[Finding]:
    """The hooks take no longer than their budget, their installation apart."""
    if not seen.seconds <= config.budget:
        slowest = _slowest(seen)
        named = f"; the slowest is {slowest.id} with {slowest.seconds:.1f} s" if slowest else ""
        yield Finding(
            message=f"the hooks took {seen.seconds:.1f} s, more than the budget of {config.budget:g} s{named}",
            level=Level.WARNING,
            hint="Move slow hooks to `stages: [manual]` or to the unit stage, or raise `budget`.",
        )


def measured(seen: Evidence) -> tuple[Figure, ...]:
    """How many hooks failed first."""
    slowest = _slowest(seen)
    return (
        Figure(name="hooks-failed", value=sum(hook.status is Status.FAILED for hook in seen.hooks)),
        Figure(name="hooks", value=len(seen.hooks)),
        Figure(name="files", value=seen.files),
        Figure(name="scope", text=f"changed since {seen.base}" if seen.base else "all files"),
        Figure(name="seconds", value=seen.seconds, unit="s"),
        Figure(name="install-seconds", value=seen.install_seconds, unit="s"),
        Figure(name="slowest", text=f"{slowest.id}, {slowest.seconds:.2f} s" if slowest else "none"),
    )


def _slowest(seen: Evidence) -> Hook | None:
    return max((hook for hook in seen.hooks if hook.seconds), key=lambda hook: hook.seconds or 0.0, default=None)


CHECKS: tuple[Check | Generated, ...] = (every_hook_ran, Generated(make=hooks), within_budget)
