"""The cut of GitHub's description, from a small one."""

import importlib.util
import json

import pytest

from tests.conftest import REPOSITORY
from tests.pool.contract import DESCRIPTION

spec = importlib.util.spec_from_file_location("openapi", REPOSITORY / "scripts" / "openapi.py")
openapi = importlib.util.module_from_spec(spec)
spec.loader.exec_module(openapi)

WHOLE = {
    "paths": {
        "/a/{b}": {
            "get": {
                "description": "long",
                "parameters": [{"$ref": "#/components/parameters/b"}],
                "responses": {"200": {"$ref": "#/components/responses/a"}, "204": {"description": "nothing"}},
            }
        }
    },
    "components": {
        "parameters": {"b": {"name": "b", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "responses": {"a": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/a"}}}}},
        "schemas": {
            "a": {
                "type": "object",
                "properties": {
                    "plain": {"type": "string", "example": "x", "description": "y"},
                    "none": {"type": "string", "nullable": True},
                    "either": {"enum": ["x"], "type": "string", "nullable": True},
                    "deep": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/id"}]},
                    "list": {"type": "array", "items": {"$ref": "#/components/schemas/id"}},
                },
                "required": ["plain"],
            },
            "id": {"type": "integer", "title": "z"},
        },
    },
}


def test_what_is_reached_is_followed_and_words_are_left_out():
    found = openapi.Cutter(WHOLE).operation("/a/{b}", "get")
    assert found["parameters"] == [{"name": "b", "in": "path", "schema": {"type": "integer"}, "required": True}]
    assert found["body"] is None and found["answers"]["204"] is None
    assert found["answers"]["200"] == {
        "type": "object",
        "properties": {
            "plain": {"type": "string"},
            "none": {"type": ["string", "null"]},
            "either": {"type": ["string", "null"], "enum": ["x", None]},
            "deep": {"anyOf": [{"allOf": [{"type": "integer"}]}, {"type": "null"}]},
            "list": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["plain"],
    }


def test_a_long_object_keeps_what_is_named():
    long = {"properties": {name: {} for name in ("a", "b", "c")}, "required": ["a", "b"]}
    assert openapi.Cutter.short(long, ("a", "c")) == {"properties": {"a": {}, "c": {}}, "required": ["a"]}


def test_what_is_committed_came_from_it_and_names_its_version():
    assert DESCRIPTION["source"].startswith("@octokit/openapi ")
    assert "$ref" not in json.dumps(DESCRIPTION) and "nullable" not in json.dumps(DESCRIPTION)
    asked = {(path, method) for path, methods in DESCRIPTION["paths"].items() for method in methods}
    assert ("/orgs/{org}/actions/runners/{runner_id}", "delete") in asked and len(asked) == 27


@pytest.mark.parametrize("path", DESCRIPTION["paths"])
def test_every_answer_that_has_a_body_describes_it(path):
    for method, operation in DESCRIPTION["paths"][path].items():
        for status, schema in operation["answers"].items():
            assert schema or status in ("204", "301"), (method, status)
