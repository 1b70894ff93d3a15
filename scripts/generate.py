"""Write what is derived: the `action.yml` of each stage and of blame, the tables in docs/ and in READMEs of actions.

`.venv/bin/python scripts/generate.py` writes, `--check` only says what is out of date (exit 1). It reads the code of
the checkout that it lies in, whatever is installed.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from backburn import catalog, cli, config  # noqa: E402
from backburn.report import Check, Generated, name_of  # noqa: E402

UPLOAD = "actions/upload-artifact@043fb46d1a93c77aae656e7c1c64a875d1fc6a0a # v7.0.1"

# Only what differs from job to job is an input (name -> what it is for, default); the rest is in pyproject.toml.
INPUTS = {
    "working-directory": ("The project's folder, the one that holds its `pyproject.toml`.", "."),
    "unjudged": ("What a stage that could not be judged does to the job: `fail` or `warn`.", "fail"),
    "artifact-name": (
        "Name of the artifact with report and evidence. Give one where a job uses this action twice.",
        "{stage}-${{{{ github.job }}}}-${{{{ strategy.job-index }}}}",  # the index tells the legs of a matrix apart
    ),
}
REQUIRE_GPU = {
    "require-gpu": ("`true`: without a GPU the stage is unjudged; empty: as `[tool.backburn.{stage}]` says.", ""),
}
FORCE = {
    "force": ("`true`: trains although nothing that the training reaches has changed.", ""),
}
SELECT = {
    "select": ("Only tests with these markers, as pytest's `-m`; empty: as `[tool.backburn.unit]` says.", ""),
}
EXTRA_INPUTS: dict[str, dict[str, tuple[str, str]]] = {
    "hygiene": {},
    "unit": SELECT,
    "memorize": REQUIRE_GPU | FORCE,
    "reproduce": REQUIRE_GPU | FORCE,
    "profile": REQUIRE_GPU | FORCE,
}

# Verbs that are no stage -> the page with their options.
PAGES = {
    "rehearse": "docs/rehearse.md",
    "bless": "docs/references.md",
    "diff": "docs/diff.md",
    "blame": "docs/blame.md",
    "publish": "docs/history.md",
    "report": "docs/report.md",
}

# Every action has these, then its own: figures of the stage, which the CLI writes under their own names.
OUTPUTS = {
    "verdict": "`pass`, `fail` or `unjudged`; empty where the stage was asked wrongly.",
    "report": "Path of `report.json`.",
}
FIGURES = {
    "hygiene": {"hooks-failed": "How many hooks failed."},
    "unit": {"tests": "How many tests ran, doctests included.", "failed": "How many of them failed."},
    "memorize": {
        "best-loss": "The lowest loss on the batch, of the first training.",
        "steps": "Optimizer steps it took.",
        "device": "Where it ran.",
    },
    "reproduce": {
        "steps": "Training batches it took, of the first training.",
        "seconds": "How long that took, from the command's start to its end.",
        "device": "Where it ran.",
    },
    "profile": {
        "step-time": "Median milliseconds of a training step, of the first training.",
        "operations": "How many tensor operations were counted.",
        "device": "Where it ran.",
    },
}

ACTION = """\
# Written by scripts/generate.py, which keeps the actions alike: change that, not this.
name: backburn {stage}
description: {question}
inputs:
{inputs}
outputs:
{outputs}
runs:
  using: composite
  steps:
    - id: stage
      name: {stage}
      shell: bash
      env:
{env}
      run: exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" {stage}
    - name: Keep report and evidence
      if: ${{{{ always() && steps.stage.outputs.folder != '' }}}}
      uses: {upload}
      with:
        name: ${{{{ inputs.artifact-name }}}}
        path: ${{{{ steps.stage.outputs.folder }}}}
        retention-days: 14
"""


# No stage, and in a job that trains all the same: what the stage reproduce is asked about afterwards.
BLAME = "blame"
GOOD = {"good": ("A commit where it was as it should be; empty: that of its reference for this hardware.", "")}
BLAMES = {
    "working-directory": INPUTS["working-directory"],
    "artifact-name": (
        "Name of the artifact with what was found. Give one where a job uses this action twice.",
        INPUTS["artifact-name"][1],
    ),
    "unjudged": ("What a search that found no commit does to the job: `fail` or `warn`.", "fail"),
    "require-gpu": (REQUIRE_GPU["require-gpu"][0].format(stage="reproduce"), ""),
}
FOUND = {
    "verdict": "`pass`: a commit was found for each training; `unjudged`: not so; empty where blame was asked wrongly.",
    "culprit": "The full hash of the commit, for the first training; empty where none was found.",
}
BLAMING = """\
# Written by scripts/generate.py, which keeps the actions alike: change that, not this.
name: backburn blame
description: {question}
inputs:
{inputs}
outputs:
{outputs}
runs:
  using: composite
  steps:
    - id: blame
      name: blame
      shell: bash
      env:
{env}
      run: exec python3 "$GITHUB_ACTION_PATH/../bootstrap.py" blame
    - name: Keep what was found
      if: ${{{{ always() && steps.blame.outputs.folder != '' }}}}
      uses: {upload}
      with:
        name: ${{{{ inputs.artifact-name }}}}
        path: ${{{{ steps.blame.outputs.folder }}}}/*/blame.json
        retention-days: 14
"""


def inputs(stage: str) -> dict[str, tuple[str, str]]:
    """Name -> (what it is for, default)."""
    every = BLAMES | GOOD if stage == BLAME else INPUTS | EXTRA_INPUTS[stage]
    return {name: (text.format(stage=stage), default.format(stage=stage)) for name, (text, default) in every.items()}


def outputs(stage: str) -> dict[str, str]:
    """Name -> what it is."""
    return FOUND if stage == BLAME else OUTPUTS | FIGURES[stage]


def question(stage: str) -> str:
    """The first line of the stage's page; it may not need quotes in YAML."""
    return asked(BLAME) if stage == BLAME else first_line(catalog.STAGES[stage])


def asked(verb: str) -> str:
    """The question of a verb that is no stage."""
    return (cli.cli.commands[verb].help or "").partition("\n")[0]


def first_line(told: object) -> str:
    """Of a docstring."""
    return (told.__doc__ or "").partition("\n")[0]


def action(stage: str) -> str:
    """The whole action.yml."""
    step, template = (BLAME, BLAMING) if stage == BLAME else ("stage", ACTION)
    given = "".join(
        f'  {name}:\n    description: "{text}"\n    default: "{default}"\n'
        for name, (text, default) in inputs(stage).items()
    )
    back = "".join(
        f'  {name}:\n    description: "{text}"\n    value: ${{{{ steps.{step}.outputs.{name} }}}}\n'
        for name, text in outputs(stage).items()
    )
    # The name of the artifact is the upload's business; everything else is an option of the CLI.
    options = [name for name in inputs(stage) if name != "artifact-name"]
    env = "".join(f"        {variable(name)}: ${{{{ inputs.{name} }}}}\n" for name in options)
    parts = {"inputs": given.rstrip(), "outputs": back.rstrip(), "env": env.rstrip()}
    return template.format(stage=stage, question=question(stage), upload=UPLOAD, **parts)


def variable(name: str) -> str:
    """`require-gpu` -> `BACKBURN_REQUIRE_GPU`, as the CLI reads it."""
    return "BACKBURN_" + name.upper().replace("-", "_")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; `|` may stand in a cell."""
    lines = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    told = [f"| {' | '.join(cells)} |\n" for cells in lines]
    return "".join((told[0], "|" + "---|" * len(head) + "\n", *told[1:]))


def code(text: str) -> str:
    """As code; nothing where there is nothing."""
    return f"`{text}`" if text else ""


def tables(declared: str) -> str:
    """Inputs and outputs of an action, from the text of its action.yml."""
    parts = yaml.safe_load(declared)
    given = ((f"`{name}`", one["description"], code(one["default"])) for name, one in parts["inputs"].items())
    back = ((f"`{name}`", one["description"]) for name, one in parts["outputs"].items())
    return table(("input", "what it is for", "default"), given) + "\n" + table(("output", "what it is"), back)


def checks(stage: str) -> str:
    """The checks of a stage in their order, each with the claim that holds when it passes."""
    return table(("check", "claim"), map(claim, catalog.STAGES[stage].CHECKS))


def claim(check: Check | Generated) -> tuple[str, str]:
    """Name and claim of a check, or what is said of all that are made from the evidence."""
    if isinstance(check, Generated):
        return "…", first_line(check.make)
    return f"`{name_of(check)}`", first_line(check)


def keys(stage: str) -> str:
    """The keys of `[tool.backburn.<stage>]`: name, default, and the comment beside the field; `(x.md)` is a link."""
    schema = catalog.STAGES[stage].Config
    source = re.sub(r"\((\w+\.md)\)", r"([\1](\1))", inspect.getsource(schema))
    said = dict(re.findall(r"^    (\w+): .*?  # (.+)$", source, re.MULTILINE))
    fields = [one for one in msgspec.structs.fields(schema) if one.name not in config.NOT_IN_FILE]
    rows = ((f"`{one.encode_name}`", code(toml(one.default)), said[one.name]) for one in fields)
    return table(("key", "default", "what it is"), rows)


def toml(value: Any) -> str:
    """As pyproject.toml would have it; nothing for None."""
    if isinstance(value, config.Seconds):
        size, unit = next((size, unit) for unit, size in reversed(config.UNITS.items()) if not value % size)
        return f'"{value / size:g}{unit}"'
    if isinstance(value, tuple):
        return str(list(value))
    return "" if value is None else json.dumps(value)


def words(verb: str) -> str:
    """The options of a verb on the command line, without those that every stage has."""
    return listed(one for one in shown(verb) if one.name not in {other.name for other in common()})


def listed(options: Iterable[click.Option]) -> str:
    """One row per option, with the variable that says the same."""
    rows = ((spelled(one), code(str(one.envvar or "")), one.help or "") for one in options)
    return table(("option", "variable", "what it does"), rows)


def common() -> list[click.Option]:
    """The options that all stages have."""
    every = [{one.name for one in shown(stage)} for stage in catalog.STAGES]
    return [one for one in shown("hygiene") if all(one.name in names for names in every)]


def shown(verb: str) -> list[click.Option]:
    """The options of a verb that its help shows."""
    return [one for one in cli.cli.commands[verb].params if isinstance(one, click.Option) and not one.hidden]


def spelled(option: click.Option) -> str:
    """`--base REV`, `-C`, `--require-gpu`."""
    value = option.metavar or "|".join(getattr(option.type, "choices", ()))
    return ", ".join(f"`{f'{name} {value}'.strip()}`" for name in (*option.opts, *option.secondary_opts))


def overview() -> str:
    """One row per action."""
    rows = (
        f"| [`{stage}`](../actions/{stage}/README.md) | {question(stage)} | {cells(stage)} |\n" for stage in FIGURES
    )
    return "| action | question | outputs beside `verdict` and `report` |\n|---|---|---|\n" + "".join(rows)


def cells(stage: str) -> str:
    """The names of a stage's own outputs."""
    return ", ".join(f"`{name}`" for name in FIGURES[stage])


def between_marks(path: Path, parts: dict[str, str]) -> str:
    """The file's text with each body between its two marks. Raises ValueError when a mark is missing."""
    text = path.read_text(encoding="utf-8")
    for name, body in parts.items():
        begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
        found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(found.findall(text)) != 1:
            raise ValueError(f"{path}: expected one {begin.strip()} … {end}")
        text = found.sub(lambda match, new=begin + body + end: new, text)  # type: ignore[misc]
    return text


def derived() -> Iterator[tuple[Path, str]]:
    """Every derived file with what it should hold."""
    for stage in (*FIGURES, BLAME):
        yield ROOT / f"actions/{stage}/action.yml", action(stage)
    for path, parts in marked():
        yield path, between_marks(path, parts)


def marked() -> Iterator[tuple[Path, dict[str, str]]]:
    """Every file with marks: what goes between those of each name."""
    for path in sorted((ROOT / "actions").glob("*/action.yml")):
        name = path.parent.name
        declared = action(name) if name in (*FIGURES, BLAME) else path.read_text(encoding="utf-8")
        yield path.parent / "README.md", {"tables": tables(declared)}
    yield ROOT / "docs/actions.md", {"actions": overview()}
    yield ROOT / "docs/configuration.md", {"command line": listed(common())}
    for stage in catalog.STAGES:
        parts = {"checks": checks(stage), "keys": keys(stage), "command line": words(stage)}
        yield ROOT / f"docs/{stage}.md", parts
    for verb, page in PAGES.items():
        yield ROOT / page, {"command line": words(verb)}


def main(arguments: list[str]) -> int:
    """0 when everything is (or was made) current."""
    stale = [(path, text) for path, text in derived() if not path.is_file() or path.read_text("utf-8") != text]
    for path, text in stale:
        print(f"{'out of date' if arguments == ['--check'] else 'written'}: {path.relative_to(ROOT)}")
        if arguments != ["--check"]:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
