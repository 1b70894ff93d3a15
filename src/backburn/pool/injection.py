"""How a container is given its GPU, by UUID and never by index, and what it was really given."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .config import Injection
from .engine import Declined

Nodes = Callable[[str], Mapping[str, str]]  # UUID -> {path on the host: path in the container}

CDI_KIND = "nvidia.com/gpu"
VISIBLE = "NVIDIA_VISIBLE_DEVICES"
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_DEV = Path("/dev")
_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")  # what every process on any GPU opens
HINTS = {
    Injection.CDI: "CDI knows no such GPU: install nvidia-container-toolkit, `nvidia-ctk cdi generate "
    "--output=/etc/cdi/nvidia.yaml --device-name-strategy=uuid`; Engine 25 to 28.1 also needs "
    '`"features": {"cdi": true}` in daemon.json. Or [slots] injection = "nvidia".',
    Injection.NVIDIA: "The engine has no NVIDIA driver plugin: install nvidia-container-toolkit, `nvidia-ctk runtime "
    'configure --runtime=docker`, restart dockerd. Or [slots] injection = "cdi" or "devices".',
    Injection.DEVICES: "The driver's device nodes are not there: does `nvidia-smi` see the GPU on this machine?",
}


def chosen(wanted: Injection, device: str, info: Callable[[], Mapping[str, Any]]) -> Injection:
    """What `auto` means for this device on this engine: cdi where it says that it knows the device, else nvidia.

    `info` is GET /info. Engine 28.2 and later list what CDI found (DiscoveredDevices); from 25 on there are only the
    folders of its specifications, which say nothing of what is in them when the engine is on another machine.
    """
    if not device or wanted is Injection.NONE:
        return Injection.NONE
    if wanted is not Injection.AUTO:
        return wanted
    said = info()
    found = [str(one.get("ID", "")) for one in said.get("DiscoveredDevices") or []]
    if f"{CDI_KIND}={device}" in found:
        return Injection.CDI
    known = not found and any(_names(Path(folder), device) for folder in said.get("CDISpecDirs") or [])
    return Injection.CDI if known else Injection.NVIDIA


def _names(folder: Path, device: str) -> bool:
    """Whether a specification in this folder has the device by its UUID."""
    try:
        return any(device in path.read_text() for path in folder.iterdir() if path.suffix in (".yaml", ".yml", ".json"))
    except (OSError, UnicodeDecodeError):
        return False


def given(injection: Injection, device: str, nodes: Nodes) -> dict[str, Any]:
    """The part of HostConfig that hands the device out. Raises Declined where its nodes are not known."""
    if injection is Injection.CDI:
        return {"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": [f"{CDI_KIND}={device}"]}]}
    if injection is Injection.NVIDIA:
        return {"DeviceRequests": [{"Driver": "nvidia", "DeviceIDs": [device], "Capabilities": [["gpu"]]}]}
    if injection is Injection.DEVICES:
        pairs = nodes(device).items()
        return {"Devices": [{"PathOnHost": a, "PathInContainer": b, "CgroupPermissions": "rwm"} for a, b in pairs]}
    return {}


def environment(injection: Injection, device: str) -> str:
    """CUDA images say NVIDIA_VISIBLE_DEVICES=all, and where NVIDIA's runtime is the default that hands out every GPU,
    whatever was asked for: to a CPU slot too. So it is always said, and is `void` where GPUs come by another way.
    """
    return f"{VISIBLE}={device if injection is Injection.NVIDIA else 'void'}"


def device_nodes(device: str, gpus: Path = _NVIDIA, dev: Path = _DEV) -> dict[str, str]:
    """The nodes of a GPU, by the driver's own list of UUID and minor number. Raises Declined for one it lacks."""
    if device.startswith("MIG-"):
        raise Declined(f"{device}: a MIG instance is no device node", '[slots] injection = "cdi" or "nvidia".')
    for path in gpus.glob("*/information"):
        said = path.read_text()
        minor = re.search(r"^Device Minor:\s*(\d+)", said, re.MULTILINE)
        if minor and re.search(rf"^GPU UUID:\s*{re.escape(device)}\s*$", said, re.MULTILINE):
            nodes = [dev / f"nvidia{minor[1]}", *(dev / name for name in _SHARED)]
            return {str(node): f"/dev/{node.name}" for node in nodes if node.exists()}
    raise Declined(f"{device}: the driver does not list it", HINTS[Injection.DEVICES])


def devices(said: Mapping[str, Any], device: str, nodes: Nodes) -> tuple[str, ...]:
    """What an inspected container was really given: (its UUID,) and nothing else where all is well.

    `device` is the UUID in its label. Device nodes are that UUID if they are all of its nodes and no others, else each
    is named by its path on the host. `all` is every GPU of the machine, as is `count:N` N that somebody else chooses.
    """
    host = said.get("HostConfig") or {}
    found = [one for request in host.get("DeviceRequests") or [] for one in _requested(request)]
    paths = {str(one.get("PathOnHost")): str(one.get("PathInContainer")) for one in host.get("Devices") or []}
    if paths:
        found += [device] if device and _same(paths, device, nodes) else sorted(paths)
    if "nvidia" in str(host.get("Runtime")):
        found += _visible((said.get("Config") or {}).get("Env") or [])
    if host.get("Privileged"):
        found.append("all")
    return tuple(dict.fromkeys(found))


def _requested(request: Mapping[str, Any]) -> list[str]:
    names = [str(name).removeprefix(f"{CDI_KIND}=") for name in request.get("DeviceIDs") or []]
    count = request.get("Count") or 0
    return names or ["all" if count == -1 else f"count:{count}"]


def _same(paths: Mapping[str, str], device: str, nodes: Nodes) -> bool:
    try:
        return dict(nodes(device)) == dict(paths)
    except Declined:  # the driver lost it meanwhile
        return False


def _visible(env: list[str]) -> list[str]:
    value = dict(line.partition("=")[::2] for line in env).get(VISIBLE, "")
    return [name for name in value.split(",") if name not in ("", "void", "none")]
