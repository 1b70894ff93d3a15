"""Fixtures of the pool's tests, and the count of those that had no engine."""

from .daemon import engine_daemon, missing, own_daemon  # noqa: F401
from .lab import engine, github  # noqa: F401
from .moments import app, keys, rig  # noqa: F401


def pytest_terminal_summary(terminalreporter):
    """Loudly: what was skipped is not what passed."""
    skipped = [one for one in terminalreporter.stats.get("skipped", []) if "NO DOCKER ENGINE" in str(one.longrepr)]
    if skipped:
        terminalreporter.section("NO DOCKER ENGINE", red=True)
        said = f"{len(skipped)} tests of the pool were skipped: {missing()}. `make engine`, as root, has it."
        terminalreporter.line(said)
