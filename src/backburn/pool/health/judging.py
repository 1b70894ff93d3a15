"""What speaks against a GPU: one function for each row of the table in docs/pool.md, each a pure one.

What is seen once counts for HELD seconds, so that a fault that comes and goes is one. What a sound card does now and
then must last (throttling, memory left behind) or come twice (no answer) before a slot is unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ...received import line
from .floor import bound
from .reading import Event, Reading
from .record import HELD, QUIET, Seen
from .symptom import Blame, Severity, Symptom
from .xid import RECOVERY_CHANGED, meaning

STALE = 60.0  # seconds after which a look says nothing any more
_APART = 5.0  # seconds between two looks without an answer that count as two
_ALONE = 60.0  # seconds that a single one keeps a slot from work
_ENDS = 3  # times that the process that looks may end by itself within HELD
_LEFT = 30.0  # seconds that memory may take to be free after a job
_SPREAD = 4.0  # throttled for `throttle-grace` of so many times that long
_BETWEEN = 30.0  # seconds that one look says something of the time after it
_WARN = 60.0  # seconds over which a rate is taken
# What NVIDIA's own resource manager recommends at most, by DCGM's dcgm_gpu_hardware_limits.h.
_REPLAYS = 8.0  # a minute
_CORRECTED = 10.0  # a minute; DCGM's figure, which calls itself a dummy. So it is only said
_LOADED = 50  # per cent: the link of a GPU that does less may be slow to save power
_GONE = {6, 28}  # NVML: there is no such UUID
_SLOWED = {0x8: "hardware slowdown", 0x20: "too hot", 0x40: "too hot (hardware)", 0x80: "power brake"}
_HARDWARE = 0x8 | 0x80  # on a GPU that does nothing: a fan, a cable or a power supply

RESETTING = (
    "Stop the supervisor (jobs go on; whoever watches a GPU keeps it from being reset), `nvidia-smi -pm 0 -i {0}`, "
    "`nvidia-smi -r -i {0}`, or restart the machine; start the supervisor and release the slot."
)
REBOOT = "Drain the pool and restart the machine."
DRIVER = "Does `nvidia-smi` work here? After an update of the driver, restart the machine."

Check = Callable[[Seen], Iterator[Symptom]]


def judge(seen: Seen) -> tuple[Symptom, ...]:
    """All checks, the gravest symptom first."""
    found = [symptom for check in CHECKS.values() for symptom in check(seen)]
    return tuple(sorted(found, key=lambda one: list(Severity).index(one.severity), reverse=True))


def driver(seen: Seen) -> Iterator[Symptom]:
    """The driver answers, and the last look is not old."""
    hanging = list(_hanging(seen))
    yield from hanging
    late = [one for one in seen.troubles if seen.passed - one.passed <= HELD]
    if refused := [one for one in late if one.kind == "driver"]:
        last = refused[-1]
        said = f"the driver cannot be asked: {line(last.said)} (NVML {last.code})"
        yield _symptom(seen, "gpu/driver", Severity.MACHINE, said, DRIVER, last.at)
        return
    ended = [one for one in late if one.kind == "end"]
    if len(ended) >= _ENDS:
        said = f"the process that looks ended {len(ended)} times in {HELD:.0f} s, last with exit code {ended[-1].code}"
        yield _symptom(seen, "gpu/driver", Severity.MACHINE, said, DRIVER, ended[-1].at)
    elif not seen.looks:
        yield _symptom(seen, "gpu/driver", Severity.WAIT, "not looked at yet", "", seen.now)
    elif seen.passed - seen.looks[-1].passed > STALE:
        said = f"not looked at for more than {STALE:.0f} s"
        yield _symptom(seen, "gpu/driver", Severity.WAIT, said, "", seen.now)
    elif seen.late and not hanging:
        yield _symptom(seen, "gpu/driver", Severity.WAIT, "it has not answered yet", "", seen.now)


def _hanging(seen: Seen) -> Iterator[Symptom]:
    hung = [one for one in seen.troubles if one.kind in ("hang", "stuck") and seen.passed - one.passed <= QUIET]
    if not hung:
        return
    twice = len(hung) > 1 or hung[-1].kind == "stuck"
    said = f"the driver does not answer ({len(hung)} times in {QUIET:.0f} s)"
    if hung[-1].kind == "stuck":
        said += ", and the process that asked cannot be ended"
    severity, hint = (Severity.RESET, REBOOT) if twice else (Severity.WAIT, "")
    yield _symptom(seen, "gpu/driver-hangs", severity, said, hint, hung[-1].at)


def present(seen: Seen) -> Iterator[Symptom]:
    """The GPU answers by its UUID."""
    lost = [one for one in _held(seen) if one.error]
    if not lost:
        return
    last = lost[-1]
    said = f"it does not answer: {_ERRORS.get(last.error, 'an unknown error')} (NVML {last.error})"
    if last.passed - lost[0].passed < _APART:
        if seen.passed - last.passed <= _ALONE:
            yield _symptom(seen, "gpu/present", Severity.WAIT, f"{said}, once", "", last.at)
    elif last.error in (15, 16):
        yield _symptom(seen, "gpu/present", Severity.RESET, said, RESETTING, last.at)
    else:
        hint = "`nvidia-smi -L` shows the UUIDs." if last.error in _GONE else DRIVER
        yield _symptom(seen, "gpu/present", Severity.UNFIT, said, hint, last.at)


def recovery_action(seen: Seen) -> Iterator[Symptom]:
    """The driver advises no recovery."""
    for last in [one for one in _held(seen) if one.recovery][-1:]:
        severity, advice = _ACTIONS.get(last.recovery or 0, (Severity.RESET, "an action that is not known here"))
        hint = REBOOT if severity is Severity.MACHINE else RESETTING
        said = f"the driver advises: {advice} (recovery action {last.recovery})"
        yield _symptom(seen, "gpu/recovery-action", severity, said, hint, last.at)


def row_remap(seen: Seen) -> Iterator[Symptom]:
    """No memory row waits to be replaced, and none could not be."""
    for last in [one for one in _held(seen) if one.remap_failed][-1:]:
        hint = "The card has no spare rows left there: have it replaced."
        said = "a memory row could not be replaced"
        yield _symptom(seen, "gpu/row-remap", Severity.RESET, said, hint, last.at)
        return
    for last in [one for one in _held(seen) if one.remap_pending][-1:]:
        said = "memory rows wait for a reset to be replaced"
        yield _symptom(seen, "gpu/row-remap", Severity.RESET, said, RESETTING, last.at)


def pages(seen: Seen) -> Iterator[Symptom]:
    """No memory page waits to be retired."""
    for last in [one for one in _held(seen) if one.pages_pending][-1:]:
        said = "memory pages wait for a reset to be retired"
        yield _symptom(seen, "gpu/pages", Severity.RESET, said, RESETTING, last.at)


def ecc(seen: Seen) -> Iterator[Symptom]:
    """No uncorrected memory error since the last look at an empty slot; few corrected ones."""
    for event in seen.events:
        if event.kind == "ecc":
            yield of_event(event)
    rate = _rate(seen.looks, "ecc_corrected")
    if rate > _CORRECTED:
        said = f"{rate:.0f} corrected memory errors a minute, more than {_CORRECTED:.0f}"
        # They are corrected: no job fails of them.
        yield _symptom(seen, "gpu/ecc", Severity.NOTED, said, "Watch for Xid 48, 63 and 92.", seen.now, Blame.CODE)


def xid(seen: Seen) -> Iterator[Symptom]:
    """The driver has told of no error that is the GPU's."""
    advised = any(one.recovery is not None for one in seen.looks)
    for event in seen.events:
        if event.kind == "xid":
            yield of_event(event, advised=advised)


def throttle(seen: Seen) -> Iterator[Symptom]:
    """The clocks are not held down by heat or power."""
    slow = _slowed(seen.looks, sum(_SLOWED), seen)
    idle = _slowed([one for one in seen.looks if one.compute == ()], _HARDWARE, seen)
    if max(slow, idle) < seen.grace:
        return
    last = next(one for one in reversed(seen.looks) if (one.throttle or 0) & sum(_SLOWED))
    why = ", ".join(dict.fromkeys(name for bit, name in _SLOWED.items() if (last.throttle or 0) & bit))
    said = f"slowed down for {max(slow, idle):.0f} s of the last {_SPREAD * seen.grace:.0f} s: {why}"
    hint = "Look at fans, dust, cables and the power supply."
    if idle >= seen.grace:
        yield _symptom(seen, "gpu/throttle", Severity.UNFIT, f"{said}, with nothing to do", hint, last.at)
    else:
        yield _symptom(seen, "gpu/throttle", Severity.NOTED, said, hint, last.at, Blame.OPEN)


def pcie(seen: Seen) -> Iterator[Symptom]:
    """The link is as wide and fast as this slot allows while the GPU works, and repeats little."""
    worked = [one for one in _held(seen) if one.busy and (one.load or 0) >= _LOADED]
    narrow = [one for one in worked if _narrow(one)]
    if len(narrow) >= 3:
        last = narrow[-1]
        now, best = (f"x{last.link_width} gen {last.link_gen}", f"x{last.link_width_max} gen {last.link_gen_max}")
        said = f"the PCIe link is {now} under load, and could be {best}"
        yield _symptom(seen, "gpu/pcie", Severity.NOTED, said, "Seat the card anew.", last.at, Blame.OPEN)
    rate = _rate(seen.looks, "replays")
    if rate > _REPLAYS:
        said = f"{rate:.0f} PCIe replays a minute, more than {_REPLAYS:.0f}"
        yield _symptom(seen, "gpu/pcie", Severity.NOTED, said, "Seat the card anew.", seen.now, Blame.OPEN)


def memory(seen: Seen) -> Iterator[Symptom]:
    """An empty slot's memory is free, and no process is there."""
    if not seen.empty or not seen.looks:
        return
    last = seen.looks[-1]
    if not seen.dirty:
        if seen.relapses > 1:
            said = f"its memory was taken {seen.relapses} times in {HELD:.0f} s, with no job there"
            yield _symptom(seen, "gpu/memory", Severity.WAIT, said, "Which program of this machine uses it?", last.at)
        return
    most = bound(last) if seen.floor is None else seen.floor
    said = f"{_mib(last.memory_used or 0)} in use with no job there, where {_mib(most)} would be"
    if last.compute or last.graphics:
        said += f", by process {', '.join(map(str, (*(last.compute or ()), *(last.graphics or ()))))}"
    severity = Severity.UNFIT if seen.passed - seen.dirty >= _LEFT else Severity.WAIT
    hint = "`ps` shows whose it is; end it, or keep other work off this GPU."
    yield _symptom(seen, "gpu/memory", severity, said, hint, last.at)


def inforom(seen: Seen) -> Iterator[Symptom]:
    """The card's own store of settings is whole."""
    for last in [one for one in _held(seen) if one.inforom][-1:]:
        said = "the InfoROM's checksum is wrong: counters of errors may not be true"
        hint = "Plan to have the card replaced; jobs go on."  # no job fails of it
        yield _symptom(seen, "gpu/inforom", Severity.NOTED, said, hint, last.at, Blame.CODE)


CHECKS: Mapping[str, Check] = {
    "gpu/driver": driver,  # and gpu/driver-hangs
    "gpu/present": present,
    "gpu/recovery-action": recovery_action,
    "gpu/row-remap": row_remap,
    "gpu/pages": pages,
    "gpu/ecc": ecc,
    "gpu/xid": xid,
    "gpu/throttle": throttle,
    "gpu/pcie": pcie,
    "gpu/memory": memory,
    "gpu/inforom": inforom,
}
# Of nvmlDeviceGpuRecoveryAction_t. Draining is what a slot kept from work does: that passes by itself.
_ACTIONS = {
    1: (Severity.RESET, "reset the GPU"),
    2: (Severity.MACHINE, "restart the machine"),
    3: (Severity.UNFIT, "end what uses the links between GPUs"),
    4: (Severity.RESET, "end what uses the links between GPUs, and reset it"),
    5: (Severity.UNFIT, "recover the IMEX domain"),
    6: (Severity.RESET, "reset its bus"),
    7: (Severity.MACHINE, "restart the system"),
}
_ERRORS = {
    6: "there is no such UUID",
    15: "the GPU is lost",
    16: "it must be reset",
    28: "there is no such GPU",
}


def of_event(event: Event, *, advised: bool = True) -> Symptom:
    """What an event comes to. `advised`: the driver says what to do in `gpu/recovery-action`."""
    if event.kind == "ecc":
        said, severity, blame = f"{event.code} uncorrected memory errors", Severity.UNFIT, Blame.MACHINE
    else:
        known = meaning(event.code)
        said, severity, blame = f"Xid {event.code}: {known.said}", known.severity, known.blame
        if event.code == RECOVERY_CHANGED and not advised:
            severity = Severity.UNFIT
    hint = RESETTING.format(event.device) if severity is Severity.RESET else ""
    if severity is Severity.UNFIT:
        hint = f"It is tried again once nothing more was seen for {QUIET / 60:.0f} minutes."
    check = "gpu/ecc" if event.kind == "ecc" else "gpu/xid"
    return Symptom(check=check, device=event.device, severity=severity, blame=blame, said=said, hint=hint, at=event.at)


def _symptom(
    seen: Seen, check: str, severity: Severity, said: str, hint: str, at: float, blame: Blame = Blame.MACHINE
) -> Symptom:
    hint = hint.format(seen.device) if hint is RESETTING else hint
    return Symptom(check=check, device=seen.device, severity=severity, blame=blame, said=said, hint=hint, at=at)


def _held(seen: Seen) -> list[Reading]:
    return [one for one in seen.looks if seen.passed - one.passed <= HELD]


def _narrow(look: Reading) -> bool:
    width, gen = look.link_width_max or 0, look.link_gen_max or 0
    return (look.link_width or width) < width or (look.link_gen or gen) < gen


def _slowed(looks: Sequence[Reading], bits: int, seen: Seen) -> float:
    """Seconds that any of the bits was set. A look speaks for the time until the next one."""
    begin = seen.passed - _SPREAD * seen.grace
    ends = [*(one.passed for one in looks), seen.passed][1:]
    pairs = [(one, end) for one, end in zip(looks, ends, strict=True) if (one.throttle or 0) & bits and end > begin]
    return sum(min(end - max(one.passed, begin), _BETWEEN) for one, end in pairs)


def _rate(looks: Sequence[Reading], counter: str) -> float:
    """By how much a counter rises in a minute, over the last minute or more; 0.0 where it began anew."""
    values: list[tuple[float, int]] = [
        (one.passed, getattr(one, counter)) for one in looks if getattr(one, counter) is not None
    ]
    if not values or values[-1][0] - values[0][0] < _WARN:
        return 0.0
    end, last = values[-1]
    begin, first = next(one for one in reversed(values) if end - one[0] >= _WARN)
    return max(0.0, 60.0 * (last - first) / (end - begin))


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"
