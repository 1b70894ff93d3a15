"""Write what is derived: the `action.yml` of each stage and the tables in their READMEs and in docs/actions.md.

`python scripts/generate.py` writes, `--check` only says what is out of date (exit 1). Standard library only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
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
SELECT = {
    "select": ("Only tests with these markers, as pytest's `-m`; empty: as `[tool.backburn.unit]` says.", ""),
}
EXTRA_INPUTS: dict[str, dict[str, tuple[str, str]]] = {
    "hygiene": {},
    "unit": SELECT,
    "memorize": REQUIRE_GPU,
    "reproduce": REQUIRE_GPU,
    "profile": REQUIRE_GPU,
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


def inputs(stage: str) -> dict[str, tuple[str, str]]:
    """Name -> (what it is for, default)."""
    every = INPUTS | EXTRA_INPUTS[stage]
    return {name: (text.format(stage=stage), default.format(stage=stage)) for name, (text, default) in every.items()}


def outputs(stage: str) -> dict[str, str]:
    """Name -> what it is."""
    return OUTPUTS | FIGURES[stage]


def question(stage: str) -> str:
    """The first line of the stage's page; it may not need quotes in YAML."""
    page = (ROOT / f"src/backburn/stages/{stage}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(page)) or "").partition("\n")[0]


def action(stage: str) -> str:
    """The whole action.yml."""
    given = "".join(
        f'  {name}:\n    description: "{text}"\n    default: "{default}"\n'
        for name, (text, default) in inputs(stage).items()
    )
    back = "".join(
        f'  {name}:\n    description: "{text}"\n    value: ${{{{ steps.stage.outputs.{name} }}}}\n'
        for name, text in outputs(stage).items()
    )
    # The name of the artifact is the upload's business; everything else is an option of the CLI.
    options = [name for name in inputs(stage) if name != "artifact-name"]
    env = "".join(f"        {variable(name)}: ${{{{ inputs.{name} }}}}\n" for name in options)
    parts = {"inputs": given.rstrip(), "outputs": back.rstrip(), "env": env.rstrip()}
    return ACTION.format(stage=stage, question=question(stage), upload=UPLOAD, **parts)


def variable(name: str) -> str:
    """`require-gpu` -> `BACKBURN_REQUIRE_GPU`, as the CLI reads it."""
    return "BACKBURN_" + name.upper().replace("-", "_")


def tables(stage: str) -> str:
    """Inputs and outputs as Markdown."""
    given = "".join(
        f"| `{name}` | {text} | {f'`{default}`' if default else ''} |\n"
        for name, (text, default) in inputs(stage).items()
    )
    back = "".join(f"| `{name}` | {text} |\n" for name, text in outputs(stage).items())
    return f"| input | what it is for | default |\n|---|---|---|\n{given}\n| output | what it is |\n|---|---|\n{back}"


def overview() -> str:
    """One row per action."""
    rows = (
        f"| [`{stage}`](../actions/{stage}/README.md) | {question(stage)} | {cells(stage)} |\n" for stage in FIGURES
    )
    return "| action | question | outputs beside `verdict` and `report` |\n|---|---|---|\n" + "".join(rows)


def cells(stage: str) -> str:
    """The names of a stage's own outputs."""
    return ", ".join(f"`{name}`" for name in FIGURES[stage])


def between_marks(path: Path, name: str, body: str) -> str:
    """The file's text with `body` between its two marks. Raises ValueError when a mark is missing."""
    text = path.read_text(encoding="utf-8")
    begin, end = f"<!-- generated: {name} -->\n", "<!-- end -->"
    found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if len(found.findall(text)) != 1:
        raise ValueError(f"{path}: expected one {begin.strip()} … {end}")
    return found.sub(lambda match: begin + body + end, text)


def derived() -> Iterator[tuple[Path, str]]:
    """Every derived file with what it should hold."""
    for stage in FIGURES:
        folder = ROOT / "actions" / stage
        yield folder / "action.yml", action(stage)
        yield folder / "README.md", between_marks(folder / "README.md", "tables", tables(stage))
    yield ROOT / "docs/actions.md", between_marks(ROOT / "docs/actions.md", "actions", overview())


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
