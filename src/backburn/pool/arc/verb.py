"""`backburn pool export-arc`: reads the pool's file, asks nobody, changes nothing."""

from __future__ import annotations

from pathlib import Path

import click

from ...errors import UserError
from ...received import line
from .. import config as configuration
from ..verb import CONFIG, DONE, Verb, say


@click.command("export-arc", cls=Verb, short_help="This pool as Helm values for Actions Runner Controller.")
@CONFIG
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there. [default: stdout]")
@click.option("--image", metavar="REFERENCE", default="", help="One that nodes can pull. [default: that of the pool]")
@click.option(
    "--resource", metavar="NAME", default="", help="What a node calls a slot's device. [default: nvidia.com/gpu]"
)
def export_arc(file: Path | None, output: Path | None, image: str, resource: str) -> int:
    """This pool as Helm values for Actions Runner Controller.

    For GitHub's chart gha-runner-scale-set. No secret is read or written. What a scale set does not do is said on
    stderr, and in the values.
    """
    from . import losses, page, values

    config = configuration.load(configuration.find(file))
    what = values.offer(config, image, resource)
    rendered = page.render(config, what)
    say("What this pool does, and a scale set does not, or otherwise:")
    for one in losses.losses(config, what):
        say(f"  {line(one, 600)}")
    if output is None:
        click.echo(rendered, nl=False)
    else:
        _write(output, rendered)
        say(f"{output}: written")
    return DONE


def _write(output: Path, rendered: str) -> None:
    try:
        output.write_text(rendered, encoding="utf-8")
    except OSError as error:
        raise UserError(f"not written: {error.strerror}", where=str(output), hint="Name another --output.") from error
