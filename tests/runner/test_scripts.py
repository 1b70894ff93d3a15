"""What all scripts of the kit keep to: shellcheck is content, and none is long."""

import subprocess
import sys
from pathlib import Path

import pytest

from .scratch import RUNNER

SCRIPTS = sorted(RUNNER.rglob("*.sh"))


def test_there_are_some():
    assert {"entrypoint.sh", "view.sh", "job-started.sh", "job-completed.sh"} <= {one.name for one in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_strict_and_clean(script):
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n# ") and "\nset -euo pipefail\n" in text
    assert len(text.splitlines()) <= 100 and script.stat().st_mode & 0o111 == 0o111
    program = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([program, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
