"""A slot is woken by what happens to its containers, and by nothing else."""

from backburn.pool.docker import DockerEngine
from tests.pool.lab import Watcher, begun, ended, needs_an_engine, until


@needs_an_engine
def test_events_wake_the_slot(engine, engine_daemon, github):
    watching = DockerEngine(engine._config)
    with Watcher(watching) as watcher:
        assert watcher.said == [""], "look, once it listens"
        container = begun(engine, github, "seconds=0\n")
        ended(engine, container)
        until(lambda: len(watcher.said) >= 4)  # create, start, die, and one of its archives
        engine_daemon.ask("run", "--rm", "--entrypoint", "true", engine._config.pool.image)
        assert set(watcher.said[1:]) == {"cpu0"}, "of nobody else's"
