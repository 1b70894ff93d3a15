"""Cut GitHub's own description of its REST API to what the pool asks: tests/pool/openapi.json.

npm pack @octokit/openapi && tar xzf octokit-openapi-*.tgz
python scripts/openapi.py package > tests/pool/openapi.json

The description is OpenAPI 3.0; what is written is JSON Schema 2020-12 for the bodies (`nullable` becomes a type).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Enterprises are not in the public file, but in that of GitHub Enterprise Cloud.
PREFIXES = {"api.github.com": ("/orgs/{org}", "/repos/{owner}/{repo}"), "ghec": ("/enterprises/{enterprise}",)}
BELOW = {
    "/actions/runners": ("get",),
    "/actions/runners/generate-jitconfig": ("post",),
    "/actions/runners/{runner_id}": ("get", "delete"),
    "/actions/runner-groups": ("get",),
    "/installation": ("get",),
}
REPOSITORY = "/repos/{owner}/{repo}"
ALONE = {
    "/app/installations/{installation_id}/access_tokens": ("post",),
    REPOSITORY: ("get",),
    f"{REPOSITORY}/actions/runs": ("get",),
    f"{REPOSITORY}/actions/runs/{{run_id}}": ("get",),
    f"{REPOSITORY}/actions/runs/{{run_id}}/jobs": ("get",),
    f"{REPOSITORY}/branches/{{branch}}": ("get",),
    f"{REPOSITORY}/compare/{{basehead}}": ("get",),
    f"{REPOSITORY}/issues": ("get", "post"),
    f"{REPOSITORY}/issues/{{issue_number}}": ("patch",),
}
# schema -> the properties that are left of it: these are long, and the pool reads no other.
SHORT = {
    "full-repository": ("id", "name", "full_name", "private"),
    "installation": ("id", "app_id", "app_slug", "target_id", "target_type", "repository_selection"),
    "installation-token": ("token", "expires_at", "repository_selection"),
    "workflow-run": (
        *("id", "event", "status", "head_branch", "head_sha", "created_at", "display_title"),
        *("repository", "head_repository"),
    ),
    "minimal-repository": ("id", "full_name", "private"),
    "job": (
        *("id", "run_id", "run_attempt", "name", "workflow_name", "status", "conclusion", "labels"),
        *("created_at", "started_at", "runner_id", "runner_name", "runner_group_name"),
    ),
    "branch-with-protection": ("name", "commit", "protected"),
    "commit": ("sha",),
    "commit-comparison": ("status", "ahead_by", "behind_by", "total_commits"),
    "issue": ("number", "state", "title", "body", "user", "author_association", "pull_request"),
    "nullable-simple-user": ("id", "login", "type"),
}
KEPT = ("type", "properties", "required", "items", "minItems", "maxItems", "minLength", "maxLength", "pattern", "enum")
KEPT += ("minimum", "maximum", "additionalProperties", "anyOf", "oneOf", "allOf", "default")


def cut(folder: Path) -> dict[str, Any]:
    """The slice, from the unpacked package."""
    version = json.loads((folder / "package.json").read_text())["version"]
    paths: dict[str, Any] = {}
    for name, prefixes in PREFIXES.items():
        whole = json.loads((folder / "generated" / f"{name}.json").read_text())
        for path, methods in _asked(prefixes, alone=name == "api.github.com"):
            if path in whole["paths"]:
                paths[path] = {method: Cutter(whole).operation(path, method) for method in methods}
    return {"source": f"@octokit/openapi {version}, MIT", "paths": paths}


def _asked(prefixes: tuple[str, ...], *, alone: bool) -> Iterator[tuple[str, tuple[str, ...]]]:
    for prefix in prefixes:
        yield from ((prefix + below, methods) for below, methods in BELOW.items())
    if alone:
        yield from ALONE.items()


class Cutter:
    """Of one file, in which every $ref is followed: what is left is small, and none leads round."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self.whole = whole

    def operation(self, path: str, method: str) -> dict[str, Any]:
        """Parameters, body and answers of one call."""
        found = self.whole["paths"][path][method]
        parameters = [self.resolved(one)[0] for one in found.get("parameters", [])]
        answers = {}
        for status, answer in found["responses"].items():
            answers[status] = self.body(self.resolved(answer)[0])
        return {
            "parameters": [
                {"name": one["name"], "in": one["in"], "schema": self.schema(one["schema"])}
                | ({"required": True} if one.get("required") else {})
                for one in parameters
            ],
            "body": self.body(self.resolved(found.get("requestBody", {}))[0]),
            "answers": answers,
        }

    def resolved(self, part: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """What a $ref leads to, and its name."""
        name = ""
        while "$ref" in part:
            *_, kind, name = part["$ref"].split("/")
            part = self.whole["components"][kind][name]
        return part, name

    def body(self, part: dict[str, Any]) -> dict[str, Any] | None:
        """The schema of its JSON; None where it has none."""
        content = part.get("content", {}).get("application/json")
        return self.schema(content["schema"]) if content and "schema" in content else None

    def schema(self, part: dict[str, Any]) -> dict[str, Any]:
        """Without words and examples, and as JSON Schema."""
        part, name = self.resolved(part)
        if name in SHORT:
            part = self.short(part, SHORT[name])
        left = {key: value for key, value in part.items() if key in KEPT}
        for key in ("anyOf", "oneOf", "allOf"):
            if key in left:
                left[key] = [self.schema(one) for one in left[key]]
        for key in ("items", "additionalProperties"):
            if isinstance(left.get(key), dict):
                left[key] = self.schema(left[key])
        if "properties" in left:
            left["properties"] = {key: self.schema(value) for key, value in left["properties"].items()}
        return self.nullable(left) if part.get("nullable") else left

    @staticmethod
    def short(part: dict[str, Any], kept: tuple[str, ...]) -> dict[str, Any]:
        """Of a long object, the properties named; the others may be there or not."""
        properties = {key: value for key, value in part["properties"].items() if key in kept}
        return {**part, "properties": properties, "required": [one for one in part["required"] if one in kept]}

    @staticmethod
    def nullable(left: dict[str, Any]) -> dict[str, Any]:
        """A type of its own: OpenAPI 3.0 has a flag instead."""
        if "enum" in left:
            left["enum"] = [*left["enum"], None]
        if "type" in left:
            return {**left, "type": [left["type"], "null"]}
        return {"anyOf": [left, {"type": "null"}]}


if __name__ == "__main__":
    json.dump(cut(Path(sys.argv[1])), sys.stdout, separators=(",", ":"), sort_keys=True)
    print()
