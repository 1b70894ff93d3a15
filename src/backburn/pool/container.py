"""A container of ours in the engine's words: what one is made of, and what is said of one that is there."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from . import injection, transfer
from .cache.fitting import Fitted
from .config import Config, Injection
from .declining import line
from .engine import CONFIGURATION, Container, Declined, Inspection
from .lease import LABELS, PREFIX, Lease, Slot

SCHEMA = "1"  # of our labels
HOOKS = {  # where an image of ours has the runner's hooks, which write MARKER and DONE
    "ACTIONS_RUNNER_HOOK_JOB_STARTED": "/opt/backburn/hooks/job-started.sh",
    "ACTIONS_RUNNER_HOOK_JOB_COMPLETED": "/opt/backburn/hooks/job-completed.sh",
}
DEVICE, FORKS = "BACKBURN_DEVICE", "BACKBURN_ALLOW_FORKS"  # what our entrypoint and our hooks are told
_FLAGS = {  # the listener's own exit codes, see research 2.3: 7 for an outdated one, 100 to 105 for the job's result
    "ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE": "1",
    "ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED": "true",
}
_RUN = str(
    PurePosixPath(CONFIGURATION).parents[1]
)  # a volume where the root is read-only: nothing else takes an archive
_HOME = "/home/runner"  # likewise: the listener writes its configuration beside itself; a new volume is a copy of it
_LEAST_LOG = 1 << 14  # bytes; one entry of the driver's is as long, and 0 would be no bound


def label(name: str) -> str:
    """The whole name of a label of ours."""
    return f"{PREFIX}.{name}"


def of_slot(config: Config, slot: Slot) -> dict[str, str]:
    """The labels of what belongs to a slot and is no container."""
    return {label("pool"): config.pool.name, label("slot"): slot.name}


def writable(config: Config) -> str:
    """The folder that takes an archive before the start."""
    return _RUN if config.docker.read_only else "/"


# What it is made of.


def body(
    config: Config, lease: Lease, slot: Slot, way: Injection, nodes: injection.Nodes, fitted: Fitted
) -> dict[str, Any]:
    """What POST /containers/create takes. Raises Declined for a user, a mount or a device that cannot be."""
    docker = config.docker
    env = [f"{key}={value}" for key, value in (_FLAGS | HOOKS | _told(config, slot)).items()]
    made = {
        "Image": config.pool.image,
        "User": docker.user,
        "Env": [*env, *fitted.environment, injection.environment(way, slot.device)],
        "Labels": _labelled(config, lease, slot),
        "HostConfig": _host(config, slot, fitted) | injection.given(way, slot.device, nodes),
    }
    try:
        transfer.owner(docker.user)
    except ValueError:
        raise Declined(f"the user {docker.user!r} is no number", '[docker] user: as "1001:1001".') from None
    return made


def _told(config: Config, slot: Slot) -> dict[str, str]:
    """What runner/view.sh looks for, and whether the job-started hook lets forks in: whoever lets public repositories
    in has said that anybody's code may run here.
    """
    device = {DEVICE: slot.device} if slot.device else {}
    return device | ({FORKS: "1"} if config.github.allow_public else {})


def _labelled(config: Config, lease: Lease, slot: Slot) -> dict[str, str]:
    values = (config.pool.name, slot.name, lease.id, lease.runner, str(lease.runner_id), slot.device)
    return {label(name): value for name, value in zip(LABELS, values, strict=True)} | {label("schema"): SCHEMA}


def _host(config: Config, slot: Slot, fitted: Fitted) -> dict[str, Any]:
    limits, docker = config.limits, config.docker
    host: dict[str, Any] = {
        "NetworkMode": docker.network,
        "RestartPolicy": {"Name": "no"},  # a configuration is for one start
        "Init": True,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "IpcMode": "private",
        "PidsLimit": limits.pids,
        "ShmSize": int(limits.shm),
        # Two files of half the size: the older one is compressed, and goes when the newer one is full.
        "LogConfig": {
            "Type": "local",
            "Config": {"max-size": str(max(limits.log // 2, _LEAST_LOG)), "max-file": "2"},
        },
        "ReadonlyRootfs": docker.read_only,
        "Mounts": [*(_bound(mount) for mount in docker.mounts), *fitted.mounts],
    }
    if limits.cpus:
        host["NanoCpus"] = int(limits.cpus * 1e9)
    if limits.memory:
        host |= {"Memory": int(limits.memory), "MemorySwap": int(limits.memory)}  # equal: no swap
    if docker.read_only:
        options = {"Labels": of_slot(config, slot)}
        volumes = ({"Type": "volume", "Target": target, "VolumeOptions": options} for target in (_RUN, _HOME))
        host["Mounts"].extend(volumes)
        host["Tmpfs"] = {"/tmp": ""}
    return host


def _bound(mount: str) -> dict[str, Any]:
    source, _, target = mount.partition(":")
    if not (source.startswith("/") and target.startswith("/")):
        raise Declined(f"no mount: {mount!r}", '[docker] mounts: "/host/path:/in/container", read-only.')
    return {"Type": "bind", "Source": source, "Target": target.removesuffix(":ro"), "ReadOnly": True}


# What is said of it.


def listed(said: dict[str, Any]) -> Container:
    """By an entry of GET /containers/json."""
    names = said.get("Names") or [""]
    return Container(
        id=str(said["Id"]),
        name=str(names[0]).removeprefix("/"),
        state=str(said["State"]).lower(),
        labels={str(key): str(value) for key, value in (said.get("Labels") or {}).items()},
    )


def inspected(said: dict[str, Any], nodes: injection.Nodes) -> Inspection:
    """By GET /containers/<id>/json."""
    state = said.get("State") or {}
    return Inspection(
        id=said["Id"],
        state=str(state.get("Status")),
        code=int(state.get("ExitCode") or 0),
        out_of_memory=bool(state.get("OOMKilled")),
        started=epoch(str(state.get("StartedAt"))),
        finished=epoch(str(state.get("FinishedAt"))),
        devices=injection.devices(said, labels(said).get(label("device"), ""), nodes),
        error=line(str(state.get("Error") or "")),
    )


def labels(said: dict[str, Any]) -> dict[str, str]:
    """Of an inspected one, all of them."""
    return (said.get("Config") or {}).get("Labels") or {}


def was_started(said: dict[str, Any]) -> bool:
    """Docker's word `created` also stands for one whose start failed; that one never ran."""
    state = said.get("State") or {}
    return state.get("Status") != "created" or epoch(str(state.get("StartedAt"))) > 0


def epoch(said: str) -> float:
    """Seconds since the epoch of Docker's `2026-01-02T03:04:05.123456789Z`; 0.0 for its year 1, which is never."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", said)
    if match is None or said.startswith("0001"):
        return 0.0
    whole = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3])).timestamp()
    return whole + float(match[2] or 0)
