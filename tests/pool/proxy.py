"""A unix socket before a unix socket, that loses an answer or changes it: what a network or an engine may do to us."""

import contextlib
import re
import socket
import threading
from pathlib import Path


class Proxy:
    """`lose(pattern)`: the next request that matches is carried out, and its answer never comes. `change(pattern, f)`:
    the answer's bytes are f(bytes), which must be as long.
    """

    def __init__(self, path, target):
        self.host = f"unix://{path}"
        self._target = str(target)
        self._lose = self._change = None
        self.lost = threading.Event()
        Path(path).unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def lose(self, pattern):
        """Once."""
        self.lost.clear()
        self._lose = re.compile(pattern.encode())

    def change(self, pattern, function):
        """From now on."""
        self._change = re.compile(pattern.encode()), function

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                try:
                    server.connect(self._target)
                except OSError:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client, server):
        state = {}
        back = threading.Thread(target=self._return, args=(client, server, state), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                line = data.split(b"\r\n", 1)[0]
                if self._lose and self._lose.search(line):
                    self._lose, state["lose"] = None, True
                if self._change and re.match(rb"[A-Z]+ /", line):
                    state["change"] = self._change[1] if self._change[0].search(line) else None
                server.sendall(data)
        _close(server)

    def _return(self, client, server, state):
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if state.get("lose"):
                    self.lost.set()
                    break
                if function := state.get("change"):
                    data = function(data)
                client.sendall(data)
        _close(client)
        _close(server)


def _close(one):
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
