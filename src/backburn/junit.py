"""pytest's JUnit file, read back: every test with its outcome, and where in the user's code it failed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import msgspec

_READ = 64 * 1024  # characters of one failure's text that are looked at
_DETAIL = 8 * 1024  # characters of one failure's text that are kept: its end, where the error stands
# The two ways in which tracebacks name a place: pytest's long and short ones, and Python's own.
_PLACE = re.compile(r'^(?:E\s+|\s*)(?:File "(?P<a>[^"\n]+)", line (?P<n>\d+)|(?P<b>[^\s:][^:\n]*):(?P<m>\d+):)', re.M)
_COLOUR = re.compile(r"#x1B\[[0-9;]*m")  # how pytest spells ESC in XML; FORCE_COLOR puts colours into collection errors
_MISMATCH = re.compile(r"^import file mismatch:\n.*__file__ attribute:\s*\n\s*(.+)$", re.M)
_DOCTEST = re.compile(r"^Expected:\n(.*?)^Got:\n(.*?)^\S", re.M | re.S)


class Test(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One test, or one file that could not be collected. `line` is that of the failure, else of the definition."""

    __test__ = False  # what pytest asks before it takes this class for tests

    id: str
    outcome: str  # passed, failed, skipped or uncollected
    seconds: float = 0.0
    file: str = ""
    line: int = 0
    message: str = ""
    detail: str = ""


def read(path: Path, root: Path) -> tuple[Test, ...]:
    """The tests of a JUnit file of the family xunit1, worst outcome of each id. Raises ValueError if not whole."""
    found: dict[str, Test] = {}
    try:
        for _, element in ET.iterparse(path):
            if element.tag == "testcase":
                test = _test(element, root)
                if test.id not in found or found[test.id].outcome in ("passed", "skipped"):
                    found[test.id] = test
                element.clear()
    except (ET.ParseError, OSError) as error:
        raise ValueError(f"{path.name} is not whole: {error}") from error
    return tuple(found.values())


def place(text: str, root: Path) -> tuple[str, int]:
    """The last place in a traceback that lies in the project, relative to `root`; ("", 0) where there is none."""
    best = ("", 0)
    for match in _PLACE.finditer(text):
        if file := _own(match["a"] or match["b"], root):
            best = (file, int(match["n"] or match["m"]))
    return best


def _own(name: str, root: Path) -> str:
    path = Path(root, name)
    if not path.is_relative_to(root) or "site-packages" in path.parts or not path.is_file():
        return ""
    relative = path.relative_to(root)
    return "" if any(part.startswith(".") or part == ".." for part in relative.parts) else relative.as_posix()


def _test(element: ET.Element, root: Path) -> Test:
    file, name = element.get("file", ""), element.get("name", "")
    skipped, failure = element.find("skipped"), next(_failures(element), None)
    plain = Test(id=_id(element), outcome="passed", seconds=_number(element.get("time")), file=_own(file, root))
    if failure is None:
        xfailed = skipped is not None and skipped.get("type") == "pytest.xfail"
        return plain if skipped is None or xfailed else msgspec.structs.replace(plain, outcome="skipped")
    text, said = _plain(failure.text or "")[-_READ:], _plain(failure.get("message", ""))
    where, line = place(text, root)
    if not where:
        where, line = plain.file, int(_number(element.get("line"), -1)) + 1
    uncollected = said == "collection failure"
    said = _last_error(text) if uncollected else _doctest(text) or said
    message = f"{plain.id if uncollected else name}: {said}"[:500].strip()
    outcome = "uncollected" if uncollected else "failed"
    return Test(
        id=plain.id, outcome=outcome, seconds=plain.seconds, file=where, line=line, message=message,
        detail=text[-_DETAIL:],
    )  # fmt: skip


def _failures(element: ET.Element) -> Iterator[ET.Element]:
    for tag in ("failure", "error"):
        yield from element.iterfind(tag)


def _id(element: ET.Element) -> str:
    """The node id that pytest takes on its command line; `--junit-prefix` may stand before the class's name."""
    file, name, classname = (element.get(key, "") for key in ("file", "name", "classname"))
    if not classname and file:
        return file
    if not file:  # another writer's, such as renderers/junit.py
        return f"{classname}::{name}"
    _, _, classes = classname.partition(file.removesuffix(".py").replace("/", "."))
    return "::".join([file, *(one for one in classes.split(".") if one), name])


def _plain(text: str) -> str:
    return _COLOUR.sub("", text[-2 * _READ :])


def _doctest(text: str) -> str:
    """A doctest in one line, instead of the whole listing that stands in its message."""
    if match := _DOCTEST.search(text):
        return "expected {}, got {}".format(*(" ".join(one.split()) for one in match.groups()))
    match = re.search(r"^UNEXPECTED EXCEPTION: (.*)$", text, re.M)
    return match[1] if match else ""


def _last_error(text: str) -> str:
    if match := _MISMATCH.search(text):
        return f"import file mismatch: the environment has a copy of its own, {match[1]}"
    lines = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    return lines[-1] if lines else next((line for line in reversed(text.splitlines()) if line.strip()), "")


def _number(text: str | None, default: float = 0.0) -> float:
    try:
        return float(text or default)
    except ValueError:
        return default
