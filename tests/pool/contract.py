"""GitHub's own description of its API: what a request or an answer breaks of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
from jsonschema import Draft202012Validator

DESCRIPTION = json.loads(Path(__file__).with_name("openapi.json").read_text())
# Of any call, described or not: a missing right, the pace, a fault of GitHub's. Their body is a basic-error.
ANYWHERE = {401, 403, 404, 429}
ERROR = {
    "type": "object",
    "required": ["message"],
    "properties": {name: {"type": "string"} for name in ("message", "documentation_url", "url", "status")},
}


def _pattern(path):
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))


PATHS = [(_pattern(path), path, methods) for path, methods in DESCRIPTION["paths"].items()]
_VALIDATORS = {}


def _wrong(schema, value, what):
    validator = _VALIDATORS.setdefault(id(schema), Draft202012Validator(schema))
    for error in validator.iter_errors(value):
        yield f"{what}{error.json_path[1:]}: {error.message}"


def _operation(request):
    # As it was sent: a branch's / is %2F, and a path's own / is none.
    path = request.url.raw_path.decode().partition("?")[0].removeprefix("/api/v3")
    for pattern, name, methods in PATHS:
        if (found := pattern.fullmatch(path)) and request.method.lower() in methods:
            return name, found.groupdict(), methods[request.method.lower()]
    return None, {}, None


def _value(schema, text):
    """As the schema's type has it."""
    if schema.get("type") == "integer":
        return int(text) if re.fullmatch(r"-?\d+", text) else text
    if schema.get("type") == "boolean":
        return {"true": True, "false": False}.get(text, text)
    return text


def wrong_request(request: httpx.Request):
    """Every breach, as a line."""
    name, found, operation = _operation(request)
    if operation is None:
        yield f"{request.method} {request.url.path}: GitHub describes no such call"
        return
    known = {(one["in"], one["name"]): one for one in operation["parameters"]}
    given = {("path", key): value for key, value in found.items()}
    given |= {("query", key): value for key, value in request.url.params.multi_items()}
    for key, value in given.items():
        if key not in known:
            yield f"{name}: unknown {key[0]} parameter {key[1]}"
        else:
            yield from _wrong(known[key]["schema"], _value(known[key]["schema"], value), f"{name} {key[1]}")
    yield from (f"{name}: lacks {key[1]}" for key, one in known.items() if one.get("required") and key not in given)
    yield from _wrong_headers(name, request)
    yield from _wrong_body(name, operation["body"], request)


def _wrong_headers(name, request):
    wanted = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
    yield from (f"{name}: {key} is not {value}" for key, value in wanted.items() if request.headers.get(key) != value)
    if not re.fullmatch(r"Bearer \S+", request.headers.get("authorization", "")):
        yield f"{name}: no authorization"
    if not request.headers.get("user-agent"):  # GitHub refuses those
        yield f"{name}: no user-agent"


def _wrong_body(name, schema, request):
    if schema is None:
        if request.content:
            yield f"{name}: a body, and GitHub describes none"
        return
    if request.headers.get("content-type") != "application/json":
        yield f"{name}: content-type"
    body = json.loads(request.content)
    yield from _wrong(schema, body, name)
    yield from _unknown(schema, body, name)


def _unknown(schema, body, where):
    """What GitHub would ignore, so that a misspelled key is never seen."""
    if isinstance(body, dict) and "properties" in schema:
        for key, value in body.items():
            if key not in schema["properties"]:
                yield f"{where}: unknown key {key}"
            else:
                yield from _unknown(schema["properties"][key], value, f"{where}.{key}")


def wrong_answer(request: httpx.Request, response: httpx.Response):
    """Every breach, as a line. What a fault made of an answer is described nowhere."""
    name, _, operation = _operation(request)
    status = response.status_code
    if operation is None or status >= 500 or response.extensions.get("fault") == "garbled":
        return
    described = operation["answers"].get(str(status))
    if str(status) not in operation["answers"] and status not in ANYWHERE:
        yield f"{name}: {status} is not described"
        return
    if status == 204:
        if response.content:
            yield f"{name}: a body with 204"
        return
    try:
        body = json.loads(response.content)
    except ValueError:
        yield f"{name}: {status} without JSON"
        return
    yield from _wrong(described or ERROR, body, f"{name} {status}")
    if not response.headers.get("content-type", "").startswith("application/json"):
        yield f"{name}: content-type"


class Checked:
    """A handler for httpx.MockTransport around another, which keeps every breach of either side."""

    def __init__(self, handle):
        self.handle, self.breaches, self.exchanges = handle, [], 0

    def __call__(self, request):
        self.breaches += wrong_request(request)
        response = self.handle(request)
        self.breaches += wrong_answer(request, response)
        self.exchanges += 1
        return response
