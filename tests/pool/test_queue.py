"""A queue that is stuck, over a GitHub that keeps issues and a webhook that keeps messages, in virtual time."""

import json
import random
import re

import httpx
import msgspec
import pytest

from backburn.errors import UserError
from backburn.pool import queue as subject
from backburn.pool.complaint import Webhook
from backburn.pool.config import Queue as Given
from backburn.pool.lease import State
from backburn.pool.simulation.faults import Fault
from backburn.pool.spell import FILE, load
from backburn.pool.store import Store

from . import scene
from .moments import Rig

HOOK = "https://chat.example.com/hooks/canary0canary0canary0canary"
NAMES = ("acme/digits", "acme/words")
MINUTE = 60.0


class Crowd:
    """Repositories with jobs that wait, a pool of two slots, and those who are told."""

    def __init__(self, folder, url="https://github.com/acme", rig=None, hub=None, **given):
        self.rig = rig or Rig(url, hub=hub)
        given = {"repositories": NAMES, "webhook": "env:HOOK", "issue": "acme/ops", **given}
        pool = msgspec.structs.replace(self.rig.config.pool, state=str(folder), labels=("self-hosted", "Linux", "GPU"))
        self.config = msgspec.structs.replace(self.rig.config, pool=pool, queue=Given(**given))
        self.hub, self.clock = self.rig.hub, self.rig.clock
        for name in (*NAMES, "acme/ops"):
            self.hub.repository(name)
        self.store = Store(folder, durable=False)
        for slot in ("cpu0", "cpu1"):
            self.stands(slot, State.BUSY)
        self.said, self.posted, self.answer = [], [], 200
        self.start()

    def start(self):
        """The supervisor, anew."""
        github = self.rig.client()
        note = lambda *one: self.said.append(one)  # noqa: E731
        read = {"env:HOOK": HOOK}.__getitem__
        self.queue = subject.queue(self.config, github, self.store, self.clock, note, read)
        if self.queue is not None and self.queue.telling.webhook is not None:
            self.queue.telling.webhook = Webhook(HOOK, transport=httpx.MockTransport(self._post))
        self.github = github

    def _post(self, request):
        assert str(request.url) == HOOK
        if self.answer == 200:
            self.posted.append(json.loads(request.content)["text"])
        return httpx.Response(self.answer)

    def stands(self, slot, state, **more):
        since = more.pop("since", self.clock.now())
        self.store.settle(scene.standing(slot, state, since=since, **more))

    def submit(self, name="acme/digits", labels=("self-hosted", "gpu"), **instructions):
        work = self.hub.submit(labels, **instructions)
        return self.hub.repository(name).run(work)

    def gone(self, run):
        """Somebody took it."""
        for work in run.works:
            work.progress = "finished"
        return self

    def after(self, minutes):
        """The looks that fall into so many minutes."""
        end = self.clock.passed() + minutes * MINUTE
        while (left := end - self.clock.passed()) > 0:
            self.clock.wait(min(left, max(1.0, self.queue.round())))
        self.rig.sound()
        return self

    @property
    def issues(self):
        return list(self.hub.repository("acme/ops").issues.values())

    @property
    def warnings(self):
        return [said for _, level, said in self.said if level == "warning"]


@pytest.fixture
def crowd(tmp_path):
    return Crowd(tmp_path)


def test_a_spell_is_said_once_everywhere_shown_while_it_lasts_and_closed(crowd):
    run = crowd.submit(workflow="gpu", job="train")
    crowd.after(14)
    assert crowd.queue.waits() == (0.0, 0) and not crowd.posted and not crowd.issues and not crowd.said
    crowd.after(60)
    seconds, jobs = crowd.queue.waits()
    assert jobs == 1 and 73 * MINUTE < seconds <= 74 * MINUTE
    (issue,), (message,), (warning,) = crowd.issues, crowd.posted, crowd.warnings
    assert issue.state == "open" and issue.title == "Jobs for the pool lab1 wait in the queue"
    for text in (issue.body, message):
        assert f"https://github.com/acme/digits/actions/runs/{run.id}" in text and "`gpu` `train`" in text
        assert "1 job queued, the longest for 1" in text and "More slots" in text
    assert "1 job queued" in warning and "cpu0, cpu1" in warning
    crowd.gone(run).after(4)
    assert issue.state == "open"
    crowd.after(11)
    assert issue.state == "closed" and "the queue moves" in issue.body and len(crowd.issues) == 1
    assert len(crowd.posted) == 2 and "the queue moves again, after" in crowd.posted[1]
    assert crowd.queue.waits() == (0.0, 0) and crowd.said[-1][1] == "info"
    crowd.after(60)
    assert len(crowd.posted) == 2 and len(crowd.said) == 2


@pytest.mark.parametrize(
    "labels",
    [("ubuntu-latest",), ("self-hosted", "gpu", "a100"), (), ("self-hosted", "windows")],
)
def test_a_job_that_is_not_for_us_is_not_ours_to_say(crowd, labels):
    crowd.submit(labels=labels)
    crowd.after(120)
    assert not crowd.posted and not crowd.issues and not crowd.said


@pytest.mark.parametrize("labels", [("GPU",), ("Self-Hosted", "linux", "gpu")])
def test_labels_are_the_same_in_any_case(crowd, labels):
    crowd.submit(labels=labels)
    crowd.after(20)
    assert len(crowd.posted) == 1


def test_a_job_that_waits_in_a_run_that_runs_is_seen(crowd):
    run = crowd.submit()
    other = crowd.hub.submit(("ubuntu-latest",))
    other.progress = "running"
    run.works.append(other)
    crowd.after(20)
    assert crowd.queue.waits()[1] == 1


def test_a_job_that_was_queued_just_now_is_not_as_old_as_its_run(crowd):
    run = crowd.submit(labels=("ubuntu-latest",))
    crowd.after(50)
    run.works.append(crowd.hub.submit(("gpu",)))
    crowd.after(10)
    assert not crowd.posted
    crowd.after(11)
    assert len(crowd.posted) == 1


def test_a_queue_that_flaps_is_one_spell(crowd):
    """Each job waits for 20 minutes, and each second look falls between two of them."""
    run = crowd.submit()
    crowd.after(20)
    for _ in range(20):
        crowd.gone(run).after(5)
        run = crowd.submit()
        run.works[0].queued -= 20 * MINUTE
        run.created -= 20 * MINUTE
        crowd.after(5)
    assert len(crowd.posted) == 1 and len(crowd.issues) == 1 and len(crowd.warnings) == 1


def test_a_restart_tells_nobody_twice(crowd):
    run = crowd.submit()
    for _ in range(4):
        crowd.after(20).start()
    assert len(crowd.posted) == 1 and len(crowd.issues) == 1 and len(crowd.warnings) == 1
    crowd.gone(run).after(8).start()
    crowd.after(20)
    assert [one.state for one in crowd.issues] == ["closed"] and len(crowd.posted) == 2


@pytest.mark.parametrize("content", [None, b"{", b'{"kind": "pool-queue", "schema": 99}', b'{"kind": "report"}', b"[]"])
def test_without_what_was_known_the_issue_is_found_by_its_marker(crowd, content):
    run = crowd.submit()
    crowd.after(20)
    for gone in (False, True):
        file = crowd.config.state / FILE
        file.unlink() if content is None else file.write_bytes(content)
        if gone:
            crowd.gone(run)
        crowd.start()
        crowd.after(20)
        assert [one.state for one in crowd.issues] == ["closed" if gone else "open"]
    assert any("is not known any more" in said for said in crowd.warnings) is (content is not None)


def test_an_issue_is_edited_when_the_reason_changes_and_only_then(crowd):
    crowd.submit()
    crowd.after(30)
    edits = lambda: crowd.hub.requests["change", 200]  # noqa: E731
    before = edits()
    crowd.stands("cpu0", State.CLEANING)  # from one job to the next
    crowd.after(15)
    assert edits() == before
    crowd.stands("cpu0", State.QUARANTINED, reason="its GPU fell off the bus")
    crowd.after(30)
    assert edits() == before + 1 and "`its GPU fell off the bus`" in crowd.issues[0].body
    assert len(crowd.posted) == 1 and len(crowd.issues) == 1
    crowd.submit("acme/words")
    crowd.after(30)
    assert edits() == before + 2 and "acme/words" in crowd.issues[0].body


def test_one_that_a_person_closed_stays_closed_and_a_deleted_one_is_written_again(crowd):
    crowd.submit()
    crowd.after(20)
    crowd.issues[0].state = "closed"
    crowd.stands("cpu0", State.PARKED)
    crowd.after(10)
    assert [one.state for one in crowd.issues] == ["closed"]
    crowd.hub.repository("acme/ops").issues.clear()
    crowd.stands("cpu0", State.BUSY)
    crowd.after(10)
    assert [one.state for one in crowd.issues] == ["open"]


def test_a_strangers_issue_with_our_marker_is_left_alone(crowd):
    marker = "<!-- backburn-pool queue lab1-box -->"
    home = crowd.hub.repository("acme/ops")
    user = {"id": 2, "login": "mallory", "type": "User"}
    for association in ("NONE", "CONTRIBUTOR", "FIRST_TIMER"):
        home.write(f"{marker}\nhello", user=user, author_association=association)
    home.write(f"see {marker}", user=user, author_association="OWNER")
    crowd.submit()
    crowd.after(20)
    assert len(crowd.issues) == 5 and {one.state for one in crowd.issues} == {"open"}
    assert [one.body.endswith("hello") for one in crowd.issues[:3]] == [True] * 3 and crowd.issues[3].body[:3] == "see"


def test_another_machines_issue_is_left_alone(tmp_path, crowd):
    crowd.hub.repository("acme/ops").write("<!-- backburn-pool queue lab1-box-2 -->\nhello")
    crowd.submit()
    crowd.after(20)
    assert len(crowd.issues) == 2 and crowd.issues[0].body.endswith("hello")


def test_a_webhook_that_is_down_is_tried_again_and_the_log_has_it(crowd):
    crowd.answer = 500
    run = crowd.submit()
    crowd.after(60)
    assert not crowd.posted and crowd.warnings[0].startswith("1 job queued")
    (trouble,) = [said for said in crowd.warnings if "webhook" in said]
    assert "500" in trouble and len(crowd.issues) == 1
    crowd.answer = 200
    crowd.after(10)
    assert len(crowd.posted) == 1
    crowd.answer = 404
    crowd.gone(run).after(20)
    crowd.answer = 200
    crowd.after(10)
    assert len(crowd.posted) == 2 and "moves again" in crowd.posted[1]


def test_one_that_was_down_all_the_time_is_not_told_of_what_is_over(crowd):
    crowd.answer = 500
    run = crowd.submit()
    crowd.after(30)
    crowd.gone(run).after(20)
    crowd.answer = 200
    crowd.after(30)
    assert not crowd.posted


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED, Fault.FAILED, Fault.DROPPED])
def test_an_issue_whose_answer_is_lost_is_not_opened_twice(crowd, fault):
    crowd.hub.faults.plan(fault, "open", times=2)
    run = crowd.submit()
    crowd.after(60)
    assert len(crowd.issues) == 1 and crowd.queue.spell.issue == crowd.issues[0].number
    crowd.hub.faults.plan(fault, "change", times=2)
    crowd.gone(run).after(60)
    assert [one.state for one in crowd.issues] == ["closed"]


@pytest.mark.parametrize("kind", ["token", "app"])
@pytest.mark.parametrize(("lacking", "said"), [("actions", "`actions: read`"), ("issues", "`issues: write`")])
def test_a_missing_right_is_said_once_with_its_name(tmp_path, kind, lacking, said, request):
    crowd = Crowd(tmp_path, rig=request.getfixturevalue("app") if kind == "app" else None)
    crowd.hub.granted = {"actions", "contents", "issues"} - {lacking}
    crowd.submit()
    crowd.after(120)
    told = [one for one in crowd.warnings if said in one]
    assert len(told) == (2 if (kind, lacking) == ("token", "actions") else 1), crowd.warnings
    assert len(crowd.posted) == (lacking == "issues") and not crowd.issues
    if (kind, lacking) == ("app", "actions"):
        assert told[0].startswith("the queue of acme/digits, acme/words cannot be seen: 422")


def test_it_comes_back_when_github_says(crowd):
    crowd.hub.faults.retry_after = (1000, 1000)
    crowd.hub.faults.plan(Fault.THROTTLED, "runs")
    crowd.clock.wait(subject.FIRST)
    assert crowd.queue.round() >= 1000


def test_a_wait_is_by_githubs_clock(crowd):
    crowd.clock.jump(60 * MINUTE)  # ours is an hour ahead
    crowd.github.find("a")  # as the slots do
    crowd.submit()
    crowd.after(14)
    assert not crowd.posted
    crowd.after(10)
    assert len(crowd.posted) == 1 and crowd.queue.waits()[0] < 25 * MINUTE


def test_a_repository_that_is_not_there_hides_no_other(tmp_path):
    crowd = Crowd(tmp_path, repositories=("acme/none", *NAMES))
    crowd.submit()
    crowd.after(60)
    assert len(crowd.posted) == 1
    (told,) = [said for said in crowd.warnings if "acme/none" in said]
    assert "404" in told and "[queue] repositories" in told


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SECONDARY, Fault.FAILED, Fault.GARBLED, Fault.UNAUTHORIZED])
def test_what_was_not_seen_is_not_over(crowd, fault):
    run = crowd.submit()
    crowd.after(20)
    crowd.gone(run)
    crowd.hub.faults.storm([fault], crowd.hub.now(), crowd.hub.now() + 60 * MINUTE)
    crowd.after(59)
    assert crowd.issues[0].state == "open" and len(crowd.posted) == 1 and crowd.queue.spell.since
    assert crowd.hub.trespasses == 0
    crowd.after(30)
    assert crowd.issues[0].state == "closed" and len(crowd.posted) == 2


def test_a_right_that_is_taken_away_ends_no_spell(crowd):
    run = crowd.submit()
    crowd.after(20)
    crowd.gone(run).hub.granted = {"issues"}
    crowd.after(60)
    assert crowd.queue.spell.since and len(crowd.posted) == 1


def test_one_that_cannot_be_seen_any_more_keeps_a_spell_open(crowd):
    runs = [crowd.submit(name) for name in NAMES]
    crowd.after(20)
    home = crowd.hub.repositories.pop("acme/digits")
    crowd.after(10)
    assert crowd.queue.waits()[1] == 1
    crowd.gone(runs[1]).after(30)
    assert crowd.queue.spell.since
    crowd.hub.repositories["acme/digits"] = home
    crowd.gone(runs[0]).after(15)
    assert not crowd.queue.spell.since


def test_a_repository_that_is_no_more_looked_at_holds_none_up(crowd):
    crowd.submit()
    crowd.after(20)
    crowd.config = msgspec.structs.replace(
        crowd.config, queue=msgspec.structs.replace(crowd.config.queue, repositories=("acme/words",))
    )
    crowd.start()
    crowd.after(20)
    assert crowd.issues[0].state == "closed"


def test_one_look_has_a_bound_and_the_next_goes_on_there(crowd):
    first = crowd.submit("acme/words")  # the oldest, which comes last
    for name in (*["acme/digits"] * 60, *["acme/words"] * 50):
        crowd.submit(name, labels=("ubuntu-latest",))
    crowd.after(16)
    before = crowd.rig.checked.exchanges
    crowd.after(4)
    assert crowd.rig.checked.exchanges - before == 100 and not crowd.posted
    assert any("100 requests were not enough to look at all of acme/words" in said for said in crowd.warnings)
    crowd.after(5)
    assert crowd.queue.waits()[1] == 1, "the other has had its turn"
    for _ in range(60):
        crowd.submit("acme/words", labels=("ubuntu-latest",))
    crowd.gone(first).after(40)
    assert crowd.queue.spell.since, "what is never seen whole is not over"
    crowd.submit("acme/digits")
    crowd.after(30)
    assert "acme/digits" in crowd.queue.spell.repositories, "one that is too large for a look holds no other up"


def test_the_hours_last_requests_are_the_slots(tmp_path):
    crowd = Crowd(tmp_path, hub={"limit": 1100})
    crowd.submit()
    for _ in range(120):
        crowd.github.find("a")
    crowd.after(50)
    assert not crowd.posted and any("kept for runners" in said for said in crowd.warnings)
    crowd.after(30)  # the window is over
    assert len(crowd.posted) == 1


def test_pages_are_read_to_their_end(crowd):
    for _ in range(65):
        crowd.submit()
    crowd.after(20)
    assert crowd.queue.waits()[1] == 65
    assert "and 60 more" in crowd.posted[0] and len(crowd.posted[0]) < 2000


HOSTILE = [
    "evil @team",
    "<script>evil</script>",
    "<!channel> <@evil>",
    "`](https://evil.example) <!--",
    "a\n# evil\r\n- [x] c",
    "evil \u202e\u200b\x1b[31m",
    "--> ``evil``",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_workflow_is_called_does_nothing(crowd, name):
    """It stands in code, on one line, and has nothing in it that ends code, or that Slack reads even there."""
    crowd.submit(workflow=name, job=name)
    crowd.stands("cpu0", State.BLOCKED, reason=name)
    crowd.after(20)
    for text in (crowd.issues[0].body.partition("\n")[2], crowd.posted[0], crowd.warnings[0]):
        assert "evil" in text and "evil" not in re.sub("`[^`\n]*`", "", text)
        assert not set("@<>&\x1b\r\u202e\u200b") & set(text)


def test_a_long_name_leaves_the_message_short(crowd):
    for _ in range(9):
        crowd.submit(workflow="w" * 9999, job="j" * 9999)
    crowd.stands("cpu0", State.BLOCKED, reason="r" * 9999)
    crowd.after(20)
    assert len(crowd.posted[0]) < 1900 and len(crowd.issues[0].body) < 3000


def test_it_is_off_without_a_repository(tmp_path):
    crowd = Crowd(tmp_path, repositories=(), webhook="", issue="")
    assert crowd.queue is None
    crowd = Crowd(tmp_path, "https://github.com/acme/digits", repositories=(), webhook="", issue="")
    crowd.submit()
    crowd.after(20)
    assert crowd.queue.waits()[1] == 1 and load(crowd.config.state).since
    crowd.config = msgspec.structs.replace(crowd.config, github=Crowd(tmp_path / "other").config.github, queue=Given())
    crowd.start()
    assert load(crowd.config.state) is None


def test_a_disk_that_is_full_ends_nothing_and_is_said_once(crowd, monkeypatch):
    def full(spell, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(subject.spells, "save", full)
    crowd.submit()
    crowd.after(60)
    assert len(crowd.posted) == 1 and len([said for said in crowd.warnings if "No space" in said]) == 1


def test_it_waits_for_the_slots_to_come_back_and_then_for_its_turn(crowd):
    assert crowd.queue.round() == subject.FIRST and not crowd.hub.requests["runs", 200]
    crowd.clock.wait(subject.FIRST)
    assert crowd.queue.round() == subject.EVERY and crowd.hub.requests["runs", 200] == 4


class TestSecrets:
    """The webhook's URL is one: whoever has it may write there in our name."""

    def everywhere(self, crowd):
        files = [path.read_bytes().decode("utf-8", "replace") for path in crowd.config.state.glob("*.json")]
        shown = [repr(crowd.queue), repr(crowd.queue.telling), str(crowd.config), *map(str, crowd.said)]
        asked = [one.body for one in crowd.issues] + crowd.posted
        return "\n".join([*files, *shown, *asked])

    @pytest.mark.parametrize("answer", [200, 302, 404, 500, "ConnectError", "InvalidURL", "ReadTimeout"])
    def test_no_canary_is_anywhere(self, crowd, answer):
        def post(request):
            if isinstance(answer, str):
                error = getattr(httpx, answer)
                raise error(f"no way to {request.url} or {request.url.path}")
            return httpx.Response(answer, headers={"location": HOOK}, text=HOOK)

        crowd.queue.telling.webhook._transport = httpx.MockTransport(post)
        crowd.stands("cpu0", State.BLOCKED, reason=f"look at {HOOK} and http://user:hunter22@proxy:1")
        crowd.submit(workflow=HOOK, job="ghp_0123456789abcdefghijABCDEFGHIJ012345")
        crowd.after(30)
        found = self.everywhere(crowd)
        assert "1 job queued" in found
        for canary in (HOOK, HOOK[-20:], "canary0canary", "hunter22", "ghp_0123"):
            assert canary not in found.replace("ghp_canary0canary0", "")

    def test_it_is_taken_out_of_the_log(self, crowd):
        for text in (HOOK, f"POST {HOOK}: 404", "/hooks/canary0canary0canary0canary", "canary0canary0canary0canary"):
            assert "canary0" not in crowd.github.redact(text)
        assert HOOK in crowd.github.secrets()
        assert crowd.github.redact("chat.example.com answers") == "chat.example.com answers"

    def test_one_that_is_none_ends_the_start_and_is_not_shown(self, crowd):
        for url in (
            "http://chat.example.com/hooks/canary",
            "canary",
            "https://",
            "https://a b/canary",
            "https://[canary",
        ):
            read = {"env:HOOK": url}.__getitem__
            with pytest.raises(UserError, match="not the URL of a webhook") as error:
                subject.queue(crowd.config, crowd.github, crowd.store, crowd.clock, print, read)
            assert "canary" not in f"{error.value} {error.value.hint} {error.value.__context__}"

    def test_the_token_for_issues_is_redacted_too(self, tmp_path, app):
        crowd = Crowd(tmp_path, rig=app)
        crowd.submit()
        crowd.after(20)
        assert len(crowd.issues) == 1 and len(app.hub.tokens) == 2
        for token in app.hub.tokens:
            assert token in crowd.github.secrets() and token not in self.everywhere(crowd)
        assert sorted(map(sorted, app.hub._may.values())) == [["actions"], ["issues"]]


def test_a_day_of_storms_ends_where_the_world_is(tmp_path):
    """Whatever fails, and whenever it is restarted: at the end all are told what is so, and of each spell once."""
    crowd = Crowd(tmp_path, hub={"points": 0})
    dice = random.Random(5)
    rates = {Fault.LOST: 0.05, Fault.FAILED: 0.05, Fault.GARBLED: 0.03, Fault.THROTTLED: 0.02, Fault.FAILED_AFTER: 0.05}
    crowd.hub.faults.rates = rates
    spells, run = 0, None
    for _ in range(6):
        run = crowd.submit(dice.choice(NAMES))
        spells += 1
        crowd.after(dice.choice([40, 60]))
        if dice.random() < 0.5:
            crowd.start()
        crowd.gone(run).after(60)
    crowd.hub.faults.rates = {}
    crowd.after(60)
    assert len(crowd.issues) <= spells and {one.state for one in crowd.issues} == {"closed"}
    assert len(crowd.posted) == 2 * spells and not crowd.queue.spell.since
    assert len(crowd.issues) >= spells - 1, "one may have been over before GitHub answered"
