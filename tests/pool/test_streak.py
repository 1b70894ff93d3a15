"""When failures in a row speak against a GPU: by table, and in simulated weeks of teams whose code is red."""

import heapq
import random

import pytest

from backburn.pool import streak
from backburn.pool.exits import Outcome
from backburn.pool.lease import Job, Kind
from backburn.pool.store import Entry
from backburn.pool.streak import FAST, MANY, suspect
from tests.pool import scene

HOUR, DAY = 3600.0, 86400.0


def entry(slot, end, outcome="failed", seconds=60.0, repository="acme/vision", ref="main"):
    end += scene.NOW
    about = {"lease": f"{slot}-{end}", "slot": slot, "device": scene.GPU, "started": end - seconds - 5}
    return Entry(**about, busy=end - seconds, ended=end, outcome=outcome, repository=repository, ref=ref)


def failures(count=MANY, **more):
    return [entry("gpu0", 1000.0 + 100 * number, **more) for number in range(count)]


def beside(*more):
    """Sorted by their ends, with a failure of gpu0 as the last."""
    return sorted([*failures(), *more], key=lambda one: one.ended)


PASS = entry("gpu1", 1200.0, "succeeded", 30.0)


def test_the_same_work_passes_elsewhere():
    assert suspect(beside(PASS)) == (
        "5 jobs in a row failed within 5 min, and the same passed 1 and failed 0 times on other slots meanwhile"
    )


@pytest.mark.parametrize(
    ("why_not", "entries"),
    [
        ("nothing is known of other slots", failures(20)),
        ("one fewer", [PASS, *failures(MANY - 1)]),
        ("it passed here in between", beside(PASS, entry("gpu0", 1350.0, "succeeded"))),
        ("it worked here for long in between", beside(PASS, entry("gpu0", 1350.0, seconds=FAST))),
        ("it fails elsewhere too", beside(PASS, entry("gpu1", 1250.0), entry("gpu2", 1260.0))),
        ("it passed elsewhere before", beside(entry("gpu1", 900.0, "succeeded"))),
        ("another ref passed", beside(entry("gpu1", 1200.0, "succeeded", ref="other"))),
        ("another repository passed", beside(entry("gpu1", 1200.0, "succeeded", repository="acme/speech"))),
        ("it was canceled each time", [PASS, *failures(outcome="canceled")]),
        ("each used too much memory", [PASS, *failures(outcome="out-of-memory")]),
    ],
)
def test_what_is_no_ground(why_not, entries):
    assert suspect(entries) == "", why_not


def test_what_ended_without_a_verdict_neither_counts_nor_breaks_a_streak():
    assert suspect(beside(PASS, entry("gpu0", 1350.0, "canceled"), entry("gpu0", 1360.0, "idle")))


def test_several_refs_are_held_against_their_repository():
    mine = [entry("gpu0", 1000.0 + 100 * number, ref=f"refs/pull/{number}/merge") for number in range(MANY)]
    assert suspect(sorted([*mine, PASS], key=lambda one: one.ended)) and not suspect(mine)


def test_many_repositories_need_no_other_slot():
    mine = [entry("gpu0", 1000.0 + 100 * number, repository=f"acme/{number}") for number in range(MANY)]
    assert "of as many repositories" in suspect(mine)
    assert not suspect([entry("gpu1", 990.0 + 100, repository="acme/1"), *mine])


class TestOfALease:
    @pytest.fixture
    def store(self, tmp_path):
        made = scene.store(tmp_path)
        for number in range(MANY - 1):
            self._record(made, f"{number:08x}", scene.SLOT, 1000.0 + 100 * number, "failed")
        self._record(made, "0000000a", "gpu1", 1200.0, "succeeded")
        return made

    def _record(self, store, name, slot, end, how):
        store.record(self._lease(name, slot, end), how, scene.NOW + end)

    def _lease(self, name="0000000f", slot=scene.SLOT, end=1600.0, seconds=60.0, **more):
        job = Job(repository="acme/vision", ref="main")
        return scene.lease(name, slot, busy=scene.NOW + end - seconds, job=job, **more)

    def _ground(self, store, lease, how=Outcome.FAILED):
        return streak.ground(lease, how, scene.NOW + 1600.0, store)

    def test_the_last_of_many(self, store):
        assert self._ground(store, self._lease()).kind is Kind.STREAK

    def test_no_gpu_no_failure_or_not_fast(self, store):
        assert self._ground(store, self._lease(device="")) is None
        assert self._ground(store, self._lease(), Outcome.SUCCEEDED) is None
        assert self._ground(store, self._lease(seconds=FAST)) is None

    def test_what_is_recorded_already_counts_once(self, store):
        one = self._lease()
        store.record(one, "failed", scene.NOW + 1600.0)
        assert self._ground(store, one).reason.startswith(f"{MANY} jobs in a row")

    def test_a_parole_ends_no_streak_and_a_person_does(self, store):
        store.settle(scene.standing())
        store.hold(scene.SLOT, self._ground(store, self._lease()))
        store.amend(scene.SLOT, store.held(scene.SLOT), None)
        assert self._ground(store, self._lease())
        store.release([scene.SLOT], scene.NOW + 1550.0)
        assert self._ground(store, self._lease()) is None


class Weeks:
    """Jobs on slots, by chance or in episodes red; on slot 0 from `bad` on every one fails at once."""

    def __init__(self, seed, slots=4, repositories=1, per_hour=4.0, episode=0.0, bad=float("inf")):
        self.dice, self.slots, self.repositories = random.Random(seed), slots, repositories
        self.per_hour, self.episode, self.bad = per_hour, episode, bad
        self.red = {}
        self.entries, self.leases, self.false, self.eaten = [], 0, 0, 0

    def _is_red(self, repository, at):
        if not self.episode:
            return self.dice.random() < 0.3
        red, until = self.red.get(repository, (self.dice.random() < 0.7, 0.0))
        while at >= until:
            red = not red
            until += self.dice.expovariate(1 / (self.episode if red else self.episode * 7 / 3))
        self.red[repository] = red, until
        return red

    def live(self, days):
        """Until then, or until the bad one is caught."""
        free, arrival = [(0.0, slot) for slot in range(self.slots)], 0.0
        while arrival < days * DAY:
            arrival += self.dice.expovariate(self.per_hour * self.slots / HOUR)
            idle = [one for one in free if one[0] <= arrival]
            chosen = self.dice.choice(idle) if idle else min(free)
            free.remove(chosen)
            rest = self._job(chosen[1], max(arrival, chosen[0]))
            if rest is None:
                break
            heapq.heappush(free, (rest, chosen[1]))
        return self

    def _job(self, slot, begin):
        """When the slot is free again; None where the bad one is caught."""
        repository, dice = self.dice.randrange(self.repositories), self.dice
        bad = slot == 0 and begin > self.bad
        red = self._is_red(repository, begin) or bad
        seconds = dice.uniform(20, 90) if bad else dice.uniform(20, 240) if red else self._long()
        end, self.leases, self.eaten = begin + seconds, self.leases + 1, self.eaten + bad
        made = entry(f"gpu{slot}", end - scene.NOW, "failed" if red else "succeeded", seconds, f"acme/{repository}")
        known = self._insert(made)
        if not (red and suspect(known)):
            return end + 8
        if bad:
            return None
        self.false += 1
        return end + 36 * 60

    def _long(self):
        return min(7200.0, max(60.0, self.dice.lognormvariate(6.2, 0.7)))

    def _insert(self, made):
        del self.entries[:-600]
        place = len(self.entries)
        while place and self.entries[place - 1].ended > made.ended:
            place -= 1
        self.entries.insert(place, made)
        since = made.ended - streak.WINDOW
        return [one for one in self.entries[max(0, place - 250) : place + 1] if one.ended > since]


TEAMS = {
    "by chance": {},
    "by chance, no slot idle": {"per_hour": 12.0},
    "for hours": {"episode": 6 * HOUR},
    "for an hour": {"episode": HOUR},
    "for an hour, two slots": {"episode": HOUR, "slots": 2},
    "for an hour, three repositories": {"episode": HOUR, "repositories": 3},
    "six repositories on one slot": {"episode": HOUR, "repositories": 6, "slots": 1, "per_hour": 6.0},
}


@pytest.mark.parametrize("team", TEAMS)
def test_a_team_that_is_red_a_third_of_the_time_is_not_locked_out(team):
    weeks = Weeks(1, **TEAMS[team]).live(20)
    assert weeks.leases > 1500 and weeks.false < 0.01 * weeks.leases, (weeks.false, weeks.leases)


@pytest.mark.parametrize("more", [{}, {"slots": 2}, {"repositories": 3}, {"per_hour": 12.0}])
def test_a_gpu_that_fails_everything_is_caught_within_a_handful(more):
    eaten = sorted(Weeks(seed, bad=DAY, **more).live(2).eaten for seed in range(15))
    assert eaten[7] <= 8 and eaten[0] >= 1, eaten
