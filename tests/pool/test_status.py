"""Where slots stand, read beside a supervisor that may run."""

import threading

import pytest

from backburn.errors import UserError
from backburn.pool import locks, spell
from backburn.pool import status as subject
from backburn.pool.lease import Kind, Phase, Quarantine, State, Wanted
from backburn.pool.spell import Spell
from backburn.pool.store import Store
from tests.pool import scene


@pytest.fixture
def told(tmp_path):
    """What status says of a pool to which something was done."""
    config, store = scene.pool(tmp_path), scene.store(tmp_path)

    def tell(*standings, leases=()):
        for one in standings:
            store.settle(one)
            if one.quarantine is not None:
                store.hold(one.name, one.quarantine)
            if one.wanted is not Wanted.RUN:
                store.want([one.name], one.wanted)
        store.save(*leases)
        return subject.status(config, Store.beside(config.state), scene.NOW + 60)

    tell.config, tell.store = config, store
    return tell


def shown(said):
    return subject.render(said, 120, False)


def test_a_job_and_whose_it_is(told):
    said = told(scene.standing(state=State.BUSY), leases=[scene.lease(busy=scene.NOW, job=scene.job())])
    (one,) = said.slots
    assert (one.slot, one.device, one.state, one.since) == (scene.SLOT, scene.GPU, State.BUSY, scene.NOW)
    assert one.runner == f"lab1-box-{scene.SLOT}-00000001" and one.job.run_id == "77"
    assert "acme/vision gpu train run 77" in shown(said) and "60 s" in shown(said)


def test_what_a_job_says_of_itself_moves_no_cursor(told):
    job = scene.job(repository="\x1b[2Jevil\n\u202e[red]", workflow="x" * 5000)
    text = shown(told(scene.standing(state=State.BUSY), leases=[scene.lease(job=job)]))
    assert "\x1b" not in text and "\u202e" not in text and "evil [red]" in text


def test_a_queue_that_is_stuck_is_a_line(told):
    assert told(scene.standing()).queue == ""
    one = Spell(
        at=scene.NOW, since=scene.NOW - 3540, jobs=3, oldest=scene.NOW - 7140, causes=("cpu0: has a job. More slots.",)
    )
    spell.save(one, told.config.state)
    text = "The queue: seen 60 s ago; stuck for 60 min, 3 waiting, the longest for 2.0 h: cpu0: has a job. More slots."
    assert text in shown(told()) and subject.document(told())["queue"] in text
    spell.save(Spell(trouble="502\x1b[2J for GET /x"), told.config.state)
    assert "The queue: not seen whole: 502 [2J for GET /x" in shown(told())
    (told.config.state / spell.FILE).write_text("{")
    assert told().queue == ""


@pytest.mark.parametrize(
    ("state", "wanted", "step", "next_"),
    [
        (State.PARKED, Wanted.DRAIN, "backburn pool resume cpu0", "cpu0 waits"),
        (State.BLOCKED, Wanted.RUN, "it looks again by itself", "cpu0 waits"),
        (State.BUSY, Wanted.DRAIN, "it is drained when its job has ended", ""),
        (State.ONLINE, Wanted.RUN, "", ""),
    ],
)
def test_what_to_do_next(told, state, wanted, step, next_):
    held = locks.hold(told.config)
    said = told(scene.standing("cpu0", state, wanted=wanted, reason="why so"))
    assert step in said.slots[0].next and said.next.startswith(next_) and bool(said.next) == bool(next_)
    assert "why so" in shown(said) or wanted is Wanted.DRAIN
    for one in held:
        one.close()


@pytest.mark.parametrize(
    ("kind", "state", "step"),
    [
        (Kind.UNFIT, State.QUARANTINED, "looks again by itself, and is let out after three good looks; at once: "),
        (Kind.STREAK, State.QUARANTINED, "looks again by itself"),
        (Kind.RESET, State.QUARANTINED, "reset its GPU, or replace it (docs/pool.md), then: "),
        (Kind.BROKEN, State.QUARANTINED, "mend what is said there, then: "),
        (Kind.ORDERED, State.QUARANTINED, "when it may take jobs again, then: "),
        (Kind.ORDERED, State.BUSY, "it is quarantined when its job has ended"),
    ],
)
def test_what_ends_a_quarantine(told, kind, state, step):
    said = told(scene.standing("cpu0", state, quarantine=Quarantine(kind=kind, reason="why so"), reason="why so"))
    (one,) = said.slots
    assert step in one.next and "backburn pool release cpu0" in one.next and one.quarantine.kind is kind
    assert "backburn pool release cpu0" in shown(said).replace("\n", "")
    assert subject.document(said)["slots"][0]["quarantine"]["kind"] == kind


def test_whose_fault_the_last_end_was(told):
    one = scene.lease("00000009", blame="machine")
    told.store.record(one, "failed", scene.NOW)
    said = told(scene.standing())
    assert said.slots[0].blame == "machine" and "failed (machine)" in shown(said)


def test_a_job_whose_gpu_is_ill_is_shown_as_suspect(told):
    busy = scene.standing(state=State.BUSY, reason="suspect: ecc: 3 new")
    said = told(busy, leases=[scene.lease(busy=scene.NOW, job=scene.job())])
    assert "run 77; suspect: ecc: 3 new" in shown(said)


def test_whether_it_runs_is_known_by_the_lock(told):
    said = told(scene.standing())
    assert said.process == 0 and "does not run" in shown(said) and "backburn pool run" in said.next
    held = locks.hold(told.config)
    said = told()
    assert said.process > 0 and f"runs (process {said.process})" in shown(said) and said.next == ""
    for one in held:
        one.close()


def test_to_look_whether_it_runs_stops_no_start(told):
    """`watch backburn pool status` beside a supervisor that starts."""
    over = threading.Event()

    def look():
        while not over.is_set():
            locks.holder(told.config.state)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for one in lookers:
        one.start()
    try:
        for _ in range(200):
            for one in locks.hold(told.config):
                one.close()
    finally:
        over.set()
        for one in lookers:
            one.join()


def test_a_second_supervisor_is_refused_and_told_who_has_it(told):
    held = locks.hold(told.config)
    with pytest.raises(UserError, match="another supervisor"):
        locks.hold(told.config)
    for one in held:
        one.close()


def test_the_last_outcome_and_the_black_boxes(told):
    box = told.config.state / f"blackbox/20260921T141320Z-{scene.SLOT}-00000009"
    box.mkdir(parents=True)
    (box / "lease.json").write_text('{"outcome": "out-of-memory"}')
    scene.record(told.store, "00000008", 0, 1, 2, slot=scene.SLOT)
    scene.record(told.store, "00000009", 3, 4, 5, slot=scene.SLOT, outcome="out-of-memory")
    said = told(scene.standing())
    assert said.slots[0].outcome == "out-of-memory" and said.slots[0].ended == scene.NOW + 5
    assert said.boxes[0].outcome == "out-of-memory" and str(box) in shown(said)


def test_a_lease_of_which_only_a_registration_is_left_is_no_runner(told):
    assert told(scene.standing(), leases=[scene.lease(phase=Phase.LEAVING)]).slots[0].runner == ""


def test_the_document_has_a_kind_and_a_schema(told):
    built = subject.document(told(scene.standing()))
    assert (built["kind"], built["schema"], built["pool"]) == ("pool-status", 1, "lab1")
    assert built["slots"][0]["state"] == "online" and built["slots"][0]["job"] is None


def test_it_changes_nothing(told):
    told(scene.standing(state=State.BUSY), leases=[scene.lease()])
    before = {path.name: path.read_bytes() for path in told.config.state.iterdir() if "shm" not in path.name}
    told()
    assert before == {path.name: path.read_bytes() for path in told.config.state.iterdir() if "shm" not in path.name}
