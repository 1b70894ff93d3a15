"""Where a secret is -> its text; and text -> the same without what looks like one."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..errors import UserError

HIDDEN = "<redacted>"
_BYTES = 64 << 10  # of one secret; an RSA key of 8192 bits has 6.5 kB
_SHORTEST = 6  # characters: a shorter one would blank ordinary words
_LINE = r"[A-Za-z0-9+/=]"
_BREAK = r"(?:\s|\\r|\\n)"
_LOOKS = re.compile(
    "|".join(
        (
            # PEM, also with \n spelled out, or without an end. Bounded, as all of these: a log may be hostile.
            r"-----BEGIN [A-Z0-9 ]{1,40}-----(?s:.{0,16384}?-----END [A-Z0-9 ]{1,40}-----|.{0,16384})",
            # Since 2026-04 an installation's token is ghs_<app>_<JWT>: of any length, with dots in it.
            r"\bgh[a-z]_[A-Za-z0-9_.-]{16,}",
            r"\bgithub_pat_[A-Za-z0-9_]{16,}",
            # base64 of JSON ({" or {\n): a JWT, a runner's configuration and each file in it, also wrapped into lines.
            r"(?<![A-Za-z0-9+/_-])e(?:yI|yJ|wo|w0)[A-Za-z0-9+/_=-]{17,}(?:\.[A-Za-z0-9_=-]*)*"
            rf"(?:{_BREAK}+{_LINE}{{40,}})*",
            r"[A-Za-z0-9+/]{200,}={0,2}",  # the rest of one whose beginning was cut off
            r'"(?:d|p|q|dp|dq|inverseQ)"\s*:\s*"[^"]{16,}"',  # a runner's RSA key, decoded
            r"(?i:authorization: *)[^\r\n\"']+",
            r"(?<=://)[^/\s:@]{0,256}:[^/\s@]{1,256}(?=@)",  # a proxy's user and password
        )
    )
)
_END = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")


def resolve(where: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret at `where`: "file:/path", "credential:NAME" (of systemd, in $CREDENTIALS_DIRECTORY) or "env:NAME".

    Raises UserError, which never shows the value: no such place, nothing in it, or a file that others may read.
    """
    kind, _, name = where.partition(":")
    if kind == "env":
        return _checked(environ.get(name, ""), where, f"Set {name} in the environment of the supervisor.")
    if kind == "file":
        return _checked(_read(Path(name).expanduser(), where, private=True), where, f"Write the secret into {name}.")
    if kind == "credential":
        folder = environ.get("CREDENTIALS_DIRECTORY", "")
        hint = f"Put `LoadCredential={name}:/path/of/the/secret` into the unit; or name it by file:/path."
        if not folder:
            raise UserError("systemd gave this process no credentials", where=where, hint=hint)
        if Path(name).name != name:
            raise UserError("a credential's name has no /", where=where, hint=hint)
        return _checked(_read(Path(folder, name), where, private=False), where, hint)
    # What stands there may be the secret itself.
    raise UserError("not the place of a secret", hint='Say "file:/…", "credential:NAME" or "env:NAME".')


def _checked(text: str, where: str, hint: str) -> str:
    if not (text := text.strip()):
        raise UserError("there is no secret", where=where, hint=hint)
    if "\0" in text:
        raise UserError("binary data, and not a secret's text", where=where)
    return text


def _read(path: Path, where: str, *, private: bool) -> str:
    """Of a plain file. systemd sees to a credential's own rights: its mode shows the mask of an ACL."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError("no plain file", where=where)
            if private and (problem := _shared(status)):
                raise UserError(problem, where=where, hint=f"chmod {'640' if status.st_uid == 0 else '600'} {path}")
            content = file.read(_BYTES + 1)
    except OSError as error:
        raise UserError(error.strerror or type(error).__name__, where=where) from error
    if len(content) > _BYTES:
        raise UserError(f"over {_BYTES} bytes: no secret", where=where)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError("binary data, and not a secret's text", where=where) from None


def _shared(status: os.stat_result) -> str:
    """As PostgreSQL has it for its key: root's may be read by a group, 0640; whoever else owns it is alone with it."""
    allowed = 0o640 if status.st_uid == 0 else 0o600
    return "others than its owner may read or change it" if stat.S_IMODE(status.st_mode) & 0o177 & ~allowed else ""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    r"""`text` without `secrets`, and without what looks like a token, a JWT, a private key or a runner's configuration.

    >>> redact("401 for ghp_0123456789abcdefghijABCDEFGHIJ012345: bad")
    '401 for <redacted>: bad'
    """
    known = {form for secret in secrets for form in _forms(secret) if len(form) >= _SHORTEST}
    for form in sorted(known, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return _beheaded(_LOOKS.sub(HIDDEN, text))


def _beheaded(text: str) -> str:
    """Also without PEM whose beginning was cut off: a log's tail."""
    kept, done = [], 0
    for found in _END.finditer(text):
        start = found.start()
        words = re.split(rf"({_BREAK})", text[max(done, start - 16384) : start])
        while words and re.fullmatch(rf"{_LINE}*|{_BREAK}", words[-1]):
            start -= len(words.pop())
        kept += [text[done:start], HIDDEN]
        done = found.end()
    return "".join(kept) + text[done:]


def _forms(secret: str) -> Iterable[str]:
    """As it is, as JSON or a repr shows it, and each line of it that is long enough to mean something."""
    yield from (secret, secret.replace("\n", "\\n"))
    yield from (line for line in secret.splitlines() if len(line) >= 16 and not line.startswith("-----"))
