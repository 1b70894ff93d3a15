"""The event that a workflow is told it runs for: GitHub's payload, cut down to what a workflow may ask."""

from __future__ import annotations

from typing import Any

from .clone import Project
from .workflow import Workflow

_FORK_OWNER = "someone-else"
_NUMBER = 1


def payload(name: str, project: Project, workflow: Workflow, *, fork: bool) -> dict[str, Any]:
    """The JSON of event `name`. `fork` makes a pull request's head another owner's, as GitHub tells it."""
    owner, short = project.repository.split("/")
    made: dict[str, Any] = {
        "repository": _repository(owner, short, project.default, fork=False),
        "sender": {"login": _FORK_OWNER if fork else owner},
    }
    if name in ("pull_request", "pull_request_target"):
        return made | _pull_request(project, owner, short, fork)
    if name == "merge_group":
        ref = f"refs/heads/gh-readonly-queue/{project.default}/pr-{_NUMBER}-{project.base}"
        ends = {"head_ref": ref, "base_ref": f"refs/heads/{project.default}"}
        made["merge_group"] = ends | {"head_sha": project.head, "base_sha": project.base}
        return made | {"action": "checks_requested"}
    if name == "schedule":
        listed = workflow.events.get("schedule") or [{}]
        return made | {"schedule": listed[0].get("cron", "")}
    if name == "workflow_dispatch":
        asked = (workflow.events.get("workflow_dispatch") or {}).get("inputs") or {}
        inputs = {key: (one or {}).get("default", "") for key, one in asked.items()}
        return made | {"ref": f"refs/heads/{project.branch}", "inputs": inputs}
    commits = {"before": project.base, "after": project.head, "head_commit": {"id": project.head}}
    return made | {"ref": f"refs/heads/{project.branch}"} | commits


def _pull_request(project: Project, owner: str, short: str, fork: bool) -> dict[str, Any]:
    head = {
        "ref": project.branch if project.branch != project.default else "topic",
        "sha": project.head,
        "repo": _repository(_FORK_OWNER if fork else owner, short, project.default, fork=fork),
    }
    base = {
        "ref": project.default,
        "sha": project.base,
        "repo": _repository(owner, short, project.default, fork=False),
    }
    pull = {"number": _NUMBER, "draft": False, "labels": [], "head": head, "base": base}
    return {"action": "synchronize", "number": _NUMBER, "pull_request": pull}


def _repository(owner: str, short: str, default: str, *, fork: bool) -> dict[str, Any]:
    names = {"name": short, "full_name": f"{owner}/{short}", "owner": {"login": owner}}
    return names | {"fork": fork, "private": False, "default_branch": default}
