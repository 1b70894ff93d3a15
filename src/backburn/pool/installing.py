"""`backburn pool doctor | setup | uninstall`: what makes a machine a pool, and takes that back."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..config import Seconds
from ..errors import UserError
from . import config as configuration
from .verb import CONFIG, DONE, JSON, NOT_YET, Verb, expect, say, show, span

if TYPE_CHECKING:
    from .config import Config
    from .setup.request import Request

WAIT = 60.0  # seconds beyond [pool] online-within until setup says that a slot does not come
AGAIN = "Then the same command again: it goes on where this stopped."
YES = click.option("--yes", is_flag=True, help="Do not ask. [default: ask, where there is a terminal]")
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, resolve_path=True)
_WANTED = (
    click.option(
        "--url", default="", help="Whose jobs: https://github.com/acme or https://github.com/acme/repository."
    ),
    click.option("--app-id", default="", help="Of the GitHub App, with --key."),
    click.option("--key", type=_FILE, help="The App's private key, a .pem file that you alone may read."),
    click.option("--token-file", type=_FILE, help="A file with a token, instead of an App."),
    click.option("--group", default="", help="The runner group. [default: Default]"),
    click.option("--gpus", multiple=True, help="UUIDs, `auto` or `none`. [default: auto]"),
    click.option("--cpu", type=click.IntRange(0, 1024), default=0, help="So many slots without a GPU."),
)


def wanted(verb: Decorated) -> Decorated:
    """The options of a pool that is to be."""
    for option in reversed(_WANTED):
        verb = option(verb)
    return verb


@contextmanager
def told() -> Iterator[list[int]]:
    """What the machine, GitHub or the engine does not do now is no bug: said, and NOT_YET in the list."""
    from .engine import Declined, Unreachable
    from .setup.user import Failed

    codes: list[int] = []
    try:
        yield codes
    except (Failed, Declined, Unreachable) as error:
        hint = getattr(error, "hint", "")
        say(f"error: {error}" + (f"\n  {hint}" if hint else "") + f"\n  {AGAIN}")
        codes.append(NOT_YET)


def root(verb: str) -> None:
    """Raises UserError for anybody else."""
    if os.geteuid() != 0:
        raise UserError("only root may", where=f"backburn pool {verb}", hint=f"sudo backburn pool {verb} …")


@click.command(cls=Verb, short_help="Is this machine fit to be a pool?")
@CONFIG
@wanted
@JSON
def doctor(file: Path | None, as_json: bool, **given: Any) -> int:
    """Is this machine fit to be a pool?

    Of the pool's file where there is one; before, of what --url and the other options say. Nothing is changed. Exit
    code 2 where what was asked is wrong (key, scope, group), 3 where the machine falls short (driver, engine, disk).
    """
    expect("docker", "httpx", "jwt")
    from .doctor import diagnosis, gathering
    from .setup.installation import Reader
    from .setup.request import Places

    config, installed = _asked(file, **given)
    path = configuration.find(file) if installed else None
    seen = gathering.look(config, path, read=Reader(Places()))
    found = diagnosis.diagnose(seen)
    show(found, diagnosis.render, as_json)
    return found.exit_code


def _asked(file: Path | None, **given: Any) -> tuple[Config, bool]:
    """The pool's file; without one, and with --url, what setup would be asked for."""
    from .doctor import driver

    if file is None and given["url"]:
        request = _request(**given)
        request.check(first=True)
        gpus = driver.look().gpus if request.automatic else tuple(one for one in request.gpus if one != "none")
        rights = {"private_key": f"file:{request.key}", "app_id": request.app_id}
        github = configuration.GitHub(
            url=request.url,
            runner_group=request.group or "Default",
            **(rights if request.key else {"token": f"file:{request.token_file}"}),  # type: ignore[arg-type]
        )
        return configuration.Config(github=github, slots=configuration.Slots(gpus=gpus, cpu=request.cpu)), False
    return configuration.load(configuration.find(file)), True


def _request(**given: Any) -> Request:
    from .setup.request import AUTOMATIC, Request

    gpus = tuple(one for each in given.pop("gpus") for one in each.split(",") if one)
    return Request(gpus=gpus or AUTOMATIC, **given)


@click.command(cls=Verb, short_help="Make this machine a pool.")
@wanted
@click.option("--name", default="", help="Of the pool, at most 20 of a-z, 0-9 and -. [default: pool]")
@click.option("--base", default="", metavar="IMAGE:TAG", help="With GitHub's runner. [default: GitHub's newest]")
@click.option("--image", default="", metavar="NAME@DIGEST", help="One that is built already, instead of a base.")
@click.option("--no-service", is_flag=True, help="All but the systemd unit.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@YES
def setup(no_service: bool, dry_run: bool, yes: bool, **given: Any) -> int:
    """Make this machine a pool.

    First what `doctor` asks; then what will change is said, and done. Again without harm: what is there already is left
    alone, and what was interrupted goes on. A pool.toml that is there is kept, but for its image.
    """
    root("setup")
    expect("docker", "httpx", "jwt", "prometheus_client")
    from .setup import kit
    from .setup.installation import Setup
    from .setup.request import Places

    with told() as codes:
        asked = Setup.asked(_request(service=not no_service, **given), Places(), kit.files())
        codes.append(_set_up(asked, dry_run=dry_run, yes=yes))
    return codes[-1]


def _set_up(asked: Any, *, dry_run: bool, yes: bool) -> int:
    from .doctor import diagnosis
    from .setup import installation, service

    if asked.request.service and not dry_run:
        service.expect()
    found = asked.doctor()
    show(found, diagnosis.render, False)
    if found.wrong:
        say("Nothing was changed.")
        return int(found.exit_code)
    steps = asked.steps()
    changes = [line for step in steps for line in step.changes()]
    _tell(changes, "Nothing to change.")
    if dry_run or changes and not _agreed(yes):
        say("Nothing was changed.")
        return DONE if dry_run else NOT_YET
    installation.carry_out(steps, say)
    return _shown(asked)


def _tell(changes: list[str], none: str) -> None:
    click.echo("\n".join(["This will change:", *(f"  {line}" for line in changes)]) if changes else none)


def _agreed(yes: bool) -> bool:
    return yes or not sys.stdin.isatty() or click.confirm("Go on?")


def _shown(asked: Any) -> int:
    """The slots, once they are online; without a service, how to start them."""
    from . import status
    from .doctor import account
    from .setup import service

    if not asked.request.service:
        click.echo(f"Ready to start: sudo -u {account.USER} {service.program(asked.places)} pool run")
        return DONE
    config = configuration.load(asked.places.file)
    here = _online(config)
    show(status.status(config, _store(config), time.time()), status.render, False)
    if not here:
        say("Not all slots are online yet: `backburn pool doctor` and `journalctl -u backburn-pool` say why.")
    return DONE if here else NOT_YET


def _store(config: Config) -> Any:
    from .store import Store

    return Store.beside(config.state)


def _online(config: Config) -> bool:
    """Whether all slots are, within the time that a start may take."""
    from .lease import State
    from .store import Full

    wanted, end = {one.name for one in config.all_slots}, time.monotonic() + config.pool.online_within + WAIT
    while time.monotonic() < end:
        try:
            slots = _store(config).slots()
        except (UserError, Full):  # not made yet
            slots = []
        if wanted <= {one.name for one in slots if one.state in (State.ONLINE, State.BUSY)}:
            return True
        time.sleep(0.5)
    return False


@click.command(cls=Verb, short_help="Take back what setup made of this machine.")
@click.option("--timeout", callback=span, metavar="SPAN", help="Wait so long for jobs, as 90, 10m or 2h.")
@click.option("--purge", is_flag=True, help="The ledger and the black boxes, too.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@YES
def uninstall(timeout: Seconds | None, purge: bool, dry_run: bool, yes: bool) -> int:
    """Take back what setup made of this machine.

    Slots are drained first, so that no job is ended, and GitHub forgets the runners. Then only what setup made goes,
    and of that only what was not changed since; what is kept is named.
    """
    root("uninstall")
    expect("docker", "httpx", "jwt")
    from .setup.removal import Uninstall
    from .setup.request import Places

    with told() as codes:
        asked = Uninstall.asked(Places(), purge=purge, timeout=timeout, say=say)
        codes.append(_taken_back(asked, dry_run=dry_run, yes=yes))
    return codes[-1]


def _taken_back(asked: Any, *, dry_run: bool, yes: bool) -> int:
    if not asked.journal.exists:
        asked.journal.end()
        click.echo("Setup has made nothing here.")
        return DONE
    _tell(list(asked.changes()), "Nothing to remove.")
    if dry_run or not _agreed(yes):
        say("Nothing was changed.")
        return DONE if dry_run else NOT_YET
    for kept in asked.carry_out():
        click.echo(f"kept {kept}")
    click.echo("All else that setup made is gone.")
    return DONE
