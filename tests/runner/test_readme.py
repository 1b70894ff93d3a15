"""runner/README.md says what lies there, and which codes the entrypoint ends with."""

import re

from backburn.pool.exits import BLIND

from .scratch import RUNNER

PAGE = (RUNNER / "README.md").read_text(encoding="utf-8")


def test_every_file_is_there():
    told = set(re.findall(r"^\| `([\w./-]+)` \|", PAGE, re.MULTILINE))
    there = {path.relative_to(RUNNER).as_posix() for path in RUNNER.rglob("*") if path.is_file()}
    assert there - {"README.md"} <= told


def test_what_is_typed_by_hand_can_be_typed():
    """Nothing in capitals stands for something else."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    typed = [line.partition(" #")[0] for block in blocks for line in block.splitlines()]
    assert len(blocks) == 2 and not [line for line in typed if re.search(r"[:@=/ ](TAG|IMAGE|NAME|DIGEST)\b", line)]


def test_every_code_of_the_entrypoint_is_there():
    blind, unconfigured = re.search(r"blind=(\d+) unconfigured=(\d+)", (RUNNER / "entrypoint.sh").read_text()).groups()
    assert (
        int(blind) == BLIND and f"\n| {blind} | It does not see" in PAGE and f"\n| {unconfigured} | There is no" in PAGE
    )
