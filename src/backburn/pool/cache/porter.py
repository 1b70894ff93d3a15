"""The chores that take root, each in a container of the pool's own image that sees nothing but the caches.

What jobs wrote belongs to their user, and the supervisor is not root. Its own container has no network, three
capabilities (whose files they are does not matter to it), and a time limit; it says what it did on stdout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import transfer
from ..clock import Clock, SystemClock
from ..config import Config
from ..connection import Connection
from ..declining import No, declined, line
from ..engine import Declined
from ..lease import PREFIX

LABEL = f"{PREFIX}.cache"  # its value is the pool's name. Not `backburn.pool`: it is the container of no lease
INSIDE = "/shelf"  # where the caches lie in there
LONGEST = 600.0  # seconds of one chore: to link 100,000 files took 15 s of two cores that had much else to do
_SCRIPT = Path(__file__).with_name("chores.sh")
_LOOK = 0.1  # seconds between two looks at whether it has ended
_SAID = 1 << 16  # bytes of what it says that are read
_RIGHTS = ("CHOWN", "DAC_OVERRIDE", "FOWNER")


class Porter:
    """One chore at a time, by whoever is `Shelf.working`: what another left running is in the way."""

    def __init__(self, config: Config, folder: Path, clock: Clock | None = None) -> None:
        self._config, self._folder, self._clock = config, folder, clock or SystemClock()
        self._connection = Connection(config, self._clock, quick=15.0, slow=90.0)

    def inside(self, path: Path) -> str:
        """A path below the caches, as a chore sees it."""
        return f"{INSIDE}/{path.relative_to(self._folder)}"

    def do(self, chore: str, *words: str | int, limit: float = LONGEST) -> str:
        """What it said. Raises Declined with that where it failed or took longer than `limit` seconds; Unreachable."""
        command = ["/bin/sh", "-c", _SCRIPT.read_text(encoding="utf-8"), chore, chore, *map(str, words)]
        bound = {"Type": "bind", "Source": str(self._folder), "Target": INSIDE}
        return self.run("0:0", command, [bound], rights=_RIGHTS, limit=limit)

    def run(
        self, user: str, command: list[str], mounts: list[dict[str, Any]], *, rights: Sequence[str] = (), limit: float
    ) -> str:
        """A container of the pool's image, from its start to its end. Raises Declined and Unreachable."""
        container = self._created(self._body(user, command, mounts, rights))
        try:
            self._connection.change(lambda client: client.start(container))
            code = self._ended(container, limit)
            said = self._said(container)
        finally:
            self._remove(container)
        if code:
            raise Declined(f"exit code {code}: {line(said)}")
        return said

    def clear(self) -> None:
        """Remove what a process that was killed has left running."""
        query = {"all": True, "filters": {"label": [f"{LABEL}={self._config.pool.name}"]}}
        for one in self._connection.look(lambda client: client.containers(**query)) or []:
            if (one.get("Labels") or {}).get(LABEL) == self._config.pool.name:
                self._remove(str(one["Id"]))

    def _body(
        self, user: str, command: list[str], mounts: list[dict[str, Any]], rights: Sequence[str]
    ) -> dict[str, Any]:
        return {
            "Image": self._config.pool.image,
            "User": user,
            "Entrypoint": command,
            "Labels": {LABEL: self._config.pool.name},
            "HostConfig": {
                "NetworkMode": "none",
                "CapDrop": ["ALL"],
                "CapAdd": list(rights),
                "SecurityOpt": ["no-new-privileges"],
                "ReadonlyRootfs": True,
                "PidsLimit": 64,
                "Tmpfs": {"/tmp": ""},
                "LogConfig": {"Type": "local", "Config": {"max-size": "64k", "max-file": "1", "compress": "false"}},
                "Mounts": mounts,
            },
        }

    def _created(self, body: dict[str, Any]) -> str:
        try:
            with self._connection.asking(self._connection.slow) as client:
                return str(client.create_container_from_config(body)["Id"])
        except No as no:
            raise declined(no, self._config) from None

    def _ended(self, container: str, limit: float) -> int:
        until = self._clock.passed() + limit
        while self._clock.passed() <= until:
            said = self._connection.look(lambda client: client.inspect_container(container))
            state = (said or {}).get("State") or {}
            if state.get("Status") in ("exited", "dead"):
                return int(state["ExitCode"])
            if said is None:
                raise Declined("its container was removed")
            self._clock.wait(_LOOK)
        raise Declined(f"not done after {limit:.0f} s")

    def _said(self, container: str) -> str:
        def read(client: Any) -> bytes:
            with self._connection.stream(client, f"containers/{container}/logs", stdout=1, stderr=1) as chunks:
                return transfer.tail(transfer.spoken(chunks), _SAID)

        return (self._connection.look(read) or b"").decode("utf-8", "replace")

    def _remove(self, container: str) -> None:
        try:
            with self._connection.asking(self._connection.slow) as client:
                client.remove_container(container, force=True, v=True)
        except No as no:
            if no.status not in (404, 409):  # 409: being removed
                raise declined(no, self._config) from None
