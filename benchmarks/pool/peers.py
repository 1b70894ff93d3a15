"""What others do, in the few lines that it takes: policies in the same simulator, not those projects themselves."""

from backburn.pool.registrar import Later, Removal, Taken, Uncertain

TRIES = 5


def registered_by_the_same_name(client, world, name):
    """Another try after a failure, with the name of the first: 409 is then an error, and what was made stays."""
    for _ in range(TRIES):
        try:
            return client.register(name)
        except Taken:
            return None
        except (Later, Uncertain):
            world.wait(60.0)
    return None


def looked_then_killed(lease, cause, tools):
    """In place of departing.retire: GitHub says that it is idle, so its container goes, and its registration then.

    So did ARC (runners that were idle when they were listed) and terraform-aws-github-runner (scale-down).
    """
    seen = tools.registrar.get(lease.runner_id)
    if seen is not None and seen.busy:
        return Removal.BUSY
    lease.removed, lease.cause = tools.clock.now(), cause  # nobody has said so: our own invariant would stop it
    tools.store.save(lease)
    tools.engine.remove(lease.container)
    return Removal.GONE
