"""The few lines of a commit that are likeliest to have changed a training, by what differs first. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

LINES = 8  # shown of a hunk
_WIDE = 160  # characters of a line
# By the class of a difference: words of code that has to do with it.
_WORDS = {
    "data": "data batch batch_size shuffle sampler loader transform collate dataset split augment normalize",
    "rng": "seed rand manual_seed generator dropout shuffle",
    "init": "init weight bias linear conv embedding hidden layers",
    "forward": "forward loss activation dropout norm softmax",
    "backward": "loss backward detach no_grad requires_grad scale reduction autocast",
    "clip": "clip gradient_clip_val",
    "optimizer": "optim optimizer lr rate betas eps weight_decay momentum scheduler warmup step_size gamma",
    "buffer": "momentum batchnorm buffer running ema average",
    "evaluation": "validation val metric eval accuracy test threshold",
}


@dataclass(frozen=True, kw_only=True)
class Hunk:
    """Lines of one file's diff, from `-` and `+` on."""

    file: str
    lines: tuple[str, ...]

    @property
    def changed(self) -> tuple[str, ...]:
        """Without what stands around."""
        return tuple(line for line in self.lines if line[:1] in "+-")


def likeliest(patch: str, reached: Collection[str], cause: str, names: Sequence[str]) -> Hunk | None:
    """The hunk of a unified diff that speaks most of what differs: `names` of module, parameter or setting, then the
    words of its class; one in a file that the training reaches comes before all others. None for an empty diff.
    """
    hunks = list(parsed(patch))
    best = max(hunks, key=lambda one: (one.file in reached, _score(one, cause, names)), default=None)
    return Hunk(file=best.file, lines=_cut(best)) if best else None


def parsed(patch: str) -> Iterator[Hunk]:
    """Each hunk of a unified diff; binary files have none."""
    file, lines, inside = "", list[str](), False
    for line in [*patch.split("\n"), "diff --git"]:
        if line.startswith(("diff --git", "@@")) and lines:
            yield Hunk(file=file, lines=tuple(lines))
            lines = []
        if line.startswith("diff --git"):
            inside, file = False, ""
        elif line.startswith("@@"):
            inside = True
        elif not inside and line.startswith(("--- a/", "+++ b/")):
            file = line[6:]
        elif inside and line[:1] in "+- " and line:
            lines.append(line)


def _score(hunk: Hunk, cause: str, names: Sequence[str]) -> tuple[int, int]:
    words = {*re.findall(r"[a-z_]+", "\n".join(hunk.changed).lower())}
    parts = {part for name in names for part in re.findall(r"[a-z_]+", name.lower())}
    return 3 * len(words & parts) + len(words & {*_WORDS.get(cause, "").split()}), -len(hunk.lines)


def _cut(hunk: Hunk) -> tuple[str, ...]:
    """The changed lines, at most so many; what is left out is counted."""
    lines = [line if len(line) <= _WIDE else line[: _WIDE - 1] + "…" for line in hunk.changed]
    if len(lines) <= LINES:
        return tuple(lines)
    return (*lines[: LINES - 1], f"… {len(lines) - LINES + 1} more lines")
