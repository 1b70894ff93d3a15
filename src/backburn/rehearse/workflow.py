"""A workflow file, read by us and not by act: act says nothing of a job it skips, and ignores a job's time limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import UserError

LIMIT = 360.0  # minutes: GitHub's limit for a job that names none
# What an event-less `backburn rehearse` may trigger, the first that a workflow listens to.
EVENTS = ("push", "pull_request", "merge_group", "workflow_dispatch")
_ELSEWHERE = re.compile(r"^(windows|macos)-", re.I)
_COMMON = ("self-hosted", "linux", "x64", "gpu", "ubuntu-latest", "ubuntu-slim", "ubuntu-24.04", "ubuntu-22.04")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as planned. `limit` is in seconds; `uses` are its steps' actions, in order, ours and others'."""

    id: str
    name: str
    condition: str = ""
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    limit: float = LIMIT * 60
    uses: tuple[str, ...] = ()
    calls: str = ""
    contained: bool = False

    @property
    def elsewhere(self) -> str:
        """What act's host mode cannot give: a container, or the first label of another operating system."""
        return "a container" if self.contained else next(filter(_ELSEWHERE.match, self.labels), "")


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One workflow file. `stem` names it for people and folders; `text` is what act is given to read."""

    stem: str
    where: str
    text: str
    events: Mapping[str, Any]
    jobs: tuple[Job, ...]

    def event(self, asked: str) -> str:
        """The event to rehearse: what was asked, else the first of EVENTS it listens to, else its own first.

        Raises UserError when the workflow does not listen to what was asked.
        """
        if asked and asked not in self.events:
            listens = ", ".join(self.events)
            raise UserError(f"does not run on {asked}", where=self.where, hint=f"It runs on: {listens}.")
        return asked or next((one for one in EVENTS if one in self.events), next(iter(self.events)))


def read(text: str, where: str, stem: str) -> Workflow:
    """Parse a workflow; its `text` says what act knows in place of what only GitHub does (see `local`).

    Raises UserError for what is no workflow.
    """
    document = _mapping(text, where)
    jobs = document.get("jobs")
    if not isinstance(jobs, dict) or not jobs or not document.get("on"):
        raise UserError("not a workflow: it has no `on:` or no `jobs:`", where=where, hint="Name a workflow file.")
    planned = tuple(_job(name, job if isinstance(job, dict) else {}, where) for name, job in jobs.items())
    return Workflow(stem=stem, where=where, text=local(text), events=_events(document["on"]), jobs=planned)


def local(text: str) -> str:
    """`uses: $/x` as `uses: ./x`, and no `queue` in a `concurrency`, of the workflow or of a job.

    act 0.2.89 refuses both: the self-repository syntax (nektos/act#6189), and how many may wait, which is nothing to a
    rehearsal, as one goes on at a time. Cut out in place, so that act's own complaints name the right line.
    """
    text = re.sub(r"(\buses:\s*[\"']?)\$/", r"\1./", text)
    for start, end in sorted(_queues(text), reverse=True):
        text = text[:start] + re.sub(r"\A\s*,", "", text[end:])
    return text


def _queues(text: str) -> set[tuple[int, int]]:
    """From where to where each `queue: …` of a `concurrency` goes."""
    try:
        root = yaml.compose(text, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError:
        return set()  # whoever parses it says so
    jobs = [job for _, one in _pairs(root, "jobs") for _, job in _pairs(one)]
    groups = [group for node in (root, *jobs) for _, group in _pairs(node, "concurrency")]
    said = [(key, value) for group in groups for key, value in _pairs(group, "queue")]
    return {(key.start_mark.index, _end(text, key.end_mark.index, value.end_mark.index)) for key, value in said}


def _end(text: str, key: int, value: int) -> int:
    """Where a value ends: that of an alias is where its anchor lies, above the key."""
    alias = re.compile(r"\s*:\s*\*[^\s,}]+").match(text, key)
    return alias.end() if alias else value


def _pairs(node: yaml.Node | None, name: str = "") -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """A mapping's keys and values, or those of one name; none of anything else."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if not name or key.value == name:
            yield key, value


def uses_in(file: Path) -> tuple[str, ...]:
    """The actions that a composite action's own steps use; empty for other kinds and for a missing file."""
    try:
        runs = _mapping(file.read_text(encoding="utf-8"), str(file)).get("runs", {})
    except FileNotFoundError:
        return ()
    return tuple(_uses(runs.get("steps"))) if isinstance(runs, dict) else ()


def _mapping(text: str, where: str) -> dict[str, Any]:
    # BaseLoader: `on` stays a word (YAML 1.1 reads it as true) and every scalar is a string.
    try:
        document = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise UserError(f"not readable as YAML: {error}", where=where) from error
    return document if isinstance(document, dict) else {}


def _events(on: Any) -> dict[str, Any]:
    if isinstance(on, str):
        return {on: {}}
    return {name: {} for name in on} if isinstance(on, list) else dict(on)


def _job(name: str, job: Mapping[str, Any], where: str) -> Job:
    uses = tuple(_uses(job.get("steps")))
    first = next((n for n, one in enumerate(uses) if one.startswith("$/")), None)
    if first is not None and not any(one.startswith("actions/checkout@") for one in uses[:first]):
        raise UserError(
            f"job {name}: {uses[first]} comes before a checkout, and act serves it only from a checked-out tree",
            where=where,
            hint="Put actions/checkout first in the job.",
        )
    calls = str(job.get("uses", ""))
    if calls and not calls.startswith(("./", "$/")):
        raise UserError(f"job {name} calls {calls}, and rehearse reads no workflow of another repository", where=where)
    needs = job.get("needs", ())
    return Job(
        id=name,
        name=str(job.get("name", name)),
        condition=_condition(job.get("if", "")),
        needs=(needs,) if isinstance(needs, str) else tuple(needs),
        labels=tuple(dict.fromkeys(_labels(job))),
        limit=_minutes(job.get("timeout-minutes")) * 60,
        uses=tuple(one.replace("$/", "./", 1) if one.startswith("$/") else one for one in uses),
        calls=calls.replace("$/", "./", 1),
        contained="container" in job or "services" in job,
    )


def _uses(steps: Any) -> Iterator[str]:
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, dict) and step.get("uses"):
            yield str(step["uses"])


def _condition(text: str) -> str:
    bare = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.S)
    return " ".join((bare[1] if bare and "${{" not in bare[1] else text).split())


def _minutes(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return LIMIT


def _labels(job: Mapping[str, Any]) -> Iterator[str]:
    """Every label the job could ask for: act runs nothing whose label is not mapped, and says nothing of it."""
    asked = job.get("runs-on", ())
    if isinstance(asked, dict):
        asked = asked.get("labels", ())
    for label in (asked,) if isinstance(asked, str) else asked:
        if "${{" not in label:
            yield label
            continue
        yield from (word for quoted in re.findall(r"'([^']+)'", label) for word in re.findall(r"[\w.-]+", quoted))
        matrix = job.get("strategy", {}).get("matrix", {})
        yield from _scalars(matrix)
        yield from _COMMON


def _scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for one in value.values():
            yield from _scalars(one)
    elif isinstance(value, list):
        for one in value:
            yield from _scalars(one)
    elif isinstance(value, str) and re.fullmatch(r"[\w.-]+", value):
        yield value
