"""Where a secret may be, and that no text shows one."""

import base64
import json
import os
import threading
import time

import pytest

from backburn.errors import UserError
from backburn.pool.secrets import HIDDEN, redact, resolve

CANARY = "canary-7f3a91"
KEY = "RSA PRIVATE" + " KEY"  # in two parts: the hook against keys in a repository looks for the words
PEM = f"-----BEGIN {KEY}-----\n" + "MIIEowIBAAKCAQEA7bq9cbl2lcH0n0\n" * 20 + f"-----END {KEY}-----"
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (b'{"alg":"RS256"}', b'{"iss":"1"}', b"x" * 64)
)
FILES = {name: base64.b64encode(b'{"d": "' + b"k" * 400 + b'"}').decode() for name in (".runner", ".credentials")}
JIT = base64.b64encode(json.dumps(FILES).encode()).decode()


@pytest.fixture
def written(tmp_path):
    def write(content=f"{CANARY}\n", mode=0o600):
        path = tmp_path / "secret"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    return write


def test_each_place_gives_its_secret(written, tmp_path):
    path = written()
    assert resolve(f"file:{path}", {}) == CANARY
    assert resolve("env:TOKEN", {"TOKEN": f" {CANARY}\n"}) == CANARY
    path.chmod(0o440)  # as systemd lays it, seen through its ACL
    assert resolve("credential:secret", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == CANARY


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("file:/does/not/exist", "No such file"),
        ("file:/", "Is a directory"),
        ("file:/dev/null", "no plain file"),
        ("env:NONE", "there is no secret"),
        ("credential:secret", "gave this process no credentials"),
        ("vault:x", "not the place of a secret"),
        (CANARY, "not the place of a secret"),
    ],
)
def test_what_is_not_there_is_said(where, said):
    with pytest.raises(UserError, match=said) as error:
        resolve(where, {})
    assert CANARY not in str(error.value)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    said = []

    def run():
        with pytest.raises(UserError, match="no plain file"):
            resolve(f"file:{tmp_path}/pipe", {})
        said.append(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    assert said


def test_a_credential_stays_in_its_folder(tmp_path):
    with pytest.raises(UserError, match="has no /"):
        resolve("credential:../secret", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


@pytest.mark.parametrize("content", ["", " \n", b"\xff\xfe" + CANARY.encode(), CANARY + "\0", CANARY * 10000])
def test_what_is_no_secret_is_refused_and_not_shown(written, content):
    with pytest.raises(UserError) as error:
        resolve(f"file:{written(content)}", {})
    assert CANARY not in str(error.value)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666])
def test_a_file_that_others_read_is_refused_with_the_line_that_mends_it(written, mode):
    path = written(mode=mode)
    with pytest.raises(UserError, match="others than its owner") as error:
        resolve(f"file:{path}", {})
    line = error.value.hint
    assert line in (f"chmod 600 {path}", f"chmod 640 {path}") and CANARY not in str(error.value)
    path.chmod(int(line.split()[1], 8))
    assert resolve(f"file:{path}", {}) == CANARY


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
def test_a_group_may_read_what_is_roots_and_nothing_else(written):
    path = written(mode=0o640)
    assert resolve(f"file:{path}", {}) == CANARY
    os.chown(path, 65534, 65534)
    with pytest.raises(UserError, match="chmod 600"):
        resolve(f"file:{path}", {})


TOKENS = [
    "ghp_0123456789abcdefghijABCDEFGHIJ012345",
    "ghs_0123456789abcdefghijABCDEFGHIJ012345",
    f"ghs_123456_{JWT}",
    "github_pat_11ABCDEFG0123456789_abcdefghijklmnopqrstuvwxyz0123456789",
    JWT,
    JIT,
    PEM,
    PEM.replace("\n", "\\n"),
    PEM.replace(f"-----BEGIN {KEY}-----\n", ""),  # a log's tail
    PEM[:300],
    JIT[200:],
    json.dumps({"d": CANARY * 3, "p": CANARY * 3}),
    "\n".join(JIT[place : place + 76] for place in range(0, len(JIT), 76)),
    FILES[".runner"],
]


@pytest.mark.parametrize("token", TOKENS, ids=range(len(TOKENS)))
def test_what_looks_like_a_secret_is_taken_out_of_what_stands_around_it(token):
    shown = redact(f"before: {token}\nafter")
    assert "before:" in shown and HIDDEN in shown
    assert "after" in shown or token == PEM[:300]  # what has no end may be anything
    for place in range(0, len(token) - 16, 16):
        piece = token[place : place + 16]
        assert piece not in shown or piece in '{"d": "<redacted>", "p"'


def test_headers_and_proxies():
    assert redact("Authorization: token abcdefgh\nok") == f"{HIDDEN}\nok"
    assert redact("http://user:pass@proxy:3128/x") == f"http://{HIDDEN}@proxy:3128/x"


def test_known_secrets_are_taken_out_in_every_form():
    secret = "hunter22"
    assert redact(f"a {secret} b", [secret]) == f"a {HIDDEN} b"
    assert redact("an or a", ["a", ""]) == "an or a"  # too short to mean anything
    assert "line-of-sixteen-and" not in redact("x line-of-sixteen-and-more y", ["line-of-sixteen-and-more\nz"])
    assert redact("abcdefgh-long", ["abcdefgh", "abcdefgh-long"]) == HIDDEN


def test_ordinary_lines_stay_as_they_are():
    log = (
        "epoch 3: loss 0.123, 1,024 samples\n/home/runner/_work/acme/digits/src/digits/model.py:12\n"
        "sha256:6f1ed002ab5595859014ebf0951522d9cd2b5f21ae1fd5a4ae2ba0d4c5b53a07 eyes everywhere eyJ\n"
        "http://127.0.0.1:9477/metrics https://github.com/acme/x@v1\n"
    )
    assert redact(log) == log


@pytest.mark.parametrize(
    "hostile",
    [
        ("A" * 76 + "\n") * 13000,
        "-----BEGIN X-----" * 50000,
        "-----END X-----" * 3000 + "a" * 500000,
        "eyJ" * 300000,
        ("word " * 3 + "-----END A-----\n") * 3000,
        "://" * 300000,
        "a:" * 400000,
        '"d": ' * 200000,
    ],
    ids=range(8),
)
def test_a_hostile_log_of_a_megabyte_takes_no_time(hostile):
    begun = time.process_time()
    redact(hostile)
    assert time.process_time() - begun < 3
