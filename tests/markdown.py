"""The pages that people read, taken apart: fenced blocks, links, words in code."""

import re
from dataclasses import dataclass

from tests.conftest import REPOSITORY

LANGUAGES = {"sh", "toml", "yaml", "python", "json", "text"}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    before: str  # the line of prose above it

    def __str__(self):
        return f"{self.page}:{self.line}"


def pages(root=REPOSITORY):
    """Path from the root -> text, of every page in this repository but those of a bake."""
    found = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("actions/**/*.md"), *root.glob("runner/*.md")]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in sorted(found)}


def blocks(page, text):
    """Every fenced block, in order."""
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        above = text[: match.start()].rstrip("\n")
        yield Block(page, text[: match.start()].count("\n") + 1, match[1], match[2], above.rpartition("\n")[2])


def prose(text):
    """A page without its fenced blocks."""
    return re.sub(r"^```.*\n(?:.*\n)*?```$", "", text, flags=re.MULTILINE)


def links(text):
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def anchors(text):
    """What GitHub makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(text):
    """`backburn …` in the prose of a page, one list of words each; ends where another command begins."""
    for code in re.findall(r"`(backburn [^`]+)`", prose(text)):
        yield re.split(r" && | \| ", code)[0].split()[1:]
