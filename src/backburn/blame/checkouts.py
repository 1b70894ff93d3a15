"""The world of a search as it is: commits in a git worktree, trained by their own command in their own environment.

What a training came to is kept in build/backburn/blame, so that a search that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import catalog, config, evidence
from ..errors import Unjudged, UserError
from ..reproduction import rerun
from ..reproduction.rerun import Ask, Plan, Ran
from ..worktree import Worktree
from .contents import Contents

_FILE = "rerun.json"
_OLD = 7 * 86400.0  # seconds after which a kept training is trained again: data that git ignores may have changed
_SEEDED = ("seed", "require_gpu", "rehearsal")  # of the stage's Config, what its probe is told


@dataclass(kw_only=True)
class Checkouts:
    """`project` is the project's folder as seen from the repository's top, `kept` the folder of trainings that were
    done, `stamp` what else decided them. `settings` are those of the user's own files: they stand in for a commit
    without the training.
    """

    tree: Worktree
    project: str
    name: str
    settings: config.Settings
    kept: Path
    stamp: str
    until: float  # on the monotonic clock
    tell: Callable[[str], None]
    given: Mapping[str, Any] = field(default_factory=dict)
    held: Contents = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is reached yet."""
        self.held = Contents(top=self.tree.top, project=self.project)

    def say(self, line: str) -> None:
        """To whoever waits."""
        self.tell(f"blame {self.name}: {line}")

    def contents(self, commit: str, without: tuple[str, ...] = ()) -> str:
        """As the world says; of a commit without others, those are part of the name."""
        return " without ".join([self.held.of(commit), *without])

    def changed(self, commit: str, parent: str) -> int:
        """As the world says."""
        return self.held.changed(commit, parent)

    def train(self, ask: Ask) -> Ran:
        """Raises Conflict, Unjudged where the time is over or where it read the user's own files, UserError as git."""
        out = self.kept / hashlib.sha256(f"{ask} {self.stamp}".encode()).hexdigest()[:20]
        known = self._known(out / _FILE)
        ran = known or self._train(ask, out)
        if ran.astray:
            hint = (
                "It must find its modules beside pyproject.toml or in src/, not where an earlier step installed them."
            )
            raise Unjudged(f"a training in the worktree read {ran.astray}, which is no part of it", hint=hint)
        self.held.learn(ran.touched)
        how = f"failed: {ran.failed}" if ran.failed else f"{ran.done} steps"
        self.say(f"{_words(ask)}: {how}" + (", known from before" if known else f", {ran.seconds:.0f} s"))
        return ran

    def _known(self, file: Path) -> Ran | None:
        try:
            old = time.time() - file.stat().st_mtime > _OLD
            return None if old else evidence.load(file, Ran)
        except (OSError, UserError):
            return None

    def _train(self, ask: Ask, out: Path) -> Ran:
        self.tree.show(ask.commit, ask.without, ask.onto)
        left = self.until - time.monotonic()
        if left <= 0:
            raise Unjudged("the time for all trainings is over", hint="`timeout` in [tool.backburn.reproduce] is it.")
        label = f"blame {self.name}: {_words(ask)}"
        try:
            ran = rerun.train(self._plan(), ask, out, timeout=left, label=label)
        except (UserError, Unjudged) as error:  # of this commit: a requirement that does not resolve, a missing program
            ran = Ran(failed=str(error).splitlines()[0], lacking=isinstance(error, Unjudged))
        if not ran.lacking:
            evidence.save(ran, out / _FILE)
        return ran

    def _plan(self) -> Plan:
        root = self.tree.folder / self.project
        schemas = {key: one.Config for key, one in catalog.STAGES.items()}
        try:
            settings = config.load(root, schemas)
            settings = settings if self.name in settings.trainings else self.settings
            own = self._own(settings)
        except UserError as error:
            own = self._own(self.settings)
            self.say(f"the settings of today are used: {error.problem.splitlines()[0]}")
        about = {name: getattr(own, name) for name in _SEEDED}
        home = self.tree.top
        return Plan(
            one=own.training,
            root=root,
            top=self.tree.folder,
            home=home,
            install=own.install,
            args=own.args,
            settings=about,
        )

    def _own(self, settings: config.Settings) -> Any:
        return settings.stage("reproduce", catalog.STAGES["reproduce"].Config, training=self.name, given=self.given)


def _words(ask: Ask) -> str:
    onto = f" merged into {ask.onto[:12]}" if ask.onto else ""
    without = "".join(f" without {one[:12]}" for one in ask.without)
    far = f"to step {ask.until}" if ask.until else "to the end"
    seed = f", seed + {ask.shift}" if ask.shift else ""
    return f"{ask.commit[:12]}{onto}{without} {far}{seed}"
