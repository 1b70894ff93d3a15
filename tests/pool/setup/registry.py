"""Debian's docker-registry on loopback: what an engine pulls by a tag, and finds again by a digest."""

import contextlib
import shutil
import socket
import subprocess
import time
import urllib.request

PROGRAM = "docker-registry"
_CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: 127.0.0.1:{port}}}
"""


def missing():
    """Why there can be none; "" where there can."""
    return "" if shutil.which(PROGRAM) else f"not installed: {PROGRAM} (apt-get install docker-registry)"


@contextlib.contextmanager
def served(folder):
    """Its address, as 127.0.0.1:40001; any engine takes that without TLS."""
    port = _free_port()
    (folder / "registry.yml").write_text(_CONFIGURATION.format(folder=folder / "blobs", port=port))
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(folder / "registry.yml")], stdout=log, stderr=log)
    try:
        _wait(f"http://127.0.0.1:{port}/v2/", folder / "registry.log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _wait(url, log):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=2).close()
            return
        time.sleep(0.05)
    raise RuntimeError(f"{PROGRAM} does not come up: {log.read_text()[-2000:]}")
