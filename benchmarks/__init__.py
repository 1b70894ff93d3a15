"""Measurements behind the figures that backburn claims: `python -m benchmarks.<name>`, `--quick` for a sample.

Each prints one table and, as its last line, the headline as JSON; a full one is kept as `<name>/results.json`.
"""

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path


def keep(folder, headline, rows, packages):
    """Write `results.json`: headline, rows, the commit, the machine and the versions of `packages`."""
    whole = {"headline": headline, "rows": rows, "commit": _commit(folder), "machine": _machine(packages)}
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")


def _machine(packages):
    """What the figures depend on: processor, cores and versions; nothing that names the machine."""
    cpu = next((line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if "model name" in line), "")
    found = {"cpu": cpu or platform.processor(), "cores": os.cpu_count(), "python": platform.python_version()}
    return found | {name: version(name) for name in packages}


def _lines(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit(folder):
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip()
