"""Where a linter's output points: file, line and message, read by the shapes that linters share, not by their names.

A shape counts only where it names a file that is there, so `10:30:12: starting` is not a place. Nothing is lost: what
has no shape of its own (notes, source lines, a traceback) is the detail of the place before it. Made for black,
flake8, shellcheck (tty and gcc), mypy (plain and pretty), pre-commit-hooks, pygrep and fail, which the tests hold
recordings of; ruff, codespell, pylint, isort and yamllint (parsable) write in the same shapes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

_DETAIL_LINES = 60  # of a diff or of notes; the whole output lies in the stage's folder
_TAB = 8  # columns that shellcheck gives a tab


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One complaint. `file` is as the linter names it; `line` and `column` count from 1, 0 is unknown."""

    file: str
    message: str
    line: int = 0
    column: int = 0
    detail: str = ""


# One line each; the first that fits and names a file that is there. `{name}` is the linter's.
_SHAPES = tuple(
    (re.compile(pattern), message)
    for pattern, message in (
        # black 26: `error: cannot parse: a.py:1:6`; up to 25: `error: cannot format a.py: Cannot parse: 1:6: def f(:`
        (r"error: (?P<message>cannot parse): (?P<file>.+):(?P<line>\d+):(?P<column>\d+)", ""),
        (r"error: cannot format (?P<file>.+?): (?P<message>.+?): (?P<line>\d+):(?P<column>\d+):.*", ""),
        # flake8, mypy, shellcheck -f gcc, debug-statements, check-merge-conflict, pygrep …
        (r"(?P<file>\S.*?):(?P<line>\d+)(?::(?P<column>\d+))?:\s*(?:error: )?(?P<message>.+)", ""),
        # check-toml `(at line 1, column 5)`, check-json `line 1 column 5 (char 4)`, check-xml `(a.xml:1:8: …)`
        (r"(?P<file>\S.*?): (?P<message>.*\bline (?P<line>\d+),? column (?P<column>\d+).*)", ""),
        (r"(?P<file>\S.*?): (?P<message>Failed to xml parse \(.*:(?P<line>\d+):(?P<column>\d+): .*\))", ""),
        (r"[Ww]ould reformat:? (?P<file>.+)", "{name} would change this file"),
        (r"(?:reformatted|Fixing strings in|Fixing|Fixed|Sorting|Rewriting) (?P<file>.+)", "{name} changed this file"),
        (r"(?P<message>Private key found|Case-insensitivity conflict found): (?P<file>.+)", ""),
        (r"Input File (?P<file>.+?) (?P<message>is not a valid JSON.*)", ""),
        (r"(?P<file>\S.*?) (?P<message>\(\d+ KB\) exceeds \d+ KB\.|does not match pattern .+)", ""),
        (r"(?P<file>\S.*?) - (?P<message>Could not parse ast)", ""),
        (r"(?:ERROR: )?(?P<file>\S.*?): (?P<message>.+)", ""),
        # `language: fail`, and many a script, lists files below a sentence.
        (r"(?P<file>\S.*)", ""),
    )
)
_NOISE = re.compile(
    r"\s*|All done! .*|Oh no! .*|\d+ files? (?:would|reformatted|left|failed).*"
    r"|Found \d+ errors? in .*|For more information:|  https://www\.shellcheck\.net/wiki/.*"
)
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")  # FORCE_COLOR, common in CI, colours what mypy and ruff write
_NOTE = re.compile(r"note: (?!.*\[SC\d+\]$).*")  # mypy's explain the error before; those of shellcheck stand alone
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")


def read(output: str, name: str, exists: Callable[[str], bool]) -> tuple[Place, ...]:
    """The places that the output of the linter `name` points to, in its order, each once; none if it names no file."""
    text = plain(output)
    found: list[Place] = []
    loose: list[list[str]] = [[]]  # the shapeless lines: before the first place, then after each
    position = 0
    while position < len(text):
        places, end = _next(text, position, name, exists)
        if found and places and _NOTE.fullmatch(places[0].message):
            places = []
        if places:
            found += places
            loose += [[] for _ in places]
        elif not _NOISE.fullmatch(chunk := text[position:end].rstrip("\n")):
            loose[-1].append(chunk)
        position = end
    before = " ".join(loose[0])
    worded = (_worded(place, before, name) for place in found)
    return merged(dict.fromkeys(_detailed(place, after) for place, after in zip(worded, loose[1:], strict=True)))


def plain(text: str) -> str:
    """`text` without colours."""
    return _ANSI.sub("", text)


def changed(file: str, diff: str, name: str, tense: str = "changed") -> Place:
    """The place of a unified diff: its first changed line, counted in the file as it was before."""
    start = diff.find("@@ ")
    body = diff[start:] if start >= 0 else diff
    return Place(file=file, line=_first_changed(body), message=f"{name} {tense} this file", detail=_cut(body))


def merged(places: Iterable[Place]) -> tuple[Place, ...]:
    """`places` without those that say no more than a diff of the same file does: "would reformat", "Fixing"."""
    places = tuple(places)
    shown = {place.file for place in places if place.detail.startswith("@@ ")}
    return tuple(one for one in places if one.line or one.file not in shown)


def _next(text: str, position: int, name: str, exists: Callable[[str], bool]) -> tuple[list[Place], int]:
    """The places that start at `position`, and where to read on."""
    for pattern, reader in _BLOCKS:
        block = pattern.match(text, position)
        if block and exists(block["file"]):
            return list(reader(block, name)), block.end()
    end = text.find("\n", position)
    end = len(text) if end < 0 else end
    return list(_shaped(text[position:end], name, exists)), end + 1


def _shaped(line: str, name: str, exists: Callable[[str], bool]) -> Iterator[Place]:
    for pattern, message in _SHAPES:
        match = pattern.fullmatch(line)
        if match and exists(match["file"]):
            said = {key: value for key, value in match.groupdict().items() if value}
            yield Place(
                file=said["file"],
                line=int(said.get("line", 0)),
                column=int(said.get("column", 0)),
                message=said.get("message", "").strip() or message.format(name=name),
            )
            return


def _of_yaml(match: re.Match[str], name: str) -> Iterator[Place]:
    yield Place(
        file=match["file"],
        line=int(match["line"]),
        column=int(match["column"]),
        message=match["message"],
        detail=match["context"] or "",
    )


def _of_diff(match: re.Match[str], name: str) -> Iterator[Place]:
    yield changed(match["file"], match["body"].rstrip("\n"), name, "would change")


def _of_shellcheck(match: re.Match[str], name: str) -> Iterator[Place]:
    source = match["source"]
    for mark in match["marks"].splitlines():
        pointer, _, message = mark.partition(" SC")
        yield Place(
            file=match["file"],
            line=int(match["line"]),
            column=_column(source, pointer.index("^")),
            message=f"SC{message}",
            detail=f"{source}\n{pointer}\n{match['rest'] or ''}".rstrip(),
        )


# Several lines each, matched at the start of a line.
_BLOCKS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], str], Iterator[Place]]], ...] = (
    (
        re.compile(
            r"(?:(?P<context>while .+)\n(?:  in \".+\", line \d+, column \d+\n)?)?"
            r"(?P<message>\S.*)\n  in \"(?P<file>.+)\", line (?P<line>\d+), column (?P<column>\d+)(?:\n|$)"
        ),
        _of_yaml,
    ),
    (
        re.compile(
            r"--- (?P<file>[^\t\n]+)(?:\t.*)?\n\+\+\+ .*\n(?P<body>@@ .*\n(?:(?!--- .*\n\+\+\+ )[ +\-@\\].*(?:\n|$))*)"
        ),
        _of_diff,
    ),
    (
        re.compile(
            r"In (?P<file>.+) line (?P<line>\d+):\n(?P<source>.*)\n(?P<marks>(?: *\^-+\^? SC\d+ .*(?:\n|$))+)"
            r"(?:\n(?P<rest>Did you mean:\n(?:.+(?:\n|$))+))?"
        ),
        _of_shellcheck,
    ),
)


def _column(source: str, offset: int) -> int:
    """The column of what stands `offset` cells into a line whose tabs are `_TAB` cells wide."""
    cells = (len(source[:index].expandtabs(_TAB)) for index in range(len(source) + 1))
    return 1 + next((index for index, width in enumerate(cells) if width >= offset), len(source))


def _first_changed(body: str) -> int:
    """In the lines of the old file; 0 where there is no hunk (a binary file, a mode)."""
    line = 0
    for row in body.split("\n"):
        if hunk := _HUNK.match(row):
            line = int(hunk[1])
        elif row[:1] in ("-", "+"):
            return max(line - (row[0] == "+"), 1)  # what is only added has no line yet: the one before it
        else:
            line += 1
    return 0


def _worded(place: Place, before: str, name: str) -> Place:
    return place if place.message else msgspec.structs.replace(place, message=before or f"named by {name}")


def _detailed(place: Place, after: list[str]) -> Place:
    detail = "\n".join([place.detail] * bool(place.detail) + after)
    return msgspec.structs.replace(place, detail=_cut(detail))


def _cut(text: str) -> str:
    lines = text.split("\n")
    if len(lines) <= _DETAIL_LINES:
        return text
    return "\n".join([*lines[:_DETAIL_LINES], f"… {len(lines) - _DETAIL_LINES} more lines"])
