"""What is told of whom. That NVML's events arrive at all is seen in test_nvml, with the real binding."""

import threading
from types import SimpleNamespace as Some

from backburn.pool.health.nvml_events import Device, Listener


class NVMLError(Exception):
    def __init__(self, value):
        super().__init__(value)
        self.value = value


class Nvml:
    """A driver of two cards: the second knows no events. Two Xids, then it says 999 for ever."""

    NVMLError, nvmlEventTypeXidCriticalError, nvmlEventTypeGpuRecoveryAction = NVMLError, 8, 0x8000

    def __init__(self, events):
        self.events, self.masks = events, {}

    def nvmlEventSetCreate(self):
        return self

    def nvmlDeviceGetSupportedEventTypes(self, card):
        if card == "card-2":
            raise NVMLError(3)
        return 0x8008

    def nvmlDeviceRegisterEvents(self, card, mask, waiting):
        self.masks[card] = mask

    def nvmlEventSetWait_v2(self, waiting, milliseconds):
        if not self.events:
            raise NVMLError(999)
        return self.events.pop(0)

    def nvmlDeviceGetUUID(self, card):
        return card

    def nvmlDeviceGetPciInfo(self, card):
        return Some(domain=0, bus=int(card[-1]), device=0)


def told(gi, ci, kind=8, code=79):
    return Some(device="card-1", eventType=kind, eventData=code, gpuInstanceId=gi, computeInstanceId=ci)


def test_an_event_is_told_of_whom_it_concerns(tmp_path):
    whole = Device("GPU-1", "card-1", "card-1")
    parts = [Device(f"MIG-{gi}", f"own-{gi}", "card-1", (gi, 0)) for gi in (1, 2)]
    deaf = Device("GPU-2", "card-2", "card-2")
    nvml = Nvml([told(2, 0), told(0xFFFFFFFF, 0xFFFFFFFF, code=154), told(1, 0, kind=0x8000)])
    heard, last = [], threading.Event()

    def tell(event):
        heard.append((event.device, event.kind, event.code))
        if len(heard) == 7:
            last.set()

    log = tmp_path / "kmsg"
    log.touch()
    devices = {one.uuid: one for one in (whole, *parts, deaf)}
    assert Listener(nvml, devices, tell).begin(str(log)) == {"GPU-1", "MIG-1", "MIG-2", "GPU-2"}  # one by the log
    assert nvml.masks == {"card-1": 0x8008} and last.wait(5)
    assert heard[:2] == [("GPU-1", "xid", 79), ("MIG-2", "xid", 79)]
    assert heard[2:5] == [("GPU-1", "xid", 154), ("MIG-1", "xid", 154), ("MIG-2", "xid", 154)]
    assert [kind for _, kind, _ in heard[5:]] == ["change", "change"]


def test_a_driver_without_events_and_a_log_that_may_not_be_read(tmp_path):
    nvml = Nvml([])
    nvml.nvmlEventSetCreate = lambda: (_ for _ in ()).throw(NVMLError(3))
    devices = {"GPU-1": Device("GPU-1", "card-1", "card-1")}
    assert Listener(nvml, devices, None).begin(str(tmp_path / "none")) == frozenset()
