"""pre-commit, started once: what each hook said, how long it took and what it changed.

pre-commit has no machine-readable output, so a hook of ours is woven in before the first and after every hook of the
user's. It says where one hook's output ends, whatever that output is, and writes down the state of the work tree, so
that a hook's own change is known exactly, also in files that were dirty before. The first also tells the time that
installing the hooks took from the time that they took. Measured with 12 hooks on 21 files, 2 cores: 1.5 s for
pre-commit alone, 1.8 s woven, 4.3 s hook by hook (0.25 s for each start of pre-commit) before any snapshot.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from . import git, github, installers, linters, process
from .errors import Unjudged, UserError

FILE = ".pre-commit-config.yaml"
LOG = "pre-commit.log"
_PRE_COMMIT = (sys.executable, "-I", "-m", "pre_commit")
_NAMES_BYTES = 1_000_000  # of file names on a command line: Linux takes 2 MiB with the environment
# `git add --update` on an index of our own: tracked files only, as pre-commit's own look at what a hook changed.
_SNAPSHOT = (
    'exec >"$BACKBURN_SNAPSHOTS/$0.log" 2>&1; export GIT_INDEX_FILE="$BACKBURN_SNAPSHOTS/index" '
    'GIT_OBJECT_DIRECTORY="$BACKBURN_SNAPSHOTS/objects" GIT_ALTERNATE_OBJECT_DIRECTORIES="$BACKBURN_OBJECTS"; '
    'git add --update -- :/ && git write-tree >"$BACKBURN_SNAPSHOTS/$0"'
)
_ASKED_WRONGLY = re.compile(r"^An error has occurred: Invalid(Config|Manifest)Error|^\[ERROR\] The hook `", re.M)
_ABSENT = re.compile(r"^\[ERROR\] (`.+` is not present in repository .+?)\.  ", re.M)


class Status(StrEnum):
    """What became of one hook."""

    PASSED = "passed"
    FAILED = "failed"
    NO_FILES = "no files to check"
    SKIPPED = "skipped by name"
    OTHER_STAGE = "for another git hook stage"
    CUT_SHORT = "cut short"
    NOT_REACHED = "not reached"


class Hook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One hook of the config, in its order. Files in `places` are relative to the repository's top folder."""

    id: str
    name: str
    status: Status
    seconds: float | None = None
    code: int = 0
    changed: bool = False
    places: tuple[linters.Place, ...] = ()
    tail: str = ""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """One call of pre-commit. `seconds` are those of the hooks, `install_seconds` all before the first of them."""

    hooks: tuple[Hook, ...]
    code: int
    timed_out: bool
    seconds: float
    install_seconds: float
    tail: str


def run(config: Path, top: Path, out: Path, *, files: Sequence[str] | None, skip: Sequence[str], timeout: float) -> Ran:
    """All hooks of `config`, once, on `files` (absolute; None is every tracked file); fixes stay in the work tree.

    Writes `pre-commit.log` and a `.diff` per hook that changed something to `out`. Raises UserError for a config that
    pre-commit refuses or that names a version that does not exist, Unjudged when the hooks cannot be installed.
    """
    mark = f"backburn-{secrets.token_hex(6)}"
    listed, woven = _weave(config, mark)
    _expect_known(skip, listed, config)
    with tempfile.TemporaryDirectory(prefix="backburn-") as folder:
        snapshots = _Snapshots(Path(folder), top)
        (snapshots.folder / "config.yaml").write_text(woven, encoding="utf-8")
        words = ["run", "--color=never", "--verbose", "--config", str(snapshots.folder / "config.yaml")]
        env = _environment(skip)
        log = out / LOG
        began = time.time()
        done = process.run(
            [*_PRE_COMMIT, *words, *_which(files, out)],
            cwd=top,
            log=log,
            env=env | snapshots.variables,
            timeout=timeout,
            label="pre-commit",
        )
        opening, sections = _split(log.read_text(encoding="utf-8", errors="replace"), mark)
        log.write_text("".join([opening, *sections]), encoding="utf-8")
        if not sections:
            raise _unstarted(done, opening, _installing(listed, opening), config, env)
        installed = snapshots.time_of(0) - began
        return Ran(
            hooks=tuple(_hooks(listed, sections, out, snapshots)),
            code=done.code,
            timed_out=done.timed_out,
            seconds=max(0.0, done.seconds - installed),
            install_seconds=installed,
            tail=done.tail(),
        )


# Weaving


def _weave(config: Path, mark: str) -> tuple[list[dict[str, Any]], str]:
    """The config's hooks in order, and the config with ours among them."""
    import yaml  # here: `backburn --help` need not wait for it

    try:
        document = yaml.safe_load(config.read_text(encoding="utf-8"))
        listed = [hook for repo in document["repos"] for hook in repo["hooks"]]
        if not all(isinstance(hook["id"], str) for hook in listed):
            raise TypeError("a hook's id is no string")
        repos: list[object] = [_ours(mark, 0)]
        for repo in document["repos"]:
            rest = {key: value for key, value in repo.items() if key != "hooks"}
            for hook in repo["hooks"]:
                repos += [rest | {"hooks": [hook]}, _ours(mark, len(repos) // 2 + 1)]
        return listed, yaml.safe_dump(document | {"repos": repos}, allow_unicode=True, sort_keys=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise _refused(config, _environment(()), str(error)) from error


def _expect_known(skip: Sequence[str], listed: Sequence[Mapping[str, Any]], config: Path) -> None:
    known = {hook[key] for hook in listed for key in ("id", "alias") if key in hook}
    if unknown := sorted(set(skip) - known):
        where = "[tool.backburn.hygiene] skip"
        raise UserError(
            f"no hook in {config.name} is called {unknown[0]!r}",
            where=where,
            hint=f"Known: {', '.join(sorted(known))}.",
        )


def _ours(mark: str, number: int) -> dict[str, object]:
    hook = {
        "id": f"{mark}-{number}",
        "name": f"{mark}-{number}",
        "language": "system",
        "entry": shlex.join(["sh", "-c", _SNAPSHOT, str(number)]),
        "always_run": True,
        "pass_filenames": False,
        "stages": ["pre-commit"],
    }
    return {"repo": "local", "hooks": [hook]}


def _which(files: Sequence[str] | None, out: Path) -> list[str]:
    # So many names that they fit on no command line are as good as all of them.
    if files is None or sum(len(os.fsencode(name)) + 1 for name in files) > _NAMES_BYTES:
        return ["--all-files"]
    # `--files` with no name would mean "the staged ones"; pre-commit leaves out a file that is not there.
    return ["--files", *(files or [str(out / "no-file")])]


def _environment(skip: Sequence[str]) -> dict[str, str]:
    env = git.unbound(github.for_user_code())
    leaks = {"PYTHONPATH", "PYTHONHOME"} | ({"VIRTUAL_ENV"} if env.get("VIRTUAL_ENV") == sys.prefix else set())
    env = {key: value for key, value in env.items() if key not in leaks}
    return env | {"SKIP": ",".join([env.get("SKIP", ""), *skip]).strip(",")}


def _unstarted(
    done: process.Finished, output: str, what: str, config: Path, env: Mapping[str, str]
) -> UserError | Unjudged:
    """pre-commit ended before the first hook: by a config that it refuses, or by what it could not install."""
    said, whole = done.tail(), f"The whole output is in {done.log}."
    if done.timed_out:
        return Unjudged(f"{what}: no end of the installation after {done.seconds:.0f} s", detail=said)
    if absent := _ABSENT.search(said):
        return UserError(absent[1], where=str(config), hint="`pre-commit autoupdate`, or correct the hook's id.")
    if _ASKED_WRONGLY.search(said):
        return _refused(config, env, said)
    cause = installers.cause(output)
    if installers.asks_for_what_is_not_there(output):
        return UserError(f"{what}: {cause}", where=str(config), hint=f"Correct it there. {whole}")
    why = installers.machine(output) or cause or f"exit code {done.code}"
    return Unjudged(f"pre-commit could not get {what} ready: {why}", hint=whole, detail=said)


def _installing(listed: Sequence[Mapping[str, Any]], output: str) -> str:
    """What pre-commit was at when it ended: one hook where its additional dependencies tell, else a repository's."""
    _, _, command = output.rpartition("An unexpected error has occurred: ")
    for hook in listed:
        needs = hook.get("additional_dependencies")
        if needs and all(repr(str(one)) in command.partition("\n")[0] for one in needs):
            return f"the hook {hook['id']!r}"
    started = re.findall(r"^\[INFO\] (?:Initializing|Installing) environment for (.+)\.$", output, re.M)
    return f"the hooks of {started[-1]}" if started else "the hooks"


def _refused(config: Path, env: Mapping[str, str], otherwise: str) -> UserError:
    """What pre-commit says against the config, in its own words."""
    code, said, _ = process.capture([*_PRE_COMMIT, "validate-config", str(config)], cwd=config.parent, env=env)
    words = said.decode(errors="replace").strip() if code else otherwise
    return UserError(f"pre-commit refuses it:\n{words}", where=str(config), hint="Mend the file; no hook was started.")


# Reading


def _split(text: str, mark: str) -> tuple[str, list[str]]:
    """What came before our first hook, and what came after each of ours: the section of one hook of the user's."""
    opening, *sections = re.split(rf"^{mark}-\d+\.+(?:Passed|Failed)\n(?:- .*\n)*", text, flags=re.M)
    return opening, sections


def _hooks(
    listed: Sequence[Mapping[str, Any]], sections: Sequence[str], out: Path, snapshots: _Snapshots
) -> Iterator[Hook]:
    for number, hook in enumerate(listed, start=1):
        section = sections[number - 1] if number <= len(sections) else ""
        ended = number < len(sections)  # ours after it was reached
        header = re.search(_HEADER.format(id=re.escape(hook["id"])), section, re.M)
        if header:
            if header["changed"] and not ended:
                snapshots.take(number)
            changes = snapshots.changes(number) if header["changed"] else []
            _keep(changes, out / f"{number}-{re.sub(r'[^A-Za-z0-9_-]', '_', hook['id'])}.diff")
            yield _ended(hook["id"], header, section[header.end() :], changes, snapshots.top)
        else:
            status = Status.NOT_REACHED if number > len(sections) else Status.CUT_SHORT
            status = Status.OTHER_STAGE if ended else status
            yield Hook(id=hook["id"], name=hook.get("name", hook["id"]), status=status, tail=_tail(section))


_HEADER = (
    r"^(?P<name>.*?)\.{{3,}}(?P<none>\(no files to check\))?(?P<status>Passed|Failed|Skipped)\n- hook id: {id}\n"
    r"(?:- duration: (?P<seconds>[\d.]+)s\n)?(?:- exit code: (?P<code>-?\d+)\n)?"
    r"(?P<changed>- files were modified by this hook\n)?"
)
_STATUS = {"Passed": Status.PASSED, "Failed": Status.FAILED, "Skipped": Status.SKIPPED}


def _ended(identity: str, header: re.Match[str], body: str, changes: Sequence[tuple[str, str]], top: Path) -> Hook:
    """A hook that pre-commit speaks of. Only a failed one is read: a passed one may print what it likes."""
    status = Status.NO_FILES if header["none"] else _STATUS[header["status"]]
    places: tuple[linters.Place, ...] = ()
    if status is Status.FAILED:
        said = re.sub(r"^\./", "", body.replace(f"{top}/", ""), flags=re.M)
        diffs = [linters.changed(file, diff, identity) for file, diff in changes]
        places = linters.merged([*diffs, *linters.read(said, identity, lambda file: _is_file(top / file))])
    return Hook(
        id=identity,
        name=header["name"],
        status=status,
        seconds=float(header["seconds"]) if header["seconds"] else None,
        code=int(header["code"] or 0),
        changed=bool(header["changed"]),
        places=places,
        tail=_tail(body) if status is Status.FAILED else "",
    )


def _is_file(path: Path) -> bool:
    return os.path.isfile(path) or os.path.islink(path)  # a link to nowhere is what check-symlinks names


def _keep(changes: Sequence[tuple[str, str]], path: Path) -> None:
    if changes:
        path.write_text("".join(diff for _, diff in changes), encoding="utf-8")


def _tail(text: str, lines: int = 30) -> str:
    return "\n".join([line for line in linters.plain(text).split("\n") if line.strip()][-lines:])


class _Snapshots:
    """States of the work tree, numbered, as trees in an object store of our own: nothing is left in the repository."""

    def __init__(self, folder: Path, top: Path) -> None:
        self.folder, self.top = folder, top
        (folder / "objects").mkdir()
        code, said, error = process.capture(
            ["git", "rev-parse", "--git-path", "index", "--git-path", "objects"], cwd=top, env=_environment(())
        )
        if code != 0:
            raise UserError(f"git does not answer: {error}", where=str(top))
        index, objects = (top / os.fsdecode(line) for line in said.splitlines())
        with contextlib.suppress(FileNotFoundError):  # nothing was ever added
            shutil.copy2(index, folder / "index")
        self.variables = {"BACKBURN_SNAPSHOTS": str(folder), "BACKBURN_OBJECTS": _quoted(objects)}

    def take(self, number: int) -> None:
        """What our hook does, where pre-commit ended before it."""
        command = ["sh", "-c", _SNAPSHOT, str(number)]
        process.capture(command, cwd=self.top, env=_environment(()) | self.variables)

    def time_of(self, number: int) -> float:
        """When it was taken, as time.time()."""
        return (self.folder / f"{number}.log").stat().st_mtime

    def changes(self, number: int) -> list[tuple[str, str]]:
        """(file, unified diff) for each file that the hook `number` changed; none where a state is not known."""
        trees = [self._tree(number - 1), self._tree(number)]
        if "" in trees or trees[0] == trees[1]:
            return []
        names = [name.decode(errors="replace") for name in self._diff("--name-only", "-z", *trees).split(b"\0") if name]
        # No line of a diff's content starts with a letter, and both lists have git's order.
        diffs = re.split(r"^(?=diff --git )", self._diff("--patch", *trees).decode(errors="replace"), flags=re.M)
        return list(zip(names, diffs[1:], strict=True))

    def _tree(self, number: int) -> str:
        try:
            return (self.folder / str(number)).read_text().strip()
        except FileNotFoundError:
            return ""

    def _diff(self, *words: str) -> bytes:
        env = _environment(()) | {
            "GIT_OBJECT_DIRECTORY": str(self.folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": self.variables["BACKBURN_OBJECTS"],
        }
        plain = ["git", "diff-tree", "-r", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv"]
        return process.capture([*plain, *words], cwd=self.top, env=env)[1]


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)  # as git reads it: a colon must not split the path
