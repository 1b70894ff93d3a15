"""F6: is every fault of a GPU kept from work, and no sound one? In virtual time; the driver's hang is real.

`gate_blocked` is the share of questions before a lease, asked while a fault was there, that came to "no". A fault is
there all the time (steady), or for 5 to 40 seconds and gone for as long (flapping), and is asked about from when its
row says that it counts. `false_quarantine` is the share of leases of a sound but noisy GPU at which it was called
unfit.
"""

import os
import random
import tempfile
import time
from pathlib import Path

from backburn.pool.health import looker
from backburn.pool.health.symptom import Severity
from backburn.pool.health.xid import XIDS
from tests.pool import scene
from tests.pool.health import fake
from tests.pool.health.conftest import Watch
from tests.pool.health.test_sampler import ROWS
from tests.pool.health.virtual import Card

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
KEPT = (Severity.UNFIT, Severity.RESET, Severity.MACHINE)
APPS = (13, 31, 43, 45, 68, 109)
GRAVE = [code for code, one in XIDS.items() if one.severity in KEPT]

# Row -> (what the card says, seconds until it counts where it is steady, and where it flaps).
STATES = {
    **{f"present: {code}": ({"error": code}, 0.0, 0.0) for code in (6, 15, 16, 28, 999)},
    **{f"recovery action: {code}": ({"recovery": code}, 0.0, 0.0) for code in range(1, 9)},
    "row remap: pending": ({"remap_pending": 1}, 0.0, 0.0),
    "row remap: failed": ({"remap_failed": 1}, 0.0, 0.0),
    "pages: pending": ({"pages_pending": 1}, 0.0, 0.0),
    # The grace and a look more; of a state that is so half of the time, all of the time that is looked at.
    "throttle: hardware": ({"throttle": 0x8}, 130.0, 480.0),
    "throttle: power brake": ({"throttle": 0x80}, 130.0, 480.0),
    # What comes and goes is known for it at the second time.
    "memory: left behind": ({"memory_used": 2 << 30}, 0.0, 300.0),
    "memory: a process": ({"compute": (4711,)}, 0.0, 300.0),
}
EVENTS = {
    **{f"xid: {code}": (lambda card, code=code: card.event(code)) for code in (*GRAVE, 4242)},
    "ecc: uncorrected": lambda card: card.values.update(ecc_uncorrected=card.values["ecc_uncorrected"] + 1),
    **{f"driver: {code}": (lambda card, code=code: card.trouble("driver", code)) for code in (9, 12, 18, 999)},
    "driver: hangs": lambda card: card.trouble("hang"),
    "driver: cannot be ended": lambda card: card.trouble("stuck"),
}
# What is said and keeps no slot from work.
SAID = {
    "throttle: heat": {"throttle": 0x20},
    "inforom": {"inforom": 1},
    "pcie: width under load": {"link_width": 8, "compute": (7,), "load": 99},
}


def _blocked(symptoms):
    return any(one.severity is not Severity.NOTED for one in symptoms)


def _card(folder, seed=0):
    """Sound so far."""
    card = Card(Path(folder) / f"{time.monotonic_ns()}-{seed}")
    card.go(10 * MINUTE)
    if card.gate():
        raise AssertionError("a sound card is said to be ill")
    return card


def _flapping(dice, values, card):
    """A step that turns it on and off."""
    turn = [card.passed, True]

    def step(passed):
        if passed >= turn[0]:
            turn[0], turn[1] = passed + dice.uniform(5.0, 40.0), not turn[1]
        card.set(**({} if turn[1] else values))

    return step


def _state(folder, values, counts, seconds, seed):
    """(Questions, noes) for one row; `seed` None: steady."""
    card = _card(folder, seed)
    card.set(**values)
    step = _flapping(random.Random(seed), values, card) if seed is not None else (lambda passed: None)
    end, asked, noes = card.passed + counts + seconds, 0, 0
    begin = card.passed + counts
    while card.passed < end:
        card.go(10.0, step)
        found = card.gate()
        if card.passed >= begin:
            asked, noes = asked + 1, noes + _blocked(found)
    return asked, noes


def _event(folder, happens, seconds, every):
    card = _card(folder)
    asked = noes = 0
    for number in range(int(seconds // 10)):
        if number % int(every // 10) == 0:
            happens(card)
        card.go(10.0)
        asked, noes = asked + 1, noes + _blocked(card.gate())
    return asked, noes


def blocked(seconds, seeds, say):
    """Every row that keeps a slot from work, steady and flapping."""
    passed, asked, noes = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for name, (values, steady, flapping) in STATES.items():
            for seed in (None, *range(seeds)):
                counts = steady if seed is None else flapping
                questions, no = _state(folder, values, counts, seconds, seed)
                asked, noes = asked + questions, noes + no
                passed += [f"{name}, {'steady' if seed is None else 'flapping'}"] if no < questions else []
            say(name)
        for name, happens in EVENTS.items():
            for way, every in (("steady", 30.0), ("flapping", 240.0)):
                questions, no = _event(folder, happens, seconds, every)
                asked, noes = asked + questions, noes + no
                passed += [f"{name}, {way}"] if no < questions else []
        said = {name: _said(folder, values) for name, values in SAID.items()}
    rows = len(STATES) + len(EVENTS)
    return {
        "rows": rows,
        "questions": asked,
        "gate_blocked": noes / asked,
        "passed": sorted(set(passed)),
        "said_only": sum(said.values()),
        "of_said_only": len(said),
    }


def _said(folder, values):
    card = _card(folder)
    card.set(**values)
    card.go(10 * MINUTE)
    return [one.severity for one in card.ask(empty=False)] == [Severity.NOTED]


class Noise:
    """A sound card of a busy pool: what it says at each look, by dice."""

    def __init__(self, card, seed):
        self.card, self.dice = card, random.Random(seed)
        self.job, self.left, self.blip = False, 0.0, 0.0
        self.counts = {"ecc_corrected": 0, "replays": 0}
        self.seen = dict.fromkeys(("blips", "corrected", "replays", "app xids", "lost looks", "stragglers"), 0)

    def _now_and_then(self, what, every):
        happens = self.dice.random() < self.card.interval / every
        self.seen[what] += happens
        return happens

    def step(self, passed):
        """Before each look."""
        dice, values = self.dice, {}
        if passed > self.blip and self._now_and_then("blips", 20 * MINUTE):
            self.blip = passed + dice.uniform(1.0, 40.0)
        if self._now_and_then("corrected", 2 * HOUR):
            self.counts["ecc_corrected"] += dice.choice((1, 1, 1, 2, 5, 20))
        if self._now_and_then("replays", HOUR):
            self.counts["replays"] += dice.choice((1, 1, 2, 6))
        if self.job:
            values |= {
                "compute": (4711,),
                "memory_used": 40 << 30,
                "load": 95,
                "throttle": dice.choice((0, 4, 4, 0x20)),
            }
        else:
            values |= {"link_gen": 1, "link_width": dice.choice((8, 16)), "memory_used": dice.choice((3, 4, 30)) << 20}
            if passed < self.left:
                values |= {"compute": (4711,), "memory_used": 2 << 30}
        if passed < self.blip:
            values["throttle"] = dice.choice((0x8, 0x48, 0x80))
        if self._now_and_then("lost looks", 12 * HOUR):
            values["error"] = dice.choice((15, 999))
        self.card.set(**self.counts, **values)

    def run(self, seconds):
        """A job, with the Xids of one that fails now and then; what it leaves is gone within half a minute."""
        self.job = True
        self.card.go(seconds, self.step)
        if self.dice.random() < 0.1:
            self.seen["app xids"] += 1
            self.card.event(self.dice.choice(APPS))
        self.job = False
        if self.dice.random() < 0.1:
            self.seen["stragglers"] += 1
            self.left = self.card.passed + self.dice.uniform(1.0, 28.0)
        self.step(self.card.passed)


def noise(leases, say):
    """A lease after the other on a sound card; each is let in, waits a moment, or is turned away."""
    with tempfile.TemporaryDirectory() as folder:
        noisy = Noise(_card(folder), 6)
        card, dice = noisy.card, random.Random(66)
        begun, turned_away, waited, longest = card.passed, [], 0, 0.0
        for number in range(leases):
            found, wait, pause = card.gate(), 0.0, 5.0
            while _blocked(found) and not any(one.severity in KEPT for one in found):
                card.go(pause, noisy.step)
                wait, pause = wait + pause, min(2 * pause, 40.0)
                noisy.step(card.passed)
                found = card.gate()
            waited, longest = waited + (wait > 0), max(longest, wait)
            found = [*found, *_idle(noisy, dice), *_busy(noisy, dice)]
            turned_away += [next(one.check for one in found if one.severity in KEPT)] if _kept(found) else []
            if number % 500 == 0:
                say(f"{number} of {leases} leases")
        days = (card.passed - begun) / DAY
    return {
        "leases": leases,
        "days": round(days, 1),
        **noisy.seen,
        "waited": waited,
        "waited_max_s": longest,
        "turned_away": {check: turned_away.count(check) for check in sorted(set(turned_away))},
        "false_quarantine": len(turned_away) / leases,
    }


def _kept(found):
    return any(one.severity in KEPT for one in found)


def _idle(noisy, dice):
    """A runner waits for a job, and its slot is looked at."""
    found = []
    for _ in range(dice.randint(0, 20)):
        noisy.card.go(15.0, noisy.step)
        found += noisy.card.ask()
    return found


def _busy(noisy, dice):
    noisy.run(dice.expovariate(1 / (10 * MINUTE)))
    return noisy.card.ask(empty=False)


def driver(seconds, say):
    """The real nvidia-ml-py in a real process: each row once, then a driver that hangs, asked all the time."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        stand_in = fake.Driver(fake.build(place), place / "driver")
        before, os.environ["LD_LIBRARY_PATH"] = os.environ.get("LD_LIBRARY_PATH"), str(stand_in.path)
        try:
            rows = _rows(stand_in, place / "rows", say)
            return rows | _hang(stand_in, place / "hang", seconds, say)
        finally:
            os.environ.pop("LD_LIBRARY_PATH")
            if before is not None:
                os.environ["LD_LIBRARY_PATH"] = before


def _rows(stand_in, folder, say):
    folder.mkdir()
    watching, noes = Watch(folder), 0
    try:
        for values, check, severity in ROWS:
            stand_in.sound()
            watching.later(1300)
            sound = watching.until([]) == []
            stand_in.set(**values)
            noes += sound and watching.until([(f"gpu/{check}", severity)]) == [(f"gpu/{check}", severity)]
            say(check)
    finally:
        watching.health.close()
    stand_in.sound()
    return {"rows": len(ROWS), "rows_right": noes}


def _hang(stand_in, folder, seconds, say):
    """With the limits that the pool has."""
    folder.mkdir()
    watching = Watch(folder, begin=min(30.0, seconds / 4), answer=min(5.0, seconds / 10))
    times, processes, first, grave = [], 0, None, None
    try:
        watching.until([])
        begun = time.monotonic()
        stand_in.set(hang="ecc")
        while time.monotonic() - begun < seconds:
            found = _timed(times, lambda: watching.health.symptoms(scene.GPU))
            _timed(times, lambda: watching.health.symptoms(scene.GPU, empty=False))
            _timed(times, lambda: watching.health.between(scene.GPU, 0.0, 1e12))
            _timed(times, lambda: watching.health.unseen(scene.GPU))
            first = first or (_blocked(found) and time.monotonic() - begun)
            grave = grave or (_kept(found) and time.monotonic() - begun)
            processes = max(processes, _processes())
            say(f"hangs for {time.monotonic() - begun:.0f} s")
            time.sleep(0.05)
    finally:
        _timed(times, watching.health.close)
    return {
        "asked": len(times),
        "nvml_block_max_s": round(max(times), 2),
        "hang_waits_after_s": round(first or -1, 1),
        "hang_said_after_s": round(grave or -1, 1),
        "processes_max": processes,
    }


def _timed(times, call):
    begun = time.monotonic()
    found = call()
    times.append(time.monotonic() - begun)
    return found


def _processes():
    """Those that look, of ours."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parent = int(path.with_name("stat").read_text().rpartition(")")[2].split()[1])
            found += parent == os.getpid() and looker.MODULE.encode() in path.read_bytes()
        except (OSError, IndexError):
            continue
    return found
