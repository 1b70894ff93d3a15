"""NVML's events of the devices, told as they come; the kernel's log for a card that has none."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .kernel_log import Address, xids
from .reading import Event

_TIMEOUT = 10  # NVML: nothing happened
_WAIT = 1000  # milliseconds of one wait
_ANY = 0xFFFFFFFF  # an event of the whole card


@dataclass
class Device:
    """A GPU, or a MIG instance and the card that it is a part of, as NVML's handles."""

    uuid: str
    own: Any
    card: Any
    instance: tuple[int, int] | None = None  # GPU and compute instance


class Listener:
    """Tells of Xids, and of what else changes where the driver says so, until the process ends."""

    def __init__(self, nvml: Any, devices: Mapping[str, Device], tell: Callable[[Event], None]) -> None:
        self._nvml, self._devices, self._tell = nvml, devices, tell

    def begin(self, kmsg: str) -> frozenset[str]:
        """The devices whose Xids are told of."""
        heard = self._registered()
        rest: dict[Address, tuple[str, ...]] = {}
        for one in self._devices.values():
            if one.uuid not in heard and (address := self._address(one)):
                rest[address] = (*rest.get(address, ()), one.uuid)
        return heard | xids(rest, self._tell, kmsg, threading.Event())

    def _registered(self) -> frozenset[str]:
        try:
            waiting = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError:
            return frozenset()
        heard = frozenset(one.uuid for one in self._devices.values() if self._register(one, waiting))
        if heard:
            threading.Thread(target=self._listen, args=(waiting,), daemon=True).start()
        return heard

    def _register(self, device: Device, waiting: Any) -> bool:
        nvml = self._nvml
        wanted = nvml.nvmlEventTypeXidCriticalError
        more = sum(getattr(nvml, f"nvmlEventType{name}", 0) for name in ("GpuUnavailableError", "GpuRecoveryAction"))
        try:
            mask = nvml.nvmlDeviceGetSupportedEventTypes(device.card) & (wanted | more)
            if mask & wanted:
                nvml.nvmlDeviceRegisterEvents(device.card, mask, waiting)
        except nvml.NVMLError:
            return False
        return bool(mask & wanted)

    def _listen(self, waiting: Any) -> None:
        nvml, pause = self._nvml, threading.Event()
        while True:
            try:
                told = nvml.nvmlEventSetWait_v2(waiting, _WAIT)
                card = nvml.nvmlDeviceGetUUID(told.device)
            except nvml.NVMLError as error:
                if error.value != _TIMEOUT:
                    pause.wait(_WAIT / 1000)
                continue
            kind = "xid" if told.eventType == nvml.nvmlEventTypeXidCriticalError else "change"
            for device in self._devices.values():
                if self._concerns(device, card, (told.gpuInstanceId, told.computeInstanceId)):
                    self._tell(Event(device=device.uuid, kind=kind, code=int(told.eventData)))

    def _concerns(self, device: Device, card: str, instance: tuple[int, int]) -> bool:
        with contextlib.suppress(self._nvml.NVMLError):
            same = self._nvml.nvmlDeviceGetUUID(device.card) == card
            return same and (device.instance is None or _ANY in instance or instance == device.instance)
        return False

    def _address(self, device: Device) -> Address | None:
        with contextlib.suppress(self._nvml.NVMLError):
            said = self._nvml.nvmlDeviceGetPciInfo(device.card)
            return said.domain, said.bus, said.device
        return None
