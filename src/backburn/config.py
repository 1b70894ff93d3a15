"""`[tool.backburn]` in pyproject.toml -> frozen Structs. Unknown keys are found first, all at once."""

from __future__ import annotations

import codecs
import datetime
import difflib
import re
import shlex
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import msgspec

from .errors import UserError

FILE = "pyproject.toml"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_CENTURY = 36525 * 86400
_SHELL = {"&&", "||", "|", "&", ";", ">", ">>", "<"}
_SEEDS = 2**32  # numpy's and Lightning's are below
# Filled by the loader or the command line, never read from the file.
NOT_IN_FILE = {"training", "rehearsal", "candidate", "prove"}


class Seconds(float):
    """A duration in seconds; the file may say `90`, `"90s"`, `"10m"`, `"2h"` or `"1d"`."""

    @classmethod
    def parse(cls, value: object) -> Seconds:
        """Raise ValueError for anything that is not a positive duration of at most a century."""
        seconds = value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd]?)\s*", value) if isinstance(value, str) else None
        if match is not None:
            seconds = float(match[1]) * UNITS[match[2] or "s"]
        if not 0 < seconds <= _CENTURY:
            raise ValueError(f'expected a positive duration such as 90, "10m" or "2h", got {str(value)[:60]!r}')
        return cls(seconds)


class Training(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One command of the user's that trains with Lightning: `[tool.backburn.trainings.<name>]`. Never a shell."""

    name: str = ""
    command: str | tuple[str, ...] = ()
    cwd: str = "."
    env: dict[str, str] = {}
    prepare: str | tuple[str, ...] = ()
    timeout: Seconds = Seconds(7200)

    @property
    def words(self) -> tuple[str, ...]:
        """The command as an argument list."""
        return words(self.command)


class Allow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """`[[tool.backburn.allow]]`: a failing check that the team accepts, why, and until when."""

    check: str
    reason: str
    training: str = ""
    until: datetime.date | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot hold."""
        if not self.reason.strip():
            raise ValueError("reason is empty")


S = TypeVar("S", bound=msgspec.Struct)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of `[tool.backburn]`, keys already known to be right; a stage's Config is cut from it on demand."""

    root: Path
    project: dict[str, Any] = {}
    allow: tuple[Allow, ...] = ()
    trainings: dict[str, Training] = {}
    stages: dict[str, dict[str, Any]] = {}
    overlays: dict[str, dict[str, dict[str, Any]]] = {}

    def stage(self, name: str, schema: type[S], *, training: str = "", given: Mapping[str, Any] | None = None) -> S:
        """The Config of one stage: the project's keys that it has a field for, its own table, the training's
        table for this stage, then what the command line gave. Raises UserError for a value of the wrong type.
        """
        fields = {field.encode_name for field in msgspec.structs.fields(schema)}
        table: dict[str, Any] = {key: value for key, value in self.project.items() if key in fields}
        table |= self.stages.get(name, {})
        where = f"[tool.backburn.{name}]"
        if training:
            table |= self.overlays.get(training, {}).get(name, {})
            where += f" or [tool.backburn.trainings.{training}.{name}]"
        inherited = {*self.project} - {*self.stages.get(name, {})}
        config = _convert(table, schema, where, inherited)
        extra = {key: value for key, value in (given or {}).items() if value is not None}
        if extra:
            config = _with(extra, table, schema, name)
        seed = getattr(config, "seed", 0)
        if not 0 <= seed < _SEEDS:
            where = f"given to {name}" if "seed" in extra else f"{FILE}: {where}"
            raise UserError(f"seed must be at least 0 and below 2**32, got {seed}", where=where)
        if training and "training" in fields:
            config = msgspec.structs.replace(config, training=self.trainings[training])
        return config


def words(command: str | Sequence[str]) -> tuple[str, ...]:
    """Split as a POSIX shell would, without one. Raises UserError on an unbalanced quote, and on a NUL character."""
    if "\0" in "".join(command):
        raise UserError(f"no program takes a NUL character: {command!r}", where=FILE, hint="Take it out.")
    if not isinstance(command, str):
        return tuple(command)
    try:
        return tuple(shlex.split(command))
    except ValueError as error:
        raise UserError(f"{error}: {command!r}", where=FILE, hint="Write the command as a list of strings.") from error


def find_root(start: Path, top: Path | None) -> Path:
    """The nearest folder at or above `start` that holds a pyproject.toml, not above `top`; else `start` itself."""
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
        if folder == top or top is None:
            break
    return start


def load(root: Path, schemas: Mapping[str, type[msgspec.Struct]]) -> Settings:
    """Read `root/pyproject.toml`; a project without one, or without `[tool.backburn]`, has every default.

    `schemas` maps each stage's name to its Config. Raises UserError for invalid TOML, unknown keys (all of them,
    each with the nearest known one) and wrong types.
    """
    table = _read(root / FILE)
    problems = list(_unknown_keys(table, schemas))
    if problems:
        raise UserError("\n".join(problems), hint="Remove or correct the keys above.")
    trainings, overlays = {}, {}
    _check_names(table, schemas)
    for name, entry in table.get("trainings", {}).items():
        own = {key: value for key, value in entry.items() if key not in schemas}
        where = f"[tool.backburn.trainings.{name}]"
        trainings[name] = msgspec.structs.replace(_convert(own, Training, where), name=name)
        if not words(trainings[name].command):
            raise UserError("command is missing or empty", where=f"{FILE}: {where}", hint=_EXAMPLE)
        _expect_no_shell(trainings[name].command, where)
        _expect_no_shell(trainings[name].prepare, where)
        _expect_variables(trainings[name].env, where)
        overlays[name] = {key: value for key, value in entry.items() if key in schemas}
    return Settings(
        root=root,
        project={key: table[key] for key in ("install",) if key in table},
        allow=tuple(_convert(entry, Allow, "[[tool.backburn.allow]]") for entry in table.get("allow", [])),
        trainings=trainings,
        stages={key: value for key, value in table.items() if key in schemas},
        overlays=overlays,
    )


def _expect_no_shell(command: str | tuple[str, ...], where: str) -> None:
    """Before an environment is made, which takes minutes: no command was written for a shell."""
    first = words(command)[:1]
    # With its quotes, which a shell's own signs have not: `--separator '|'` is an argument.
    written = shlex.split(command, posix=False) if isinstance(command, str) else []
    signs = [word for word in written if word in _SHELL or word.endswith(";")]
    signs += [word for word in first if re.match(r"[A-Za-z_]\w*=", word)]
    if signs:
        hint = 'A command is started by itself, never a shell: use env = {NAME = "…"}, cwd = "…" and prepare = "…".'
        raise UserError(f"{signs[0]!r} is a shell's, in {command!r}", where=f"{FILE}: {where}", hint=hint)


def _expect_variables(env: Mapping[str, str], where: str) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            said, hint = (
                f"no environment holds {name!r} = {value!r}",
                "A name has no =, and neither holds a NUL character.",
            )
            raise UserError(said, where=f"{FILE}: {where} env", hint=hint)


def _check_names(table: Mapping[str, Any], schemas: Mapping[str, type[msgspec.Struct]]) -> None:
    """A training's name is a folder's; an allowance for what does not exist would be none, in silence."""
    trainings = table.get("trainings", {})
    for name in trainings:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{,99}", name):
            where, said = f"{FILE}: [tool.backburn.trainings.{name!r}]", "a training's name is letters, digits, - and _"
            raise UserError(f"{said}, at most 100 of them", where=where, hint="It names a folder.")
    for entry in table.get("allow", []):
        stage, where = str(entry.get("check", "")).partition("/")[0], f"{FILE}: [[tool.backburn.allow]]"
        if "check" in entry and stage not in schemas:
            raise UserError(f"no stage is called {stage!r}", where=where, hint=nearest(stage, schemas))
        if entry.get("training", "") not in ("", *trainings):
            training = str(entry["training"])
            raise UserError(f"no training is called {training!r}", where=where, hint=nearest(training, trainings))


_EXAMPLE = 'For example: command = "python -m digits.train fit"'
_TOP = {"install", "allow", "trainings"}


def chosen(settings: Settings, names: Sequence[str]) -> tuple[str, ...]:
    """The trainings to use: those named, or all. Raises UserError when there is none, or no such name."""
    if not settings.trainings:
        raise UserError(
            "no training is declared",
            where=f"{settings.root / FILE}: [tool.backburn.trainings]",
            hint='Add a table such as:\n  [tool.backburn.trainings.digits]\n  command = "python -m digits.train fit"',
        )
    for name in names:
        if name not in settings.trainings:
            raise UserError(f"no training is called {name!r}", where=FILE, hint=nearest(name, settings.trainings))
    return tuple(dict.fromkeys(names)) or tuple(settings.trainings)  # named twice, it would find its own evidence


def _read(path: Path) -> dict[str, Any]:
    content = b""
    try:
        content = path.read_bytes()
        document = tomllib.loads(content.decode())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        marked = content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = "Save the file as UTF-8 without a byte-order mark" if marked else "Mend the file"
        raise UserError(str(error), where=str(path), hint=f"{hint}; nothing was run.") from error
    _expect_table(document.get("tool", {}), "[tool]")
    table = document.get("tool", {}).get("backburn", {})
    _expect_table(table, "[tool.backburn]")
    _expect_table(table.get("trainings", {}), "[tool.backburn.trainings]")
    for name, value in table.get("trainings", {}).items():
        _expect_table(value, f"[tool.backburn.trainings.{name}]")
    if not isinstance(table.get("allow", []), list):
        raise UserError("expected an array of tables", where=f"{FILE}: [[tool.backburn.allow]]")
    return dict(table)


def _expect_table(value: object, where: str) -> None:
    if not isinstance(value, dict):
        raise UserError(f"expected a table, got {value!r}", where=f"{FILE}: {where}", hint="See docs/configuration.md.")


def _unknown_keys(table: dict[str, Any], schemas: Mapping[str, type[msgspec.Struct]]) -> Iterator[str]:
    yield from _unknown(table, {*_TOP, *schemas}, "[tool.backburn]")
    for stage, schema in schemas.items():
        _expect_table(table.get(stage, {}), f"[tool.backburn.{stage}]")
        yield from _unknown(table.get(stage, {}), _keys(schema) - NOT_IN_FILE, f"[tool.backburn.{stage}]")
    for name, entry in table.get("trainings", {}).items():
        where = f"[tool.backburn.trainings.{name}]"
        with_training = {key: one for key, one in schemas.items() if "training" in one.__struct_fields__}
        yield from _unknown(entry, _keys(Training) - {"name"} | set(with_training), where)
        for stage, schema in with_training.items():
            _expect_table(entry.get(stage, {}), f"{where[:-1]}.{stage}]")
            yield from _unknown(entry.get(stage, {}), _keys(schema) - NOT_IN_FILE, f"{where[:-1]}.{stage}]")
    for entry in table.get("allow", []):
        _expect_table(entry, "[[tool.backburn.allow]]")
        yield from _unknown(entry, _keys(Allow), "[[tool.backburn.allow]]")


def _keys(schema: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(schema)}


def _unknown(table: Mapping[str, Any], known: set[str], where: str) -> Iterator[str]:
    for key in table:
        if key not in known:
            yield f"{FILE}: {where} {key}: unknown key. {nearest(key, known)}"


def nearest(key: str, known: Mapping[str, Any] | set[str]) -> str:
    """What a person who wrote `key` may have meant, as the hint of an error."""
    close = difflib.get_close_matches(key, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known)) or 'none'}."


def _convert(table: Mapping[str, Any], schema: type[S], where: str, inherited: Collection[str] = ()) -> S:
    try:
        return msgspec.convert(table, schema, dec_hook=_decode)
    except (msgspec.ValidationError, ValueError) as error:
        place = re.search(r"`\$\.([\w-]+)", str(error))
        where = "[tool.backburn]" if place and place[1] in inherited else where
        said = str(error).replace("`$.", "`")
        hint = _choices(schema, place[1]) if place and "Invalid enum value" in said else ""
        hint = "A date, as 2027-03-31." if place and place[1] == "until" else hint
        raise UserError(said, where=f"{FILE}: {where}", hint=hint) from error


def _with(given: Mapping[str, Any], table: Mapping[str, Any], schema: type[S], name: str) -> S:
    """The Config of a table that is right by itself, with the fields `given` by a verb or a fixture above it."""
    keys = {field.name: field.encode_name for field in msgspec.structs.fields(schema)}
    for key in given:
        if key not in keys:
            raise UserError(f"{name} has no {key!r}", hint=nearest(key, {*keys} - NOT_IN_FILE))
    try:
        return _convert({**table, **{keys[key]: value for key, value in given.items()}}, schema, "")
    except UserError as error:
        raise UserError(error.problem, where=f"given to {name}", hint=error.hint) from error


def _choices(schema: type[msgspec.Struct], key: str) -> str:
    """Say what a key may be, where its type lists it."""
    (field,) = (one for one in msgspec.structs.fields(schema) if one.encode_name == key)
    return f"One of: {', '.join(map(str, get_args(field.type) or field.type))}."


def _decode(kind: type, value: object) -> object:
    if kind is Seconds:
        return Seconds.parse(value)
    raise NotImplementedError(kind)
