"""One question after another to a hub that fails to order, in virtual time: rights, pace, storms, and secrets."""

import json
import threading
import time
import traceback

import httpx
import pytest

from backburn.pool.clock import SystemClock
from backburn.pool.github import GitHub
from backburn.pool.questions import DENIED
from backburn.pool.registrar import Later, Refused, Taken, Uncertain
from backburn.pool.simulation.faults import Fault
from backburn.pool.simulation.hub import App

from .moments import PREFIX, TOKEN, Rig, answering, config, generated, groups

KEY = "PRIVATE" + " KEY"  # in two parts: the hook against keys in a repository looks for the words


class TestApp:
    def test_a_token_is_minted_on_use_and_again_before_its_end(self, app):
        assert not app.hub.tokens
        app.github.find("a")
        app.github.find("a")
        assert app.hub.requests["installation", 200] == app.hub.requests["mint", 201] == 1
        app.clock.wait(3299)
        app.github.find("a")
        assert app.hub.requests["mint", 201] == 1
        app.clock.wait(2)
        app.github.find("a")
        assert app.hub.requests["mint", 201] == 2 and app.hub.requests["installation", 200] == 1
        assert app.hub.requests["list", 401] == 0

    def test_one_that_github_forgot_is_minted_again_once(self, app):
        app.github.find("a")
        app.hub.expire_tokens()
        assert app.github.find("a") is None
        assert app.hub.requests["list", 401] == 1 and app.hub.requests["mint", 201] == 2
        app.hub.faults.plan(Fault.UNAUTHORIZED, "list", times=2)
        with pytest.raises(Refused, match="401"):
            app.github.find("a")
        assert app.hub.requests["mint", 201] == 3

    def test_a_registration_is_asked_for_again_after_401_which_did_nothing(self, app):
        app.github.find("a")
        app.hub.expire_tokens()
        assert app.github.register(PREFIX + "a") and len(app.hub.runners) == 1

    @pytest.mark.parametrize("minutes", [-15, -5, -1, 1, 5, 15])
    def test_a_clock_that_is_off_is_corrected_by_date(self, app, minutes):
        app.clock.jump(60 * minutes)
        assert app.github.find("a") is None
        assert app.github.skew() == pytest.approx(-60 * minutes, abs=1.5)
        assert app.hub.requests["installation", 401] <= 1 and not app.hub.requests["mint", 401]

    def test_a_clock_that_jumps_later_ends_no_token(self, app):
        app.github.find("a")
        for minutes in (15, -30, 15):
            app.clock.jump(60 * minutes)
            app.github.find("a")
        assert app.hub.requests["mint", 201] == 1 and app.github.skew() == pytest.approx(0, abs=1.5)
        app.clock.jump(300)
        app.clock.wait(3400)
        app.github.find("a")
        assert app.hub.requests["mint", 201] == 2

    def test_a_lost_token_is_for_later_never_uncertain(self, app):
        app.hub.faults.plan(Fault.LOST, "mint")
        with pytest.raises(Later):
            app.github.register(PREFIX + "a")
        assert app.ask("register", PREFIX + "a").id

    def test_an_app_that_is_not_installed(self, app):
        app.github._questions._right._installation = 5
        for _ in range(20):
            with pytest.raises(Refused, match="404 for POST /app/installations/5/access_tokens") as error:
                app.github.find("a")
        assert "installed for acme" in error.value.hint and app.checked.exchanges == 1
        app.clock.wait(DENIED)
        assert app.github.find("a") is None  # installed anew, under another number

    def test_a_key_of_another_app_is_not_tried_without_end(self, keys):
        private, _ = keys
        rig = Rig(read=lambda where: private, private_key="file:/key", app_id=1)
        for _ in range(20):
            with pytest.raises(Refused, match="401 for GET /orgs/acme/installation") as error:
                rig.github.find("a")
        assert rig.checked.exchanges == 2 and "private key" in error.value.hint

    def test_it_asks_for_no_more_than_it_takes(self, keys):
        private, public = keys
        for url, body in (
            ("https://github.com/acme", {"permissions": {"organization_self_hosted_runners": "write"}}),
            (
                "https://github.com/acme/digits",
                {"permissions": {"administration": "write"}, "repositories": ["digits"]},
            ),
        ):
            bodies = []
            rig = Rig(
                url,
                hub={"app": App(id="7", public_key=public)},
                read=lambda where: private,
                private_key="file:/key",
                app_id=7,
            )
            inner = rig.checked.handle
            rig.checked.handle = lambda request, inner=inner, bodies=bodies: bodies.append(request) or inner(request)
            rig.github.find("a")
            assert [json.loads(one.content) for one in bodies if one.method == "POST"] == [body]
            rig.sound()

    def test_threads_share_one_token(self, app):
        handle = app.checked.handle

        def slow(request):
            time.sleep(0.02)
            return handle(request)

        app.checked.handle = slow
        threads = [threading.Thread(target=app.github.find, args=("a",)) for _ in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert app.hub.requests["mint", 201] == 1 and app.hub.requests["list", 200] == 16


class TestPace:
    def test_the_last_request_of_the_hour_is_the_last(self):
        rig = Rig(hub={"limit": 10})
        for _ in range(10):
            rig.github.find("a")
        for _ in range(50):
            with pytest.raises(Later, match="rate limit core is used up") as error:
                rig.github.find("a")
        assert rig.checked.exchanges == 10 and 3590 < error.value.seconds < 3665
        rig.clock.wait(error.value.seconds)
        assert rig.github.find("a") is None and rig.hub.trespasses == 0
        rig.sound()

    def test_a_budget_that_others_used_up_is_waited_for(self, rig):
        spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(rig.clock.now()) + 1000)}
        github, asked = answering(rig, httpx.Response(403, headers=spent, json={"message": "API rate limit exceeded"}))
        for _ in range(20):
            with pytest.raises(Later) as error:
                github.find("a")
            assert 999 < error.value.seconds < 1002
        assert len(asked) == 1

    def test_another_budget_is_another(self, rig):
        spent = {"x-ratelimit-remaining": "0", "x-ratelimit-resource": "actions_runner_registration"}
        spent["x-ratelimit-reset"] = str(int(rig.clock.now()) + 1000)
        made = generated()
        made.headers.update(spent)
        github, asked = answering(rig, groups(), made, httpx.Response(200, json={"total_count": 0, "runners": []}))
        github.register("a")
        with pytest.raises(Later, match="actions_runner_registration"):
            github.register("b")
        assert github.find("a") is None and len(asked) == 3

    @pytest.mark.parametrize("offset", [-600, 0, 600])
    def test_a_reset_is_by_githubs_clock(self, offset):
        rig = Rig(hub={"limit": 3})
        rig.hub.offset = offset
        for _ in range(3):
            rig.github.find("a")
        with pytest.raises(Later) as error:
            rig.github.find("a")
        assert 3590 < error.value.seconds < 3665

    @pytest.mark.parametrize("call", ["find", "register"])
    def test_retry_after_is_kept_by_all_threads(self, rig, call):
        rig.hub.faults.retry_after = (30, 30)
        rig.hub.faults.plan(Fault.THROTTLED)
        for _ in range(20):
            with pytest.raises(Later) as error:
                getattr(rig.github, call)(PREFIX + "a")
            assert 30 <= error.value.seconds < 32
        assert rig.checked.exchanges == 1 and not rig.hub.names
        rig.ask(call, PREFIX + "a")
        assert rig.hub.trespasses == 0

    def test_a_date_is_a_time_to_retry_after_too(self, rig):
        headers = {"date": "Sat, 21 Nov 2026 03:23:00 GMT", "retry-after": "Sat, 21 Nov 2026 03:25:00 GMT"}
        github, _ = answering(rig, httpx.Response(429, headers=headers, json={}))
        with pytest.raises(Later) as error:
            github.find("a")
        assert 119 < error.value.seconds < 122

    def test_the_secondary_limit_that_names_no_time_doubles_from_a_minute(self, rig):
        rig.hub.faults.plan(Fault.SECONDARY, times=5)
        waits = []
        for _ in range(5):
            with pytest.raises(Later) as error:
                rig.github.find("a")
            waits.append(round(error.value.seconds))
            rig.clock.wait(error.value.seconds)
        assert waits == [60, 120, 240, 300, 300]
        assert rig.github.find("a") is None
        rig.hub.faults.plan(Fault.SECONDARY)
        with pytest.raises(Later) as error:
            rig.github.find("a")
        assert round(error.value.seconds) == 60

    def test_what_a_header_can_make_us_wait_is_bounded(self, rig):
        github, _ = answering(rig, httpx.Response(429, headers={"retry-after": "999999999"}, json={}))
        with pytest.raises(Later) as error:
            github.find("a")
        assert error.value.seconds < 3700

    def test_points_are_never_overdrawn_by_patience(self):
        rig = Rig(hub={"points": 60})
        for number in range(60):
            rig.ask("register", f"{PREFIX}{number}")
        assert rig.hub.trespasses == 0 and len(rig.hub.live) == 60


def storm(faults, threads=8, minutes=30, seed=1):
    """Callers that come back when told to, one round a second; requests during the storm, and when all had answers."""
    rig = Rig(seed=seed)
    begun = rig.hub.now()
    rig.hub.faults.storm(faults, begun + 60, begun + 60 + 60 * minutes)
    due, answered = [0.0] * threads, [0.0] * threads
    while rig.hub.now() < begun + 60 * minutes + 600:
        for caller in range(threads):
            if rig.clock.passed() >= due[caller]:
                try:
                    rig.github.find(f"{PREFIX}{caller}")
                    answered[caller] = rig.hub.now()
                    due[caller] = rig.clock.passed() + 10
                except Later as later:
                    due[caller] = rig.clock.passed() + later.seconds
        first = {caller: moment for caller, moment in enumerate(answered) if moment > begun + 60 + 60 * minutes}
        if len(first) == threads:
            break
        rig.clock.wait(0.25)
    during = [moment for moment, _, _ in rig.hub.asked if begun + 60 <= moment < begun + 60 + 60 * minutes]
    return rig, len(during), rig.hub.now() - (begun + 60 + 60 * minutes)


class TestStorms:
    """F4: half an hour of failures."""

    @pytest.mark.parametrize("seed", range(5))
    @pytest.mark.parametrize("faults", [[Fault.FAILED], [Fault.DROPPED, Fault.REFUSED], [Fault.FAILED, Fault.LOST]])
    def test_server_errors_and_no_network(self, faults, seed):
        rig, requests, recovery = storm(faults, seed=seed)
        assert requests < 130 and recovery <= 60, (
            requests,
            recovery,
        )  # 8 callers would ask 1,440 times in fair weather

    @pytest.mark.parametrize("seed", range(5))
    def test_throttled(self, seed):
        """Allowed is one request each time that a retry-after has passed: none may come before."""
        rig, requests, recovery = storm([Fault.THROTTLED], seed=seed)
        allowed = rig.hub.faults.seen[Fault.THROTTLED]
        assert requests <= 1.2 * allowed and rig.hub.trespasses == 0 and recovery <= 60 + 2
        rested = [after - before for (before, *_), (after, *_) in zip(_during(rig), _during(rig)[1:], strict=False)]
        assert min(rested) >= 10

    def test_one_probe_at_a_time_when_it_is_over(self, rig):
        """Sixteen threads come back in the same moment; one asks, and the others hear of it."""
        inside, gate, release = [], threading.Event(), threading.Event()
        rig.hub.faults.plan(Fault.FAILED, "list")
        with pytest.raises(Later) as error:
            rig.github.find("a")
        rig.clock.wait(error.value.seconds)
        handle = rig.checked.handle

        def slow(request):
            inside.append(request)
            gate.set()
            release.wait(5)
            return handle(request)

        rig.checked.handle = slow
        probe = threading.Thread(target=rig.github.find, args=("a",))
        probe.start()
        gate.wait(5)
        for _ in range(15):
            with pytest.raises(Later, match="another call is asking"):
                rig.github.find("b")
        release.set()
        probe.join()
        assert len(inside) == 1 and rig.github.find("b") is None

    def test_registrations_that_fail_leave_questions_open(self, rig):
        rig.hub.faults.plan(Fault.FAILED, "register")
        with pytest.raises(Uncertain):
            rig.github.register(PREFIX + "a")
        assert rig.github.find(PREFIX + "a") is None
        with pytest.raises(Later):
            rig.github.register(PREFIX + "b")


def _during(rig):
    return [one for one in rig.hub.asked if one[2] == 429]


class Ignored(list):
    def __iadd__(self, _):
        return self


class TestSecrets:
    def shown(self, error):
        told = "".join(traceback.format_exception(error)) + repr(error) + getattr(error, "hint", "")
        return told + "".join(map(str, vars(error).values()))

    def test_no_exception_shows_one(self, app, caplog):
        """Through every fault, against a server that repeats what it was sent."""
        caplog.set_level(0)
        told = []
        for fault in Fault:
            for call, given in (("register", PREFIX + "a"), ("find", "a"), ("get", 1), ("remove", 1), ("ours", PREFIX)):
                app.hub.faults.plan(fault)
                try:
                    told.append(repr(getattr(app.github, call)(given)))
                except (Later, Uncertain, Refused, Taken) as error:
                    told.append(self.shown(error))
                app.hub.faults._planned.clear()
                app.clock.wait(400)

        def echo(request):
            message = f"you sent {request.headers['authorization']} and {request.content.decode()}"
            return httpx.Response(echo.status, json={"message": message}, headers={"x-echo": message})

        app.checked.handle = echo
        app.checked.breaches = Ignored()
        for echo.status in (200, 201, 301, 400, 401, 403, 404, 409, 422, 429, 500):
            for call, given in (("register", "a"), ("find", "a"), ("get", 1), ("remove", 1)):
                try:
                    told.append(repr(getattr(app.github, call)(given)))
                except (Later, Uncertain, Refused, Taken) as error:
                    told.append(self.shown(error))
                app.clock.wait(301)
        text = "\n".join(told) + caplog.text + repr(app.github) + repr(app.github.tally())
        assert len(told) > 90 and "you sent" in text
        private = app.read("")
        canaries = {*app.hub.secrets, private, *private.splitlines()[1:-1]}
        assert len(canaries) > 30
        assert [one[:12] for one in canaries if one in text] == []

    def test_a_pat_neither(self, rig):
        answer = httpx.Response(403, json={"message": f"bad {TOKEN}"})
        github, _ = answering(rig, answer)
        with pytest.raises(Refused) as error:
            github.find("a")
        assert TOKEN not in self.shown(error.value) and "bad <redacted>" in str(error.value)
        assert TOKEN not in repr(
            vars(rig.github.register(PREFIX + "a")) if False else rig.github.register(PREFIX + "b")
        )
        assert github.redact(f"x {TOKEN}") == "x <redacted>"

    def test_a_key_that_is_none_is_not_shown(self):
        from backburn.errors import UserError

        for key in ("hunter2-hunter2", f"-----BEGIN {KEY}-----\nAAAA\n-----END {KEY}-----"):
            with pytest.raises(UserError, match="not a PEM private key") as error:
                Rig(private_key="file:/key", app_id=1, read=lambda where, key=key: key)
            assert key not in self.shown(error.value)

    def test_no_cookie_is_kept_and_no_redirect_followed(self, rig):
        answer = httpx.Response(200, headers={"set-cookie": "a=b"}, json={"total_count": 0, "runners": []})
        github, asked = answering(rig, answer)
        github.find("a")
        github.find("a")
        assert "cookie" not in asked[1].headers

    def test_the_password_of_a_proxy_is_not_shown(self):
        given = config(proxy="http://user:hunter2hunter2@127.0.0.1:9")
        github = GitHub(given, clock=SystemClock(), read=lambda where: TOKEN)
        with pytest.raises(Later) as error:
            github.find("a")
        assert "hunter2" not in self.shown(error.value)
