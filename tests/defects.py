"""The table of the road: defects that are planted in a bake, and what each check is seen to say of them.

A run is one rehearsal. It may carry several defects that do not hide each other: act's own start costs more than most
stages.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import planted
from .planted import PLANTED

Edit = tuple[str, str, str] | Callable[[Path], None]  # file, old (empty: a new file), new


@dataclass(frozen=True, kw_only=True)
class Defect:
    """Edits of a bake, and check -> what it says then: a verdict, or of a pass the worst level of its findings.

    Of the checks of one stage the first is the cause, which is named before all others.
    """

    edits: tuple[Edit, ...]
    shows: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Run:
    """A workflow and the defects that are in it. The quick ones are for each push, the others for CI."""

    workflow: str
    defects: tuple[str, ...]
    quick: bool = False


# By their design these never fail, or not on the CPU; each shows the most that it can say.
NEVER_RED = {
    "hygiene/within-budget": "warning",
    "unit/tests-were-collected": "unjudged",
    "unit/doctests-were-read": "warning",
    "unit/seconds-within-budget": "warning",
    "memorize/on-gpu": "unjudged",
    "memorize/within-budget": "warning",
    "reproduce/on-gpu": "unjudged",
    "reproduce/reference-is-comparable": "unjudged",
    "profile/on-gpu": "unjudged",
    "profile/counts-are-steady": "notice",
    "profile/reference-is-comparable": "unjudged",
    "profile/memory-does-not-rise": "unjudged",  # red takes CUDA memory: tests/stages/test_profile.py
    "profile/step-time": "warning",
    "profile/waiting-share": "warning",
    "profile/resident-memory": "warning",
}

# What only a person asks for, by an option of the command line; seen red in tests/memorization.
BY_HAND = {"memorize/proof"}

MODEL, DATA, TRAIN = "src/digits/model.py", "src/digits/data.py", "src/digits/train.py"
CONFIG, HOOKS = "pyproject.toml", ".pre-commit-config.yaml"


def option(table: str, line: str) -> Edit:
    """One more option in pyproject.toml, in a table that is not there yet."""
    before = "\n[tool.black]\n"
    return CONFIG, before, f"\n[tool.backburn.{table}]\n{line}\n{before}"


def local_hook(identity: str, entry: str) -> Edit:
    """A hook that runs before all others."""
    hook = f"      - id: {identity}\n        name: {identity}\n        language: system\n        entry: {entry}\n"
    return HOOKS, "    hooks:\n", f"    hooks:\n{hook}        always_run: true\n        pass_filenames: false\n"


def without_gpu(workflow: str) -> Edit:
    """As on a runner without a GPU, where a rehearsal would go on on the CPU."""
    given = 'with: { require-gpu: "true"'
    path = f".github/workflows/{workflow}.yml"

    def edit(folder: Path) -> None:
        text = (folder / path).read_text()
        assert given in text
        env = 'env: { BACKBURN_REHEARSAL: "false", CUDA_VISIBLE_DEVICES: "" }\n        '
        (folder / path).write_text(text.replace(given, env + given))

    return edit


def reference(folder: Path, stage: str) -> Path:
    """The bake has one training and one machine."""
    (path,) = (folder / "references" / stage / "digits").iterdir()
    return path


def moved(stage: str) -> Edit:
    """The reference as one of another machine."""

    def edit(folder: Path) -> None:
        path = reference(folder, stage)
        other = json.loads(path.read_text())
        other["machine"]["hardware"] = "nvidia-h200"
        path.with_name("nvidia-h200.json").write_text(json.dumps(other))
        path.unlink()

    return edit


def of_cuda(folder: Path) -> None:
    """A reference of `profile` that used CUDA memory."""
    path = reference(folder, "profile")
    text = path.read_text()
    assert text.count('"peak memory": [0, 0]') == 1
    path.write_text(text.replace('"peak memory": [0, 0]', '"peak memory": [1048576, 1048576]'))


def trainings(folder: Path) -> None:
    """A training for each check of memorize, with a reference in which no check had found anything.

    What has a healthy reading warns until there is a reference, and fails where it is new against one.
    """
    shutil.copy(planted.__file__, folder / "planted.py")
    tables = []
    for check in PLANTED:
        tables.append(f'[tool.backburn.trainings.{check}]\ncommand = "python planted.py {check}"\n\n')
        reviewed = planted.REVIEWED.get(check, {})
        settings = {"found": ""} | reviewed.get("settings", {})
        about = {"stage": "memorize", "training": check, "seeds": [42], "kind": "reference", "schema": 1}
        about |= {"figures": reviewed.get("figures", {}), "settings": settings, "machine": {"hardware": "any"}}
        path = folder / "references" / "memorize" / check / "any.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(about))
    before = "[tool.black]\n"
    text = (folder / CONFIG).read_text()
    assert text.count(before) == 1
    (folder / CONFIG).write_text(text.replace(before, "".join(tables) + before))


LOSS, SCORES = "        loss = functional.cross_entropy(scores, digits)\n", "        scores = self(images)\n"
LOADER = "        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)\n"

DEFECTS = {
    # hygiene
    "a hook that hangs": Defect(
        edits=(local_hook("waits", "sleep 60"), option("hygiene", "timeout = 10")),
        shows={"hygiene/every-hook-ran": "fail"},
    ),
    "a large file": Defect(
        edits=(("weights.txt", "", "0.5\n" * 300_000),), shows={"hygiene/check-added-large-files": "fail"}
    ),
    "a conflict that was committed": Defect(
        edits=(("notes.txt", "", "<<<<<<< HEAD\none\n=======\nother\n>>>>>>> branch\n"),),
        shows={"hygiene/check-merge-conflict": "fail"},
    ),
    "a private key": Defect(
        edits=(("deploy.pem", "", "-----BEGIN " + "RSA PRIVATE KEY-----\n"),),
        shows={"hygiene/detect-private-key": "fail"},
    ),
    "TOML that does not parse": Defect(
        edits=(("sweep.toml", "", "rates = [0.1, 0.2\n"),), shows={"hygiene/check-toml": "fail"}
    ),
    "YAML that does not parse": Defect(
        edits=(("sweep.yaml", "", "rates: [0.1, 0.2\n"),), shows={"hygiene/check-yaml": "fail"}
    ),
    "no newline at the end": Defect(edits=(("end.txt", "", "the end"),), shows={"hygiene/end-of-file-fixer": "fail"}),
    "a trailing space": Defect(edits=(("space.txt", "", "a space \n"),), shows={"hygiene/trailing-whitespace": "fail"}),
    "badly formatted": Defect(
        edits=((MODEL, "return self.layers(images)", "return  self.layers( images )"),), shows={"hygiene/black": "fail"}
    ),
    "an import that nobody uses": Defect(
        edits=((TRAIN, "from lightning.pytorch.cli", "import os\n\nfrom lightning.pytorch.cli"),),
        shows={"hygiene/flake8": "fail"},
    ),
    "a variable without quotes": Defect(
        edits=(("fetch.sh", "", "#!/bin/sh\nrm -r $1\n"),), shows={"hygiene/shellcheck": "fail"}
    ),
    "a wrong type": Defect(edits=((DATA, "SIDE = 8 ", "SIDE: str = 8 "),), shows={"hygiene/mypy": "fail"}),
    "hooks that take too long": Defect(
        edits=(local_hook("builds-the-docs", "sleep 2"), option("hygiene", "budget = 1")),
        shows={"hygiene/within-budget": "warning"},
    ),
    # unit
    "a wrong doctest": Defect(edits=((MODEL, "    0.5\n", "    0.75\n"),), shows={"unit/tests-pass": "fail"}),
    "a crash in native code": Defect(
        edits=(
            (
                "tests/test_train.py",
                "def test_it_learns(tmp_path: Path) -> None:\n",
                "def test_it_learns(tmp_path: Path) -> None:\n    import ctypes\n\n    ctypes.string_at(0)\n",
            ),
        ),
        shows={"unit/pytest-ran-to-its-end": "fail"},
    ),
    "no test is selected": Defect(
        edits=(option("unit", 'select = "slow and not slow"'),), shows={"unit/tests-were-collected": "unjudged"}
    ),
    "a module that needs an extra": Defect(
        edits=(("src/digits/export.py", "", '"""To ONNX."""\n\nimport onnx\n\nVERSION = onnx.__version__\n'),),
        shows={"unit/doctests-were-read": "warning"},
    ),
    "tests that take too long": Defect(
        edits=(option("unit", "budget = 1"),), shows={"unit/seconds-within-budget": "warning"}
    ),
    # memorize, and what else sees it
    "no GPU": Defect(
        edits=(without_gpu("gpu"), without_gpu("nightly")),
        shows={"memorize/on-gpu": "unjudged", "reproduce/on-gpu": "unjudged", "profile/on-gpu": "unjudged"},
    ),
    "a shape that does not fit": Defect(
        edits=((MODEL, "nn.Linear(2 * width * (SIDE // 2) ** 2, CLASSES)", "nn.Linear(width, CLASSES)"),),
        shows={
            "unit/tests-pass": "fail",
            "memorize/training-ran": "fail",
            "reproduce/training-ran": "fail",
            "profile/training-ran": "fail",
        },
    ),
    "wrong sign": Defect(
        edits=((MODEL, "        return loss\n", "        return -loss\n"),),
        shows={"memorize/loss-sign": "fail"},
    ),
    "a training for each check of memorize": Defect(
        edits=(trainings,),
        shows={f"memorize/{check}": "fail" for check in PLANTED},
    ),
    "a training that starts too slowly": Defect(
        edits=(option("memorize", "budget = 1"),), shows={"memorize/within-budget": "warning"}
    ),
    # reproduce
    "a learning rate that overflows": Defect(
        edits=((MODEL, "learning_rate: float = 3e-3", "learning_rate: float = 1e30"),),
        shows={"unit/tests-pass": "fail", "reproduce/loss-is-finite": "fail"},
    ),
    "fewer epochs": Defect(
        edits=(option("trainings.digits.reproduce", 'args = "--trainer.max_epochs=1"'),),
        shows={"reproduce/same-training": "fail"},
    ),
    "a loss that is summed": Defect(
        edits=((MODEL, "cross_entropy(scores, digits)", 'cross_entropy(scores, digits, reduction="sum")'),),
        shows={"reproduce/final-metrics-hold": "fail"},
    ),
    "weights that start too large": Defect(
        edits=((MODEL, "    def forward(", "        self.layers[-1].weight.data.mul_(20)\n\n    def forward("),),
        shows={"reproduce/curve-holds": "fail"},
    ),
    "weights that start a thousandth larger": Defect(
        edits=((MODEL, "    def forward(", "        self.layers[-1].weight.data.mul_(1.001)\n\n    def forward("),),
        shows={"reproduce/unchanged": "fail"},
    ),
    "references of another machine": Defect(
        edits=(moved("reproduce"), moved("profile")),
        shows={"reproduce/reference-is-comparable": "unjudged", "profile/reference-is-comparable": "unjudged"},
    ),
    # profile
    "half a batch": Defect(
        edits=((DATA, "batch_size: int = 64", "batch_size: int = 32"),),
        shows={"reproduce/same-training": "fail", "profile/workload-is-the-same": "fail"},
    ),
    "a doubled forward": Defect(edits=((MODEL, SCORES, SCORES * 2),), shows={"profile/operations-do-not-rise": "fail"}),
    "no_grad lost in validation": Defect(
        edits=(
            (
                TRAIN,
                '            "max_epochs": 20,\n',
                '            "max_epochs": 20,\n' + " " * 12 + '"inference_mode": False,\n',
            ),
            (
                MODEL,
                '        self._step("val", batch)\n',
                '        with torch.enable_grad():\n            self._step("val", batch)\n',
            ),
        ),
        shows={"profile/operations-do-not-rise": "fail"},
    ),
    "a forward at random": Defect(
        edits=((MODEL, SCORES, SCORES + "        import random\n\n        if random.random() < 0.5:\n    " + SCORES),),
        shows={"profile/operations-do-not-rise": "fail", "profile/counts-are-steady": "notice"},
    ),
    "more padding": Defect(
        edits=(
            (
                MODEL,
                "nn.Conv2d(1, width, kernel_size=3, padding=1)",
                "nn.Conv2d(1, width, kernel_size=3, padding=2)",
            ),
            (
                MODEL,
                "nn.Conv2d(width, 2 * width, kernel_size=3, padding=1)",
                "nn.Conv2d(width, 2 * width, kernel_size=3)",
            ),
        ),
        shows={"profile/flops-do-not-rise": "fail"},
    ),
    "a reference that used CUDA": Defect(edits=(of_cuda,), shows={"profile/memory-does-not-rise": "unjudged"}),
    "Python in each step": Defect(
        edits=((MODEL, SCORES, "        sum(range(1_000_000))\n" + SCORES),), shows={"profile/step-time": "warning"}
    ),
    # A sleep does not get longer on a busy machine, as the step does: 0.03 s were no longer seen at a load of 8.
    "data that is slow": Defect(
        edits=(
            (
                DATA,
                LOADER,
                "        import time\n\n        from torch.utils.data import default_collate\n\n"
                "        def slowly(samples: list) -> list:\n            time.sleep(0.1)\n"
                "            return default_collate(samples)\n\n"
                + LOADER.replace("drop_last=True", "drop_last=True, collate_fn=slowly"),
            ),
        ),
        shows={"profile/waiting-share": "warning"},
    ),
    "a list that grows": Defect(
        edits=(
            (MODEL, "Batch = tuple[", "KEPT: list[bytes] = []\nBatch = tuple["),
            (MODEL, LOSS, LOSS + '        KEPT.append(b"x" * 2**22)\n'),
        ),
        shows={"profile/resident-memory": "warning"},
    ),
}

RUNS = (
    Run(
        workflow="push",
        defects=(
            "a large file",
            "a conflict that was committed",
            "a private key",
            "TOML that does not parse",
            "YAML that does not parse",
            "no newline at the end",
            "a trailing space",
            "badly formatted",
            "an import that nobody uses",
            "a variable without quotes",
            "a wrong type",
            "a wrong doctest",
        ),
        quick=True,
    ),
    Run(workflow="push", defects=("a hook that hangs", "no test is selected")),
    Run(
        workflow="push",
        defects=("hooks that take too long", "a module that needs an extra", "tests that take too long"),
    ),
    Run(workflow="gpu", defects=("a shape that does not fit",)),
    Run(workflow="gpu", defects=("no GPU",)),
    Run(workflow="gpu", defects=("wrong sign",), quick=True),
    Run(workflow="gpu", defects=("a training for each check of memorize",)),
    Run(workflow="gpu", defects=("a training that starts too slowly",)),
    Run(workflow="nightly", defects=("a shape that does not fit",)),
    Run(workflow="nightly", defects=("no GPU",)),
    Run(workflow="nightly", defects=("a learning rate that overflows",)),
    Run(workflow="nightly", defects=("a loss that is summed",)),
    Run(workflow="nightly", defects=("weights that start too large", "more padding")),
    Run(workflow="nightly", defects=("weights that start a thousandth larger",)),
    Run(workflow="nightly", defects=("half a batch",)),
    Run(workflow="nightly", defects=("a doubled forward", "no_grad lost in validation")),
    Run(workflow="nightly", defects=("a forward at random", "a reference that used CUDA")),
    Run(workflow="nightly", defects=("references of another machine",)),
    Run(
        workflow="nightly",
        defects=(
            "a crash in native code",
            "fewer epochs",
            "Python in each step",
            "data that is slow",
            "a list that grows",
        ),
    ),
)


def plant(folder: Path, *names: str) -> None:
    """Edit the bake in `folder` and commit."""
    for name in names:
        for edit in DEFECTS[name].edits:
            if callable(edit):
                edit(folder)
                continue
            file, old, new = edit
            path = folder / file
            text = path.read_text() if old else ""
            assert not old or text.count(old) == 1, f"{old!r} is not in {file} once"
            path.write_text(text.replace(old, new) if old else new)
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "Plant a defect"], cwd=folder, check=True)
