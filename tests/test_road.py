"""The whole road: a bake, its own workflows, the real act, our actions, to annotation, summary and verdict.

Every check of every stage is seen to speak there, of a defect that is planted in the bake (the table: defects.py); the
sound twin stays green.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from backburn import catalog, evidence, rehearse
from backburn.report import Generated, Level, Report, Verdict, name_of, overall

from .defects import BY_HAND, DEFECTS, NEVER_RED, RUNS, plant, reference

REPOSITORY = Path(__file__).parents[1]
HOOKS = REPOSITORY / "templates" / "project" / "{{cookiecutter.__folder}}" / ".pre-commit-config.yaml"
STAGES = {"push": {"hygiene", "unit"}, "gpu": {"memorize"}, "nightly": {"unit", "reproduce", "profile"}}
JOBS = {"push": set(), "gpu": {"verdict"}, "nightly": {"publish"}}  # without a stage


@pytest.fixture(scope="session")
def caches():
    """The toolkit, the hooks and the environment of the bake are installed once, for this and for later runs."""
    cache = REPOSITORY / "build" / "cache"
    os.environ.setdefault("BACKBURN_CACHE", str(cache))
    os.environ.setdefault("PRE_COMMIT_HOME", str(cache / "pre-commit"))
    os.environ["OMP_NUM_THREADS"] = "1"  # a reference's environment too; on a shared machine two threads wait for it


@pytest.fixture(scope="session")
def blessed(caches, baked, tmp_path_factory):
    """The bake with references of this machine, blessed and committed as its README says."""
    folder = Path(shutil.copytree(baked, tmp_path_factory.mktemp("blessed") / "digits", symlinks=True))
    settings = folder / "pyproject.toml"
    fewer = settings.read_text().replace("[tool.backburn.reproduce]\n", "[tool.backburn.reproduce]\nulps = 1\n")
    settings.write_text(fewer)  # each is a process that loads torch
    subprocess.run(["git", "commit", "-qam", "Fewer rounded runs"], cwd=folder, check=True)
    for stage in ("reproduce", "profile"):
        words = [sys.executable, "-m", "backburn", "bless", stage, "-C", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(folder / "build")
    for words in (["add", "references"], ["commit", "-qm", "Bless"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def twin(blessed, tmp_path):
    """A copy of it, to plant something in."""
    return Path(shutil.copytree(blessed, tmp_path / "digits", symlinks=True))


def rehearsed(folder, *workflows):
    said = []
    options = rehearse.Options(toolkit=REPOSITORY)
    rehearsal = rehearse.rehearse(folder, workflows, options, said.append)
    print("\n".join(said))
    return rehearsal


def stream(folder, workflow):
    lines = (folder / "build" / "rehearsal" / workflow / "act.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def reports(folder, workflow):
    """Stage -> what it uploaded."""
    files = (folder / "build" / "rehearsal" / workflow / "artifacts").glob("*-*/report.json")
    return {one.stage: one for one in (evidence.load(file, Report) for file in files)}


def outputs(folder, workflow):
    """Name -> value of every output that a step of ours set, those of a job with several stages last one first."""
    found = [line for line in stream(folder, workflow) if line.get("command") == "set-output"]
    return {line["name"]: line["arg"] for line in reversed(found)}


def verdicts(rehearsal):
    return {row.stage or row.job: row.verdict for row in rehearsal.rows}


def night(folder):
    """The line that publish adds to the history of a rehearsal."""
    return json.loads(outputs(folder, "nightly")["line"])


def actions():
    files = REPOSITORY.glob("actions/*/action.yml")
    return {file.parent.name: yaml.safe_load(file.read_text()) for file in files}


@pytest.mark.parametrize("workflow", STAGES)
def test_the_sound_twin_is_green(twin, workflow):
    rehearsal = rehearsed(twin, workflow)
    assert verdicts(rehearsal) == dict.fromkeys(STAGES[workflow] | JOBS[workflow], "pass")
    assert rehearsal.verdict is Verdict.PASS
    assert ("cpu (rehearsal)" in rehearse.render(rehearsal)) == (workflow != "push")
    promised = [name for stage in STAGES[workflow] for name in actions()[stage]["outputs"]]
    assert set(promised) <= set(outputs(twin, workflow))


# The table of defects.


def every_check():
    """Of each stage; those of hygiene's hooks are the template's."""
    hooks = [hook["id"] for repo in yaml.safe_load(HOOKS.read_text())["repos"] for hook in repo["hooks"]]
    for name, stage in catalog.STAGES.items():
        for check in stage.CHECKS:
            made = hooks if (name, type(check)) == ("hygiene", Generated) else [name_of(check)]
            yield from (f"{name}/{one}" for one in made)


def shown(run):
    """Check -> what it is to say in this run, of each stage the cause first."""
    found = [pair for name in run.defects for pair in DEFECTS[name].shows.items()]
    return {check: word for check, word in found if stage_of(check) in STAGES[run.workflow]}


def unseen(checks, runs):
    """The checks that no run shows at their worst."""
    seen = {pair for run in runs for pair in shown(run).items()}
    return {check for check in checks if check not in BY_HAND and (check, NEVER_RED.get(check, "fail")) not in seen}


def test_every_check_has_a_defect_that_it_is_seen_to_find():
    assert unseen(every_check(), RUNS) == set()
    assert {*NEVER_RED} <= {*every_check()}
    assert {name for run in RUNS for name in run.defects} == {*DEFECTS}
    assert {check for run in RUNS for check, word in shown(run).items() if word == "fail"}.isdisjoint(NEVER_RED)


def test_a_check_without_a_defect_is_found():
    later = [*every_check(), "hygiene/ruff", "profile/joules-do-not-rise"]
    assert unseen(later, RUNS) == {"hygiene/ruff", "profile/joules-do-not-rise"}
    (alone,) = (run for run in RUNS if "half a batch" in run.defects)
    assert unseen(every_check(), [run for run in RUNS if run != alone]) == {"profile/workload-is-the-same"}


def stage_of(check):
    return check.partition("/")[0]


def words(report):
    """Check -> its verdict, or of one that passes the worst level of its findings; nothing of those that are silent.

    Of several trainings, the one that is named after the check counts.
    """
    found = {}
    for one in sorted(report.outcomes, key=lambda one: one.training == name_within(one.check)):
        levels = [finding.level for finding in one.findings]
        loudest = next((level for level in Level if level in levels), "")
        word = one.verdict if one.verdict in (Verdict.FAIL, Verdict.UNJUDGED) else loudest
        found |= {one.check: str(word)} if word else {}
    return found


def name_within(check):
    return check.partition("/")[2]


def verdict_of(said):
    """What a stage comes to whose checks say this."""
    return overall(Verdict(word) if word in [*Verdict] else Verdict.PASS for word in ["pass", *said])


def expect_named_first(lines, report, check, word):
    """In the annotations, in the first line of the summary and in its table."""
    stage, mark = stage_of(check), {"fail": "❌", "unjudged": "⚠️"}.get(word, "✅")
    loud = [line for line in lines if line.get("kvPairs", {}).get("title", "").startswith(f"{stage}/")]
    assert loud[0]["kvPairs"]["title"].startswith(check)
    levels = {"fail": ["error"], "unjudged": ["error", "warning"]}.get(word, [word])  # nightly.yml: unjudged: warn
    assert loud[0]["command"] in levels
    summary = next(line["content"] for line in lines if re.match(rf"### \S+ {stage}: ", line.get("content", "")))
    cause = f": {check}" if word in ("fail", "unjudged") else ""
    assert summary.startswith(f"### {mark} {stage}: {report.verdict}{cause}")
    assert re.search(r"\|---\|\n\| (\S+) \| (\S+)", summary).groups() == (mark, check)


def expect_cause(rehearsal, report, check):
    """In the rehearsal's own words: of the check's findings the worst, not a notice beside it."""
    (told,) = (one.message for one in rehearsal.findings if f" · {stage_of(check)}/" in one.message)
    finding = report.worst_first[0].findings[0]
    assert told.endswith(f" · {check}: {finding.message}")
    assert (finding.level is Level.ERROR) == (report.verdict is Verdict.FAIL)


def is_named(run):
    return pytest.param(
        run, id=f"{run.workflow}: {', '.join(run.defects)}"[:80], marks=[] if run.quick else pytest.mark.slow
    )


def expect_candidate(folder, stage):
    """What the reference would be made of, among what was uploaded."""
    (file,) = folder.glob(f"build/rehearsal/nightly/artifacts/{stage}-train-*/digits/candidate.json")
    assert len(json.loads(file.read_text())["seeds"]) == {"reproduce": 5, "profile": 2}[stage]


def without_blame(folder):
    """A search is half a minute; it has a road of its own, test_nightly_blame.py."""
    path = folder / ".github" / "workflows" / "nightly.yml"
    before, step, after = re.split(r"(?m)^( {6}- uses: \S+/actions/blame@(?:.*\n)+?)(?=  publish:)", path.read_text())
    assert step
    path.write_text(before + after)


@pytest.mark.parametrize("run", [is_named(run) for run in RUNS])
def test_defects_are_found_and_the_cause_is_named_first(twin, run):
    without_blame(twin)
    plant(twin, *run.defects)
    rehearsal = rehearsed(twin, run.workflow)
    lines, found, expected = stream(twin, run.workflow), reports(twin, run.workflow), {}
    for stage in STAGES[run.workflow]:
        wanted = {check: word for check, word in shown(run).items() if stage_of(check) == stage}
        said = words(found[stage])
        assert {check: said.get(check) for check in wanted} == wanted
        expected[stage] = verdict_of(wanted.values())
        for check in [*wanted][:1]:
            expect_named_first(lines, found[stage], check, wanted[check])
        if expected[stage] is not Verdict.PASS:
            expect_cause(rehearsal, found[stage], [*wanted][0])
        if wanted.get(f"{stage}/reference-is-comparable") == "unjudged":
            expect_candidate(twin, stage)
    without = expected.get("memorize", Verdict.PASS)
    expected |= dict.fromkeys(JOBS[run.workflow], "pass" if without is Verdict.PASS else "fail")
    assert verdicts(rehearsal) == expected
    assert rehearsal.verdict is overall(map(Verdict, expected.values()))
    if run.workflow == "nightly":
        assert night(twin)["verdict"] == rehearsal.verdict


# A reference that cannot be read, or is of another machine, makes no night green.


@pytest.mark.slow
def test_a_reference_that_cannot_be_read_is_no_verdict(twin):
    path = reference(twin, "reproduce")
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    subprocess.run(["git", "commit", "-qam", "Change the reference"], cwd=twin, check=True)
    rehearsal = rehearsed(twin, "nightly")
    assert rehearsal.verdict is Verdict.FAIL
    assert "not readable as JSON" in (twin / "build" / "rehearsal" / "nightly" / "log.txt").read_text()
    assert night(twin)["verdict"] == "no verdict"
