"""`backburn pool …`: each verb asks the database or the engine; only `run` is the supervisor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from ..config import Seconds
from ..errors import UserError
from . import config as configuration
from . import installing
from .arc.verb import export_arc
from .verb import (
    CONFIG,
    DONE,
    EVERYTHING,
    JSON,
    NOT_YET,
    OUR_BUG,
    SLOTS,
    Door,
    engine,
    expect,
    named,
    opened,
    say,
    show,
    span,
)


@click.group("pool", cls=Door)
def pool() -> None:
    """Its verbs; cli.py has its own words for it, so that --help imports nothing of this."""


for _verb in (installing.doctor, installing.setup, installing.uninstall, export_arc):
    pool.add_command(_verb)


@pool.command(short_help="Keep a single-use runner on each slot, until told to stop.")
@CONFIG
def run(file: Path | None) -> int:
    """Keep a single-use runner on each slot, until told to stop.

    SIGTERM or Ctrl-C ends the supervisor within seconds and no job: what runs is adopted by the next start.
    SIGHUP reads pool.toml again.
    """
    path = configuration.find(file)
    expect("docker", "httpx", "jwt", "prometheus_client")
    from .assembly import main

    return int(main(path))


@pool.command(short_help="Where does each slot stand?")
@CONFIG
@JSON
def status(file: Path | None, as_json: bool) -> int:
    """Where does each slot stand?

    Read from the database alone: the same whether the supervisor runs or not.
    """
    from . import status as asked

    config, store = opened(file)
    show(asked.status(config, store, time.time()), asked.render, as_json)
    return DONE


@pool.command(short_help="Let slots end their job, and take no other.")
@SLOTS
@CONFIG
@click.option(
    "--timeout",
    callback=span,
    metavar="SPAN",
    help="Wait so long at most, as 90, 10m or 2h. [default: until it is done]",
)
def drain(slots: tuple[str, ...], file: Path | None, timeout: Seconds | None) -> int:
    """Let slots end their job, and take no other.

    No job is ended by it. The order is written down before anything is waited for, and stands whatever becomes of the
    wait: exit code 0 when all are parked, 3 when not yet.
    """
    from . import orders

    config, store = opened(file, change=True)
    return DONE if orders.drain(store, config.state, named(store, slots), timeout, say) else NOT_YET


@pool.command(short_help="Let drained slots take jobs again.")
@SLOTS
@CONFIG
def resume(slots: tuple[str, ...], file: Path | None) -> int:
    """Let drained slots take jobs again.

    A quarantined one needs another word: release.
    """
    from . import orders

    config, store = opened(file, change=True)
    orders.resume(store, config.state, named(store, slots), say, strict=EVERYTHING not in slots)
    return DONE


@pool.command(short_help="Let slots take no job until they are released.")
@SLOTS
@CONFIG
@click.option("--reason", default="", metavar="TEXT", help="What `status` says of it. [default: by order]")
def quarantine(slots: tuple[str, ...], file: Path | None, reason: str) -> int:
    """Let slots take no job until they are released.

    A job that runs ends first; an idle runner is taken away. The order stands also where no supervisor runs.
    """
    from . import orders

    config, store = opened(file, change=True)
    orders.quarantine(store, config.state, named(store, slots), reason, say)
    return DONE


@pool.command(short_help="Let quarantined slots take jobs again: what was wrong is mended.")
@SLOTS
@CONFIG
def release(slots: tuple[str, ...], file: Path | None) -> int:
    """Let quarantined slots take jobs again: what was wrong is mended.

    Each is looked at before its next job, and quarantined again for what is still wrong with it.
    """
    from . import orders

    config, store = opened(file, change=True)
    orders.release(store, config.state, named(store, slots), say, strict=EVERYTHING not in slots)
    return DONE


@pool.command(short_help="What did a slot's container print?")
@click.argument("slot")
@CONFIG
@click.option("--lines", type=click.IntRange(1, 100_000), default=200, show_default=True, help="The last of them.")
def logs(slot: str, file: Path | None, lines: int) -> int:
    """What did a slot's container print?

    Of the one that is there; where there is none, or the engine does not answer, of the slot's newest black box.
    """
    from . import tail

    config, store = opened(file)
    known = [*dict.fromkeys([one.name for one in store.slots()] + [one.name for one in config.all_slots])]
    if slot not in known:
        raise UserError("no such slot", where=slot, hint=f"There are: {', '.join(known)}.")
    said, text = tail.last(config.state, slot, engine(config), lines)
    say(said)
    click.echo(text, nl=False)
    return DONE


@pool.command(short_help="Remove what is left of leases that are over.")
@CONFIG
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
def gc(file: Path | None, dry_run: bool) -> int:
    """Remove what is left of leases that are over.

    Containers, volumes and networks with this pool's label that no running container and no open lease has, black boxes
    beyond [black-box], and of caches what no lease reads or is too much. Nothing of anybody else is looked at. Exit
    code 3 where the engine does not answer.
    """
    from . import leftovers

    config, store = opened(file)
    gone, silent = leftovers.collect(config, store, engine(config), time.time(), dry_run=dry_run)
    for one in gone:
        click.echo(f"{'would remove' if dry_run else 'removed'} {one}")
    if silent:
        say(f"the engine: {silent}. Is it up? [docker] host says where it is asked for.")
        return NOT_YET
    if not gone:
        click.echo("Nothing is left over.")
    return DONE


@pool.command(short_help="Who used the slots, for how long, and what did it cost?")
@CONFIG
@JSON
@click.option(
    "--since", callback=span, metavar="SPAN", default="30d", show_default=True, help="How far back, as 12h or 7d."
)
@click.option(
    "--by",
    type=click.Choice(["repository", "workflow", "ref", "slot"]),
    default="repository",
    show_default=True,
    help="What it is added up by.",
)
def costs(file: Path | None, as_json: bool, since: Seconds, by: str) -> int:
    """Who used the slots, for how long, and what did it cost?

    Hours with a job are whose job it was; all others are idle. Prices are [costs] per-hour of a slot.
    """
    from . import costs as asked

    config, store = opened(file)
    now = time.time()
    show(asked.bill(store, config.costs, asked.By(by), now - since, now), asked.render, as_json)
    return DONE


@pool.command(short_help="Does the supervisor hold, when all goes wrong, in virtual time?")
@click.option("--days", type=click.FloatRange(0.01, 366), default=7.0, show_default=True, help="Of virtual time.")
@click.option("--slots", type=click.IntRange(1, 64), default=4, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0), default=None, help="The same seed, the same days. [default: by lot]")
@JSON
def simulate(days: float, slots: int, seed: int | None, as_json: bool) -> int:
    """Does the supervisor hold, when all goes wrong, in virtual time?

    The same steps against a GitHub, an engine and jobs that misbehave: crashes, lost answers, storms, full disks. Needs
    neither Docker nor GitHub nor a file. Exit code 4 where an invariant broke: then that is a bug of backburn.
    """
    import random

    expect("httpx")
    from .simulation import soak

    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    say(f"seed {seed}")
    soaked = soak.run(days, slots, seed, say)  # type: ignore[attr-defined, unused-ignore]
    show(soaked, _soaked, as_json, kind="pool-simulation")
    return OUR_BUG if soaked.broken else DONE


def _soaked(soaked: Any, width: int, colour: bool) -> str:
    import msgspec

    facts = msgspec.to_builtins(soaked)
    broken = facts.pop("broken")
    lines = [f"{name.replace('_', ' '):12} {_figure(value)}" for name, value in facts.items()]
    verdict = [f"BROKEN {one}" for one in broken] or ["Every invariant held at every step."]
    again = [f"Please report it, with the seed {soaked.seed}."] if broken else []
    return "\n".join([*lines, *verdict, *again]) + "\n"


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in sorted(value.items())) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
