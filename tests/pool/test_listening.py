"""Real HTTP on a free port."""

import http.client
import json
import socket
import threading
import time

import pytest

from backburn.pool import listening
from backburn.pool.metrics import Metrics, Sources
from tests.pool import scene


@pytest.fixture
def served(tmp_path):
    metrics = Metrics(scene.store(tmp_path), scene.Hand())
    metrics.expect(["cpu0"])
    listener = listening.Listener(metrics, "127.0.0.1:0")
    listener.metrics = metrics
    yield listener
    listener.close()


def ask(listener, path, host=None, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    return answer.status, answer.read(), answer.getheader("Content-Type")


def test_metrics_and_health(served):
    status, body, kind = ask(served, "/metrics")
    assert status == 200 and b'backburn_pool_slot_state{slot="cpu0",state="unknown"} 1.0' in body
    assert kind.startswith("text/plain; version=0.0.4")
    status, body, kind = ask(served, "/health")
    assert (status, kind) == (200, "application/json")
    assert json.loads(body) == {"kind": "pool-health", "schema": 1, "ok": True, "broken": {}}
    assert ask(served, "/elsewhere")[0] == 404 and ask(served, "/metrics", method="HEAD")[:2] == (200, b"")
    assert ask(served, "/metrics", method="POST")[0] == 501


def test_health_is_503_and_names_the_slot(served):
    served.metrics.clock.time += 10_000
    status, body, _ = ask(served, "/health")
    assert status == 503 and list(json.loads(body)["broken"]) == ["cpu0"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9477", 200),
        ("LocalHost:80", 200),
        ("[::1]:9477", 200),
        ("evil.example", 403),
        ("evil.example:9477", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("0.0.0.0", 403),
    ],
)
def test_only_our_own_names_are_answered(served, host, status):
    assert ask(served, "/metrics", host)[0] == status


def test_no_host_at_all_is_refused(served):
    with socket.create_connection(("127.0.0.1", served.port), 10) as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert client.recv(100).split()[1] == b"403"


def test_it_is_this_machines_alone(served):
    assert served._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said_and_the_pool_goes_on(served):
    notes = []
    where = f"127.0.0.1:{served.port}"
    assert listening.listen(served.metrics, where, lambda *said: notes.append(said)) is None
    assert where in notes[0][2] and "in use" in notes[0][2] and "[metrics] listen" in notes[0][2]
    assert listening.listen(served.metrics, "", print) is None and len(notes) == 1
    assert listening.listen(served.metrics, "127.0.0.1:99999", lambda *said: notes.append(said)) is None


def test_slow_clients_are_few_and_do_not_last(served, monkeypatch):
    monkeypatch.setattr(listening, "SECONDS", 0.5)
    slow = [socket.create_connection(("127.0.0.1", served.port), 10) for _ in range(3 * listening.AT_ONCE)]
    most = 0
    for _ in range(20):
        most = max(most, len([one for one in threading.enumerate() if "process_request_thread" in one.name]))
        time.sleep(0.02)
    assert 0 < most <= listening.AT_ONCE
    for drop in (b"GET /", b"met", b"rics"):
        for one in slow:
            try:
                one.sendall(drop)
            except OSError:
                pass
        time.sleep(0.3)
    assert ask(served, "/health")[0] == 200
    for one in slow:
        one.close()


def test_a_scrape_while_others_are_read(tmp_path):
    """A source that hangs is the one thing that may make a scrape slow; nothing else waits for it."""
    gate = threading.Event()
    metrics = Metrics(scene.store(tmp_path), scene.Hand(), Sources(removals=lambda: int(gate.wait(20))))
    listener = listening.Listener(metrics, "127.0.0.1:0")
    try:
        scrape = threading.Thread(target=ask, args=(listener, "/metrics"))
        scrape.start()
        assert ask(listener, "/health")[0] == 200
        gate.set()
        scrape.join(10)
        assert not scrape.is_alive()
    finally:
        listener.close()
