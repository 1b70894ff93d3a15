"""What pip and uv print when they cannot install: whose fault it is."""

from __future__ import annotations

import re

# What is printed when the machine or the network is at fault, not the project: unjudged.
_MACHINE = {
    "the disk is full": r"No space left on device|Disk quota exceeded|\(os error 28\)",
    "memory ran out": r"MemoryError|Cannot allocate memory",
    "the package index could not be reached": (
        r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ConnectionResetError|"
        r"Max retries exceeded|Connection (refused|reset|aborted)|Temporary failure in name resolution|"
        r"Name or service not known|Read timed out|RemoteDisconnected|IncompleteRead|ProxyError|dns error|"
        r"error sending request|operation timed out"
    ),
    "the package index answered with an error": r"\b(429|50\d) (Client|Server) Error|Too Many Requests|HTTP error 50\d",
    "the package index refused the credentials": r"\b(401|403) Client Error|HTTP error 40[13]|User for .* : ?EOFError",
    "the index's certificate is not trusted": r"CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate",
    "this Python cannot make virtual environments": r"ensurepip is not available|No module named (venv|ensurepip)",
}


def machine(output: str) -> str:
    """What of the machine, the network or the index is at fault; empty where it is none of them."""
    return next((cause for cause, signature in _MACHINE.items() if re.search(signature, output)), "")
