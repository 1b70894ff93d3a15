"""Text of unknown origin as a reader may see it: a training's output, a file's name, a commit, another's report."""

from __future__ import annotations

import re

ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])")
# What is seen nowhere, ends a line unseen, or turns the order of reading round (CVE-2021-42574), surrogates, and what
# is no character; U+200C and U+200D stay, which join letters and emoji.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)


def spelled(text: str) -> str:
    r"""`text` without colours, and what cannot be seen in it spelled out. Lines end in \n; tabs stay.

    >>> print(spelled("\x1b[31mred\x1b[0m \u202egnp.exe \x00"))
    red \u202egnp.exe \u0000
    """
    return _UNSEEN.sub(lambda one: f"\\u{ord(one[0]):04x}", ANSI.sub("", text.replace("\r\n", "\n")))
