"""Bytes into a container and out of it. What comes out is hostile: a job wrote it, or put something else there."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from .engine import CONFIGURATION

_OVERHEAD = 1 << 16  # of a tar around one file: headers, extended attributes, padding
_HEADER = 8  # bytes before each piece of a log: stream, three zeros, size


def owner(user: str) -> tuple[int, int]:
    """`uid[:gid]` in numbers: a tar's owner is resolved by no passwd of the image. Raises ValueError for a name."""
    uid, _, gid = user.partition(":")
    return int(uid), int(gid or uid)


def pack(text: str, user: str, *, below: str = "/", path: str = CONFIGURATION) -> bytes:
    """A tar of one file, to be unpacked at `below`: its folder (0700) and the file (0400), both the user's."""
    file = PurePosixPath(path)
    content = text.encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(_entry(file.parent, below, user, tarfile.DIRTYPE, 0o700))
        entry = _entry(file, below, user, tarfile.REGTYPE, 0o400)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _entry(path: PurePosixPath, below: str, user: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(str(path.relative_to(below)))
    entry.type, entry.mode = kind, mode
    entry.uid, entry.gid = owner(user)
    return entry


def unpack(chunks: Iterable[bytes], limit: int) -> bytes | None:
    """The one file of a tar; None where it is longer than `limit`, cut short, or anything but a plain file."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) > limit + _OVERHEAD:
            return None
    try:
        with tarfile.open(fileobj=io.BytesIO(buffer), mode="r:") as tar:
            entry = tar.next()
            if entry is None or entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.size > limit:
                return None
            file = tar.extractfile(entry)
            return None if file is None else file.read()
    except (tarfile.TarError, EOFError, OSError, ValueError):
        return None


def spoken(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What a log says, without the frames in which both streams come; a frame that is cut short, as far as it goes."""
    buffer = bytearray()
    left = 0
    for chunk in chunks:
        buffer += chunk
        while buffer:
            if not left:
                if len(buffer) < _HEADER:
                    break
                left = int.from_bytes(buffer[4:_HEADER], "big")
                del buffer[:_HEADER]
            piece = bytes(buffer[:left])
            del buffer[: len(piece)]
            left -= len(piece)
            yield piece


def tail(pieces: Iterable[bytes], limit: int) -> bytes:
    """The last `limit` bytes, holding twice as many at most."""
    kept = bytearray()
    for piece in pieces:
        kept += piece
        if len(kept) > 2 * limit:
            del kept[:-limit]
    return bytes(kept[-limit:]) if limit else b""
