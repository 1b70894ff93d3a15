"""What NVML says, a line of JSON for each line on stdin: `python -m backburn.pool.health.nvml UUID …`

A program of its own, and the only module that has pynvml: a call of NVML may wait in the kernel for ever, where no
signal reaches, and then it is this process that is lost. It also tells of events as they come. It ends with its stdin,
where it cannot reach the driver, and a while after it lost a card: another finds what this one does not.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from .kernel_log import KMSG
from .nvml_events import Device, Listener
from .reading import Look, Reading, Told, Trouble

RECOVERY = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, which older bindings do not have
NO_BINDING = -1  # nvidia-ml-py is not installed
# What NVML says of a value that this card, this driver or this user does not have: no symptom. 2 is what some calls say
# to a MIG instance. The rest is of the device: it does not answer.
_SKIPPED = {2, 3, 4, 13, 21, 25, 26}
_BAD_INFOROM = 14
_RARELY = 3600.0  # seconds between two checks of the InfoROM, which is read from flash
_ANEW = 60.0  # seconds after which a process whose card is lost makes room for another: only that one finds it again

Tell = Callable[[Told], None]


class Cards:
    """The devices, looked at. One that is lost is found again only by another process."""

    def __init__(self, nvml: Any, uuids: Sequence[str]) -> None:
        self._nvml, self._uuids = nvml, uuids
        nvml.nvmlInit()
        self._since = time.monotonic()
        self.devices: dict[str, Device] = {}
        self.heard: frozenset[str] = frozenset()  # those whose Xids are told of
        self._inforoms: dict[str, tuple[float, int | None]] = {}
        for uuid in uuids:
            with contextlib.suppress(nvml.NVMLError):
                self.devices[uuid] = self._found(uuid)

    @property
    def old(self) -> bool:
        """Whether to make room for another, where a device does not answer."""
        return time.monotonic() - self._since > _ANEW

    def _found(self, uuid: str) -> Device:
        nvml = self._nvml
        own = nvml.nvmlDeviceGetHandleByUUID(uuid)
        if not uuid.startswith("MIG-"):
            return Device(uuid, own, own)
        card = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(own)
        instance = nvml.nvmlDeviceGetGpuInstanceId(own), nvml.nvmlDeviceGetComputeInstanceId(own)
        return Device(uuid, own, card, instance)

    def look(self) -> Look:
        """At every device."""
        return Look(tuple(self._reading(uuid) for uuid in self._uuids))

    def _reading(self, uuid: str) -> Reading:
        values: dict[str, Any] = {"xids": int(uuid in self.heard) or None}
        try:
            device = self.devices.get(uuid) or self._found(uuid)
            for name, ask in self._questions(device):
                values |= self._answer(name, ask)
        except self._nvml.NVMLError as error:
            values["error"] = error.value
        return Reading(device=uuid, **values)

    def _answer(self, name: str, ask: Callable[[], Any]) -> dict[str, Any]:
        try:
            value = ask()
        except self._nvml.NVMLError as error:
            if error.value in _SKIPPED:
                return {}
            raise
        return value if isinstance(value, dict) else {name: value}

    def _questions(self, device: Device) -> Iterator[tuple[str, Callable[[], Any]]]:
        """In this order; a card's own are asked of the card where the device is a part of one."""
        nvml, card, own = self._nvml, device.card, device.own
        yield "recovery", lambda: _field(nvml, card, RECOVERY)
        yield "remap", lambda: dict(
            zip(("remap_pending", "remap_failed"), nvml.nvmlDeviceGetRemappedRows(card)[2:], strict=True)
        )
        yield "pages_pending", lambda: nvml.nvmlDeviceGetRetiredPagesPendingStatus(card)
        yield "ecc_uncorrected", lambda: nvml.nvmlDeviceGetTotalEccErrors(card, 1, 0)  # uncorrected, volatile
        yield "ecc_corrected", lambda: nvml.nvmlDeviceGetTotalEccErrors(card, 0, 0)
        yield "throttle", lambda: _reasons(nvml, card)
        yield "link_gen", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(card)
        yield "link_gen_max", lambda: nvml.nvmlDeviceGetMaxPcieLinkGeneration(card)
        yield "link_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(card)
        yield "link_width_max", lambda: nvml.nvmlDeviceGetMaxPcieLinkWidth(card)
        yield "replays", lambda: nvml.nvmlDeviceGetPcieReplayCounter(card)
        yield "load", lambda: nvml.nvmlDeviceGetUtilizationRates(card).gpu
        yield "memory", lambda: _memory(nvml, own)
        yield "compute", lambda: _processes(nvml, own, "Compute")
        yield "graphics", lambda: _processes(nvml, own, "Graphics")
        yield "inforom", lambda: self._inforom(device)

    def _inforom(self, device: Device) -> int | None:
        checked, value = self._inforoms.get(device.uuid, (0.0, None))
        if not checked or time.monotonic() - checked > _RARELY:
            value = _valid(self._nvml, device.card)
            self._inforoms[device.uuid] = time.monotonic(), value
        return value


def _field(nvml: Any, device: Any, number: int) -> int:
    value = nvml.nvmlDeviceGetFieldValues(device, [number])[0]
    if value.nvmlReturn:
        raise nvml.NVMLError(value.nvmlReturn)
    return int(value.value.uiVal)


def _reasons(nvml: Any, device: Any) -> int:
    """Drivers before R535 have it by its first name."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(device))
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device))


def _memory(nvml: Any, device: Any) -> dict[str, int]:
    """What jobs use. Drivers before R510 cannot tell it from what the driver reserves."""
    try:
        said = nvml.nvmlDeviceGetMemoryInfo(device, nvml.nvmlMemory_v2)
    except nvml.NVMLError as error:
        if error.value not in _SKIPPED:
            raise
        said = nvml.nvmlDeviceGetMemoryInfo(device)
    return {"memory_used": int(said.used), "memory_total": int(said.total)}


def _processes(nvml: Any, device: Any, kind: str) -> tuple[int, ...]:
    try:
        said = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")(device)
    except nvml.NVMLError as error:
        if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        said = getattr(nvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")(device)
    return tuple(int(one.pid) for one in said)


def _valid(nvml: Any, device: Any) -> int | None:
    try:
        nvml.nvmlDeviceValidateInforom(device)
    except nvml.NVMLError as error:
        if error.value == _BAD_INFOROM:
            return 1
        if error.value in _SKIPPED:
            return None
        raise
    return 0


def _teller() -> Tell:
    lock, encode = threading.Lock(), msgspec.json.Encoder().encode

    def tell(told: Told) -> None:
        with lock:
            sys.stdout.buffer.write(encode(told) + b"\n")
            sys.stdout.buffer.flush()

    return tell


def main(uuids: Sequence[str], tell: Tell, kmsg: str = KMSG) -> int:
    """Look whenever a line comes, until no more can."""
    try:
        import pynvml as nvml
    except ImportError as error:
        tell(Trouble(kind="driver", code=NO_BINDING, said=f"{error}; pip install 'backburn[pool]'"))
        return 1
    try:
        cards = Cards(nvml, uuids)
    except nvml.NVMLError as error:
        tell(Trouble(kind="driver", code=error.value, said=_said(nvml, error)))
        return 1
    cards.heard = Listener(nvml, cards.devices, tell).begin(kmsg)
    for _ in sys.stdin.buffer:
        look = cards.look()
        tell(look)
        if cards.old and any(one.error for one in look.readings):
            tell(Trouble(kind="anew"))
            break
    return 0


def _said(nvml: Any, error: Any) -> str:
    with contextlib.suppress(nvml.NVMLError):
        return str(error)
    return "no words for it"


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        sys.exit(main(sys.argv[1:], _teller()))
