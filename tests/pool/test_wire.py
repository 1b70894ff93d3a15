"""One exchange over a real socket: what is sent, what is lost, and how long it may take."""

import http.server
import re
import socket
import threading

import httpx
import pytest

from backburn.pool import wire
from backburn.pool.clock import SystemClock
from backburn.pool.wire import Answer, Lost, Unsent, Wire, resource_of

from .moments import START, Moments

DATE = "Wed, 18 Nov 2026 11:06:40 GMT"


def received(connection):
    """A request, with its body."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(65536)
    head, _, body = content.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def served():
    """A socket that answers each connection with these bytes, and keeps what it got."""
    made = []

    def serve(*answers):
        listener = socket.create_server(("127.0.0.1", 0))
        got = []

        def run():
            for answer in answers:
                connection, _ = listener.accept()
                got.append(received(connection))
                if answer is None:
                    threading.Event().wait(3)
                else:
                    connection.sendall(answer)
                connection.close()

        threading.Thread(target=run, daemon=True).start()
        made.append(listener)
        return Wire(f"http://127.0.0.1:{listener.getsockname()[1]}", SystemClock()), got

    yield serve
    for listener in made:
        listener.close()


def test_what_is_sent(served):
    sent, got = served(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert sent.send("POST", "/x?a=b", "token", {"a": 1}).json() == {}
    head, _, body = got[0].decode().partition("\r\n\r\n")
    assert head.startswith("POST /x?a=b HTTP/1.1\r\n") and "Authorization: Bearer token" in head and body == '{"a":1}'
    assert "X-GitHub-Api-Version: 2022-11-28" in head and "User-Agent: backburn/" in head


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}",
        b"HTTP/1.1 200",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_that_is_not_whole_is_lost(served, answer):
    sent, _ = served(answer)
    with pytest.raises(Lost):
        sent.send("GET", "/x", "canary-token")
    assert sent.tally().requests == {("GET", "lost"): 1}


def test_one_that_does_not_come_is_lost_in_time(served, monkeypatch):
    monkeypatch.setattr(wire, "LIMITS", httpx.Timeout(1.0, read=0.2))
    sent, _ = served(None)
    with pytest.raises(Lost, match="ReadTimeout"):
        sent.send("GET", "/x", "canary-token")


def test_where_nobody_listens_nothing_was_sent():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for api in (f"http://127.0.0.1:{port}", "http://name.invalid", "nothing://x", "http://[::1"):
        with pytest.raises((Unsent, Lost)) as error:
            Wire(api, SystemClock()).send("POST", "/x", "canary-token", {"a": "canary"})
        assert "canary" not in str(error.value)
        assert isinstance(error.value, Unsent) or api.endswith("[::1")


def test_a_proxy_is_used(served):
    sent, got = served(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n")
    through = Wire("http://api.invalid", SystemClock(), proxy=sent._api)
    assert through.send("GET", "/x", "t").status == 502 and got[0].startswith(b"GET http://api.invalid/x ")


def test_environments_proxy_is_used_where_none_is_given(served, monkeypatch):
    sent, got = served(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    monkeypatch.setenv("HTTP_PROXY", sent._api)
    assert Wire("http://api.invalid", SystemClock()).send("GET", "/x", "t").status == 200 and got


def test_threads_share_one(served):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response_only(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        sent = Wire(f"http://127.0.0.1:{server.server_port}", SystemClock())
        threads = [threading.Thread(target=lambda: [sent.send("GET", "/x", "t") for _ in range(20)]) for _ in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sent.tally().requests == {("GET", "200"): 160}
        sent.close()
        server.shutdown()


@pytest.mark.parametrize(("ahead", "skew"), [(0, 0), (-300, 300), (300, -300)])
def test_the_clock_is_held_against_date(ahead, skew):
    clock = Moments()
    clock.jump(ahead)
    answer = httpx.Response(200, headers={"date": DATE})
    sent = Wire("https://x", clock, transport=httpx.MockTransport(lambda _: answer))
    assert sent.skew == 0.0 and sent.send("GET", "/x", "t").seen == START and sent.skew == skew


@pytest.mark.parametrize("date", ["", "yesterday", "x" * 29, "Wed, 99 Nov 2026 06:26:40 GMT", DATE + " "])
def test_what_is_no_date_changes_nothing(date):
    answer = httpx.Response(200, headers={"date": date})
    sent = Wire("https://x", Moments(), transport=httpx.MockTransport(lambda _: answer))
    assert sent.send("GET", "/x", "t").seen == START and sent.skew == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("1.5", 1.5), ("", None), ("-1", None), ("1e9", None), ("\u0663", None), (DATE, 0), ("nan", None)],
)
def test_numbers_in_headers(text, seconds):
    assert Answer(429, {"retry-after": text}, b"", START).number("retry-after") == seconds


def test_a_message_is_one_bounded_line():
    assert Answer(500, {}, b'{"message": "a\\n\\u001b[31mb' + b"c" * 999 + b'"}', 0.0).message.startswith("a [31mb")
    for content in (b"", b"[]", b'{"message": null}', b"\xff", b"[" * 9999):
        assert Answer(500, {}, content, 0.0).message == ""


@pytest.mark.parametrize(("given", "name"), [({}, "core"), ({"x-ratelimit-resource": "a_b"}, "a_b")])
def test_a_budgets_name_is_a_word(given, name):
    assert resource_of(Answer(200, given, b"", 0.0)) == name
    assert resource_of(Answer(200, {"x-ratelimit-resource": "x" * 99 + "\n"}, b"", 0.0)) == "core"
