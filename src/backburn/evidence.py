"""Files of ours on disk: atomic JSON with a kind and a schema number, exact for NaN, inf, -0.0 and 0.1 + 0.2."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import UserError

S = TypeVar("S", bound=msgspec.Struct)


def plain(value: Any) -> Any:
    """A Struct as JSON-ready data; the floats that JSON lacks become the strings "nan", "inf" and "-inf"."""
    return _spell(msgspec.to_builtins(value, builtin_types=(float,)))


def dumps(value: Any) -> bytes:
    """`plain(value)` as indented UTF-8 JSON with a final newline (msgspec alone would write NaN as null)."""
    return msgspec.json.format(msgspec.json.encode(plain(value)), indent=1) + b"\n"


def save(value: msgspec.Struct, path: Path) -> None:
    """Write atomically: a reader sees the old file or the new one, and a full disk leaves the old."""
    write(dumps(value), path)


def write(content: bytes, path: Path) -> None:
    """Write `content` to a sibling and rename it into place. Raises OSError (full disk, read-only folder)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk does not say whose write it ended
        raise


def load(path: Path, schema: type[S]) -> S:
    """Read what `save` wrote. Raises UserError for a missing, corrupt, foreign or newer file, and says which."""
    try:
        data = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("no such file", where=str(path)) from error
    except (msgspec.DecodeError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not readable as JSON: {error}", where=str(path), hint="Delete it and run again.") from error
    return convert(data, schema, str(path))


def convert(data: Any, schema: type[S], where: str) -> S:
    """Plain data as a Struct, its kind and schema number checked first. Raises UserError as `load` does."""
    expected = {field.name: field.default for field in msgspec.structs.fields(schema)}
    if "kind" in expected:
        if not isinstance(data, dict) or data.get("kind") != expected["kind"]:
            found = data.get("kind") if isinstance(data, dict) else type(data).__name__
            raise UserError(f"expected a file of kind {expected['kind']!r}, got {found!r}", where=where)
        if not isinstance(data.get("schema"), int):
            raise UserError("it has no schema number", where=where, hint="Delete it and run again.")
        if data["schema"] > expected["schema"]:
            raise UserError(
                f"schema {data.get('schema')!r} is newer than the {expected['schema']} this backburn reads",
                where=where,
                hint="Upgrade backburn, or write the file again with this version.",
            )
    try:
        # strict=False is what reads "nan" as a float; str fields keep the word.
        return msgspec.convert(data, schema, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(str(error), where=where, hint="Delete it and run again.") from error


@contextlib.contextmanager
def alone(folder: Path, name: str, other: str) -> Iterator[None]:
    """One `name` at a time in `folder`: a second, called `other`, would empty the first one's evidence.

    Makes the folder, and git ignore it. Raises UserError where another is at work, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")  # not every project ignores build/
        stream = (folder / f".{name}.lock").open("w")
    except OSError as error:
        hint = "backburn keeps its evidence there."
        raise UserError(f"cannot write: {error.strerror}", where=str(folder), hint=hint) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            hint = "Wait for it to end, or use another checkout."
            raise UserError(f"{other} is at work in this folder", where=str(folder), hint=hint) from error
        yield


def _spell(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, dict):
        return {key: _spell(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spell(one) for one in value]
    return value
