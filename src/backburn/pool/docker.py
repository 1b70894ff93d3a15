"""The Docker Engine: one container for each lease, and never anything that lacks our labels.

Of the docker SDK `create_container()` is not used: it hands the proxies of ~/.docker/config.json, passwords and all,
to the container. See connection.py and events.py for what else is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import injection, transfer, uptime
from .cache.fitting import Fit, bare
from .clock import Clock, SystemClock
from .config import Config
from .connection import Connection
from .container import body, inspected, label, labels, listed, of_slot, was_started, writable
from .declining import No, declined, line
from .engine import Container, Declined, Inspection, Unreachable
from .events import Events
from .lease import Lease, Slot


class DockerEngine:
    """`quick` and `slow` are the seconds that one call may take: one that asks, and one that changes something.

    From any thread; each has a client of its own. `nodes` gives the device nodes of a GPU for `injection = "devices"`,
    `fit` the caches of a lease.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        *,
        quick: float = 15.0,
        slow: float = 90.0,
        nodes: injection.Nodes = injection.device_nodes,
        fit: Fit = bare,
    ) -> None:
        self._config = config
        self._nodes, self._fit = nodes, fit
        self._connection = Connection(config, clock or SystemClock(), quick=quick, slow=slow)
        self._events = Events(self._connection, config.pool.name)

    def ping(self) -> None:
        """Raise Unreachable where it does not answer."""
        self._connection.ping()

    def containers(self) -> list[Container]:
        """All of this pool, in every state."""
        query = {"all": True, "filters": {"label": [f"{label('pool')}={self._config.pool.name}"]}}
        said = self._connection.look(lambda client: client.containers(**query)) or []
        found = (listed(one) for one in said)
        return [one for one in found if one.labels.get(label("pool")) == self._config.pool.name]

    def create(self, lease: Lease, slot: Slot) -> str:
        """The id of the lease's container, made now or by a call whose answer was lost. Raises Declined for a name that
        is somebody else's, or for one of ours that has run.
        """
        if lease.device != slot.device:
            raise Declined(
                f"the lease {lease.id} is of {lease.device or 'no device'}, the slot has {slot.device or 'none'}"
            )
        way = injection.chosen(self._config.slots.injection, slot.device, self._info)
        fitted = self._fit(lease, of_slot(self._config, slot))
        wanted = body(self._config, lease, slot, way, self._nodes, fitted)
        try:
            with self._connection.asking(self._connection.slow) as client:
                made = client.create_container_from_config(wanted, name=lease.runner)
        except No as no:
            if no.status == 409:
                return self._adopted(lease)
            raise declined(no, self._config) from None
        self._weigh(str(made["Id"]), made.get("Warnings") or [])
        return str(made["Id"])

    def deliver(self, container: str, configuration: str) -> None:
        """Put the secret into a container that was never started, as a file that only its user reads."""
        self._untouched(container)
        below = writable(self._config)
        packed = transfer.pack(configuration, self._config.docker.user, below=below)
        self._connection.change(lambda client: client.put_archive(container, below, packed))

    def start(self, container: str) -> None:
        """Once for each container: Declined for one that was started before, whatever became of it."""
        self._untouched(container)
        self._connection.change(lambda client: client.start(container))

    def inspect(self, container: str) -> Inspection | None:
        """None where there is no such container. `devices` is (its UUID,), or () for a CPU slot, where all is well."""
        said = self._connection.look(lambda client: client.inspect_container(container))
        return None if said is None else inspected(said, self._nodes)

    def read(self, container: str, path: str, limit: int = 65536) -> bytes | None:
        """A file in it; None where there is none, where it is longer than `limit` bytes or no plain file. A job that
        keeps changing it is no trouble of the engine's: also None. No more than the limit and a bit is ever taken.
        """
        try:
            with self._connection.asking(self._connection.quick) as client:
                with self._connection.stream(client, f"containers/{container}/archive", path=path) as chunks:
                    return transfer.unpack(chunks, limit)
        except No:  # 404; or a 500 where a job made a file of the folder that it should be in
            return None

    def tell(self, container: str, path: str, text: str) -> None:
        """Put a file of its user's into one that runs. What a job put in its place harms only what is in there."""
        self._ours(container)
        below = writable(self._config)
        packed = transfer.pack(text, self._config.docker.user, below=below, path=path)
        self._connection.change(lambda client: client.put_archive(container, below, packed))

    def logs(self, container: str, limit: int = 1 << 20) -> bytes:
        """The last `limit` bytes of what it printed, of both streams; b"" where there is no such container."""

        def last(client: Any) -> bytes:
            # A line has one byte at least, so that so many lines are enough.
            query = {"stdout": 1, "stderr": 1, "tail": limit}
            with self._connection.stream(client, f"containers/{container}/logs", **query) as chunks:
                return transfer.tail(transfer.spoken(chunks), limit)

        return self._connection.look(last, self._connection.slow) or b""

    def remove(self, container: str) -> None:
        """Kill and delete it with its own anonymous volumes; one that is not there, or is being removed, is no error.

        Raises Declined for one of somebody else, and for one that cannot be killed.
        """
        said = self._connection.look(lambda client: client.inspect_container(container))
        if said is None:
            return
        if labels(said).get(label("pool")) != self._config.pool.name:
            raise Declined(f"the container {container[:12]} is not of this pool", "It is not ours to remove.")
        try:
            with self._connection.asking(self._connection.slow) as client:
                client.remove_container(said["Id"], force=True, v=True)
        except No as no:
            if no.status != 404 and not (no.status == 409 and "in progress" in no.said):
                raise declined(no, self._config) from None

    def sweep(self, slot: Slot) -> list[str]:
        """Delete the volumes and networks that carry both labels of this slot; what is in use stays."""
        wanted = of_slot(self._config, slot)
        query = {"label": [f"{key}={value}" for key, value in wanted.items()]}
        volumes = (self._connection.look(lambda client: client.volumes(filters=query)) or {}).get("Volumes") or []
        networks = self._connection.look(lambda client: client.networks(filters=query)) or []
        deleted = []
        for one in (*volumes, *networks):
            if (one.get("Labels") or {}).items() >= wanted.items() and self._delete(one):
                deleted.append(f"{'network' if 'Id' in one else 'volume'} {one['Name']}")
        return deleted

    def restarted(self) -> float:
        """When the engine last came up, seconds since the epoch: exact where it is a process of this machine (see
        uptime.py), else when it first answered after a connection had broken off; 0.0: not since we look.

        It killed a container that began before that, ended with 137 or 143 before it or within 15 s after it, and was
        not out of memory: without live-restore it stops them as it goes (SIGTERM), or when it is back (SIGKILL).
        """
        return uptime.started(self._config.docker.host, limit=self._connection.quick / 3) or self._connection.back

    def watch(self, wake: Callable[[str], None]) -> None:
        """Call `wake(slot)` when a container of this pool changes, `wake("")` when the stream was lost and when it is
        back, until `close`. Let it run in a thread of its own that may be left behind (daemon=True).
        """
        self._events.watch(wake)

    @property
    def reachable(self) -> bool:
        """It answered when it was last asked."""
        return self._connection.reachable

    def close(self) -> None:
        """End `watch`. Nothing else changes, and no container is touched."""
        self._events.close()

    def _info(self) -> dict[str, Any]:
        return self._connection.look(lambda client: client.info()) or {}

    def _adopted(self, lease: Lease) -> str:
        said = self._connection.look(lambda client: client.inspect_container(lease.runner))
        if said is None:  # the name is taken before the container can be seen, and a lost call may still be at work
            raise Unreachable(f"the container {lease.runner} is being made or removed")
        wanted = {label("pool"): self._config.pool.name, label("lease"): lease.id, label("runner"): lease.runner}
        if not labels(said).items() >= wanted.items():
            raise Declined(f"another container is called {lease.runner}", "It is not ours to remove: rename it.")
        if was_started(said):
            raise Declined(f"the container {lease.runner} was started before", "A lease has one start.")
        return str(said["Id"])

    def _weigh(self, container: str, warnings: list[str]) -> None:
        """An engine without a control group says only in a warning that it forgets a limit."""
        forgotten = [one for one in warnings if "discarded" in one.lower()]
        if forgotten:
            self.remove(container)
            hint = "Its kernel lacks a control group: turn it on, or take the limit out of [limits]."
            raise Declined(f"a limit would not hold: {line(' '.join(forgotten))}", hint)

    def _ours(self, container: str) -> dict[str, Any]:
        said: dict[str, Any] | None = self._connection.look(lambda client: client.inspect_container(container))
        if said is None:
            raise Declined(f"there is no container {container[:12]}")
        if labels(said).get(label("pool")) != self._config.pool.name:
            raise Declined(f"the container {container[:12]} is not of this pool")
        return said

    def _untouched(self, container: str) -> None:
        if was_started(self._ours(container)):
            raise Declined(f"the container {container[:12]} was started before", "A lease has one start.")

    def _delete(self, one: dict[str, Any]) -> bool:
        try:
            with self._connection.asking(self._connection.slow) as client:
                client.remove_network(one["Id"]) if "Id" in one else client.remove_volume(one["Name"])
        except No as no:
            # In use, or gone; or mounted for nobody until the engine next starts: 20.10 counts a volume once more for a
            # container that outlived it (live-restore), and answers 500.
            if no.status < 500 or "active mounts" in no.said:
                return False
            raise declined(no, self._config) from None
        return True
