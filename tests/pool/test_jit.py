"""What a configuration must be before a container is started with it."""

import base64
import json

import pytest

from backburn.pool import jit


def packed(runner=None, bom=False, **files):
    content = {".runner": runner or {"AgentId": 5, "Ephemeral": True}, ".credentials": {"scheme": "OAuth"}, **files}
    marks = b"\xef\xbb\xbf" if bom else b""
    encoded = {name: base64.b64encode(marks + json.dumps(one).encode()).decode() for name, one in content.items()}
    return base64.b64encode(json.dumps(encoded).encode()).decode()


def test_as_the_runner_writes_it():
    assert jit.unfit(packed(), 5) == ""
    assert jit.unfit(packed({"agentId": "5", "ephemeral": "True"}, bom=True), 5) == ""  # the runner's own, by .NET
    assert jit.unfit(packed()[:40] + "\n" + packed()[40:] + "\n", 5) == ""
    assert jit.settings(packed()) == {"AgentId": 5, "Ephemeral": True}


@pytest.mark.parametrize(
    ("configuration", "said"),
    [
        ("", "0 characters"),
        ("A" * (jit.LARGEST + 1), "characters"),
        ("canary!", "not base64"),
        ("canary\u00e9", "not base64"),
        (base64.b64encode(b"canary").decode(), "not base64 of JSON"),
        (base64.b64encode(b"[" * 9999).decode(), "not base64 of JSON"),
        (base64.b64encode(b"[]").decode(), "no JSON object"),
        (base64.b64encode(b'{".runner": 1, ".credentials": "e30="}').decode(), "lacks .runner"),
        (base64.b64encode(b'{".runner": "canary", ".credentials": "e30="}').decode(), ".runner is not base64"),
        (base64.b64encode(b'{".runner": "e30=", ".credentials": "canary"}').decode(), ".credentials is not base64"),
        (packed({"AgentId": 5}), "not of an ephemeral runner"),
        (packed({"AgentId": 5, "Ephemeral": "False"}), "not of an ephemeral runner"),
        (packed({"AgentId": 55, "Ephemeral": True}), "not of the runner 5"),
        (packed({"Ephemeral": True}), "not of the runner 5"),
    ],
)
def test_each_fault_is_named_and_nothing_of_it_shown(configuration, said):
    assert said in jit.unfit(configuration, 5)
    assert "canary" not in jit.unfit(configuration, 5)
