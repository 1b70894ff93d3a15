"""The whole road: a bake, its own workflows, the real act, our actions, to annotation, summary and verdict.

For each stage a planted defect makes act's run red with that check named first; the sound twin stays green.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backburn import rehearse
from backburn.report import Verdict

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One edit of a bake, and the check that must be named first."""

    workflow: str
    check: str
    file: str
    old: str
    new: str


MODEL = "src/digits/model.py"
DEFECTS = {
    "sound": None,
    "badly formatted": Defect(
        workflow="push",
        check="hygiene/black",
        file=MODEL,
        old="return self.layers(images)",
        new="return  self.layers( images )",
    ),
    "a wrong doctest": Defect(workflow="push", check="unit/tests-pass", file=MODEL, old="    0.5\n", new="    0.75\n"),
    "wrong sign": Defect(
        workflow="gpu",
        check="memorize/loss-above-bound",
        file=MODEL,
        old="        return loss\n",
        new="        return -loss\n",
    ),
    "an encoder without gradients": Defect(
        workflow="gpu",
        check="memorize/gradients-reach",
        file=MODEL,
        old="return self.layers(images)",
        new="return self.layers[-1](self.layers[:-1](images).detach())",
    ),
    "a batch sampler that overfit_batches does not hold": Defect(
        workflow="gpu",
        check="memorize/batch-is-fixed",
        file="src/digits/data.py",
        old="        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)\n",
        new="        from torch.utils.data import BatchSampler, RandomSampler\n\n"
        "        sampler = BatchSampler(RandomSampler(self.train), self.batch_size, drop_last=True)\n"
        "        return DataLoader(self.train, batch_sampler=sampler)\n",
    ),
}


@pytest.fixture(scope="session")
def caches():
    """The toolkit, the hooks and the environment of the bake are installed once, for this and for later runs."""
    cache = REPOSITORY / "build" / "cache"
    os.environ.setdefault("BACKBURN_CACHE", str(cache))
    os.environ.setdefault("PRE_COMMIT_HOME", str(cache / "pre-commit"))


def plant(baked, folder, defect):
    shutil.copytree(baked, folder, symlinks=True)
    if defect:
        path = folder / defect.file
        text = path.read_text()
        assert text.count(defect.old) == 1, f"{defect.old!r} is not in {defect.file} once"
        path.write_text(text.replace(defect.old, defect.new))
        git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run([*git, "commit", "-qam", "Plant a defect"], cwd=folder, check=True)
    return folder


def rehearsed(folder, *workflows):
    said = []
    options = rehearse.Options(toolkit=REPOSITORY)
    rehearsal = rehearse.rehearse(folder, workflows, options, said.append)
    print("\n".join(said))
    return rehearsal


def stream(folder, workflow):
    lines = (folder / "build" / "rehearsal" / workflow / "act.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def actions():
    files = REPOSITORY.glob("actions/*/action.yml")
    return {file.parent.name: yaml.safe_load(file.read_text()) for file in files}


def test_the_sound_twin_is_green(caches, baked, tmp_path):
    rehearsal = rehearsed(plant(baked, tmp_path / "digits", None), "push", "gpu")
    rows = {row.job: row for row in rehearsal.rows}
    assert {job: row.verdict for job, row in rows.items()} == {
        "hygiene": "pass",
        "unit": "pass",
        "memorize": "pass",
        "verdict": "pass",
    }
    assert rehearsal.verdict is Verdict.PASS
    assert "cpu (rehearsal)" in rehearse.render(rehearsal)
    for stage, action in actions().items():
        lines = stream(rehearsal.folder.parents[1], "gpu" if stage == "memorize" else "push")
        told = {line["name"] for line in lines if line.get("command") == "set-output" and line["jobID"] == stage}
        assert told >= set(action["outputs"]), stage


@pytest.mark.parametrize("name", [name for name, defect in DEFECTS.items() if defect])
def test_a_defect_is_red_and_its_check_is_named_first(caches, baked, tmp_path, name):
    defect = DEFECTS[name]
    folder = plant(baked, tmp_path / "digits", defect)
    rehearsal = rehearsed(folder, defect.workflow)
    assert rehearsal.verdict is Verdict.FAIL
    stage = defect.check.split("/")[0]
    verdicts = {row.job: row.verdict for row in rehearsal.rows}
    sound = {"hygiene", "unit"} - {stage} if defect.workflow == "push" else set()
    assert verdicts[stage] == "fail"
    assert all(verdicts[job] == "pass" for job in sound)
    lines = stream(folder, defect.workflow)
    summaries = [line["content"] for line in lines if line.get("command") == "summary" and stage in line["content"]]
    assert summaries[0].startswith(f"### ❌ {stage}: fail: {defect.check}")
    errors = [line for line in lines if line.get("command") == "error"]
    mine = [line for line in errors if stage in json.dumps(line)]
    assert defect.check in json.dumps(mine[0])
