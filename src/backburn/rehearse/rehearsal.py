"""`backburn rehearse`: fresh clones, act, and what came of it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import evidence, git, process, toolkit
from ..errors import UserError
from ..report import Finding, Report, Verdict, overall
from . import act, clone, environ, event, rows, said, workflow
from .act import Say
from .rows import Row, Told
from .served import TOOLKIT, Server, localize
from .workflow import Workflow

_FOLDER = Path(".github/workflows")
_GPU = "BACKBURN_GPU"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line gives. `fork` is a pull request from one; `event="pull_request"` alone is from here."""

    dirty: bool = False
    event: str = ""
    fork: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    stand_ins: Mapping[str, Path] = field(default_factory=dict)
    toolkit: Path | None = None

    @classmethod
    def from_words(
        cls, *, variables: Iterable[str] = (), stand_ins: Iterable[str] = (), toolkit: Path | None = None, **plain: Any
    ) -> Options:
        """From the command line's words: `NAME=VALUE` and `OWNER/REPO=DIR`. Raises UserError for other shapes."""
        folders = {name: Path(folder).absolute() for name, folder in _pairs(stand_ins, "--stand-in OWNER/REPO=DIR")}
        for name, folder in folders.items():
            if not folder.is_dir() or name.count("/") != 1:
                raise UserError(f"{name}={folder}: no such folder, or no OWNER/REPO", where="--stand-in")
        given = dict(_pairs(variables, "--var NAME=VALUE"))
        return cls(variables=given, stand_ins=folders, toolkit=toolkit, **plain)

    @property
    def asked(self) -> str:
        """The event asked for; only a pull request comes from a fork."""
        if self.fork and self.event not in ("", "pull_request", "pull_request_target"):
            raise UserError(f"--fork is about pull requests, --event says {self.event}")
        return self.event or ("pull_request" if self.fork else "")


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What came of it. `folder` holds act's stream, a log and the artifacts of each workflow; `fork`: as from one."""

    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    not_pushed: tuple[str, ...]
    folder: Path
    fork: bool = False

    @property
    def verdict(self) -> Verdict:
        """What the rows come to, as a report's outcomes do."""
        return overall(row.verdict for row in self.rows)

    @property
    def reports(self) -> tuple[Report, ...]:
        """What the page shows: every stage's report, and what became of the other jobs."""
        return tuple(said.reports(self.rows, self.findings, root=str(self.folder.parents[1])))


def rehearse(root: Path, workflows: tuple[str, ...], options: Options, say: Say) -> Rehearsal:
    """Rehearse workflows (`push`, `gpu`, a file; none: all that a push or pull request triggers) of `root`'s project.

    `say` gets a line per finished step. Leaves nothing behind but `<root>/build/rehearsal/`. Raises UserError for
    what was asked wrongly and Interrupted after everything was ended and removed.
    """
    act.locate()
    folder = root.absolute() / "build" / "rehearsal"
    with (
        evidence.alone(folder, "rehearse", "another rehearsal"),
        tempfile.TemporaryDirectory(prefix="backburn-rehearsal-", ignore_cleanup_errors=True) as name,
    ):
        scratch = Path(name).resolve()
        project = clone.project(root.absolute(), scratch / "clone", dirty=options.dirty)
        plan = [(one, one.event(options.asked)) for one in _plan(root.absolute(), project, workflows, options)]
        served, commit = _toolkit(plan, options, scratch)
        stage = _Stage(project=project, options=options, scratch=scratch, toolkit=served, folder=folder, say=say)
        commands = [stage.prepare(one, name) for one, name in plan]  # every UserError before the first job begins
        parts = [stage.play(*one) for one in commands]
        notes = (*stage.notes, *_pins(stage.pins, commit), *_left_out(project))
    return Rehearsal(
        rows=tuple(row for several, _ in parts for row in several),
        findings=tuple(finding for _, several in parts for finding in several),
        notes=notes,
        not_pushed=project.not_pushed,
        folder=folder,
        fork=options.fork,
    )


@dataclass(kw_only=True)
class _Stage:
    """What the workflows of one rehearsal share."""

    project: clone.Project
    options: Options
    scratch: Path
    toolkit: Path | None
    folder: Path
    say: Say
    notes: list[str] = field(default_factory=list)
    pins: set[str] = field(default_factory=set)
    tracking: str = field(default_factory=lambda: f"backburn_{secrets.token_hex(8)}")

    def prepare(self, one: Workflow, name: str) -> tuple[Workflow, list[str], Path]:
        """The command for one workflow, and the emptied folder that keeps what comes of it."""
        kept = self._kept(one)
        scratch = self.scratch / "workflows" / one.stem
        scratch.mkdir(parents=True)
        file, payload = scratch / Path(one.where).name, scratch / "event.json"
        file.write_text(one.text, encoding="utf-8")
        fork = self.options.fork
        payload.write_text(json.dumps(event.payload(name, self.project, one, fork=fork)), encoding="utf-8")
        given = environ.steps(os.environ, self.scratch, self.tracking)
        server = Server(
            clone=self.project.folder,
            repository=self.project.repository,
            toolkit=self.toolkit,
            extra=self.options.stand_ins,
            scratch=scratch / "actions",
            settings={"artifacts": kept / "artifacts", "index": kept / "artifacts.jsonl", "cache": self._cache()},
            node=bool(shutil.which("node", path=given["PATH"])),
        )
        jobs = [job for several in (one, *_called(one, self.project.folder)) for job in several.jobs]
        served = server.flags((use for job in jobs for use in job.uses), one.where)
        self.pins |= server.pins
        extra = {"env": given, "var": self._variables(one)}
        words = act.command(file, self.project.folder, name, payload, jobs, extra)
        words += ["--defaultbranch", self.project.default, "--actor", self.project.repository.split("/")[0]]
        self.say(f"{one.stem}: rehearsing {one.where} as {name}{' from a fork' if fork else ''}")
        return one, words + served, kept

    def play(self, one: Workflow, command: list[str], kept: Path) -> tuple[tuple[Row, ...], tuple[Finding, ...]]:
        """Run act to its end, to a job's limit or to a signal; then nothing of it is left running."""
        raw = kept / "act.jsonl"
        stream = act.Stream(raw, kept / "log.txt", one, self.say)
        started = environ.act(environ.steps(os.environ, self.scratch, self.tracking), self.scratch)
        try:
            with process.watched_by(stream.tick):
                process.run(command, cwd=self.scratch, log=raw, env=started, label=f"rehearse {one.stem}")
        except act.Late as late:
            self.say(f"{one.stem}: {late}, act was ended")
        finally:
            act.sweep(self.tracking)
        stream.read()
        told = Told(
            workflow=one,
            repository=self.project.repository,
            legs=stream.legs,
            artifacts=kept / "artifacts",
            index=kept / "artifacts.jsonl",
            cut=stream.cut,
            complaint="\n".join(stream.complaint) if not stream.legs else "",
        )
        made, findings = rows.conclude(told)
        if told.complaint:
            findings += (Finding(message=f"{one.stem} · act refused {one.where}", detail=told.complaint),)
        return made, findings

    def _kept(self, one: Workflow) -> Path:
        kept = self.folder / one.stem
        shutil.rmtree(kept, ignore_errors=True)
        (kept / "artifacts").mkdir(parents=True)
        return kept

    def _cache(self) -> Path:
        folder = self.scratch / "cache"
        folder.mkdir(exist_ok=True)
        return folder

    def _variables(self, one: Workflow) -> dict[str, str]:
        """The repository's variables: those given, and that a GPU runner exists, which a rehearsal plays itself."""
        given = dict(self.options.variables)
        if _GPU not in given and f"vars.{_GPU}" in one.text:
            given[_GPU] = "true"
            self.notes.append(f"{one.stem}: rehearsed as if the variable {_GPU} were true (--var {_GPU}=false)")
        return given


def _pairs(words: Iterable[str], shape: str) -> Iterator[tuple[str, str]]:
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UserError(f"expected {shape}, got {word!r}")
        yield name, value


def _plan(root: Path, project: clone.Project, asked: tuple[str, ...], options: Options) -> list[Workflow]:
    """The workflows to rehearse, as they stand in the clone, in the order asked, no two of one name."""
    if asked:
        found = [_read(_find(root, project.folder, name), project.folder) for name in dict.fromkeys(asked)]
    else:
        files = sorted((project.folder / _FOLDER).glob("*.y*ml"))
        triggers = {options.asked} if options.asked else set(workflow.EVENTS)
        found = [one for one in (_read(file, project.folder) for file in files) if triggers & set(one.events)]
        if not found:
            listed = ", ".join(sorted(triggers))
            raise UserError(f"no committed workflow runs on {listed}", where=str(_FOLDER), hint="Name a file.")
        found.sort(key=_is_rare)
    stems = [one.stem for one in found]
    if len(stems) != len(set(stems)):
        raise UserError(f"two workflows have the same name: {', '.join(stems)}", hint="Rehearse them one by one.")
    return found


def _is_rare(one: Workflow) -> bool:
    """Whether a runner of one's own is needed: what anybody's runner does comes first, being the quicker answer."""
    return any("self-hosted" in job.labels for job in one.jobs)


def _find(root: Path, folder: Path, name: str) -> Path:
    """`push` -> the clone's .github/workflows/push.yml; a file -> the clone's copy of it, or itself if outside."""
    for suffix in ("yml", "yaml"):
        if (folder / _FOLDER / f"{name}.{suffix}").is_file():
            return folder / _FOLDER / f"{name}.{suffix}"
    top = git.top(root) or root
    for start in (Path.cwd(), root, top):
        file = (start / name).resolve()
        if not file.is_file():
            continue
        if not file.is_relative_to(top.resolve()):
            return file
        copy = folder / file.relative_to(top.resolve())
        if copy.is_file():
            return copy
        raise UserError("not committed, and what is rehearsed is HEAD", where=str(file), hint="Commit it first.")
    known = ", ".join(sorted(one.stem for one in (folder / _FOLDER).glob("*.y*ml"))) or "none"
    raise UserError(f"no workflow {name!r} at HEAD", where=str(top / _FOLDER), hint=f"There are: {known}.")


def _read(file: Path, folder: Path) -> Workflow:
    where = file.relative_to(folder) if file.is_relative_to(folder) else file
    return workflow.read(file.read_text(encoding="utf-8"), where.as_posix(), file.stem)


def _called(one: Workflow, folder: Path) -> Iterator[Workflow]:
    """The workflows of this repository that `one` calls, and those that they call."""
    waiting, seen = [job.calls for job in one.jobs], {""}
    while waiting:
        call = waiting.pop()
        if call in seen:
            continue
        seen.add(call)
        file = folder / call[2:]
        if not file.is_file():
            raise UserError(f"calls {call}, which is not at HEAD", where=one.where)
        localize(folder, file)
        yield (found := _read(file, folder))
        waiting += [job.calls for job in found.jobs]


def _toolkit(plan: list[tuple[Workflow, str]], options: Options, scratch: Path) -> tuple[Path | None, str]:
    """A copy of the toolkit to serve, and its commit; none where it was installed without its actions."""
    if options.toolkit and not (options.toolkit / "actions").is_dir():
        hint = "Name a checkout of the toolkit."
        raise UserError("no actions/ in it", where=str(options.toolkit.absolute()), hint=hint)
    source = options.toolkit or toolkit.place()
    if source is None or not any(TOOLKIT in one.text for one, _ in plan):
        return None, ""
    copy = toolkit.unpack if source.is_file() else clone.toolkit
    return scratch / "toolkit", copy(source.absolute(), scratch / "toolkit")


def _pins(pins: set[str], commit: str) -> list[str]:
    """A workflow pins one commit of the toolkit and is rehearsed with what lies here: say so where they differ."""
    changed = " with changes of its own" if commit.endswith("+") else ""
    here = f"{commit[:12]}{changed}" if commit else "one whose commit git does not tell"
    return [
        f"the workflows pin {TOOLKIT} at {pin[:12]}, rehearsed with {here}" for pin in sorted(pins) if pin != commit
    ]


def _left_out(project: clone.Project) -> list[str]:
    if not project.left_out:
        return []
    shown = ", ".join(project.left_out[:5]) + (" …" if len(project.left_out) > 5 else "")
    return [f"{len(project.left_out)} changed file(s) were rehearsed as they are at HEAD (--dirty): {shown}"]
