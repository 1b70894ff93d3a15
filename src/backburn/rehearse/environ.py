"""What a rehearsed step may see of this machine: a list of what is allowed, since act passes on all it is given."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError

_ALLOWED = re.compile(
    r"""HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|PIP_\w+|PRE_COMMIT_HOME
    |CUDA_VISIBLE_DEVICES|CUDA_DEVICE_ORDER
    |OMP_NUM_THREADS|CUBLAS_WORKSPACE_CONFIG|MKL_CBWR|NVIDIA_TF32_OVERRIDE  # a reference of this machine was made under
    |(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy
    |SSL_CERT_FILE|SSL_CERT_DIR|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|GIT_SSL_CAINFO|NODE_EXTRA_CA_CERTS""",
    re.VERBOSE,
)
# Steps work in another folder than the one in which these were set.
_PATHS = re.compile(r"HOME|\w+_(HOME|CACHE|CACHE_DIR|CONFIG_FILE|CERT|CERT_FILE|CERT_DIR|CA_BUNDLE|CAINFO|CA_CERTS)")
_LISTS = re.compile(r"PIP_(FIND_LINKS|(BUILD_)?CONSTRAINT)")  # with spaces between, as pip reads them; or URLs
_SECRET = re.compile(r"TOKEN|SECRET|KEY|PASSW|CREDENTIAL", re.I)
# act gives a step a terminal, GitHub does not: no pager may wait for a key, no colours.
# act reads a step's terminal on the side, and where the step failed does not wait for it: the last words of 3 in 21
# quick failures were lost. So a bash of ours, seen by act alone, lets a failure linger.
_BASH = """#!/bin/sh
shim={shim}
case "$PATH" in *"$shim:"*) PATH="${{PATH%%"$shim:"*}}${{PATH#*"$shim:"}}" ;; esac
{bash} "$@"
code=$?
[ "$code" = 0 ] || sleep 0.1
exit "$code"
"""
_QUIET = {"TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat"}


def steps(environ: Mapping[str, str], scratch: Path, tracking: str) -> dict[str, str]:
    """The environment of every step, act's own GITHUB_* and RUNNER_* excepted.

    Caches are the user's (pip's, pre-commit's, backburn's), so that a rehearsal does not download torch each time;
    the temporary folder is this rehearsal's. Raises UserError when git or python3 is not on the PATH.
    """
    environ = {name: _absolute(name, value) for name, value in environ.items()}
    allowed = {k: v for k, v in environ.items() if _ALLOWED.fullmatch(k) and not _SECRET.search(k)}
    home = Path(environ.get("HOME") or Path.home())
    cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
    tools = environ.get("RUNNER_TOOL_CACHE")
    ours = environ.get("BACKBURN_CACHE") or (Path(tools) if tools else cache) / "backburn"
    temporary = scratch / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    path = search_path(environ)
    return allowed | {
        "HOME": str(home),
        "PATH": f"{_shim(scratch, path)}{os.pathsep}{path}",
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(cache),
        "BACKBURN_CACHE": str(ours),
        "BACKBURN_REHEARSAL": "1",
        "RUNNER_TRACKING_ID": tracking,
        **_QUIET,
    }


def _absolute(name: str, value: str) -> str:
    if _LISTS.fullmatch(name):
        return " ".join(one if ":" in one else os.path.abspath(one) for one in value.split())
    return os.path.abspath(value) if value and _PATHS.fullmatch(name) else value


def _shim(scratch: Path, path: str) -> Path:
    shim = scratch / "shell"
    shim.mkdir(exist_ok=True)
    bash = shutil.which("bash", path=path) or "/bin/bash"
    (shim / "bash").write_text(_BASH.format(shim=shlex.quote(str(shim)), bash=shlex.quote(bash)), encoding="utf-8")
    (shim / "bash").chmod(0o755)
    return shim


def act(given: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """What act itself is started with: a home of its own (`~/.actrc` may hold secrets) and a temporary cache."""
    home = scratch / "home"
    home.mkdir(parents=True, exist_ok=True)
    return {**given, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(scratch / "act")}


def search_path(environ: Mapping[str, str]) -> str:
    """The PATH without the running toolkit's environment: a runner does not have it either."""
    ours = {Path(environ["VIRTUAL_ENV"], "bin")} if environ.get("VIRTUAL_ENV") else set()
    if sys.prefix != sys.base_prefix:
        ours.add(Path(sys.prefix, "bin"))
    real = {folder.resolve() for folder in ours}
    listed = [one for one in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(one)]
    kept = [one for one in listed if Path(one).resolve() not in real]
    if not shutil.which("python3", path=os.pathsep.join(kept)):
        kept.append(str(Path(sys.base_prefix, "bin")))
    path = os.pathsep.join(kept)
    for program in ("git", "python3"):
        if not shutil.which(program, path=path):
            raise UserError(f"no {program} on the PATH that steps get", where=path, hint=f"Install {program}.")
    return path
