"""One webhook, one issue: what is sent, and what comes of what comes back."""

import datetime
import http.server
import json
import ssl
import threading
import time

import httpx
import pytest

from backburn.errors import UserError
from backburn.pool import complaint
from backburn.pool.complaint import LONGEST, Desk, Undelivered, Webhook, purpose
from backburn.pool.registrar import Later, Refused, Uncertain

HOOK = "https://chat.example.com/hooks/canary0canary0canary0canary?token=canary1canary"


def hook(answer, url=HOOK):
    asked = []

    def handle(request):
        asked.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Webhook(url, transport=httpx.MockTransport(handle)), asked


def test_it_posts_json_with_a_text():
    some, asked = hook(httpx.Response(200, text="ok"))
    some.say('stuck "so" `x`\nwhy')
    (request,) = asked
    assert (request.method, str(request.url)) == ("POST", HOOK) and request.headers[
        "content-type"
    ] == "application/json"
    assert json.loads(request.content) == {"text": 'stuck "so" `x`\nwhy'} and "authorization" not in request.headers
    some.say("x" * 9999)
    assert len(json.loads(asked[1].content)["text"]) == LONGEST


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 410, 429, 500])
def test_another_answer_is_none_and_no_redirect_is_followed(status):
    some, asked = hook(httpx.Response(status, headers={"location": "http://127.0.0.1/x"}, text=HOOK))
    with pytest.raises(Undelivered, match=f"answered {status}") as error:
        some.say("x")
    assert len(asked) == 1 and "canary" not in str(error.value)


@pytest.mark.parametrize(
    "error", [httpx.ConnectError(f"no way to {HOOK}"), httpx.ReadTimeout("x"), OSError(HOOK), ssl.SSLError("bad")]
)
def test_no_answer_is_undelivered_and_shows_no_canary(error):
    some, _ = hook(error)
    with pytest.raises(Undelivered, match="was not reached") as raised:
        some.say("x")
    assert "canary" not in f"{raised.value!r} {some!r}" and raised.value.__suppress_context__


def test_the_answer_is_not_read():
    class Endless(httpx.SyncByteStream):
        def __iter__(self):
            raise AssertionError("nobody reads this")

    some, asked = hook(httpx.Response(204, stream=Endless()))
    some.say("x")
    assert len(asked) == 1


@pytest.fixture
def chat(tmp_path, monkeypatch):
    """A service on loopback, with a certificate that nobody knows; what it heard. `slow`: it takes its time."""
    certificate = _certificate(tmp_path)
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(self.rfile.read(int(self.headers["content-length"])))
            if server.slow:
                time.sleep(server.slow)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.slow, server.daemon_threads = 0.0, True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    server.heard, server.known = heard, lambda: monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    yield server
    server.shutdown()
    server.server_close()


def _certificate(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False).sign(
        key, hashes.SHA256()
    )
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "chat.pem"
    path.write_bytes(key.private_bytes(*plain) + made.public_bytes(serialization.Encoding.PEM))
    return path


def test_over_a_real_connection_only_to_who_proves_to_be_it(chat, monkeypatch):
    some = Webhook(f"https://localhost:{chat.server_port}/hooks/canary0canary0canary0canary")
    with pytest.raises(Undelivered, match="CERTIFICATE_VERIFY_FAILED") as error:
        some.say("x")
    assert not chat.heard and "canary" not in str(error.value)
    chat.known()
    some.say("x")
    assert chat.heard == [b'{"text":"x"}']
    chat.slow = 2.0
    monkeypatch.setattr(complaint, "PATIENCE", httpx.Timeout(0.2))
    with pytest.raises(Undelivered, match="ReadTimeout"):
        some.say("x")
    with pytest.raises(Undelivered, match="ConnectError"):
        Webhook("https://localhost:1/hooks/x").say("x")


@pytest.mark.parametrize("url", ["https://chat.lan/hooks/x", "https://10.0.0.5:8443/hooks/x", "https://[::1]/x"])
def test_a_private_address_is_the_owners_choice(url):
    some, asked = hook(httpx.Response(200), url)
    some.say("x")
    assert str(asked[0].url) == url


@pytest.mark.parametrize("url", ["http://x/canary", "ftp://x/canary", "canary", "", "https://", "https:///canary"])
def test_another_url_is_refused_and_not_shown(url):
    with pytest.raises(UserError, match="not the URL of a webhook") as error:
        Webhook(url)
    assert "canary" not in f"{error.value} {error.value.hint}"


def test_what_is_hidden_of_it_blanks_no_ordinary_word():
    some = Webhook("https://discord.example/api/webhooks/123456/" + "k" * 68 + "/slack")
    assert not {"api", "webhooks", "slack", "/", ""} & set(some.secrets) and "k" * 68 in some.secrets


class Asked:
    """Questions whose answer is an error."""

    def __init__(self, error):
        self.error = error

    def ask(self, *given, **more):
        raise self.error


@pytest.mark.parametrize(
    "error", [Later("502", 5.0), Uncertain("no answer"), Refused("403", "It takes `issues: write`.")]
)
def test_what_github_does_not_do_is_undelivered(error):
    desk = Desk(Asked(error), "acme/ops", "marker")
    for call in (desk.find, lambda: desk.open("x", "y"), lambda: desk.change(1, "y")):
        with pytest.raises(Undelivered, match="the issue: ") as raised:
            call()
        assert str(error) in str(raised.value) and getattr(error, "hint", "") in str(raised.value)


def test_a_token_for_an_issue_is_for_one_repository():
    asked = purpose("acme/ops")
    assert asked.permissions == {"issues": "write"} and asked.repositories == ("ops",)
