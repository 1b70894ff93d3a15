"""Which folder answers for each `uses:` of a workflow, found to the bottom: actions use actions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import process
from ..errors import UserError
from . import workflow

TOOLKIT = "backburn-ci/backburn"
NO_STAGE = ("blame", "publish", "report")  # actions of the toolkit that leave no report: their job says how they ended
_STANDINS = Path(__file__).with_name("standins")
_SHARED = ("step.py", "globs.py")
_CHECKOUT = "actions/checkout"  # act answers for it, with the work tree it was given


@dataclass(kw_only=True)
class Server:
    """Folders for actions. `toolkit` is the copy to serve, None where there is none; `settings` go to stand-ins."""

    clone: Path
    repository: str
    toolkit: Path | None
    extra: Mapping[str, Path]
    scratch: Path
    settings: Mapping[str, Path]
    node: bool
    pins: set[str] = field(default_factory=set)
    _folders: dict[str, Path | None] = field(default_factory=dict)

    def flags(self, uses: Iterable[str], where: str) -> list[str]:
        """`--local-repository` for each action that `uses` names, and for each that those use.

        Raises UserError naming every action that nothing answers for, and the flag that supplies one.
        """
        served: dict[str, Path] = {}
        missing: dict[str, None] = {}
        seen: set[str] = set()
        waiting = list(uses)
        while waiting:
            one = waiting.pop(0)
            if one in seen:
                continue
            seen.add(one)
            folder, pinned = self._answer(one)
            if folder is None and pinned:
                missing[pinned] = None
            if folder is not None:
                if pinned:
                    served[pinned] = self._folders[pinned.partition("@")[0]] or folder
                waiting += self._inner(folder)
        if missing:
            raise _missing(missing, where)
        return [word for pinned, folder in served.items() for word in ("--local-repository", f"{pinned}={folder}")]

    def _answer(self, one: str) -> tuple[Path | None, str]:
        """The folder of the action's own file, and `owner/repo@ref` where act has to be told of it."""
        if one.startswith("docker://"):
            raise UserError(f"{one} is a container, and rehearse has none to give", hint="Use an action without one.")
        if one.startswith("./"):
            return self.clone / one[2:], ""
        path, _, ref = one.partition("@")
        owner_and_name = "/".join(path.split("/")[:2])
        if owner_and_name == _CHECKOUT:
            return None, ""
        if owner_and_name == TOOLKIT:
            self.pins.add(ref)
        folder = self._folder(owner_and_name)
        inner = "/".join(path.split("/")[2:])
        return (folder / inner if folder else None), f"{owner_and_name}@{ref}"

    def _folder(self, repository: str) -> Path | None:
        if repository not in self._folders:
            own = self.clone if repository == self.repository and repository != TOOLKIT else None
            toolkit = self.toolkit if repository == TOOLKIT else None
            self._folders[repository] = self.extra.get(repository) or toolkit or own or self._stand_in(repository)
        return self._folders[repository]

    def _stand_in(self, repository: str) -> Path | None:
        """A copy of ours with what it imports beside it, and with this rehearsal's folders written down."""
        source = _STANDINS / repository
        if not source.is_dir():
            return None
        to = self.scratch / repository
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
        for name in _SHARED:
            shutil.copy(_STANDINS / name, to)
        # A post step, which saves a cache, needs a node action, and a newcomer's machine may have no node.
        if self.node and (to / "action.node.yml").is_file():
            (to / "action.node.yml").replace(to / "action.yml")
        written = json.dumps({name: str(path) for name, path in self.settings.items()})
        (to / "rehearsal.json").write_text(written, encoding="utf-8")
        return to

    def _inner(self, folder: Path) -> Iterator[str]:
        for name in ("action.yml", "action.yaml"):
            if folder.is_relative_to(self.clone):
                localize(self.clone, folder / name)
            for one in workflow.uses_in(folder / name):
                yield one.replace("$/", "./", 1) if one.startswith("$/") else one


def stage_of(uses: str, repository: str) -> str:
    """The stage that an action is: `backburn-ci/backburn/actions/unit@…` -> `unit`; empty for any that is none."""
    path = uses.partition("@")[0]
    if repository == TOOLKIT and path.startswith("./"):
        path = f"{TOOLKIT}/{path[2:]}"
    prefix = f"{TOOLKIT}/actions/"
    name = path.removeprefix(prefix) if path.startswith(prefix) else ""
    return "" if name in NO_STAGE else name


def localize(clone: Path, file: Path) -> None:
    """Make an action or called workflow of the project's say `./` where it says `$/`, without git seeing a change."""
    if not file.is_file():
        return
    text = file.read_text(encoding="utf-8")
    if workflow.local(text) != text:
        file.write_text(workflow.local(text), encoding="utf-8")
        name = str(file.relative_to(clone))
        process.capture(["git", "update-index", "--assume-unchanged", "--", name], cwd=clone)


def _missing(pinned: Iterable[str], where: str) -> UserError:
    names = sorted({one.partition("@")[0] for one in pinned})
    if TOOLKIT in names:
        return UserError(
            f"this backburn was installed without its actions, so nothing answers for {TOOLKIT}",
            where=where,
            hint="Pass --toolkit DIR, a checkout of the toolkit, or install its wheel.",
        )
    flags = " ".join(f"--stand-in {name}=DIR" for name in names)
    return UserError(
        f"no stand-in for {', '.join(sorted(pinned))}",
        where=where,
        hint=f"Supply one, a folder with an action.yml: {flags}",
    )
