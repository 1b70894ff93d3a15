"""A GitHub that remembers: labels, issues, comments, pages and failures to order, and real git over real HTTP."""

import contextlib
import json
import os
import re
import subprocess
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from backburn import evidence
from backburn.report import Figure, Finding, Outcome, Report

TOKEN = "ghs_canary0123456789abcdefABCDEF"  # a canary: no file, no argument and no output may have it
REPOSITORY = "someone/digits"


def report(stage="reproduce", training="digits", said="", unjudged="", **more):
    """A report that passes; with `said` one that fails, with `unjudged` one that could not be judged."""
    findings = (Finding(message=said, file="src/train.py", line=12, hint="Look there."),) if said else ()
    outcome = Outcome(
        check=f"{stage}/loss-agrees", claim="It agrees.", training=training, findings=findings, unjudged=unjudged
    )
    figures = (Figure(name="steps", value=240, training=training), Figure(name="device", text="cpu", training=training))
    about = {"outcomes": (outcome,), "figures": figures, "seconds": 1.5, "question": "Does it?", **more}
    return Report(stage=stage, **about)


def three(**more):
    """The three reports of a whole night; each may be replaced."""
    return [report("unit", ""), *(more.get(stage, report(stage)) for stage in ("reproduce", "profile"))]


def leave(folder, *reports, job="train"):
    """As download-artifact leaves them: a folder each."""
    for one in reports:
        evidence.save(one, folder / f"{one.stage}-{job}-0" / "report.json")
    return folder


@pytest.fixture
def artifacts(tmp_path):
    return tmp_path / "artifacts"


@pytest.fixture
def full(tmp_path):
    """A disk that holds one small file, and is full."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs takes a mount, and a mount takes root")
    with contextlib.suppress(OSError):
        (folder / "filler").write_bytes(b"x" * 65_536)
    (folder / "filler").open("r+").truncate(16_384)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def bare(tmp_path):
    """A bare repository, as the remote is one."""
    folder = tmp_path / "remote.git"
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)
    subprocess.run(["git", "config", "http.receivepack", "true"], cwd=folder, check=True)
    return folder


def lines(bare, month="*"):
    """Every line on the branch, decoded where it is JSON."""
    names = git(bare, "ls-tree", "-r", "--name-only", "backburn-history").split()
    chosen = [name for name in names if re.fullmatch(rf"nights/{month.replace('*', '.*')}\.jsonl", name)]
    return [json.loads(line) for name in chosen for line in git(bare, "show", f"backburn-history:{name}").splitlines()]


def git(folder, *words):
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True).stdout


class GitHub(ThreadingHTTPServer):
    """The server. `order` makes the next answers fail: (method, path pattern, status, headers), used up one by one."""

    daemon_threads = True

    def __init__(self, bare):
        super().__init__(("127.0.0.1", 0), Handler)
        self.bare, self.issues, self.labels, self.comments = bare, [], set(), []
        self.order, self.asked, self.default_branch = [], [], "main"
        self.looked = []  # called at each request of git's
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def fail(self, method, path, status, times=1, **headers):
        self.order += [(method, path, status, headers)] * times

    def environ(self, **more):
        about = {"SERVER_URL": self.url, "API_URL": f"{self.url}/api", "REPOSITORY": REPOSITORY, "SHA": "c0ffee" * 6}
        about |= {"RUN_ID": "7", "RUN_ATTEMPT": "1", "REF": "refs/heads/main", "EVENT_NAME": "schedule"}
        named = {f"GITHUB_{name}": text for name, text in {**about, "WORKFLOW": "nightly", **more}.items()}
        return named | {"BACKBURN_TOKEN": TOKEN}

    def open_issues(self):
        return {one["title"]: one for one in self.issues if one["state"] == "open"}

    def answer(self, method, path, query, body):
        """(status, what it says) of the API."""
        if path == "":
            return 200, {"default_branch": self.default_branch}
        if path == "/issues" and method == "GET":
            return 200, self._list(query)
        if path == "/issues":
            return 201, self._open(body)
        if found := re.fullmatch(r"/issues/(\d+)/comments", path):
            self.comments.append((int(found[1]), body["body"]))
            return 201, {}
        if found := re.fullmatch(r"/issues/(\d+)", path):
            return 200, self._patch(self.issues[int(found[1]) - 1], body)
        if path == "/labels":
            if body["name"] in self.labels:
                return 422, {"message": "Validation Failed"}
            self.labels.add(body["name"])
            return 201, {}
        if path.startswith("/labels/"):
            return (200, {}) if path.rpartition("/")[2] in self.labels else (404, {"message": "Not Found"})
        return 404, {"message": "Not Found"}

    def _list(self, query):
        wanted = set(query["labels"].split(","))
        chosen = [one for one in self.issues if one["state"] == query["state"] and wanted <= set(one["labels"])]
        chosen = [one for one in chosen if one["updated_at"] >= query.get("since", "")]
        size, page = int(query.get("per_page", 30)), int(query.get("page", 1))
        return chosen[::-1][size * (page - 1) : size * page]

    def _open(self, body):
        number = len(self.issues) + 1
        one = {"number": number, "state": "open", "closed_at": None, "updated_at": stamp(), "title": "", "body": ""}
        self.issues.append(one | body)
        return self.issues[-1]

    def _patch(self, one, body):
        one |= body | {"updated_at": stamp()}
        one["closed_at"] = stamp() if one["state"] == "closed" else None
        return one


def stamp():
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        with self.server.lock:
            self.server.asked.append((self.command, self.path))
        if parts.path.startswith("/api/"):
            self._api(parts, content)
        else:
            self._git(parts, content)

    do_POST = do_PATCH = do_GET  # noqa: N815

    def _api(self, parts, content):
        path = parts.path.removeprefix(f"/api/repos/{REPOSITORY}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self.server.lock:
            ordered = [one for one in self.server.order if one[0] == self.command and re.fullmatch(one[1], path)]
            if ordered:
                self.server.order.remove(ordered[0])
                status, headers, said = ordered[0][2], ordered[0][3], {"message": "as ordered"}
            elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, headers, said = 401, {}, {"message": "Bad credentials"}
            else:
                body = json.loads(content) if content else None
                (status, said), headers = self.server.answer(self.command, path, query, body), {}
        self._say(status, json.dumps(said).encode(), headers)

    def _git(self, parts, content):
        for look in self.server.looked:
            look()
        with self.server.lock:
            ordered = [one for one in self.server.order if one[0] == "git" and re.search(one[1], self.path)]
            if ordered:
                self.server.order.remove(ordered[0])
                self._say(ordered[0][2], b"as ordered", ordered[0][3])
                return
        if not (self.headers.get("Authorization") or "").startswith("basic "):
            self._say(401, b"", {"WWW-Authenticate": "Basic"})
            return
        done = subprocess.run(
            ["git", "http-backend"], input=content, capture_output=True, check=True, env=os.environ | self._cgi(parts)
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
        self._say(int(headers.pop("Status", "200").split()[0]), body, headers)

    def _cgi(self, parts):
        place = Path(self.server.bare)
        return {
            "GIT_PROJECT_ROOT": str(place.parent),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path.replace(f"/{REPOSITORY}", f"/{place.name}"),
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }

    def _say(self, status, body, headers):
        self.send_response(status)
        for name, text in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


@pytest.fixture
def github(bare):
    server = GitHub(bare)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
