"""Where in the user's own code we are: the innermost frame that is neither a library's nor ours."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Any

_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}", f"{os.sep}lib{os.sep}python3")
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

_OUTSIDE = {os.path.join(os.path.dirname(os.path.abspath(__file__)), name) for name in ("session.py", "memorizer.py")}

Where = tuple[str, int]  # absolute path and line (from 1), ("", 0) where it is not known


def here() -> Where:
    """The innermost frame of the user's on this thread's stack, within the step; who called the fit is not meant."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if path in _OUTSIDE:
            break
        if is_theirs(path):
            return os.path.abspath(path), frame.f_lineno
        frame = frame.f_back
    return "", 0


def of(one: Any) -> Where:
    """Where a class, a function or a method is defined, if that is the user's code."""
    try:
        one = inspect.unwrap(one)
        path, line = inspect.getsourcefile(one) or "", inspect.getsourcelines(one)[1]
    except (TypeError, OSError, ValueError):
        return "", 0
    return (os.path.abspath(path), max(line, 1)) if is_theirs(path) else ("", 0)


def is_theirs(path: str) -> bool:
    """Whether a file is the user's: no library's, not ours, and a file at all (`<stdin>` is none)."""
    if not path or path.startswith("<") or is_ours(path):
        return False
    return not any(part in path for part in _LIBRARIES)


def is_ours(path: str) -> bool:
    """Whether a file is a probe."""
    return path.startswith(_OURS)
