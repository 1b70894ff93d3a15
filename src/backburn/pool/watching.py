"""A runner that was started: is it online, has it a job, has it ended, and how."""

from __future__ import annotations

import msgspec

from ..received import line
from . import blame, departing, exits, streak
from .care import gravest, ground, said
from .engine import BLIND, MACHINE, MARKER, Declined, Inspection
from .exits import Outcome
from .health.symptom import Blame, Severity, Symptom
from .invariants import Broken
from .lease import Job, Lease, State, Wanted
from .place import SOON, Move, Place, Tools, blocked, futile
from .registrar import Registration, Removal

# Seconds between two questions to GitHub about a runner: not online yet, with a job, idle. Sixteen busy slots make
# 2,880 an hour, of the 5,000 that the smallest budget has.
OFTEN, BUSILY, IDLY = 2.0, 20.0, 60.0
GRACE = 60.0  # seconds that a list may be late: only then is a runner that GitHub does not know one that is gone
LONG = 200  # characters kept of what a job says of itself
GOING = 15.0  # seconds that dockerd gives its containers as it ends, and answers us meanwhile: who killed this one?
SHORT = 30.0  # seconds: GitHub takes back an idle runner after minutes; one that goes sooner would go at once again


def starting(place: Place, tools: Tools) -> Move:
    """Is it online, with the device of its lease and no other?"""
    lease, seen = _look(place, tools)
    if seen is None or seen.ended:
        return Move(State.FINISHING)
    if seen.devices != ((lease.device,) if lease.device else ()):
        said = f"it was given {', '.join(seen.devices) or 'no device'}, and not {lease.device or 'none'}"
        return _away(place, lease, Outcome.UNBOUND, said, tools)
    if _job(lease, tools):
        return _busy(place, lease, tools)
    if (registration := _ask(place, lease, OFTEN, tools)) is not None:
        if registration.busy:
            return _busy(place, lease, tools)
        if registration.online:
            lease.online = tools.clock.now()
            tools.store.save(lease)
            return Move(State.ONLINE, place.trouble, tools.look)
    if tools.clock.passed() - place.since > tools.config.pool.online_within:
        return _away(place, lease, Outcome.LATE, f"not online within {tools.config.pool.online_within:.0f} s", tools)
    return Move(State.STARTING, place.reason, SOON)


def online(place: Place, tools: Tools) -> Move:
    """An idle runner: a job comes, GitHub takes it back, or it is not wanted any more."""
    lease, seen = _look(place, tools)
    if seen is None or seen.ended:
        return Move(State.FINISHING)
    if _job(lease, tools):
        return _busy(place, lease, tools)
    if place.retired or tools.store.wanted(place.slot.name) is Wanted.DRAIN:
        return _away(place, lease, Outcome.DRAINED, "drained", tools)
    if held := tools.store.held(place.slot.name):
        return _away(place, lease, Outcome.DRAINED, held.reason, tools)
    if ill := _ill(place, lease, tools):
        return _away(place, lease, Outcome.DRAINED, said(ill), tools)
    registration = _ask(place, lease, IDLY, tools)
    if registration is not None and registration.busy:
        return _busy(place, lease, tools)
    if place.missing and tools.clock.passed() - place.missing > GRACE:
        return _away(place, lease, Outcome.IDLE, "GitHub has taken it back", tools)
    return Move(State.ONLINE, place.trouble, tools.look)


def busy(place: Place, tools: Tools) -> Move:
    """A job: nothing ends it but itself, and the watchdog."""
    lease, seen = _look(place, tools)
    if seen is None or seen.ended:
        return Move(State.FINISHING)
    now = tools.clock.passed()
    if not place.began:  # just now, or before a restart of ours
        place.began = now - max(0.0, tools.clock.now() - (lease.busy or tools.clock.now()))
    if now - place.began > tools.config.pool.max_job:
        return _force(lease, f"it ran longer than [pool] max-job, {tools.config.pool.max_job:.0f} s", tools)
    _job(lease, tools)
    suspect = _suspect(place, lease, tools)
    registration = _ask(place, lease, BUSILY, tools)
    if place.missing and now - place.missing > tools.config.pool.hang:
        return _force(lease, f"GitHub ended its job {now - place.missing:.0f} s ago, and it still runs", tools)
    if registration is not None:
        place.quiet = 0.0 if registration.busy else place.quiet or now
    if not lease.job and place.quiet and now - place.quiet > GRACE:
        lease.busy = place.began = place.quiet = 0.0  # the job went elsewhere before it began
        tools.store.save(lease)
        return Move(State.ONLINE, "GitHub says that it has no job", SOON)
    return Move(State.BUSY, place.trouble or suspect, tools.look)


def finishing(place: Place, tools: Tools) -> Move:
    """It has ended, or was let go: outcome and ledger, black box, and away with it."""
    lease, seen = _look(place, tools)
    if seen is not None and not seen.ended and not lease.cause:
        return Move(State.UNKNOWN, "it has not ended")
    if seen is not None:
        _job(lease, tools)
    registered = _still_registered(lease, seen, tools)
    end = exits.Ending(lease=lease, seen=seen, registered=registered, restarted=tools.engine.restarted())
    how = exits.outcome(end)
    if how is Outcome.KILLED and tools.clock.passed() - place.since < GOING:
        return Move(State.FINISHING, place.reason, SOON)  # by an engine that is about to go, perhaps
    lease.symptoms += tools.care.felt(place.slot, lease, tools.clock.now()) + _out_of_sight(place, lease, how, tools)
    lease.blame, lease.why = blame.judge(end, how, tools.config.limits, tools.gate.full() if how in exits.BAD else "")
    if how in exits.BAD:
        tools.keep(place.slot, lease, how)
    tools.ended(lease, how)
    ended = tools.clock.now() if seen is None or not seen.finished else max(lease.started, seen.finished)
    if end.job and not 0 < lease.busy <= ended:  # seen only when it was over: it began after the last look before
        lease.busy = max(lease.online, lease.started, ended - tools.look)
    if ill := ground(tools.care.unmended(place.slot, lease.symptoms)) or streak.ground(lease, how, ended, tools.store):
        tools.store.hold(place.slot.name, ill)
    tools.store.record(lease, how, ended)
    whose = f", {lease.blame}: {lease.why}" if lease.blame else ""
    tools.note(place.slot.name, "warning" if how in exits.BAD else "info", f"{lease.runner}: {how}{whose}")
    departing.take_away(lease, tools)
    place.lease = None
    return _next(place, end, how, tools)


def _next(place: Place, end: exits.Ending, how: Outcome, tools: Tools) -> Move:
    if how is Outcome.DEPRECATED:
        return blocked(place, tools, "GitHub takes no runner of this version any more: a newer [pool] image", 600.0)
    if end.job:
        place.failures = 0
        return Move(State.CLEANING)
    short = how is Outcome.IDLE and end.lease.ended - end.lease.started < SHORT
    if how in exits.FUTILE or short:
        return futile(place, tools, f"{how}, exit code {end.seen.code}" if end.seen else str(how))
    return Move(State.CLEANING)


def _still_registered(lease: Lease, seen: Inspection | None, tools: Tools) -> bool:
    """Asked only where the exit code leaves it open."""
    if lease.cause or seen is None or seen.code not in (exits.SUCCESS, exits.TERMINATED):
        return False
    return tools.registrar.get(lease.runner_id) is not None


def _ill(place: Place, lease: Lease, tools: Tools) -> Symptom | None:
    """Why an idle runner must go: written down with its lease, for a fault that shows only once."""
    found = tools.care.felt(place.slot, lease, tools.clock.now())
    ill = gravest(tools.care.unmended(place.slot, lease.symptoms) + found, Severity.UNFIT)
    if ill is not None and found:
        lease.symptoms += found
        tools.store.save(lease)
    return ill


def _suspect(place: Place, lease: Lease, tools: Tools) -> str:
    """A job is not killed for what its GPU does: it is told, and so is whoever asks for the slot."""
    if found := tools.care.felt(place.slot, lease, tools.clock.now()):
        told = lease.symptoms + found
        try:
            if (text := blame.page(told)) != blame.page(lease.symptoms):
                tools.engine.tell(lease.container, MACHINE, text)
        except Declined as error:  # it has just ended, or its job stands in the way
            tools.note(lease.slot, "info", f"{lease.runner}: its job is not told of its GPU: {error}")
        lease.symptoms = told
        tools.store.save(lease)
        for one in found:
            tools.note(lease.slot, "warning", f"{lease.runner}, with a job: {said(one)}")
    ill = gravest(tools.care.unmended(place.slot, lease.symptoms), Severity.UNFIT)
    return f"suspect: {said(ill)}" if ill else ""


def _out_of_sight(place: Place, lease: Lease, how: Outcome, tools: Tools) -> tuple[Symptom, ...]:
    """Its container had lost the GPU (a `systemctl daemon-reload` does that): the hook says so, and has failed the job.

    The GPU itself may be well, and the container is gone after this.
    """
    if how is not Outcome.FAILED or not place.slot.device:
        return ()
    why = tools.engine.read(lease.container, BLIND, 4096)
    if why is None:
        return ()
    words = f"the container did not see it any more: {line(why.decode(errors='replace'), LONG)}"
    return (
        Symptom(
            check="gpu/view",
            device=place.slot.device,
            severity=Severity.NOTED,
            blame=Blame.MACHINE,
            said=words,
            at=tools.clock.now(),
        ),
    )


def _look(place: Place, tools: Tools) -> tuple[Lease, Inspection | None]:
    if place.lease is None:
        raise Broken(f"{place.slot.name} is {place.state} without a lease")
    return place.lease, tools.engine.inspect(place.lease.container)


def _ask(place: Place, lease: Lease, every: float, tools: Tools) -> Registration | None:
    """What GitHub says of the runner, if it is time to ask; keeps since when it has not known it."""
    now = tools.clock.passed()
    if place.asked and now - place.asked < every:
        return None
    place.asked = now
    registration = tools.registrar.get(lease.runner_id)
    place.trouble = ""
    place.missing = 0.0 if registration is not None else place.missing or now
    return registration


def _job(lease: Lease, tools: Tools) -> Job | None:
    """What the job-started hook wrote, once. A marker that is not one of ours says only that there is a job."""
    if lease.job is None and (written := tools.engine.read(lease.container, MARKER)) is not None:
        try:
            told = msgspec.json.decode(written, type=Job)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            told = Job()
        lease.job = Job(**{name: str(getattr(told, name))[:LONG] for name in Job.__struct_fields__})
        lease.busy = lease.busy or tools.clock.now()
        tools.store.save(lease)
    return lease.job


def _busy(place: Place, lease: Lease, tools: Tools) -> Move:
    lease.online, lease.busy = lease.online or tools.clock.now(), lease.busy or tools.clock.now()
    tools.store.save(lease)
    place.failures, place.quiet = 0, 0.0
    return Move(State.BUSY, "", SOON)


def _away(place: Place, lease: Lease, cause: Outcome, why: str, tools: Tools) -> Move:
    """Deregister first: only what GitHub lets go is taken away."""
    if departing.retire(lease, cause, tools) is Removal.BUSY:
        return _busy(place, lease, tools)
    return Move(State.FINISHING, why)


def _force(lease: Lease, why: str, tools: Tools) -> Move:
    """The watchdog's: the one way in which a container with a job is killed (I5)."""
    lease.forced, lease.cause = why, Outcome.WATCHDOG
    tools.store.save(lease)
    tools.note(lease.slot, "error", f"{lease.runner} is killed: {why}")
    return Move(State.FINISHING, why)
