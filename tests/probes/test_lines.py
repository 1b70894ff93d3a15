import json
import math
import os
import resource

import pytest

from backburn.probes.lines import Lines


def test_each_line_is_there_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("yesterday's")
    lines = Lines(str(path), "steps")
    lines.write({"a": [1.5, math.nan, (-math.inf,)], "b": {"c": math.inf}})
    header, line = map(json.loads, path.read_text().splitlines())
    assert header == {"kind": "steps", "schema": 1}
    assert line == {"a": [1.5, "nan", ["-inf"]], "b": {"c": "inf"}} and not lines.failed
    lines.close()
    lines.write({})
    assert len(path.read_text().splitlines()) == 2


def test_a_folder_that_is_not_there_is_told(tmp_path):
    lines = Lines(str(tmp_path / "none" / "x.jsonl"), "steps")
    lines.write({"a": 1})
    assert lines.failed == "x.jsonl: No such file or directory"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_full_is_told():
    lines = Lines("/dev/full", "steps")
    assert lines.failed == "full: No space left on device"
    lines.write({"a": 1})


def test_a_line_that_does_not_fit_is_the_last_one(tmp_path):
    """What is left of it has no end, as the reader expects of the last line."""
    limits, path = resource.getrlimit(resource.RLIMIT_FSIZE), tmp_path / "x.jsonl"
    lines = Lines(str(path), "steps")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        for _ in range(9):
            lines.write({"a": "x" * 20})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lines.failed == "x.jsonl: No space left on device"
    assert len(path.read_bytes()) == 100 and not path.read_bytes().endswith(b"\n")
