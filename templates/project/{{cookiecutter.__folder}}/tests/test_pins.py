"""One version of every tool: an editor and pre-commit never disagree."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)$")


def test_hooks_and_dev_group_are_the_same_versions() -> None:
    hooks = dict(re.findall(r'"([^"=]+)==([^"]+)"', (ROOT / ".pre-commit-config.yaml").read_text()))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    pins = map(PIN.match, project["dependency-groups"]["dev"])
    assert hooks and hooks == {pin[1]: pin[2] for pin in pins if pin}
