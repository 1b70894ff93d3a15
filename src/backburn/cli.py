"""The door for people and actions: one verb per stage, one error boundary, one exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import html
import io
import os
import shlex
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from . import __version__, catalog, completion, evidence, pages, pipeline, process, toolkit
from .errors import Interrupted, UserError
from .github import Actions, command, commands_stopped
from .report import Level, Look, Report, Verdict
from .visible import spelled

EXIT_CODES = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.SKIP: 3, Verdict.UNJUDGED: 3}
ASKED_WRONGLY, OUR_BUG = 2, 4


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 pass, 1 fail, 2 asked wrongly, 3 unjudged, 4 our bug, 129, 130 and 143 interrupted.",
)
@click.version_option(__version__, prog_name="backburn")
def cli() -> None:
    """Test machine-learning code in CI: each verb asks one question about the project and names the cause."""


_FOLDER = click.option(
    "-C",
    "--working-directory",
    envvar="BACKBURN_WORKING_DIRECTORY",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="The project's folder. [default: this one]",
)


def _completing(names: Callable[[Path], tuple[str, ...]]) -> Callable[..., list[str]]:
    """For a Tab key: the names that begin so, of the project in the folder that the words before it give."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        return [name for name in names(context.params.get("working_directory") or Path()) if name.startswith(begun)]

    return complete


_TRAININGS = _completing(completion.trainings)
_OF_TRAININGS = (
    click.argument("trainings", metavar="[TRAINING]...", nargs=-1, shell_complete=_TRAININGS),
    click.option(
        "--require-gpu/--no-require-gpu",
        envvar="BACKBURN_REQUIRE_GPU",
        default=None,
        help="No GPU: unjudged, not done on the CPU.",
    ),
    click.option("--rehearsal", envvar="BACKBURN_REHEARSAL", is_flag=True, default=None, hidden=True),
)
_CANDIDATE = click.option(
    "--candidate", is_flag=True, default=None, help="Gather all that a new reference needs, even if there is one."
)

_FORCE = click.option(
    "--force", envvar="BACKBURN_FORCE", is_flag=True, default=None, help="Train though nothing changed."
)

_PROVE = click.option(
    "--prove", is_flag=True, default=None, help="Plant bugs into it, and say which checks catch them."
)

# What one stage takes beside the options they all have. Each but --force is a field of its Config, and is read from the
# environment too (BACKBURN_<OPTION>), which is how an action hands its inputs over.
OPTIONS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "hygiene": (
        click.option(
            "--base",
            envvar="BACKBURN_BASE",
            metavar="REV",
            help="Only files changed since the merge base with this revision.",
        ),
    ),
    "unit": (
        click.option(
            "--select", envvar="BACKBURN_SELECT", metavar="EXPR", help="Only tests with these markers, as pytest's -m."
        ),
    ),
    "memorize": (*_OF_TRAININGS, _FORCE, _PROVE),
    "reproduce": (*_OF_TRAININGS, _CANDIDATE, _FORCE),
    "profile": (*_OF_TRAININGS, _CANDIDATE, _FORCE),
}


def _stage_command(name: str, stage: catalog.Stage) -> click.Command:
    def verb(
        working_directory: Path,
        as_json: bool,
        unjudged: str,
        trainings: tuple[str, ...] = (),
        force: bool | None = None,
        **given: Any,
    ) -> int:
        asked = pipeline.Asked(
            folder=working_directory,
            trainings=trainings,
            given={key: value for key, value in given.items() if value not in (None, "")},
            force=bool(force),
            say=_say,
        )
        return _run_stage(name, asked, as_json=as_json, warn=unjudged == "warn")

    title, _, rest = (stage.__doc__ or "").strip().partition("\n")
    for option in reversed((*OPTIONS[name], *_COMMON)):
        verb = option(verb)
    return click.command(name, help=f"{title}\n\n{rest.strip()}", short_help=title)(verb)


_UNJUDGED = click.option(
    "--unjudged",
    envvar="BACKBURN_UNJUDGED",
    type=click.Choice(["fail", "warn"]),
    default="fail",
    show_default=True,
    help="Whether what could not be judged is red (exit code 3) or a warning.",
)
_COMMON = (
    _FOLDER,
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr."),
    _UNJUDGED,
)

for _name, _stage in catalog.STAGES.items():
    cli.add_command(_stage_command(_name, _stage))


@cli.command(short_help="Do the project's own workflows pass here, before they are pushed?")
@click.argument(
    "workflows", metavar="[push|gpu|nightly|FILE]...", nargs=-1, shell_complete=_completing(completion.workflows)
)
@_FOLDER
@click.option("--dirty", is_flag=True, help="Overlay tracked changes that are not committed.")
@click.option("--fork", is_flag=True, help="The event is a pull request from a fork.")
@click.option("--event", metavar="NAME", default="", help="The event to rehearse. [default: from `on:`]")
@click.option("--var", "variables", metavar="NAME=VALUE", multiple=True, help="A repository variable.")
@click.option("--stand-in", "stand_ins", metavar="OWNER/REPO=DIR", multiple=True, help="A local copy of an action.")
@click.option(
    "--toolkit", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A checkout of backburn."
)
def rehearse(working_directory: Path, workflows: tuple[str, ...], **options: Any) -> int:
    """Do the project's own workflows pass here, before they are pushed?

    Runs them with the real `act` on fresh clones, so that only what is committed counts.
    """
    from . import rehearse as wing

    said = wing.rehearse(working_directory.absolute(), workflows, wing.Options.from_words(**options), _say)
    click.echo(wing.render(said, color=sys.stdout.isatty()), nl=False)
    if page := _written(lambda: pages.page(said.reports, said.folder / pages.PAGE)):
        click.echo(f"Page: {page}")
    return EXIT_CODES[said.verdict]


@cli.command(short_help="What are later trainings held against?")
@click.argument("stage", type=click.Choice([*catalog.REFERENCED]))
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@_FOLDER
@click.option(
    "--training",
    "trainings",
    metavar="NAME",
    multiple=True,
    shell_complete=_TRAININGS,
    help="Only this one. May be repeated.",
)
@click.option("--reason", metavar="TEXT", default="", help="Why, for those who read the reference.")
@click.option("--epoch", is_flag=True, help="Only the environment changed: the reference's own commit in another one.")
def bless(
    working_directory: Path, stage: str, file: Path | None, trainings: tuple[str, ...], reason: str, epoch: bool
) -> int:
    """What are later trainings held against?

    Makes what a training came to its reference, in references/: from FILE, a candidate.json or a folder of a downloaded
    artifact; else from the candidate that lies in build/backburn and is of this commit; else from a training now.
    """
    from . import bless as blessing

    asked = blessing.Asked(
        stage=stage, folder=working_directory, file=file, trainings=trainings, reason=reason, epoch=epoch
    )
    try:
        with _Progress(in_ci=False) as progress, process.watched_by(progress):
            done = blessing.bless(asked)
    except blessing.NoCandidate as error:
        code = _concluded(error.report, error.path, Actions(), as_json=False, warn=False)
        return code or EXIT_CODES[Verdict.UNJUDGED]
    width = min(140, shutil.get_terminal_size((100, 24)).columns)
    click.echo(blessing.render(done, Path.cwd(), width=width, colour=sys.stdout.isatty()), nl=False)
    return 0


@cli.command("diff", short_help="Where do two recorded trainings part?")
@click.argument("before", metavar="A", type=click.Path(path_type=Path))
@click.argument("now", metavar="B", type=click.Path(path_type=Path))
@click.option(
    "--training", metavar="NAME", default="", shell_complete=_TRAININGS, help="Which one, where A or B holds several."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def compare(before: Path, now: Path, training: str, as_json: bool) -> int:
    """Where do two recorded trainings part?

    Environment, settings, data, curves, metrics and modules of two runs of one training, and the first step that
    differs. A and B are each the evidence of `backburn reproduce` (build/backburn/reproduce/<training>), a downloaded
    artifact, or a reference. Exit code 0: the same to the last bit, 1: different.
    """
    from .reproduction import diff, printed, recorded

    found = diff.diff(recorded.read(before, training), recorded.read(now, training))
    if as_json:
        _print_json(evidence.plain(found) | {"same": found.same})
    else:
        width = min(140, shutil.get_terminal_size((100, 24)).columns)
        with commands_stopped(sys.stdout, Actions.from_environ().running):
            click.echo(printed.render(found, width=width, colour=sys.stdout.isatty()), nl=False)
    return EXIT_CODES[Verdict.PASS if found.same else Verdict.FAIL]


@cli.command(short_help="Which commit made a training differ?")
@click.argument("training", metavar="[TRAINING]", default="", shell_complete=_TRAININGS)
@_FOLDER
@click.option(
    "--good",
    envvar="BACKBURN_GOOD",
    default="",
    metavar="REV",
    help="A commit where it was as it should be. [default: that of its reference for this hardware]",
)
@click.option(
    "--bad",
    envvar="BACKBURN_BAD",
    default="HEAD",
    show_default=True,
    metavar="REV",
    help="A later one where it is not.",
)
@click.option(
    "--runs",
    envvar="BACKBURN_RUNS",
    type=click.IntRange(0),
    default=12,
    show_default=True,
    metavar="N",
    help="Whole trainings at most, where it does not repeat to the last bit.",
)
@click.option(
    "--budget",
    envvar="BACKBURN_BUDGET",
    type=click.FloatRange(0),
    default=0.25,
    show_default=True,
    metavar="X",
    help="Full trainings up to which further culprits are looked for.",
)
@click.option(
    "--require-gpu/--no-require-gpu",
    envvar="BACKBURN_REQUIRE_GPU",
    default=None,
    help="No GPU: unjudged, not done on the CPU.",
)
@click.option("--rehearsal", envvar="BACKBURN_REHEARSAL", is_flag=True, default=None, hidden=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, all else on stderr.")
@_UNJUDGED
def blame(working_directory: Path, training: str, as_json: bool, unjudged: str, **options: Any) -> int:
    """Which commit made a training differ?

    Trains the first steps of commits between a good and a bad one, each in a git worktree, until one commit is left
    behind which the training is another, to the last bit; then the bad one without that commit. Your files, your index
    and your branches stay as they are. Exit code 0: it was found; 3: it was not, for the reason that is said.
    """
    from . import blame as searching
    from .blame import told

    actions = Actions.from_environ()
    ours = {name: options.pop(name) for name in ("require_gpu", "rehearsal")}
    given = {name: value for name, value in ours.items() if value is not None}
    asked = searching.Asked(folder=working_directory, training=training, given=given, say=_say, **options)
    with _Progress(actions.running) as progress, process.watched_by(progress):
        found = searching.blame(asked)
    with commands_stopped(sys.stderr if as_json else sys.stdout, actions.running):
        click.echo("\n".join(map(told.terminal, found)), err=as_json, nl=False)
    verdict = Verdict.PASS if found and all(one.culprit for one in found) else Verdict.UNJUDGED
    if actions.running:  # the outputs first: by them the action keeps what was found
        folder = pipeline.project(working_directory)[0].root / pipeline.FOLDER / "reproduce"
        culprit = next((one.culprit.commit for one in found[:1] if one.culprit), "")
        actions.write_outputs({"verdict": verdict.value, "culprit": culprit, "folder": str(folder)})
        actions.write_summary("\n".join(map(told.markdown, found)))
    for one in found if actions.running else ():
        level = "notice" if one.culprit else "warning"
        said = command(level, f"{one.training}: {told.headline(one)}", title="backburn blame")
        click.echo(said, err=as_json)
    if as_json:
        _print_json({"blame": [evidence.plain(one) for one in found]})
    return 0 if verdict is Verdict.UNJUDGED and unjudged == "warn" else EXIT_CODES[verdict]


@cli.command(short_help="What did the nights say?")
@click.argument("folder", envvar="BACKBURN_PATH", default="artifacts", type=click.Path(path_type=Path))
@click.option(
    "--expect",
    envvar="BACKBURN_EXPECT",
    default="unit reproduce profile",
    show_default=True,
    metavar="STAGES",
    help="Stages that must have reported.",
)
@click.option(
    "--result",
    envvar="BACKBURN_RESULT",
    default="",
    metavar="RESULT",
    help="How the job that trained ended: success, failure, cancelled or skipped.",
)
@click.option("--rehearsal", envvar="BACKBURN_REHEARSAL", is_flag=True, help="Send nothing; the line stays here.")
def publish(folder: Path, expect: str, result: str, rehearsal: bool) -> int:
    """What did the nights say?

    Appends this one to the branch backburn-history and keeps an issue per training and kind of trouble. FOLDER holds
    the artifacts of the job that trained, a folder each; nothing in them is read but report.json.
    """
    from . import history as wing

    asked = wing.Asked.from_words(folder, expect, result, rehearsal, tuple(catalog.STAGES))
    actions = Actions.from_environ()
    with commands_stopped(sys.stdout, actions.running):
        published = wing.publish(asked, actions, click.echo)
    for level, said in published.findings:
        told = command(level.value, said, title="backburn publish") if actions.running else f"{level.value}: {said}"
        click.echo(told, err=not actions.running)
    return EXIT_CODES[Verdict.PASS if published.ok else Verdict.UNJUDGED]


@cli.command("report", short_help="What did the stages say?")
@click.argument("places", metavar="[PATH]...", nargs=-1, envvar="BACKBURN_PATH", type=click.Path(path_type=Path))
@_FOLDER
@click.option("--html", metavar="FILE", type=click.Path(path_type=Path), help="Where the page goes.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="All of it as JUnit's XML, too.")
@click.option("--sarif", metavar="FILE", type=click.Path(path_type=Path), help="All of it as SARIF, too.")
def tell(working_directory: Path, places: tuple[Path, ...], **files: Path | None) -> int:
    """What did the stages say?

    Reads every report.json beneath the PATHs (none: the project's build/backburn) and writes one page of them,
    report.html in build/backburn; with PATHs, here. It judges nothing: exit code 0 when the page is written.
    """
    told = pages.tell(working_directory, places, files)
    actions = Actions.from_environ()
    with commands_stopped(sys.stdout, actions.running):
        for line in told.lines:
            click.echo(line)
    if actions.running:
        actions.write_summary(catalog.RENDERERS["summary"].render(told.reports, Look()))
        actions.write_outputs({"verdict": told.verdict.value, "report": str(told.page)})
    return 0


@cli.command("toolkit", short_help="Where are its own actions and its template?")
def where() -> int:
    """Where are its own actions and its template?

    A folder, or a zip; cookiecutter takes either: cookiecutter "$(backburn toolkit)" --directory templates/project
    """
    if (place := toolkit.place()) is None:
        said = "this backburn was installed without its actions and its template"
        raise UserError(said, hint="Install its wheel: pip install backburn")
    click.echo(place)
    return 0


@cli.command("completion", short_help="What completes words in bash, zsh and fish?")
@click.argument("shell", type=click.Choice(completion.SHELLS))
def complete(shell: str) -> int:
    """What completes words in bash, zsh and fish?

    Prints a script for the shell's start-up file, such as .bashrc: eval "$(backburn completion bash)". Verbs, options,
    the project's trainings and its workflows are completed.
    """
    from click.shell_completion import get_completion_class

    if speaker := get_completion_class(shell):
        click.echo(speaker(cli, {}, "backburn", "_BACKBURN_COMPLETE").source())
    return 0


class _Pool(click.Group):
    """The wing's own door, which is opened when one of its verbs is asked for."""

    def _door(self) -> click.Group:
        from .pool.door import pool

        return pool

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._door().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._door().get_command(ctx, cmd_name)


@cli.group("pool", cls=_Pool, short_help="Does each GPU of this machine have a runner?")
def pool() -> None:
    """Does each GPU of this machine have a runner?

    The supervisor of single-use GitHub runners (run), and what is asked and wanted of it. All read pool.toml.
    """


def _say(line: str) -> None:
    click.echo(line, err=True)


def _run_stage(name: str, asked: pipeline.Asked, *, as_json: bool, warn: bool) -> int:
    actions = Actions.from_environ()
    with _Progress(actions.running) as progress, process.watched_by(progress):
        report, path = pipeline.run(name, asked)
    return _concluded(report, path, actions, as_json=as_json, warn=warn)


def _concluded(report: Report, path: Path, actions: Actions, *, as_json: bool, warn: bool) -> int:
    warned = warn and report.verdict is Verdict.UNJUDGED and not report.interrupted
    _publish(report, path, actions, as_json=as_json, warned=warned)
    if report.interrupted:
        return Interrupted(signal.Signals[report.interrupted.split()[-1]]).exit_code
    return 0 if warned else EXIT_CODES[report.verdict]


def _publish(report: Report, path: Path, actions: Actions, *, as_json: bool, warned: bool) -> None:
    """To stdout (or, beside a JSON document, stderr), the annotations, the summary and the step's outputs."""
    stream = sys.stderr if as_json else sys.stdout
    look = Look(
        width=min(140, shutil.get_terminal_size((100, 24)).columns),
        colour=stream.isatty() or actions.running,
        unjudged=Level.WARNING if warned else Level.ERROR,
        again=shlex.join(["backburn", *click.get_current_context().obj]),
        folder=os.path.relpath(path.parent),
    )
    look = dataclasses.replace(look, page=_written(lambda: pages.leave(report, path, look)))
    with commands_stopped(stream, actions.running):
        click.echo(catalog.RENDERERS["terminal"].render([report], look), file=stream, nl=False, color=look.colour)
    if actions.running:  # the outputs first: by them the action keeps the evidence, whatever comes after
        actions.write_outputs(_outputs(report, path))
        click.echo(catalog.RENDERERS["annotations"].render([report], look), file=stream)
        actions.write_summary(catalog.RENDERERS["summary"].render([report], look))
    if as_json:  # last: what ends us before prints a document too, and two are none
        _print_json(_document(report))


def _print_json(document: dict[str, Any]) -> None:
    """To stdout, and no word of it is a command: a runner obeys `##[error]` within a line, too."""
    click.echo(evidence.dumps(document).replace(b"##[", rb"#\u0023["), nl=False)


def _written(write: Callable[[], Path]) -> str:
    """The way to the page that `write` writes; empty, and said on stderr, where it cannot: the verdict stands.

    Also where the bug is ours: what is written for readers decides nothing, and no commit is red or green by it.
    """
    try:
        return os.path.relpath(write())
    except OSError as error:
        _say(f"no page was written: {error.strerror}: {error.filename}")
    except Exception as error:
        with _as_text():
            traceback.print_exception(error)
        said = f"no page was written: this is a bug of backburn {__version__}, please report it. The verdict stands."
        _say(command("warning", said, title="backburn") if Actions.from_environ().running else f"warning: {said}")
    return ""


def _document(report: Report) -> dict[str, Any]:
    """The report as `--json` prints it: with the verdicts, which the file leaves to be derived."""
    plain = evidence.plain(report)
    for told, outcome in zip(plain["outcomes"], report.outcomes, strict=True):
        told["verdict"] = outcome.verdict.value
    return {"verdict": report.verdict.value, "report": plain}


def _outputs(report: Report, path: Path) -> dict[str, str]:
    """`verdict`, `report`, `folder` (both absolute), and the first training's figures, `best loss` as `best-loss`."""
    outputs = {"verdict": report.verdict.value, "report": str(path), "folder": str(path.parent)}
    for figure in (one for one in report.figures if one.training == report.figures[0].training):
        outputs[figure.name.replace(" ", "-")] = figure.text if figure.value is None else str(figure.value)
    return outputs


class _Progress:
    """What a waiting person sees on stderr: a spinner on a terminal, a line a minute in CI, else nothing."""

    def __init__(self, in_ci: bool) -> None:
        self.in_ci, self.on_terminal = in_ci, sys.stderr.isatty()
        self.said = time.monotonic()
        self.status: Any = None

    def __call__(self, label: str, seconds: float) -> None:
        now = time.monotonic()
        if now - self.said < (60 if self.in_ci else 0.2):
            return
        self.said = now
        if self.in_ci:
            print(f"{label}: {seconds:.0f} s", file=sys.stderr, flush=True)
        elif self.on_terminal:
            self._spin(f"{label} {seconds:.0f} s")

    def _spin(self, text: str) -> None:
        if self.status is None:
            from rich.console import Console

            self.status = Console(stderr=True).status(text)
            self.status.start()
        self.status.update(text)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.status is not None:
            self.status.stop()


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run one verb and exit with its code: the only place that does."""
    for number in process.ending():
        signal.signal(number, _interrupt)
    _expect_streams()
    sys.exit(_guarded(list(sys.argv[1:] if argv is None else argv)))


def _expect_streams() -> None:
    """Let no stream's own shape end us: one that is closed (`>&-`), or a locale that lacks our signs."""
    sys.stdout = sys.stdout or open(os.devnull, "w")
    sys.stderr = sys.stderr or open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted(number)


def _guarded(argv: list[str]) -> int:
    """The one boundary: the user's mistake, an interrupt and a bug of ours are three different exits."""
    try:
        _expect_docstrings()
        return int(cli.main(args=argv, prog_name="backburn", standalone_mode=False, obj=argv) or 0)
    except click.ClickException as error:
        with _as_text():
            error.show()
        return _told(argv, error.format_message(), ASKED_WRONGLY)
    except Interrupted as error:
        click.echo(str(error), err=True)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output is gone (`backburn … | head`)
        return 128 + signal.SIGPIPE
    except Exception as error:
        return _failed(argv, error)


def _expect_docstrings() -> None:
    if sys.flags.optimize > 1:
        hint = "Unset PYTHONOPTIMIZE; a training that is to run so gets it by its own `env`."
        raise UserError("reports are made of docstrings, which python -OO leaves out", hint=hint)


def _failed(argv: list[str], error: Exception) -> int:
    """Asked wrongly, a full disk, or a bug of ours."""
    if full := _full_disk(error):
        where = f": {full.filename}" if full.filename else ""
        said, code = f"the disk is full{where}\n  Make room, and run it again.", EXIT_CODES[Verdict.UNJUDGED]
    elif isinstance(error, UserError):
        said, code = spelled(str(error)), ASKED_WRONGLY
    else:
        said = f"This is a bug of backburn {__version__}, not of your code: please report it."
        code = OUR_BUG
    with _as_text():
        if code == OUR_BUG:
            traceback.print_exception(error)
        click.echo(said if code == OUR_BUG else f"error: {said}", err=True)
    return _told(argv, said, code)


def _as_text() -> contextlib.AbstractContextManager[None]:
    """What was asked wrongly is repeated, and may hold a line that the runner would obey."""
    return commands_stopped(sys.stderr, Actions.from_environ().running)


def _full_disk(error: BaseException | None) -> OSError | None:
    """The write that found no room, itself or as the cause of what was raised."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    return _full_disk(error.__cause__) if error else None


def _told(argv: list[str], said: str, code: int) -> int:
    """What ended a verb before it had a report, where its readers look: the JSON, an annotation, the summary."""
    with contextlib.suppress(OSError, UserError):  # they may lie on a full disk; the code stands
        if "--json" in argv:
            _print_json({"verdict": None, "error": said, "exit-code": code})
        actions = Actions.from_environ()
        if actions.running:
            verb = argv[0] if argv and argv[0] in cli.commands else "backburn"
            click.echo(command("error", said, title=f"backburn {verb}"), err=True)
            actions.write_summary(f"### ❌ {verb}: exit code {code}\n\n<pre>{html.escape(said, quote=False)}</pre>\n")
    return code
