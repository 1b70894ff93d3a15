"""What the verbs of `backburn pool` share: their options, whom they ask, how they answer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..config import Seconds
from ..errors import UserError
from ..evidence import dumps
from . import config as configuration

if TYPE_CHECKING:
    from .engine import Engine
    from .store import Store

DONE, NOT_YET, OUR_BUG = 0, 3, 4
EVERYTHING = "all"

CONFIG = click.option(
    "--config",
    "file",
    envvar="BACKBURN_POOL_CONFIG",
    type=click.Path(path_type=Path),
    help="The pool's file. [default: pool.toml, else /etc/backburn/pool.toml]",
)
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
SLOTS = click.argument("slots", metavar="[SLOT|all]...", nargs=-1)


def span(context: click.Context, option: click.Parameter, value: str | None) -> Seconds | None:
    """A duration as in pool.toml: 90, "10m", "2h", "7d"."""
    try:
        return None if value is None else Seconds.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


class Verb(click.Command):
    """One of `backburn pool`."""

    def invoke(self, ctx: click.Context) -> Any:
        """A database that cannot be written or read just now is no bug, and nothing that was asked wrongly."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from .store import Full

            if not isinstance(error, Full):
                raise
            say(f"{error}\n  Nothing was ordered. Is the disk full (df)? Then ask again.")
            return NOT_YET


class Door(click.Group):
    """All of them."""

    command_class = Verb


def opened(file: Path | None, *, change: bool = False) -> tuple[configuration.Config, Store]:
    """The configuration, and the database beside a supervisor that may run. Raises UserError."""
    from .store import Store

    config = configuration.load(configuration.find(file))
    return config, Store.beside(config.state, change=change)


def engine(config: configuration.Config) -> Engine:
    """That of the configuration. Raises UserError where the docker SDK is missing."""
    expect("docker")
    from .docker import DockerEngine

    return DockerEngine(config)


def expect(*libraries: str) -> None:
    """Raise UserError where one is missing: they are an extra, which the stages do not need."""
    from importlib.util import find_spec

    if missing := [name for name in libraries if find_spec(name) is None]:
        said = f"not installed: {', '.join(missing)}"
        raise UserError(said, hint="pip install 'backburn[pool]'")


def named(store: Store, slots: Sequence[str]) -> list[str]:
    """Those that were named, or all. Raises UserError for one that there is not: nothing is ordered then."""
    known = [one.name for one in store.slots()]
    if not known:
        raise UserError("no slot has ever been armed", where=str(store.path), hint="Begin with: backburn pool run")
    if strangers := [one for one in slots if one not in (*known, EVERYTHING)]:
        raise UserError("no such slot", where=", ".join(strangers), hint=f"There are: {', '.join(known)}, or all.")
    if not slots:
        raise UserError("which slots?", hint=f"Name some of {', '.join(known)}, or all.")
    return known if EVERYTHING in slots else list(dict.fromkeys(slots))


def show(what: Any, render: Callable[[Any, int, bool], str], as_json: bool, *, kind: str = "") -> None:
    """Print it, for people or as one document."""
    if as_json:
        import msgspec

        built = msgspec.to_builtins(what)
        whole = {"kind": kind, "schema": 1, **built} if kind else built
        click.echo(dumps(whole).replace(b"##[", rb"#\u0023["), nl=False)
        return
    width = min(140, shutil.get_terminal_size((100, 24)).columns)
    click.echo(render(what, width, sys.stdout.isatty()), nl=False)


def say(line: str) -> None:
    """Beside the answer: on stderr."""
    click.echo(line, err=True)
