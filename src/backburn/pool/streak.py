"""The breaker: jobs that fail fast on one GPU, one after the other, while the same work passes elsewhere.

A GPU can be ill and show no symptom (pytorch#180376): it then takes one job after the other, and fails each at its
first CUDA call. Failures in a row alone prove nothing: a branch that is red fails everywhere, and a team's is red for
hours. What tells the two apart is what the other slots made of the same work meanwhile. So a GPU is suspect when

* MANY jobs in a row failed there within FAST seconds each, none having passed or worked for longer in between, and
* since the first of them, work like it (the same repository and ref; the same repository, where more than one ref has
  failed here) passed at least once on another slot, and failed fast there no more often than it passed,
* or, where nothing of the sort has ended elsewhere: they were of MANY different repositories.

A streak goes on over a parole, so that one more failure is enough then; a person's `release` begins anew.

MANY and FAST by simulation (tests/pool/test_streak.py: 60 days, code that is red 30 % of the time, by chance or in
episodes of 1 h and 6 h, 1 to 16 slots, 1 to 6 repositories, every red job fast, which is the worst case): with five
0.01 to 0.46 % of leases caused a quarantine, with four up to 0.76 %. A GPU that fails everything at once was caught
after 5 jobs in the median, 8 where it is the only one of six repositories. While its one repository is red everywhere,
and in a pool of one slot and one repository, nothing can tell the two apart, and nothing is concluded (in one of ten
such days 40 jobs went there first). FAST: a checkout and an environment take one to three minutes before the first
CUDA call.
"""

from __future__ import annotations

from collections.abc import Sequence

from .exits import Outcome
from .lease import Job, Kind, Lease, Quarantine
from .store import Entry, Store

MANY = 5
FAST = 300.0  # seconds with a job
WINDOW = 6 * 3600.0  # seconds back that a streak can have begun; a night without jobs ends it
FAILED = frozenset({Outcome.FAILED, Outcome.CRASHED})  # all others have causes of their own, or none
PASSED = frozenset({Outcome.SUCCEEDED, Outcome.DONE})


def ground(lease: Lease, how: Outcome, ended: float, store: Store) -> Quarantine | None:
    """Why a GPU is suspect after this lease, by the ledger."""
    if not lease.device or how not in FAILED or not lease.busy or ended - lease.busy >= FAST:
        return None
    since = max(ended - WINDOW, store.trusted(lease.slot))
    reason = suspect([one for one in store.ledger(since) if one.lease != lease.id] + [_entry(lease, how, ended)])
    return Quarantine(kind=Kind.STREAK, reason=reason) if reason else None


def suspect(entries: Sequence[Entry]) -> str:
    """What speaks against the slot of the last of them, which come in the order of their ends; "" for nothing."""
    mine = _streak(entries)
    if len(mine) < MANY:
        return ""
    passed, failed = _elsewhere(mine, entries)
    repositories = {one.repository for one in mine}
    if failed > passed or not (passed or len(repositories) >= MANY):
        return ""
    beside = f"passed {passed} and failed {failed} times on other slots" if passed else "are of as many repositories"
    return f"{len(mine)} jobs in a row failed within {FAST / 60:.0f} min, and the same {beside} meanwhile"


def _streak(entries: Sequence[Entry]) -> list[Entry]:
    """The fast failures in a row with which the slot of the last one ends, the latest first."""
    mine: list[Entry] = []
    for one in reversed(entries):
        if one.slot != entries[-1].slot or not one.busy or one.outcome not in FAILED | PASSED:
            continue
        if one.outcome in PASSED or one.seconds >= FAST:
            break
        mine.append(one)
    return mine


def _elsewhere(mine: Sequence[Entry], entries: Sequence[Entry]) -> tuple[int, int]:
    """How often work like this passed and failed fast on other slots since the first of it."""
    refs = {(one.repository, one.ref) for one in mine}
    repositories = {one.repository for one in mine} if len(refs) > 1 else set()
    since, passed, failed = mine[-1].busy, 0, 0
    for one in entries:
        alike = one.repository in repositories or (one.repository, one.ref) in refs
        if one.slot != mine[0].slot and one.ended > since and one.busy and alike:
            passed += one.outcome in PASSED
            failed += one.outcome in FAILED and one.seconds < FAST
    return passed, failed


def _entry(lease: Lease, how: Outcome, ended: float) -> Entry:
    job = lease.job or Job()
    return Entry(
        lease=lease.id,
        slot=lease.slot,
        device=lease.device,
        started=lease.started,
        busy=lease.busy,
        ended=ended,
        outcome=how.value,
        repository=job.repository,
        ref=job.ref,
    )
