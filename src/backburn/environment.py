"""The project's own environment: found, or built once per lock, Python and platform and shared by a machine's jobs.

What is shared never holds the project itself (it would point at another job's checkout). Each checkout has a thin
environment in `build/backburn/environment` that sees the shared one and holds the project, editable.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import github, installers, process
from .dependencies import Project, text_of, uv_for
from .errors import Unjudged, UserError

INSTALL = ("auto", "pip", "uv", "none")
_LIMIT = 3600.0  # seconds for one installer call: torch with CUDA is a download of 3 GB
_UNUSED = 30 * 86400.0  # seconds after which an environment that nobody used is removed
_OLDEST = (3, 10)  # what the probes run on
# Options that would send packages elsewhere than into the environment, or fight with ours (UV_LOCKED and --frozen).
_ASTRAY = {"PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "PYTHONPATH", "CONDA_PREFIX"}
_ASTRAY |= {"UV_SYSTEM_PYTHON", "UV_PYTHON", "UV_LOCKED"}
_PROBE = """import json, platform, sys, sysconfig
print(json.dumps([sys.version_info[:3], platform.python_implementation(), sysconfig.get_platform(), sys.prefix,
sys.base_prefix]))"""
_SITES = """import json, sys
print(json.dumps([sys.version, *(one for one in sys.path if one.endswith(("site-packages", "dist-packages")))]))"""
_RECORDS = ("RECORD", "METADATA", "PKG-INFO", "direct_url.json")
_WAIT = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX)"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where user code runs. `folders` come first on its PATH; `prefix` is None for a Python that is no venv."""

    python: Path
    folders: tuple[Path, ...] = ()
    prefix: Path | None = None

    def variables(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """os.environ for user code: ours and the toolkit's taken out, this environment's put in, then `extra`."""
        kept = _without_leaks()
        if self.prefix:
            kept["VIRTUAL_ENV"] = str(self.prefix)
        path = [*map(str, self.folders), *_search_path(without=Path(sys.prefix, "bin"))]
        kept["PATH"] = os.pathsep.join(dict.fromkeys(path))
        return kept | dict(extra or {})


def cache() -> Path:
    """The folder of our caches: `$BACKBURN_CACHE`, the runner's tool cache, or the user's cache folder."""
    if given := os.environ.get("BACKBURN_CACHE"):
        return Path(given).absolute()
    parent = os.environ.get("RUNNER_TOOL_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(parent) if parent else Path.home() / ".cache").absolute() / "backburn"


def prepare(root: Path, install: str, log: Path) -> Environment:
    """The environment that `[tool.backburn] install` asks for, built where it is not there yet.

    `root` holds pyproject.toml or requirements.txt; installers write to `log`. Raises UserError for what the project
    must mend (no Python fits, a requirement that does not resolve), Unjudged for a full disk or an unreachable index.
    """
    if install not in INSTALL:
        known = ", ".join(f'"{one}"' for one in INSTALL)
        raise UserError(f"install is {install!r}, expected one of {known}", where="[tool.backburn]")
    if install == "none":
        return _active()
    root = root.resolve()
    project = Project(root=root, uv=uv_for(root, install))
    python = _choose(project)
    try:
        return _own(project, _shared(project, python, log), log)
    except OSError as error:
        hint = f"It lies in {cache()} (BACKBURN_CACHE names another folder) and in build/backburn/environment."
        raise Unjudged(f"the project's environment cannot be written: {error}", hint=hint) from error


def identity(root: Path, install: str) -> str:
    """What decides which environment `prepare` gives, known before it is built. Raises UserError as that does.

    Of one that is found it is every file that an installer recorded (a RECORD holds their digests), so that a project
    which an earlier step installed there is a part of it.
    """
    if install == "none":
        python = _active().python
        return "\0".join([str(python), *_installed(python)])
    project = Project(root=root.resolve(), uv=uv_for(root.resolve(), install))
    entries = [project.table.get(name) for name in ("name", "scripts", "entry-points")]
    return f"{project.key(_choose(project).identity)} {json.dumps(entries, sort_keys=True, default=str)}"


def _installed(python: Path) -> Iterator[str]:
    """Of each distribution that this Python sees, and of each .pth file, name and digest."""
    _, out, _ = process.capture([str(python), "-c", _SITES], cwd=Path("/"), env=_without_leaks())
    version, *sites = json.loads(_answer(out) or '[""]')
    yield version
    for site in map(Path, sites):
        for path in sorted(site.glob("*")):
            files = [path] if path.suffix in (".pth", ".egg-link") else [path / name for name in _RECORDS]
            found = b"\0".join(one.read_bytes() for one in files if one.is_file())
            if path.name != "__pycache__":
                yield f"{site} {path.name} {hashlib.blake2b(found, digest_size=16).hexdigest()}"


def _answer(out: bytes) -> str:
    """The last line: before it may stand what a .pth file or a sitecustomize of that Python prints as it starts."""
    return out.decode(errors="replace").rstrip().rpartition("\n")[2]


# The Python to use


@dataclass(frozen=True, kw_only=True)
class _Python:
    path: Path
    version: tuple[int, int, int]
    identity: str
    prefix: Path | None

    @property
    def written(self) -> str:
        return ".".join(map(str, self.version))


def _active() -> Environment:
    for python in _pythons(("python", "python3")):
        return Environment(python=python.path, folders=(python.path.parent,), prefix=python.prefix)
    raise UserError(
        'no `python` is on PATH, and install = "none" uses that one',
        where="[tool.backburn] install",
        hint='Activate the project\'s environment first, or set install = "auto" to have it built.',
    )


def _choose(project: Project) -> _Python:
    """The first Python on PATH that `requires-python` allows, else the one that the toolkit was made from."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    wanted = str(project.table.get("requires-python", ""))
    try:
        allowed = SpecifierSet(wanted)
    except InvalidSpecifier as error:
        raise UserError(str(error), where=f"{project.root / 'pyproject.toml'}: [project] requires-python") from error
    seen = []
    for python in _pythons(("python3", "python"), last=Path(sys.base_prefix, "bin", f"python3.{sys.version_info[1]}")):
        if python.version >= _OLDEST and allowed.contains(python.written):
            return python
        seen.append(f"{python.written} at {python.path}")
    raise UserError(
        f"no Python here satisfies requires-python {wanted or '>=3.10'!r} (found {', '.join(seen) or 'none'})",
        where=str(project.root / "pyproject.toml"),
        hint="Put one that does on PATH (in a workflow: a setup-python step), or change requires-python.",
    )


def _pythons(names: Sequence[str], last: Path | None = None) -> Iterator[_Python]:
    paths = [Path(folder, name) for folder in _search_path() for name in names]
    for path in dict.fromkeys([*paths, *([last] if last else [])]):
        if os.access(path, os.X_OK) and (python := _look_at(path)):
            yield python


def _look_at(path: Path) -> _Python | None:
    """None for what is called python but does not answer as one (a pyenv shim with no version chosen)."""
    code, out, _ = process.capture([str(path), "-I", "-c", _PROBE], cwd=Path("/"), env=_without_leaks())
    try:
        version, implementation, platform, prefix, base = json.loads(_answer(out))
    except ValueError:
        return None
    identity = f"{implementation} {version} {platform}"
    return _Python(
        path=path.absolute(),
        version=tuple(version),
        identity=identity,
        prefix=Path(prefix) if prefix != base else None,
    )


def _search_path(without: Path | None = None) -> list[str]:
    """PATH, less the toolkit's private environment in our cache, which is nobody's Python."""
    private = str(cache() / "toolkit") + os.sep
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return [one for one in folders if one and not one.startswith(private) and one != str(without)]


def _without_leaks() -> dict[str, str]:
    return {key: value for key, value in github.for_user_code().items() if key not in ("PYTHONHOME", "VIRTUAL_ENV")}


# The shared environment, and the checkout's own


def _shared(project: Project, python: _Python, log: Path) -> Path:
    """Folder of the environment that holds all dependencies; of several jobs that need it, one builds."""
    arguments = project.arguments()
    folder = cache() / "environments" / project.key(python.identity)
    if not _is_complete(folder):
        with _locked(folder.with_suffix(".lock"), log):
            if not _is_complete(folder):
                shutil.rmtree(folder, ignore_errors=True)
                _prune(folder.parent)
                _build(project, python, folder, arguments, log)
                (folder / ".complete").touch()
    return folder


def _is_complete(folder: Path) -> bool:
    """Touches what it finds, for `_prune`. False too when the Python underneath is gone (a tool cache moved on)."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder / ".complete")
        return (folder / "bin" / "python").exists()
    return False


def _build(project: Project, python: _Python, folder: Path, arguments: Sequence[str], log: Path) -> None:
    label = "installing the project's dependencies (once per lock)"
    if project.uv:
        command = [project.uv, "sync", "--frozen", "--no-install-project", "--python", str(python.path), *arguments]
        return _install(command, project, log, label, UV_PROJECT_ENVIRONMENT=str(folder))
    _install([str(python.path), "-m", "venv", str(folder)], project, log, "making a virtual environment")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off"]
    _install([*pip, "--upgrade", "pip"], project, log, "upgrading pip")  # --group came with pip 25.1
    if backend := _backend(project):
        _install([*pip, "--target", str(folder / "backend"), *backend], project, log, "installing the build backend")
    if arguments:
        _install([*pip, "--report", str(folder / "report.json"), *arguments], project, log, label)
        _forget_project(project, folder, log)


def _backend(project: Project) -> list[str]:
    """The build requirements: in a folder of their own, so that they neither downgrade nor complete the project's.

    `editables` (5 kB) is what hatchling asks for as soon as a build is editable.
    """
    table = project.document.get("build-system", {})
    return [*map(str, table.get("requires", ["setuptools"])), "editables"] if project.is_built else []


def _forget_project(project: Project, folder: Path, log: Path) -> None:
    """Take the project itself out again, where it was built for its dependencies: the checkout's own shadows it."""
    done = json.loads(text_of(folder / "report.json"))
    names = [one["metadata"]["name"] for one in done["install"] if one["download_info"]["url"] == project.root.as_uri()]
    if names and project.asks_the_build:
        pip = [str(folder / "bin" / "python"), "-m", "pip", "uninstall", "--yes"]
        _install([*pip, *names], project, log, "removing the copy of the project")


def _own(project: Project, shared: Path, log: Path) -> Environment:
    """The checkout's own environment: sees the shared one, holds the project. Made again when either changed."""
    folder = project.root / "build" / "backburn" / "environment"
    stamp = _stamp(project, shared)
    with _locked(folder.with_suffix(".lock"), log):
        complete = folder / ".complete"
        if not (complete.exists() and complete.read_text() == stamp and (folder / "bin" / "python").exists()):
            shutil.rmtree(folder, ignore_errors=True)
            _overlay(project, shared, folder, log)
            complete.write_text(stamp)
    return Environment(python=folder / "bin" / "python", folders=(folder / "bin", shared / "bin"), prefix=folder)


def _stamp(project: Project, shared: Path) -> str:
    """Changes with what an editable install fixes: metadata, scripts, and the names of the packages."""
    names = ("pyproject.toml", "setup.py", "setup.cfg")
    files = [text_of(project.root / name) for name in names if (project.root / name).is_file()]
    folders = [str(one) for top in (project.root, project.root / "src") for one in sorted(top.glob("*/__init__.py"))]
    return hashlib.sha256("\0".join([str(shared), *files, *folders]).encode()).hexdigest()


def _overlay(project: Project, shared: Path, folder: Path, log: Path) -> None:
    python, label = str(folder / "bin" / "python"), "making the checkout's environment"
    _install([str(shared / "bin" / "python"), "-m", "venv", "--without-pip", str(folder)], project, log, label)
    (site,), (seen,) = folder.glob("lib/python3*/site-packages"), shared.glob("lib/python3*/site-packages")
    # Last of the folder's .pth files, so that the project comes before what is shared.
    (site / "zz_backburn_shared.pth").write_text(f"import site; site.addsitedir({str(seen)!r})\n", encoding="utf-8")
    for script in (shared / "bin").iterdir():
        _adopt_script(script, shared, folder / "bin")
    if not project.is_built:
        return
    label = "installing the project, editable"
    if project.uv:
        command = [project.uv, "pip", "install", "--python", python, "--no-deps", "--editable", "."]
        return _install(command, project, log, label)
    command = [python, "-m", "pip", "install", "--no-deps", "--editable", "."]
    try:
        _install([*command, "--no-build-isolation"], project, log, label, PYTHONPATH=str(shared / "backend"))
    except UserError:  # a backend that asks for more once it sees the project: pip's own way takes 5 s longer
        _install(command, project, log, label)


def _adopt_script(script: Path, shared: Path, folder: Path) -> None:
    """Copy an entry point (`torchrun`, `pytest`) so that it starts the checkout's Python, which has the project."""
    target = folder / script.name
    if target.exists() or script.is_symlink() or not script.is_file():
        return
    content = script.read_bytes()
    head, _, rest = content.partition(b"\n")
    if head == b"#!/bin/sh":  # the long form, which pip and uv write for long paths: two more lines
        rest = b"".join(rest.splitlines(keepends=True)[2:])
    if head.startswith(b"#!") and str(shared).encode() in content[: len(content) - len(rest)]:
        start = f"#!/bin/sh\n'''exec' \"{folder / 'python'}\" \"$0\" \"$@\"\n' '''\n"
        target.write_bytes(start.encode() + rest)
        target.chmod(0o755)


def _prune(folder: Path) -> None:
    """Remove environments that no job has used for 30 days; one that a job is building is locked, and stays."""
    for complete in folder.glob("*/.complete"):
        if complete.stat().st_mtime < time.time() - _UNUSED:
            with complete.parent.with_suffix(".lock").open("a") as stream, contextlib.suppress(BlockingIOError):
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                complete.unlink(missing_ok=True)
                shutil.rmtree(complete.parent, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path, log: Path) -> Iterator[None]:
    """Hold the lock file; it ends with this process, however that ends. A small program does the waiting."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                wait = [sys.executable, "-I", "-S", "-c", _WAIT, str(path)]
                label = "waiting for another job that builds the environment"
                if process.run(wait, cwd=path.parent, log=log, timeout=_LIMIT, label=label).timed_out:
                    raise Unjudged("another job has been building the environment for an hour") from None
        yield


def _install(command: Sequence[str], project: Project, log: Path, label: str, **extra: str) -> None:
    env = {key: value for key, value in _without_leaks().items() if key not in _ASTRAY} | extra
    start = log.stat().st_size if log.exists() else 0
    done = process.run(command, cwd=project.root, log=log, env=env, timeout=_LIMIT, label=label)
    if done.code:
        raise failure(label, done, start)


def failure(label: str, done: process.Finished, start: int = 0) -> Unjudged | UserError:
    """What a failed installer means: Unjudged where its output (from byte `start` of the log) blames the machine."""
    with done.log.open("rb") as stream:
        stream.seek(start)
        output = stream.read().decode(errors="replace")
    hint = f"The whole output is in {done.log}."
    if done.timed_out:
        return Unjudged(f"{label}: no end after {_LIMIT:.0f} s", hint=hint, detail=done.tail())
    if fault := installers.machine(output):
        return Unjudged(f"{label}: {fault}", hint=hint, detail=done.tail())
    if done.code < 0:
        return Unjudged(f"{label}: ended by signal {-done.code}", hint=hint, detail=done.tail())
    why = installers.cause(output) or f"failed (exit code {done.code})"
    return UserError(f"{label}: {why}\n{done.tail(15)}", hint=f"Mend the requirement. {hint}")
