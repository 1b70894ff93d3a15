"""The whole road: a bake, its own workflows, the real act, our actions, to annotation, summary and verdict.

For each stage a planted defect makes act's run red with that check named first; the sound twin stays green.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from backburn import rehearse
from backburn.report import Verdict

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """Edits of a bake, each (file, old, new), and the check that must be named first."""

    workflow: str
    check: str
    edits: tuple[tuple[str, str, str], ...]


MODEL, TRAIN = "src/digits/model.py", "src/digits/train.py"
DEFECTS = {
    "badly formatted": Defect(
        workflow="push",
        check="hygiene/black",
        edits=((MODEL, "return self.layers(images)", "return  self.layers( images )"),),
    ),
    "a wrong doctest": Defect(workflow="push", check="unit/tests-pass", edits=((MODEL, "    0.5\n", "    0.75\n"),)),
    "wrong sign": Defect(
        workflow="gpu",
        check="memorize/loss-above-bound",
        edits=((MODEL, "        return loss\n", "        return -loss\n"),),
    ),
    "an encoder without gradients": Defect(
        workflow="gpu",
        check="memorize/gradients-reach",
        edits=((MODEL, "return self.layers(images)", "return self.layers[-1](self.layers[:-1](images).detach())"),),
    ),
    "a batch sampler that overfit_batches does not hold": Defect(
        workflow="gpu",
        check="memorize/batch-is-fixed",
        edits=(
            (
                "src/digits/data.py",
                "        return DataLoader(self.train, self.batch_size, shuffle=True, drop_last=True)\n",
                "        from torch.utils.data import BatchSampler, RandomSampler\n\n"
                "        sampler = BatchSampler(RandomSampler(self.train), self.batch_size, drop_last=True)\n"
                "        return DataLoader(self.train, batch_sampler=sampler)\n",
            ),
        ),
    ),
    "a changed learning rate": Defect(
        workflow="nightly",
        check="reproduce/same-training",
        edits=((MODEL, "learning_rate: float = 3e-3", "learning_rate: float = 1e-2"),),
    ),
    "a loss that is summed": Defect(
        workflow="nightly",
        check="reproduce/final-metrics-hold",
        edits=((MODEL, "cross_entropy(scores, digits)", 'cross_entropy(scores, digits, reduction="sum")'),),
    ),
    "a doubled forward": Defect(
        workflow="nightly",
        check="profile/operations-do-not-rise",
        edits=((MODEL, "        scores = self(images)\n", "        scores = self(images)\n" * 2),),
    ),
    "no_grad lost in validation": Defect(
        workflow="nightly",
        check="profile/operations-do-not-rise",
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
    ),
}


@pytest.fixture(scope="session")
def caches():
    """The toolkit, the hooks and the environment of the bake are installed once, for this and for later runs."""
    cache = REPOSITORY / "build" / "cache"
    os.environ.setdefault("BACKBURN_CACHE", str(cache))
    os.environ.setdefault("PRE_COMMIT_HOME", str(cache / "pre-commit"))
    os.environ["OMP_NUM_THREADS"] = "1"  # a reference's environment too; on a shared machine two threads wait for it


def plant(baked, folder, *edits):
    shutil.copytree(baked, folder, symlinks=True)
    for file, old, new in edits:
        path = folder / file
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is not in {file} once"
        path.write_text(text.replace(old, new))
    if edits:
        subprocess.run(["git", "commit", "-qam", "Plant a defect"], cwd=folder, check=True)
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


@pytest.fixture(scope="session")
def blessed(caches, baked, tmp_path_factory):
    """The bake with references of this machine, blessed and committed as its README says."""
    folder = Path(shutil.copytree(baked, tmp_path_factory.mktemp("blessed") / "digits", symlinks=True))
    for stage in ("reproduce", "profile"):
        words = [sys.executable, "-m", "backburn", "bless", stage, "-C", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(folder / "build")
    for words in (["add", "references"], ["commit", "-qm", "Bless"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


STAGES = {"push": {"hygiene", "unit"}, "gpu": {"memorize"}, "nightly": {"unit", "reproduce", "profile"}}
JOBS = {"push": set(), "gpu": {"verdict"}, "nightly": {"publish"}}  # without a stage


def verdicts(rehearsal):
    return {row.stage or row.job: row.verdict for row in rehearsal.rows}


def outputs(folder, workflow):
    """Name -> value of every output that a step of ours set, those of a job with several stages last one first."""
    found = [line for line in stream(folder, workflow) if line.get("command") == "set-output"]
    return {line["name"]: line["arg"] for line in reversed(found)}


@pytest.mark.parametrize("workflow", STAGES)
def test_the_sound_twin_is_green(blessed, tmp_path, workflow):
    folder = plant(blessed, tmp_path / "digits")
    rehearsal = rehearsed(folder, workflow)
    assert verdicts(rehearsal) == dict.fromkeys(STAGES[workflow] | JOBS[workflow], "pass")
    assert rehearsal.verdict is Verdict.PASS
    assert ("cpu (rehearsal)" in rehearse.render(rehearsal)) == (workflow != "push")
    promised = [name for stage in STAGES[workflow] for name in actions()[stage]["outputs"]]
    assert set(promised) <= set(outputs(folder, workflow))


SLOW = {"a loss that is summed", "no_grad lost in validation"}  # a nightly each; two others run with `make test`


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in DEFECTS])
def test_a_defect_is_red_and_its_check_is_named_first(blessed, tmp_path, name):
    defect = DEFECTS[name]
    folder = plant(blessed, tmp_path / "digits", *defect.edits)
    rehearsal = rehearsed(folder, defect.workflow)
    assert rehearsal.verdict is Verdict.FAIL
    stage, found = defect.check.split("/")[0], verdicts(rehearsal)
    assert found[stage] == "fail"
    assert {one: found[one] for one in STAGES[defect.workflow] - {stage} if found[one] != "pass"} == {}
    lines = stream(folder, defect.workflow)
    summaries = [line["content"] for line in lines if line.get("command") == "summary" and stage in line["content"]]
    assert summaries[0].startswith(f"### ❌ {stage}: fail: {defect.check}")
    errors = [line for line in lines if line.get("command") == "error"]
    mine = [line for line in errors if stage in json.dumps(line)]
    assert defect.check in json.dumps(mine[0])
    if defect.workflow == "nightly":
        assert found["publish"] == "pass" and night(folder)["verdict"] == "fail"


# A reference that cannot be used, or is of another machine, makes no night green.


def night(folder):
    """The line that publish adds to the history of a rehearsal."""
    return json.loads(outputs(folder, "nightly")["line"])


def reference(folder, stage):
    (path,) = (folder / "references" / stage / "digits").iterdir()
    return path


def replanted(blessed, folder, change):
    shutil.copytree(blessed, folder, symlinks=True)
    path = reference(folder, "reproduce")
    change(path, path.read_text())
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", "commit", "-qm", "Change the reference"], cwd=folder, check=True)
    return folder


def cut(path, text):
    path.write_text(text[: len(text) // 2])


def newer(path, text):
    path.write_text(text.replace('"schema": 1', '"schema": 99'))


@pytest.mark.slow
@pytest.mark.parametrize(("change", "said"), [(cut, "not readable as JSON"), (newer, "schema 99 is newer")])
def test_a_reference_that_cannot_be_read_is_no_verdict(blessed, tmp_path, change, said):
    folder = replanted(blessed, tmp_path / "digits", change)
    rehearsal = rehearsed(folder, "nightly")
    assert rehearsal.verdict is Verdict.FAIL
    assert said in (folder / "build" / "rehearsal" / "nightly" / "log.txt").read_text()
    assert night(folder)["verdict"] == "no verdict"


@pytest.mark.slow
def test_the_reference_of_another_machine_is_no_pass(blessed, tmp_path):
    def moved(path, text):
        path.unlink()
        other = json.loads(text)
        other["machine"]["hardware"] = "nvidia-h200"
        path.with_name("nvidia-h200.json").write_text(json.dumps(other))

    folder = replanted(blessed, tmp_path / "digits", moved)
    rehearsal = rehearsed(folder, "nightly")
    assert verdicts(rehearsal)["reproduce"] == "unjudged" and rehearsal.verdict is Verdict.UNJUDGED
    assert night(folder)["verdict"] == "unjudged"
    (offered,) = folder.glob("build/rehearsal/nightly/artifacts/reproduce-train-*/digits/candidate.json")
    assert len(json.loads(offered.read_text())["seeds"]) == 5
