"""What pip, uv and git print when they cannot install: whose fault it is, and the line that says why."""

from __future__ import annotations

import re

# What is printed when the machine or the network is at fault, not the project: unjudged.
_FULL = {
    "the disk is full": r"No space left on device|Disk quota exceeded|\(os error 28\)",
    "memory ran out": r"MemoryError|Cannot allocate memory",
}
_MACHINE = _FULL | {
    "the package index could not be reached": (
        r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ConnectionResetError|"
        r"Max retries exceeded|Connection (refused|reset|aborted)|Temporary failure in name resolution|"
        r"Name or service not known|Read timed out|RemoteDisconnected|IncompleteRead|ProxyError|dns error|"
        r"error sending request|operation timed out"
    ),
    "the repository could not be reached": r"fatal: unable to access|Could not resolve host|Could not read from remote",
    "the package index answered with an error": r"\b(429|50\d) (Client|Server) Error|Too Many Requests|HTTP error 50\d",
    "the package index refused the credentials": r"\b(401|403) Client Error|HTTP error 40[13]|User for .* : ?EOFError",
    "the index's certificate is not trusted": r"CERTIFICATE_VERIFY_FAILED|SSLError|invalid peer certificate",
    "this Python cannot make virtual environments": r"ensurepip is not available|No module named (venv|ensurepip)",
}
# pip's, git's and uv's last word; "ResolutionImpossible" follows the line that names the requirements.
_CAUSE = re.compile(r"^\s*(?:ERROR: (?!ResolutionImpossible)|error: |fatal: |╰─▶ |× )(.*\S)", re.M)
# The versions named do not exist, or not together.
_ABSENT = re.compile(
    r"^\s*ERROR: (?:No matching distribution found for|Cannot install|Invalid requirement)"
    r"|^\s*error: pathspec '.*' did not match any file\(s\) known to git",
    re.M,
)


def full(output: str) -> str:
    """Whether the disk or the memory is full, as any program says it, not only an installer; empty where neither is."""
    return next((cause for cause, signature in _FULL.items() if re.search(signature, output)), "")


def machine(output: str) -> str:
    """What of the machine, the network or the index is at fault; empty where it is none of them."""
    return next((cause for cause, signature in _MACHINE.items() if re.search(signature, output)), "")


def cause(output: str) -> str:
    """The one line that says best why it failed, without the word "error"; empty where no line does."""
    said = _CAUSE.findall(output)
    return str(said[-1]) if said else ""


def asks_for_what_is_not_there(output: str) -> bool:
    """Whether a requirement or revision is named that does not exist, as far as the machine is not at fault."""
    return bool(_ABSENT.search(output)) and not machine(output)
