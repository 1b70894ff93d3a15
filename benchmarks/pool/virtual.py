"""Rows in virtual time: the real steps against models of GitHub and of the engine, thousands of times."""

import random
import time
from dataclasses import replace

import msgspec

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from backburn.pool import departing
from backburn.pool.config import GitHub as Given
from backburn.pool.github import GitHub
from backburn.pool.lease import State, Wanted
from backburn.pool.simulation import soak as soaking
from backburn.pool.simulation.fate import QUIET
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.fuse import OF_GPUS, POINTS
from backburn.pool.simulation.hub import App, Hub
from backburn.pool.simulation.soak import TOKEN, Soak, configured
from backburn.pool.simulation.world import EPOCH, World

from tests.pool.simulation.test_soak import Misfortunes

from . import peers

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
ARMED = (State.ONLINE, State.BUSY)
LOSSES = (Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED, Fault.TAKEN, Fault.SLOW)


def _ours(soak):
    return [one for one in soak.hub.live.values() if one.name not in soak.witness.strangers]


def _stale(soak):
    """Registrations that nothing of ours can use any more: neither a container nor a slot that makes one."""
    used = {box.name for box in soak.dock.boxes.values()} | {place.lease.runner for place in soak.places if place.lease}
    return [one for one in _ours(soak) if one.name not in used]


def _wrong(soak):
    """Of one world: what a row adds up."""
    jobs = soak.hub.jobs.values()
    return {
        "jobs": len(jobs),
        "jobs_lost": len(soak.witness.unasked),
        "double": sum("run on" in one or "are both online" in one for one in soak.witness.broken),
        "broken": len(soak.witness.broken),
    }


def _added(rows):
    rows = list(rows)
    return {name: sum(row[name] for row in rows) for name in rows[0]}


def _until(soak, happens, within):
    """Seconds that it took; `within` where it did not happen."""
    begun = soak.world.passed()
    while not happens() and soak.world.passed() - begun < within:
        soak.go(0.5)
    return soak.world.passed() - begun


def _armed(soak):
    return bool(soak.places) and all(place.state in ARMED for place in soak.places)


# F1


def killed(times, say):
    """At every point, so many times; each time a minute to tidy up, while jobs go on."""
    rows = []
    for number, point in enumerate(POINTS):
        rows.append(_killed_at(point, times, number))
        say(f"{number + 1} of {len(POINTS)} points")
    return {"points": len(POINTS), "each": times} | _added(rows)


def _killed_at(point, times, seed):
    dice, left = random.Random(seed), [0]

    def blow(here):
        left[0] -= here == point
        return here == point and left[0] == 0

    ill = 200.0 if point.endswith(OF_GPUS) else 0.0
    fate = replace(QUIET, lost=0.15 if "find" in point else 0.0, ills=ill, rounds=ill)
    soak = Soak(seed=seed, slots=2, per_hour=90.0, lasts=(5.0, 40.0), fate=fate, look=5.0, blow=blow)
    orphans = 0
    for kill in range(times):
        left[0] = 1 if ill else dice.randint(1, 4)
        _until(soak, lambda kill=kill: soak.kills > kill, 6 * HOUR)
        _until(soak, lambda: soak.places, MINUTE)
        soak.go(MINUTE)
        orphans += sum(soak.hub.now() - one.registered > MINUTE for one in _stale(soak))
    return {"kills": soak.kills, "orphans": orphans} | _wrong(soak)


# F2


def unheard(count, say):
    """Registrations whose reply is lost, late, refused, or not to be read; and lists that leave new ones out."""
    fate = replace(QUIET, late=0.3)
    soak = Soak(seed=2, slots=8, per_hour=240.0, lasts=(1.0, 10.0), fate=fate, look=5.0)
    soak.hub.faults.rates = dict.fromkeys(LOSSES, 0.03)
    seen, ages, most = {}, [], 0
    while (asked := _asked(soak, "register")) < count:
        soak.go(1.0)
        now, stale = soak.world.passed(), {one.id: one for one in _stale(soak)}
        ages += [now - since for number, since in seen.items() if number not in stale]
        seen = {number: seen.get(number, max(now, one.visible - EPOCH)) for number, one in stale.items()}
        most = max(most, len(stale))
        if int(now) % 300 == 0:
            say(f"{asked} of {count} registrations")
    soak.hub.faults.rates.clear()
    soak.go(3 * MINUTE)
    faults = sum(soak.hub.faults.seen.values())
    row = {"registrations": asked, "faults": faults, "orphans": len(_stale(soak)), "most_at_once": most}
    ages = sorted(max(0.0, age) for age in ages) or [0.0]  # since GitHub has shown it
    gone = {"gone_after_p95_s": ages[int(0.95 * (len(ages) - 1))], "gone_after_max_s": ages[-1]}
    return row | {name: round(age, 1) for name, age in gone.items()} | _wrong(soak)


def _asked(soak, call):
    return sum(count for (name, _), count in soak.hub.requests.items() if name == call)


def same_name(count, say):
    """The peer: another try with the same name (runs-on#30, runs-on#546, ubicloud#692)."""
    world = World(random.Random(2))
    hub = Hub(world, random.Random(3), token=TOKEN, limit=0, points=0)
    hub.faults.rates = dict.fromkeys(LOSSES, 0.03)
    client = GitHub(configured(1, None), clock=world, transport=hub.transport(), read=lambda where: TOKEN)
    stuck = 0
    for number in range(count):
        runner = peers.registered_by_the_same_name(client, world, f"lab1-sim-cpu0-{number:08x}")
        stuck += runner is None
        if runner is not None:
            hub.remove(runner.id)
    return {"registrations": count, "faults": sum(hub.faults.seen.values()), "orphans": len(hub.live), "stuck": stuck}


# F4


STORMS = {
    "429": (Fault.THROTTLED,),
    "5xx": (Fault.FAILED,),
    "no answer": (Fault.DROPPED, Fault.REFUSED),
    "all of these": (Fault.THROTTLED, Fault.FAILED, Fault.DROPPED),
    "secondary limit": (Fault.SECONDARY,),  # "wait a minute", then exponentially: GitHub's own rule
}


def storms(seeds, say):
    """Half an hour of each, at 8 slots with jobs: how much was sent of what was allowed, and how soon all is well."""
    rows = {}
    for name, faults in STORMS.items():
        found = [_storm(faults, seed) for seed in range(seeds)]
        rows[name] = {
            "sent": max(one["sent"] for one in found),
            "of_allowed": round(max(one["of_allowed"] for one in found), 3),
            "recovery_s": round(max(one["recovery_s"] for one in found), 1),
            "jobs_lost": sum(one["jobs_lost"] for one in found),
            "broken": sum(one["broken"] for one in found),
        }
        say(f"storm: {name}")
    return rows


def _storm(faults, seed):
    soak = Soak(seed=seed, slots=8, per_hour=20.0, lasts=(10.0, 300.0), fate=QUIET, look=5.0)
    soak.go(10 * MINUTE)
    sent, early = sum(soak.hub.requests.values()), soak.hub.trespasses
    soak.hub.faults.storm(faults, soak.hub.now(), soak.hub.now() + 30 * MINUTE)
    soak.go(30 * MINUTE)
    sent, early = sum(soak.hub.requests.values()) - sent, soak.hub.trespasses - early
    took = _until(soak, lambda: _all_were_armed(soak), 15 * MINUTE)
    return {"sent": sent, "of_allowed": sent / max(1, sent - early), "recovery_s": took} | _wrong(soak)


def _all_were_armed(soak):
    """Nobody waits for the end of the storm any more; one that arms again after a job is no trace of it."""
    return all(place.state is not State.BLOCKED for place in soak.places)


# F8


def jumps(days, say):
    """The wall clock jumps by up to 15 minutes once an hour; an App's signatures hold when it is off by so much."""
    soak = Soak(seed=8, slots=4, per_hour=6.0, lasts=(20.0, 1800.0), fate=replace(QUIET, jumps=24.0), look=30.0)
    soak.go(days * DAY)
    killed = sum(entry.outcome in ("watchdog", "killed") for entry in soak.store.ledger())
    return {"jumps": round(days * 24), "ended_by_it": killed, "refused_of_8": _signatures()} | _wrong(soak)


def _signatures():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, public = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    whole = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    refused = 0
    for minutes in (-15, -5, -1, -0.1, 0.1, 1, 5, 15):
        world = World(random.Random(8), jump=60.0 * minutes)
        app = App(id="Iv1", public_key=key.public_key().public_bytes(form, public).decode())
        hub = Hub(world, random.Random(8), app=app, limit=0, points=0)
        given = Given(url="https://github.com/acme", app_id="Iv1", private_key="file:/key")
        config = msgspec.structs.replace(configured(1, None), github=given)
        client = GitHub(config, clock=world, transport=hub.transport(), read=lambda where: whole)
        refused += not _answers(client, world)
    return refused


def _answers(client, world):
    """Within a minute: the first answer of all tells what time it is at GitHub."""
    for _ in range(6):
        try:
            client.ours("lab1-")
            return True
        except Exception:
            world.wait(40.0)
    return False


# F9


def drains(count, say, policy=None):
    """Orders to drain at random moments against jobs that GitHub assigns at random moments, seconds apart."""
    sound = departing.retire
    departing.retire = policy or sound
    try:
        return _drains(count, say)
    finally:
        departing.retire = sound


def _drains(count, say):
    soak = Soak(seed=9, slots=4, per_hour=0.0, lasts=(2.0, 20.0), fate=QUIET, look=5.0)
    _travels(soak)
    struck = _struck(soak)
    names, dice, done = [slot.name for slot in soak.config.all_slots], random.Random(9), 0
    while done < count:
        _until(soak, lambda: all(place.state is State.ONLINE for place in soak.places) and soak.places, 5 * MINUTE)
        for name in names:
            soak.world.after(dice.uniform(0.0, 8.0), lambda name=name: soak.store.want([name], Wanted.DRAIN))
            soak.world.after(dice.uniform(0.0, 8.0), lambda: _arrives(soak))
        soak.go(8.0)
        _until(soak, lambda: all(place.state is State.PARKED for place in soak.places), 5 * MINUTE)
        soak.store.want(names, Wanted.RUN)
        done += len(names)
        if done % 500 < len(names):
            say(f"{done} of {count} drains")
    soak.go(5 * MINUTE)
    return {"drains": done, "lost": len(soak.listeners.killed_busy), "struck": len(struck)} | _wrong(soak)


def _struck(soak):
    """Runners that were killed with a job: one not taken yet is queued again after a minute, others are lost."""
    found, sound = [], soak.dock.killed

    def killed(box):
        runner = soak.hub.named(box.name)
        found.extend([box.name] if runner and runner.busy else [])
        sound(box)

    soak.dock.killed = killed
    return found


def _travels(soak):
    """A request takes 100 ms to GitHub, and its answer 100 ms back: what it says is old when it is read."""
    sound = soak.hub.handle

    def handle(request):
        soak.world.wait(0.1)
        answer = sound(request)
        soak.world.wait(0.1)
        return answer

    soak.hub.handle = handle
    soak.kill()  # the next start has it


def _arrives(soak):
    soak.hub.submit(repository="acme/vision")
    soak.listeners.hand_out()


def drains_by_looking(count, say):
    """The peer: ask GitHub whether it is busy, and kill the container if not."""
    return drains(count, say, peers.looked_then_killed)


# F12


def weeks(days, seeds, say):
    """Days with everything that goes wrong, one after the other."""
    found = []
    for seed in seeds:
        begun = time.process_time()
        found.append((soaking.run(days, 4, seed), time.process_time() - begun))
        say(f"seed {seed}: {found[-1][0].steps} steps, {len(found[-1][0].broken)} broken")
    return {
        "days": days,
        "seeds": list(seeds),
        "steps": sum(one.steps for one, _ in found),
        "kills": sum(one.kills for one, _ in found),
        "jobs": sum(one.jobs for one, _ in found),
        "jobs_lost": sum(one.jobs_lost for one, _ in found),
        "orphans": sum("no open lease" in said for one, _ in found for said in one.broken),
        "double": sum("run on" in said or "both online" in said for one, _ in found for said in one.broken),
        "broken": sum(len(one.broken) for one, _ in found),
        "cpu_s_max": round(max(took for _, took in found), 1),
    }


def orders(steps, say):
    """Whatever order of misfortunes Hypothesis thinks of, until the supervisor has made so many steps."""
    quietly = settings(max_examples=20, stateful_step_count=30, deadline=None, database=None, print_blob=True,
                       suppress_health_check=list(HealthCheck))  # fmt: skip
    begun, broken, said = time.process_time(), 0, ""
    while Misfortunes.steps < steps and not broken:
        try:
            run_state_machine_as_test(Misfortunes, settings=quietly)
        except AssertionError as error:
            broken, said = 1, str(error)[:2000]
        say(f"{Misfortunes.steps} of {steps} steps in any order")
    return {"steps": Misfortunes.steps, "broken": broken, "said": said, "cpu_s": round(time.process_time() - begun, 1)}
