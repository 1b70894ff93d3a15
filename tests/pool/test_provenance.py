"""Who may write what other jobs read: what a marker says, against what GitHub says."""

import pytest

from backburn.pool.lease import Job, Lease
from backburn.pool.provenance import EVENTS, PATIENCE, Provenance, provenance
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.repository import Branch

from .moments import PREFIX, Rig

OLD, REVIEWED, STRAY = "a" * 40, "b" * 40, "c" * 40
REPOSITORY = "acme/digits"


class Scene:
    """A repository with a protected branch, a run of it, and the lease whose runner has its job."""

    def __init__(self, url="https://github.com/acme", rig=None, **run):
        self.rig, self.said = rig or Rig(url), []
        hub = self.rig.hub
        self.repository = hub.repository(REPOSITORY)
        self.repository.branches = {
            "main": Branch(commits=[OLD, REVIEWED], protected=True),
            "release/1": Branch(commits=[OLD, REVIEWED], protected=True),
            "mine": Branch(commits=[OLD, STRAY]),
        }
        self.lease = self.leased("a")
        self.work = self.begun()
        self.run = self.repository.run(self.work, **run)
        self.lease.job = Job(repository=REPOSITORY, run_id=str(self.run.id))
        self.provenance = provenance(
            self.rig.github, self.rig.config, self.rig.clock, lambda *one: self.said.append(one)
        )

    def leased(self, name):
        made = self.rig.github.register(PREFIX + name)
        self.session = self.rig.hub.connect(made.configuration)
        return Lease(id=name, slot="cpu0", runner=PREFIX + name, runner_id=made.id)

    def begun(self):
        work = self.rig.hub.submit(("gpu",))
        self.rig.hub.assign()
        self.rig.hub.poll(self.session)
        return work

    def marked(self, **job):
        self.lease.job = Job(**{"repository": REPOSITORY, "run_id": str(self.run.id), **job})
        return self

    def __call__(self):
        found = self.provenance.protected(self.lease)
        self.rig.sound()
        return found


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("branch", ["main", "release/1"])
def test_a_job_of_a_protected_branch_is_one(event, branch):
    scene = Scene(event=event, branch=branch)
    asked: Provenance = scene.provenance
    assert asked.protected(scene.lease) and scene() and not scene.said
    scene.rig.hub.finish(scene.session)
    assert scene(), "also when it has ended"


def test_also_when_the_branch_has_moved_on():
    scene = Scene()
    scene.repository.branches["main"].commits.append(STRAY[::-1].replace("c", "d"))
    assert scene() and scene.rig.hub.requests["compare", 200] == 1


def test_a_name_is_the_same_in_any_case():
    scene = Scene("https://github.com/Acme/Digits")
    assert scene()


NOT = {
    "no protected branch": {"branch": "mine"},
    "a branch that is gone": {"branch": "gone"},
    "no branch": {"branch": None},
    "a branch that can be none": {"branch": ".."},
    "a tag with the name of a branch": {"branch": "main", "sha": STRAY},
    "a commit that can be none": {"branch": "main", "sha": "HEAD"},
    "a pull request": {"event": "pull_request"},
    "a pull request's target": {"event": "pull_request_target"},
    "a run of a run": {"event": "workflow_run"},
    "a comment": {"event": "issue_comment"},
    "a fork": {"head": "mallory/digits"},
}


@pytest.mark.parametrize("run", NOT.values(), ids=NOT)
def test_what_a_run_must_be(run):
    assert Scene()() and not Scene(**run)()


def test_a_marker_that_names_anothers_run_proves_nothing():
    """The attack: a job of an unprotected branch writes the number of a run of main into its marker."""
    scene = Scene()
    other = scene.leased("b")
    other.job = scene.lease.job
    assert scene() and not scene.provenance.protected(other)


@pytest.mark.parametrize("name", ["runner", "runner_id"])
def test_a_runner_is_known_by_its_name_and_its_number(name):
    scene = Scene()
    setattr(scene.lease, name, {"runner": PREFIX + "b", "runner_id": 999}[name])
    assert not scene()


def test_its_job_is_found_on_any_page():
    scene = Scene()
    scene.run.works[:0] = [scene.rig.hub.submit(("other",)) for _ in range(70)]
    assert scene() and scene.rig.hub.requests["jobs", 200] == 3


HOSTILE = ["", "acme", "acme/..", "acme/.", "acme/digits/../../orgs", "acme/digits?x", "acme/di gits", "acme/digits\n"]
HOSTILE += ["../acme/digits", "acme/%2e%2e", "acme/digits#", "mallory/digits", "ac/me/digits", "аcme/digits", "x" * 999]


@pytest.mark.parametrize("repository", HOSTILE)
def test_a_hostile_name_reaches_no_path(repository):
    scene = Scene()
    asked = scene.rig.checked.exchanges
    assert not scene.marked(repository=repository)() and scene.rig.checked.exchanges == asked


@pytest.mark.parametrize("run_id", ["", "0", "-1", "1e3", "７", "1/../2", "1\n", "9" * 20, " 1"])
def test_so_does_a_hostile_number(run_id):
    scene = Scene()
    asked = scene.rig.checked.exchanges
    assert not scene.marked(run_id=run_id)() and scene.rig.checked.exchanges == asked


def test_neither_has_a_lease_without_a_job():
    scene = Scene()
    scene.lease.job = None
    assert not scene()


def test_a_repository_outside_of_the_pool_is_not_asked_about():
    """A stranger's repository may have a runner of our name, and a protected branch."""
    scene = Scene("https://github.com/acme/other")
    assert not scene() and not scene.rig.hub.requests["run", 200]
    scene = Scene("https://github.com/enterprises/acme")
    assert not scene() and not scene.rig.hub.requests["run", 200]


def test_a_run_that_is_not_to_be_seen_is_none():
    assert not Scene().marked(run_id="99999")() and not Scene().marked(repository="acme/secret")()


@pytest.mark.parametrize("lacking", ["actions", "contents"])
@pytest.mark.parametrize("kind", ["token", "app"])
def test_a_missing_right_is_said_once_with_its_name(lacking, kind, request):
    scene = Scene(rig=request.getfixturevalue("app") if kind == "app" else None)
    scene.rig.hub.granted = {"actions", "contents", "issues"} - {lacking}
    for _ in range(3):
        assert not scene()
        scene.rig.clock.wait(60)
    assert len(scene.said) == 1
    slot, level, said = scene.said[0]
    assert (slot, level) == ("cpu0", "warning") and f"`{lacking}: read`" in said


def test_an_app_without_the_right_registers_all_the_same(app):
    scene = Scene(rig=app)
    app.hub.granted = set()
    assert not scene() and app.github.register(PREFIX + "z")
    may = [one for one in app.hub._may.values()]
    assert may == [set()], "the token for the runners may do nothing in a repository"


def test_a_short_silence_is_waited_for_and_a_long_one_is_no():
    scene = Scene()
    scene.rig.hub.faults.plan(Fault.FAILED, "branch")
    assert scene() and not scene.said
    scene.rig.clock.wait(60)
    scene.rig.hub.faults.plan(Fault.FAILED, "run", times=50)
    begun = scene.rig.clock.passed()
    assert not scene() and scene.rig.clock.passed() - begun <= PATIENCE
    assert scene.said[0][1] == "info" and "502" in scene.said[0][2]


@pytest.mark.parametrize("fault", [one for one in Fault if one not in (Fault.TAKEN, Fault.BUSY, Fault.SLOW)])
@pytest.mark.parametrize("call", ["run", "jobs", "branch"])
def test_no_fault_of_any_call_makes_it_protected_or_raises(call, fault):
    scene = Scene(branch="mine")
    scene.rig.hub.faults.plan(fault, call, times=9)
    assert scene() is False
    scene = Scene()
    scene.rig.hub.faults.plan(fault, call, times=99)
    assert scene() is False


def test_what_github_says_fills_no_memory():
    scene = Scene()
    for number in range(300):
        scene.provenance._unproven(scene.lease, "info", f"{number}")
    assert len(scene.provenance._said) <= 100
