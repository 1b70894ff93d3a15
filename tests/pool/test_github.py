"""The client against a hub that fails to order, in virtual time, held against GitHub's description of its API."""

import base64
import random
import time

import httpx
import pytest

from backburn.pool import secrets
from backburn.pool.github import GitHub
from backburn.pool.questions import DENIED
from backburn.pool.registrar import Later, Refused, Registrar, Removal, Taken, Uncertain
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import Group, Hub

from .moments import PREFIX, TOKEN, Rig, answering, config, generated, groups

SCOPES = [
    ("https://github.com/acme", {}),
    ("https://github.com/acme/digits", {}),
    ("https://github.com/enterprises/acme", {}),
    ("https://ghes.example.com/acme", {}),
    ("https://ghes.example.com/acme/digits", {}),
    ("https://acme.ghe.com/acme", {}),
    ("https://github.com/acme", {"api_url": "https://proxy.example.com/github"}),
]


class TestCalls:
    def test_it_is_a_registrar(self, rig):
        registrar: Registrar = rig.github
        made = registrar.register(PREFIX + "a")
        assert registrar.find(PREFIX + "a") == registrar.get(made.id) == registrar.ours(PREFIX)[0]
        assert not registrar.get(made.id).online
        assert registrar.remove(made.id) is Removal.GONE and registrar.remove(made.id) is Removal.GONE
        assert registrar.find(PREFIX + "a") is registrar.get(made.id) is None and registrar.ours(PREFIX) == []

    @pytest.mark.parametrize(("url", "given"), SCOPES)
    def test_every_scope(self, url, given):
        rig = Rig(url, **given)
        if "api_url" in given:
            rig.github = rig.client(
                httpx.MockTransport(lambda request: rig.hub.handle(_below_root(request, "/github")))
            )
        made = rig.github.register(PREFIX + "a")
        assert rig.github.find(PREFIX + "a").id == made.id
        assert rig.github.remove(made.id) is Removal.GONE
        rig.sound()

    def test_a_busy_runner_stays(self, rig):
        made = rig.github.register(PREFIX + "a")
        session = rig.hub.connect(made.configuration)
        assert rig.github.get(made.id).online
        rig.hub.submit()
        rig.hub.assign()
        assert rig.github.get(made.id).busy and rig.github.remove(made.id) is Removal.BUSY
        rig.hub.poll(session)
        rig.hub.finish(session)
        assert rig.github.remove(made.id) is Removal.GONE

    def test_lists_have_pages_and_only_ours_is_ours(self, rig):
        names = [f"{PREFIX}{number}" for number in range(120)]
        for name in [*names, *(f"lab1-boxer-{number}" for number in range(120)), "x" + PREFIX]:
            rig.hub.register(name, ("gpu",), 1)
        assert [one.name for one in rig.github.ours(PREFIX)] == names
        assert rig.hub.requests["list", 200] == 3

    def test_pages_without_a_link_end_by_the_count(self, rig):
        handle = rig.hub.handle

        def plain(request):
            response = handle(request)
            response.headers.pop("link", None)
            return response

        for number in range(200):
            rig.hub.register(f"{PREFIX}{number}", ("gpu",), 1)
        github = rig.client(httpx.MockTransport(plain))
        assert len(github.ours(PREFIX)) == 200 and rig.hub.requests["list", 200] == 2

    def test_one_that_moves_to_the_next_page_is_there_once(self, rig):
        for number in range(150):
            rig.hub.register(f"{PREFIX}{number}", ("gpu",), 1)
        shown = {}

        def shifting(request):
            response = rig.hub.handle(request)
            if not shown:  # and now one comes before all others
                shown.update(rig.hub.live)
                rig.hub.live = {0: rig.hub.register("x", ("gpu",), 1), **shown}
            return response

        assert len(rig.client(httpx.MockTransport(shifting)).ours(PREFIX)) == 150

    def test_a_list_that_does_not_end_is_left(self, rig):
        runner = {"id": 1, "name": "a", "os": "x", "status": "online", "busy": False, "labels": []}
        endless = httpx.Response(200, json={"total_count": 1 << 40, "runners": [runner]})
        github, asked = answering(rig, endless)
        with pytest.raises(Later, match="does not end"):
            github.ours(PREFIX)
        assert len(asked) == 150

    def test_a_name_is_found_whole_even_where_the_filter_is_not(self, rig):
        runners = [
            {"id": place, "name": name, "os": "x", "status": "online", "busy": False, "labels": []}
            for place, name in enumerate(["aa", "a"])
        ]
        github, _ = answering(rig, httpx.Response(200, json={"total_count": 2, "runners": runners}))
        assert github.find("a").id == 1 and github.find("A") is None

    def test_a_name_is_no_query(self, rig):
        assert rig.github.find("a&page=2#x/..") is None

    def test_a_new_runner_that_lists_leave_out_is_there_by_id(self):
        rig = Rig()
        rig.hub.behaviour.late, rig.hub.behaviour.late_for = 1.0, (60.0, 60.0)
        made = rig.github.register(PREFIX + "a")
        assert rig.github.find(PREFIX + "a") is None and rig.github.get(made.id).id == made.id
        rig.clock.wait(60)
        assert rig.github.find(PREFIX + "a").id == made.id


def _below_root(request, root):
    assert request.url.path.startswith(root)
    url = request.url.copy_with(raw_path=request.url.raw_path.removeprefix(root.encode()))
    return httpx.Request(request.method, url, headers=request.headers, content=request.content)


class TestGroups:
    def test_the_named_group_is_used_from_any_page(self, rig):
        rig.hub.groups += [Group(id=number, name=f"g{number}") for number in range(10, 260)]
        github = rig.client()
        github._config = config(runner_group="g259")
        made = github.register(PREFIX + "a")
        assert rig.hub.live[made.id].group == 259

    def test_an_unknown_group_is_refused_with_those_there_are(self):
        rig = Rig(runner_group="gpus")
        with pytest.raises(Refused, match="no runner group is called 'gpus'") as error:
            rig.github.register(PREFIX + "a")
        assert "'gpu-trusted'" in error.value.hint and not rig.hub.names

    def test_one_that_allows_public_repositories_is_refused_unless_allowed(self):
        rig = Rig(runner_group="open")
        with pytest.raises(Refused, match="allows public repositories") as error:
            rig.github.register(PREFIX + "a")
        assert "allow-public" in error.value.hint and not rig.hub.names
        assert Rig(runner_group="open", allow_public=True).github.register(PREFIX + "a")

    def test_so_is_a_public_repository(self):
        rig = Rig("https://github.com/acme/digits")
        rig.hub.private = False
        with pytest.raises(Refused, match="acme/digits is a public repository"):
            rig.github.register(PREFIX + "a")
        allowed = Rig("https://github.com/acme/digits", allow_public=True)
        allowed.hub.private = False
        assert allowed.github.register(PREFIX + "a")

    def test_a_group_that_is_opened_later_is_seen_within_the_hour(self, rig):
        rig.github.register(PREFIX + "a")
        rig.hub.groups[0] = Group(id=1, name="Default", public=True)
        rig.github.register(PREFIX + "b")
        rig.clock.wait(3600)
        with pytest.raises(Refused, match="public"):
            rig.github.register(PREFIX + "c")

    @pytest.mark.parametrize("key", ["allows_public_repositories", "inherited_allows_public_repositories"])
    def test_what_an_enterprise_allows_its_organisations_counts(self, rig, key):
        shown = {"total_count": 1, "runner_groups": [{"id": 1, "name": "Default", key: True}]}
        github, _ = answering(rig, httpx.Response(200, json=shown))
        with pytest.raises(Refused, match="public"):
            github.register(PREFIX + "a")


class TestAnswers:
    """Every row of what GitHub may say."""

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED])
    def test_a_registration_whose_answer_is_lost_is_uncertain_and_there(self, rig, fault):
        rig.github.register(PREFIX + "a")
        rig.hub.faults.plan(fault, "register")
        with pytest.raises(Uncertain):
            rig.github.register(PREFIX + "b")
        assert rig.hub.requests["register", 201] + rig.hub.requests["register", 500] < 4
        assert len(rig.hub.names[PREFIX + "b"]) == 1  # and was asked for once
        assert rig.ask("find", PREFIX + "b").id == rig.hub.names[PREFIX + "b"][0]

    @pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.FAILED])
    def test_one_that_was_not_carried_out_is_uncertain_too(self, rig, fault):
        rig.hub.faults.plan(fault, "register")
        with pytest.raises(Uncertain):
            rig.github.register(PREFIX + "a")
        assert PREFIX + "a" not in rig.hub.names and rig.hub.faults.seen[fault] == 1

    def test_what_never_left_this_machine_is_not_uncertain(self, rig):
        rig.hub.faults.plan(Fault.REFUSED, "register")
        rig.hub.faults.plan(Fault.REFUSED, "remove")
        with pytest.raises(Later, match="Connection refused"):
            rig.github.register(PREFIX + "a")
        made = rig.ask("register", PREFIX + "a")
        with pytest.raises(Later):
            rig.github.remove(made.id)

    def test_a_name_that_is_taken(self, rig):
        rig.github.register(PREFIX + "a")
        with pytest.raises(Taken):
            rig.github.register(PREFIX + "a")

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAILED_AFTER, Fault.FAILED, Fault.DROPPED])
    def test_a_removal_whose_answer_is_lost_is_uncertain_and_asked_once(self, rig, fault):
        made = rig.github.register(PREFIX + "a")
        rig.hub.faults.plan(fault, "remove")
        with pytest.raises(Uncertain):
            rig.github.remove(made.id)
        assert sum(count for (call, _), count in rig.hub.requests.items() if call == "remove") == 1
        assert rig.ask("remove", made.id) is Removal.GONE

    @pytest.mark.parametrize("fault", [Fault.LOST, Fault.FAILED_AFTER, Fault.FAILED, Fault.DROPPED, Fault.GARBLED])
    @pytest.mark.parametrize(("call", "given"), [("find", ("a",)), ("ours", ("a",))])
    def test_a_question_without_an_answer_is_for_later(self, rig, call, given, fault):
        rig.hub.faults.plan(fault, "list")
        with pytest.raises(Later) as error:
            getattr(rig.github, call)(*given)
        assert 0 < error.value.seconds <= 60
        assert rig.ask(call, *given) in (None, [])

    @pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
    def test_what_is_not_allowed_says_what_to_change(self, rig, status):
        github, asked = answering(
            rig, httpx.Response(status, json={"message": "Resource not accessible by integration"})
        )
        with pytest.raises(Refused, match=f"^{status} for GET /orgs/acme/actions/runners: Resource not") as error:
            github.find("a")
        assert len(asked) == 1
        assert status == 401 or "organization_self_hosted_runners: write" in error.value.hint

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("https://github.com/acme", ["organization_self_hosted_runners", "admin:org"]),
            ("https://github.com/acme/digits", ["`administration: write`", "`repo`"]),
            ("https://github.com/enterprises/acme", ["manage_runners:enterprise"]),
        ],
    )
    def test_the_hint_names_the_right_of_the_scope(self, url, words):
        github, _ = answering(Rig(url), httpx.Response(404, json={"message": "Not Found"}))
        with pytest.raises(Refused) as error:
            github.register("a")
        assert all(word in error.value.hint for word in words)

    def test_a_wrong_token_is_not_tried_again_at_once(self, rig):
        rig.hub.replace_token("ghp_another0another0another0another00")
        for _ in range(50):
            with pytest.raises(Refused, match="401"):
                rig.github.find("a")
        assert rig.checked.exchanges == 1
        rig.clock.wait(DENIED + 1)
        with pytest.raises(Refused):
            rig.github.find("a")
        assert rig.checked.exchanges == 2

    def test_a_token_that_was_replaced_in_its_file_is_read_again(self, rig):
        rig.secret = "ghp_another0another0another0another00"
        rig.hub.replace_token(rig.secret)
        assert rig.github.find("a") is None and rig.checked.exchanges == 2

    def test_a_removal_that_something_else_answered_is_uncertain(self, rig):
        """A hotel's login page says 200 to everything: a job may come to that runner."""
        github, _ = answering(rig, httpx.Response(200, text="Welcome"))
        with pytest.raises(Uncertain):
            github.remove(5)

    def test_nor_does_it_prove_that_we_see_our_runners(self, rig):
        github, asked = answering(rig, httpx.Response(200, text="Welcome"), httpx.Response(404, json={}))
        with pytest.raises(Later):
            github.get(5)
        with pytest.raises(Refused):
            github.remove(5)
        assert len(asked) == 3

    def test_a_group_that_was_deleted_is_looked_up_again(self):
        rig = Rig(runner_group="gpu-trusted")
        rig.github.register(PREFIX + "a")
        rig.hub.groups[1] = Group(id=9, name="gpu-trusted")
        with pytest.raises(Refused):
            rig.github.register(PREFIX + "b")
        made = rig.github.register(PREFIX + "b")
        assert rig.hub.live[made.id].group == 9

    def test_a_renamed_organisation(self, rig):
        github, asked = answering(rig, httpx.Response(301, headers={"location": "https://evil.example.com/"}))
        with pytest.raises(Refused, match="301") as error:
            github.find("a")
        assert "renamed" in error.value.hint and len(asked) == 1

    def test_a_request_that_github_takes_to_be_wrong(self, rig):
        github, _ = answering(rig, groups(), httpx.Response(422, json={"message": "Label x is reserved"}))
        with pytest.raises(Refused, match="422 .*Label x is reserved"):
            github.register("a")

    def test_404_for_a_removal_is_no_proof_where_we_see_no_runner_at_all(self, rig):
        """The App was taken off the repository: its runner may have a job all the same."""
        github, _ = answering(rig, httpx.Response(404, json={"message": "Not Found"}))
        for call in (github.remove, github.get):
            with pytest.raises(Refused):
                call(5)
        made = rig.github.register(PREFIX + "a")
        before = rig.checked.exchanges
        assert rig.github.remove(made.id + 1000) is Removal.GONE and rig.github.get(made.id + 1000) is None
        assert rig.checked.exchanges == before + 2  # a minute's proof is enough
        rig.clock.wait(300)
        assert rig.github.get(made.id + 1000) is None and rig.checked.exchanges == before + 4

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff",
            b"<html>",
            b"[" * 100000,
            b'{"total_count": "many", "runners": []}',
            b'{"total_count": 1, "runners": [{"id": 1}]}',
            b'{"total_count": 1, "runners": [{"id": 1e99, "name": 1, "status": [], "busy": null}]}',
            b'{"total_count": 1, "runners": {}}',
        ],
    )
    @pytest.mark.parametrize("status", [200, 401, 403, 404, 409, 418, 422, 429, 500])
    def test_hostile_json_is_no_crash(self, rig, content, status):
        headers = {
            "x-ratelimit-remaining": "x",
            "x-ratelimit-reset": "9" * 400,
            "retry-after": "\u0663",
            "date": "x" * 29,
        }
        sent = [(name, value.encode()) for name, value in headers.items()]
        github, _ = answering(rig, httpx.Response(status, headers=sent, content=content))
        for call, given in (("find", "a"), ("get", 1), ("remove", 1), ("register", "a"), ("ours", "a")):
            try:
                getattr(github, call)(given)
            except (Later, Uncertain, Refused, Taken) as error:
                assert len(str(error)) < 500
            rig.clock.wait(4000)

    def test_a_body_is_bounded_and_so_is_its_time(self, rig):
        class Endless(httpx.SyncByteStream):
            def __iter__(self):
                while True:
                    rig.clock.wait(1)
                    yield b" " * (1 << 10)

        class Large(httpx.SyncByteStream):
            def __iter__(self):
                while True:
                    yield b" " * (1 << 20)

        for stream, said in ((Endless(), "did not end within"), (Large(), "over 4194304 bytes")):
            github = rig.client(httpx.MockTransport(lambda request, stream=stream: httpx.Response(200, stream=stream)))
            with pytest.raises(Later, match=said):
                github.find("a")

    def test_nothing_is_unpacked(self, rig):
        answer = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"\x1f\x8b"))
        github, asked = answering(rig, answer)
        with pytest.raises(Later, match="packed"):
            github.find("a")
        assert asked[0].headers["accept-encoding"] == "identity"


class TestConfigurations:
    def test_a_sound_one_is_handed_out(self, rig):
        github, _ = answering(rig, groups(), generated())
        assert github.register("a").id == 5

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"Ephemeral": False}, "ephemeral"),
            ({"AgentId": 6}, "not of the runner 5"),
            ({"blob": "!!!"}, "not base64"),
            ({"blob": ""}, "0 characters"),
            ({"blob": base64.b64encode(b"{}").decode()}, "lacks .runner, .credentials"),
        ],
    )
    def test_what_is_not_single_use_is_taken_back(self, rig, given, said):
        github, asked = answering(rig, groups(), generated(**given), httpx.Response(204))
        with pytest.raises(Uncertain, match=said):
            github.register("a")
        assert [(one.method, one.url.path[-2:]) for one in asked][2:] == [("DELETE", "/5")]

    def test_another_runner_than_ours_is_left_alone(self, rig):
        github, asked = answering(rig, groups(), generated(name="theirs"))
        with pytest.raises(Uncertain, match="another runner"):
            github.register("a")
        assert len(asked) == 2


def leased(rig, number):
    """One attempt of a slot as the state machine makes it: fresh names, and whatever is uncertain resolved by name."""
    for attempt in range(100):
        name = f"{PREFIX}{number}-{attempt}"
        try:
            return rig.ask("register", name), name
        except (Uncertain, Taken):
            while (left := rig.ask("find", name)) is not None:
                try:
                    rig.ask("remove", left.id)
                except Uncertain:
                    continue
    raise AssertionError("no runner in 100 attempts")


class TestLostReplies:
    @pytest.mark.slow
    def test_two_thousand_of_them_leave_what_is_leased(self):
        """F2, lists that lag aside: those a janitor sees later."""
        rig = Rig(hub={"limit": 0, "points": 0})
        rates = {Fault.LOST: 0.1, Fault.FAILED_AFTER: 0.1, Fault.FAILED: 0.05, Fault.DROPPED: 0.05, Fault.TAKEN: 0.05}
        rig.hub.faults.rates = {**rates, Fault.SLOW: 0.05, Fault.GARBLED: 0.05, Fault.THROTTLED: 0.02}
        leases = [leased(rig, number) for number in range(2000)]
        assert {made.id for made, _ in leases} == set(rig.hub.live)
        assert {name for _, name in leases} == {one.name for one in rig.hub.live.values()}
        assert all(rig.hub.faults.seen[fault] > 50 for fault in rig.hub.faults.rates)
        extra = len(rig.hub.runners) - 2000
        carried_out = sum(rig.hub.faults.seen[one] for one in (Fault.LOST, Fault.FAILED_AFTER, Fault.GARBLED))
        assert 0 < extra <= carried_out and not any(len(ids) > 1 for ids in rig.hub.names.values())
        rig.sound()


class TestFigures:
    def test_requests_and_budgets_are_counted(self, rig):
        rig.github.register(PREFIX + "a")
        rig.hub.faults.plan(Fault.LOST, "list")
        rig.hub.faults.plan(Fault.REFUSED, "list")
        with pytest.raises(Later):
            rig.github.find("a")
        rig.clock.wait(60)
        with pytest.raises(Later):
            rig.github.find("a")
        tally = rig.github.tally()
        assert tally.requests == {("GET", "200"): 1, ("POST", "201"): 1, ("GET", "lost"): 1, ("GET", "unsent"): 1}
        assert tally.remaining == {"core": 4998} and tally.reset["core"] > rig.clock.now()

    def test_a_call_costs_little(self):
        """The simulator makes 50,000 of them."""
        clock = Rig().clock
        hub = Hub(clock, random.Random(1), token=TOKEN, limit=0, points=0)
        github = GitHub(config(), clock=clock, transport=hub.transport(), read=lambda where: TOKEN)
        for number in range(50):
            hub.register(f"{PREFIX}{number}", ("gpu",), 1)
        begun = time.process_time()
        for number in range(1000):
            github.find(f"{PREFIX}{number}")
        each = (time.process_time() - begun) / 1000
        print(f"{each * 1e6:.0f} µs a call, the hub's share included")
        assert each < 1e-3  # measured: 0.2 ms; twice that with the other tests beside it

    def test_the_real_resolver_is_the_default(self):
        assert GitHub.__init__.__kwdefaults__["read"] is secrets.resolve
