"""@actions/glob, as far as upload-artifact and cache lean on it: patterns in order, `!`, `**`, what lies below."""

import os
import re
from pathlib import Path
from typing import Iterator, List, Pattern, Tuple

_WILD = re.compile(r"[*?\[]")


class Search:
    """Patterns, one a line, applied in order: a later `!pattern` takes out, a later pattern takes in again."""

    def __init__(self, patterns: List[str], root: str) -> None:
        self.patterns: List[Tuple[bool, Pattern[str]]] = []
        starts = []
        for line in patterns:
            if line.startswith("#"):
                continue
            negative = line.startswith("!")
            full = os.path.normpath(os.path.join(root, os.path.expanduser(line.lstrip("!").strip())))
            self.patterns.append((not negative, re.compile(regex(full))))
            if not negative:
                starts.append(start_of(full))
        unique = sorted(set(starts))
        # One search path that lies in another adds nothing, and would make the common ancestor wrong.
        self.paths = [one for one in unique if not any(is_below(one, other) for other in unique)]

    def files(self, hidden: bool) -> Iterator[Path]:
        """Every file found; a name that begins with a dot, from the search path down, only if `hidden`."""
        for start in self.paths:
            for path in walk(Path(start), hidden):
                verdict = False
                for positive, pattern in self.patterns:
                    if pattern.fullmatch(str(path)):
                        verdict = positive
                if verdict:
                    yield path

    @property
    def root(self) -> str:
        """The folder that an artifact's paths are relative to: the search path, or what several have in common."""
        if len(self.paths) == 1:
            only = self.paths[0]
            return os.path.dirname(only) if os.path.isfile(only) else only
        return os.path.commonpath(self.paths)


def walk(path: Path, hidden: bool) -> Iterator[Path]:
    """The files at and below `path`; broken links are left out."""
    if not hidden and path.name.startswith("."):
        return
    if path.is_dir():
        for one in sorted(path.iterdir()):
            yield from walk(one, hidden)
    elif path.exists():
        yield path


def is_below(path: str, other: str) -> bool:
    """Whether `path` lies strictly below `other`."""
    return path != other and path.startswith(other.rstrip("/") + "/")


def start_of(pattern: str) -> str:
    """The part of an absolute pattern before its first wildcard."""
    parts = pattern.split("/")
    wild = next((n for n, part in enumerate(parts) if _WILD.search(part)), len(parts))
    return "/".join(parts[:wild]) or "/"


def regex(pattern: str) -> str:
    """An absolute glob as a regular expression that also matches everything below what it names."""
    made = ""
    for part in pattern.strip("/").split("/"):
        made += "(?:/[^/]+)*" if part == "**" else "/" + segment(part)
    return made + "(?:/.*)?"


def segment(part: str) -> str:
    """One part of a glob: `*`, `?` and `[...]` stay within a name."""
    made, n = "", 0
    while n < len(part):
        closing = part.find("]", n + 2) if part[n] == "[" else -1
        if closing > 0:
            inside = part[n + 1 : closing]
            made += "[" + ("^" + inside[1:] if inside[0] in "!^" else inside).replace("\\", "\\\\") + "]"
            n = closing + 1
            continue
        made += {"*": "[^/]*", "?": "[^/]"}.get(part[n], re.escape(part[n]))
        n += 1
    return made
