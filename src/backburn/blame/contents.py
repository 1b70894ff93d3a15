"""What a commit holds of all that a training reaches, by git's own hashes: the same name, the same training.

Files count by content, those that were looked for and not found too; listed folders by names and sizes, folders of
modules by what an import of the names that were sought would find there. So a commit that touches documentation, or
code that this training never loads, is known without a training.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import commits
from ..reproduction.rerun import Touched

# What decides the environment and the command, whether the training reads it or not.
_SETTING = (
    "pyproject.toml setup.py setup.cfg uv.lock poetry.lock pixi.lock pixi.toml conda-lock.yml environment.yml"
    " environment.yaml requirements.txt .python-version"
).split()
_PROSE = (".md", ".rst")
_SUFFIXES = (".py", ".pyc", ".so", ".pyd")


@dataclass(kw_only=True)
class Contents:
    """Of the commits of the repository at `top`; `project` is the project's folder in it, empty for the top itself."""

    top: Path
    project: str = ""
    touched: Touched = Touched()
    names: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def learn(self, touched: Touched) -> None:
        """What one more training reached."""
        both = self.touched | touched
        if both != self.touched:
            self.touched = both
            self.names.clear()

    def of(self, commit: str) -> str:
        """Its name. Where not all that is reached is seen, that of the whole commit."""
        if commit not in self.names:
            self.names[commit] = self._name(commit)
        return self.names[commit]

    def changed(self, commit: str, parent: str) -> int:
        """How many of the files that are reached differ between two commits."""
        paths = sorted(self._files())
        return sum(one != other for one, other in zip(self._objects(commit, paths), self._objects(parent, paths)))

    def _files(self) -> set[str]:
        prefix = f"{self.project}/" if self.project else ""
        return {*self.touched.files, *(prefix + name for name in _SETTING)}

    def _name(self, commit: str) -> str:
        if self.touched.unseen:
            return next(commits.objects(self.top, [f"{commit}^{{tree}}"]))
        found = hashlib.sha256()
        for line in self._lines(commit):
            found.update(line.encode("utf-8", "surrogateescape") + b"\0")
        return found.hexdigest()

    def _lines(self, commit: str) -> Iterator[str]:
        # Python lists where it starts from before any recorder is there.
        modules = sorted({*self.touched.modules, self.project or ".", f"{self.project}/src".lstrip("/")})
        files, folders = sorted(self._files()), sorted(self.touched.folders)
        objects = self._objects(commit, [*files, *folders, *modules])
        yield from objects[: len(files)]
        for tree in objects[len(files) : len(files) + len(folders)]:
            yield from self._listed(tree)
        for tree in objects[len(files) + len(folders) :]:
            yield from self._importable(tree)

    def _objects(self, commit: str, paths: list[str]) -> list[str]:
        return list(commits.objects(self.top, [f"{commit}:{'' if path == '.' else path}" for path in paths]))

    def _listed(self, tree: str) -> Iterator[str]:
        yield "listed" if tree else "absent"
        for name, about in sorted(self._entries(tree).items()):
            yield name if name.endswith(_PROSE) else f"{name} {about}"

    def _importable(self, tree: str) -> Iterator[str]:
        yield "searched" if tree else "absent"
        for name, about in sorted(self._entries(tree).items()):
            stem, dot, _ = name.partition(".")
            if stem in self.touched.sought and (name.endswith(_SUFFIXES) if dot else about.startswith("tree")):
                yield name

    def _entries(self, tree: str) -> Mapping[str, str]:
        if not tree:
            return {}
        if tree not in self.trees:
            self.trees[tree] = commits.entries(self.top, tree)
        return self.trees[tree]
