"""The template, baked: what lies in it, what it refuses, and that it is green from the first commit."""

import ast
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException

from backburn import catalog, config
from backburn.rehearse.served import NO_STAGE
from tests.conftest import REPOSITORY, commit

TEMPLATE = REPOSITORY / "templates" / "project"
BIN = Path(sys.executable).parent
FILES = """
.flake8 .github/actionlint.yaml .github/dependabot.yml .github/workflows/gpu.yml .github/workflows/nightly.yml
.github/workflows/push.yml .gitignore .pre-commit-config.yaml LICENSE README.md constraints.txt pyproject.toml
renovate.json src/{package}/__init__.py
src/{package}/data.py src/{package}/model.py src/{package}/train.py tests/test_data.py tests/test_model.py
tests/test_pins.py tests/test_train.py
"""
ODD = {
    "default": {},
    "quotes": {"project_name": 'Ann\'s "Net"', "author_name": 'Ann "A" O\'Hara \\ Co'},
    "spaces": {"project_name": "My  Great Net", "license": "Apache-2.0"},
    "dashes": {"project_name": "my-great-net", "license": "BSD-3-Clause", "python_version": "3.13"},
    "not ASCII": {"project_name": "Größe 数字", "author_name": "Zoë 😀", "license": "Proprietary"},
    "YAML": {"project_name": "yes: {no} # on", "description": "a: b # <c> & {d} [e]", "gpu_runner_label": "a100-80g"},
}


@pytest.fixture(scope="module", params=ODD.values(), ids=list(ODD))
def answers(request):
    return request.param


@pytest.fixture(scope="module")
def odd(bake, answers):
    return bake(**answers)


def files(folder):
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def head():
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True).stdout.strip()


def test_few_questions_each_with_a_default_and_words():
    document = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    questions = [name for name in document if not name.startswith("_")]
    assert len(questions) <= 9
    assert all(document[name] for name in questions)
    assert set(document["__prompts__"]) == set(questions)
    explained = (REPOSITORY / "docs" / "template.md").read_text()
    assert all(f"| `{name}` |" in explained for name in questions)


def test_exactly_these_files(odd):
    (package,) = (path.name for path in (odd / "src").iterdir())
    assert set(files(odd)) == set(FILES.format(package=package).split())
    assert package.isidentifier() and package.isascii()


def test_nothing_is_left_of_the_template(odd, answers):
    for name, path in files(odd).items():
        text = path.read_text(encoding="utf-8")
        for value in answers.values():
            text = text.replace(value, "")
        assert not re.search(r"\{\{ ?cookiecutter|\{%|__TOOLKIT|(?<!\$)\{\{", text), name
        assert text.endswith("\n") and not text.endswith("\n\n"), name


def test_everything_parses(odd, answers):
    for name, path in files(odd).items():
        text = path.read_text(encoding="utf-8")
        if path.suffix in (".yml", ".yaml"):
            assert yaml.safe_load(text), name
        elif path.suffix == ".py":
            compile(text, name, "exec")
    json.loads((odd / "renovate.json").read_text())
    project = tomllib.loads((odd / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for key, value in (("description", project["description"]), ("author_name", project["authors"][0]["name"])):
        assert value == answers.get(key, value)
    assert project["license"].removeprefix("LicenseRef-") == answers.get("license", "MIT")


def test_black_and_flake8_agree_whatever_the_name(odd):
    for tool in (["black", "--check", "--quiet"], ["flake8"]):
        done = subprocess.run([BIN / tool[0], *tool[1:], "."], cwd=odd, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_to_a_commit(odd):
    found = set()
    for path in (odd / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        assert len(text.splitlines()) <= 46, path.name
        pins = re.findall(r"uses: ([^@\s]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)$", text, re.MULTILINE)
        assert len(pins) == text.count("uses:"), path.name
        found |= set(pins)
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    ours = {action: (commit, number) for action, commit, number in found if action.startswith("backburn-ci/")}
    assert ours == {f"backburn-ci/backburn/actions/{s}": (head(), version) for s in (*catalog.STAGES, *NO_STAGE)}


def test_the_template_pins_what_this_repository_pins(baked):
    """Dependabot cannot read the template; it moves our own workflows and actions, and this test the template."""
    ours = "".join(path.read_text() for path in (REPOSITORY / ".github" / "workflows").glob("*.yml"))
    theirs = "".join(path.read_text() for path in (baked / ".github" / "workflows").glob("*.yml"))
    pins = set(re.findall(r"uses: (actions/\S+@\S+ # v\S+)", theirs))
    assert pins and pins <= set(re.findall(r"uses: (actions/\S+@\S+ # v\S+)", ours))


def test_the_readme_asks_what_the_stages_ask(baked):
    readme = (baked / "README.md").read_text()
    assert all(name in readme for name in NO_STAGE)
    for name, stage in catalog.STAGES.items():
        assert re.search(rf"\| `{name}` \| {re.escape((stage.__doc__ or '').partition(chr(10))[0])} \|", readme), name


@pytest.mark.parametrize("name", ["pre_gen_project.py", "post_gen_project.py"])
def test_hooks_import_the_standard_library_only(name):
    text = (TEMPLATE / "hooks" / name).read_text().replace("{{ cookiecutter | tojson | tojson }}", "''")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module]
            assert {one.partition(".")[0] for one in names} <= sys.stdlib_module_names
    assert "input(" not in text


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"package_name": "torch"}, "'torch' would hide a module"),
        ({"package_name": "json"}, "'json' would hide a module"),
        ({"package_name": "class"}, "'class' cannot be imported: it is a keyword of Python"),
        ({"project_name": "import"}, "'import' cannot be imported: it is a keyword of Python"),
        ({"project_name": "3D Net"}, "'3d_net' cannot be imported"),
        ({"package_name": "größe"}, "cannot be imported"),
        ({"project_name": "Scikit Learn"}, "the distribution name 'scikit-learn'"),
        ({"project_name": "…"}, "cannot be imported"),
        ({"github_owner": "a b"}, "'a b' is no GitHub name"),
        ({"gpu_runner_label": "gpu, x64"}, "'gpu, x64' is no runner label"),
        ({"description": "two\nlines"}, "description 'two\\nlines' must be one line"),
        ({"author_name": " "}, "author_name ' ' must be one line"),
    ],
)
def test_answers_that_would_break_are_refused(bake, capfd, answer, said):
    with pytest.raises(FailedHookException):
        bake(**answer)
    assert said in capfd.readouterr().err


def clone(folder):
    """A checkout of our own to spoil; only what a bake reads."""
    for name in ("actions", "templates"):
        shutil.copytree(REPOSITORY / name, folder / name)
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    return folder


def test_a_bake_with_nothing_to_pin_fails(bake, capfd, tmp_path):
    with pytest.raises(FailedHookException):
        bake(template=clone(tmp_path / "bare"))
    said = capfd.readouterr().err
    assert "could not be pinned: fatal: not a git repository" in said and "Bake from a git clone" in said


def test_a_bake_from_a_copy_in_a_foreign_repository_fails(bake, capfd, tmp_path):
    (tmp_path / "file").touch()
    commit(tmp_path)
    with pytest.raises(FailedHookException):
        bake(template=clone(tmp_path / "vendored"))
    assert "actions/memorize/action.yml" in capfd.readouterr().err


def test_a_placeholder_that_is_left_fails_the_bake(bake, capfd, tmp_path):
    template = clone(tmp_path / "toolkit")
    (readme,) = template.glob("templates/project/*/README.md")
    readme.write_text("uses: backburn-ci/backburn/actions/unit@__TOOLKIT_COMMIT__\n")
    commit(template)
    with pytest.raises(FailedHookException):
        bake(template=template)
    assert "README.md still has a placeholder" in capfd.readouterr().err


def test_a_bake_pins_the_clone_it_came_from(bake, tmp_path, monkeypatch):
    template = clone(tmp_path / "toolkit")
    commit(template)
    pinned = subprocess.run(["git", "rev-parse", "HEAD"], cwd=template, capture_output=True, text=True).stdout.strip()
    assert f"unit@{pinned} # v" in (bake(template=f"git+file://{template}") / ".github/workflows/push.yml").read_text()
    monkeypatch.chdir(template)
    monkeypatch.setenv("GIT_DIR", str(REPOSITORY / ".git"))  # as inside a git hook
    assert f"unit@{pinned} # v" in (bake(template=".") / ".github/workflows/push.yml").read_text()


VERDICTS = [
    ("success", "false", "false", 0, "memorize passed"),
    ("success", "false", "true", 0, "memorize passed"),
    ("skipped", "false", "true", 0, "::notice::memorize did not run: no GPU runner yet"),
    ("skipped", "true", "true", 1, "::error::memorize did not run: a fork's code never reaches the GPU"),
    ("skipped", "true", "false", 1, "::error::memorize did not run: a fork's code never reaches the GPU"),
    ("skipped", "false", "false", 1, "::error::memorize: skipped"),
    ("failure", "false", "false", 1, "::error::memorize: failure"),
    ("cancelled", "false", "false", 1, "::error::memorize: cancelled"),
    ("", "", "", 1, "::error::memorize: "),
]


@pytest.mark.parametrize(("result", "fork", "no_runner", "code", "said"), VERDICTS)
def test_only_a_memorized_batch_passes_the_required_check(baked, result, fork, no_runner, code, said):
    (step,) = yaml.safe_load((baked / ".github/workflows/gpu.yml").read_text())["jobs"]["verdict"]["steps"]
    given = {"RESULT": result, "FORK": fork, "NO_RUNNER": no_runner}
    done = subprocess.run(
        ["bash", "-e", "-c", step["run"]],
        env={"PATH": os.environ["PATH"], **given},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code and said in done.stdout
    assert set(step["env"]) == set(given) and "${{" not in step["run"]


def test_the_workflows_reach_what_they_should(baked):
    push, gpu = (yaml.safe_load((baked / f".github/workflows/{name}.yml").read_text()) for name in ("push", "gpu"))
    for workflow in (push, gpu):
        on = workflow[True]  # YAML 1.1 reads the key `on` as a boolean
        assert set(on) == {"push", "pull_request", "merge_group"} and workflow["permissions"] == {}
        assert workflow["concurrency"]["group"]
        for job in workflow["jobs"].values():
            assert job["timeout-minutes"] and job.get("permissions", {"contents": "read"}) == {"contents": "read"}
    memorize, verdict = gpu["jobs"]["memorize"], gpu["jobs"]["verdict"]
    assert "vars.BACKBURN_GPU == 'true'" in memorize["if"] and "head.repo.full_name" in memorize["if"]
    assert (verdict["needs"], verdict["if"], verdict["runs-on"]) == ("memorize", "always()", "ubuntu-24.04")


@pytest.fixture
def nightly(baked):
    return yaml.load((baked / ".github/workflows/nightly.yml").read_text(), yaml.BaseLoader)


def test_a_night_begins_off_the_hour_and_waits_for_the_one_before(nightly):
    assert set(nightly["on"]) == {"schedule", "workflow_dispatch"} and nightly["permissions"] == {}
    minute, *_ = nightly["on"]["schedule"][0]["cron"].split()
    assert int(minute) % 2 == 1 and int(minute) % 15
    assert nightly["concurrency"] == {"group": "nightly", "cancel-in-progress": "false", "queue": "max"}


def test_who_trains_may_not_write_and_who_writes_runs_nothing_of_the_project(nightly):
    train, publish = nightly["jobs"].values()
    assert train["permissions"] == {"contents": "read"} and train["runs-on"] == ["self-hosted", "gpu"]
    assert publish["permissions"] == {"contents": "write", "issues": "write"} and publish["runs-on"] == "ubuntu-24.04"
    used = [step["uses"].partition("@")[0] for step in publish["steps"]]
    assert used == [
        "actions/download-artifact",
        *(f"backburn-ci/backburn/actions/{one}" for one in ("publish", "report")),
    ]
    assert not any("run" in step for step in (*train["steps"], *publish["steps"]))


def test_a_red_or_missing_stage_hides_neither_the_others_nor_the_night(nightly):
    train, publish = nightly["jobs"].values()
    *_, unit, reproduce, profile, blame = train["steps"]
    assert reproduce["if"] == profile["if"] == "${{ !cancelled() }}" and "if" not in unit
    assert blame["if"] == "${{ !cancelled() && steps.reproduce.outputs.verdict == 'fail' }}"
    assert reproduce["id"] == "reproduce"
    assert (publish["needs"], publish["if"]) == ("train", f"always() && {train['if']}")
    download, told, page = publish["steps"]
    assert download["continue-on-error"] == "true"  # nothing was uploaded: that is told too
    assert download["with"]["path"] == told["with"]["path"] == page["with"]["path"]
    assert page["if"] == "always()"
    for stage in ("unit", "reproduce", "profile", "blame"):
        assert fnmatch.fnmatchcase(f"{stage}-train-0", download["with"]["pattern"])
    assert told["with"]["result"] == "${{ needs.train.result }}"


def test_a_night_without_a_reference_warns_and_never_uses_the_cpu(nightly):
    checkout, unit, *trained = nightly["jobs"]["train"]["steps"]
    assert unit["with"] == {"select": "slow", "unjudged": "warn"}
    assert [step["with"] for step in trained] == [{"require-gpu": "true", "unjudged": "warn"}] * 3
    assert checkout["with"] == {"fetch-depth": "0", "persist-credentials": "false"}  # blame needs all commits


def test_the_stages_limits_end_before_the_jobs(baked, nightly):
    """A stage that is past its limit has a report; a job has none, and the night is no verdict."""
    stages = ("unit", "reproduce", "profile", "reproduce")  # blame has the limit of what it searches for
    settings = config.load(baked, {name: stage.Config for name, stage in catalog.STAGES.items()})
    limits = [settings.stage(name, catalog.STAGES[name].Config).timeout for name in stages]
    assert sum(limits) + 1800 <= 60 * int(nightly["jobs"]["train"]["timeout-minutes"])  # half an hour to install


def test_the_real_pre_commit_passes_twice(own_bake):
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "run", "--all-files"], cwd=own_bake, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_its_tests_pass_and_it_learns(own_bake):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", "slow or not slow"],
        cwd=own_bake,
        env={**os.environ, "PYTHONPATH": "src"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"1[0-9] passed", done.stdout)


def test_its_pins_are_seen_to_differ(own_bake):
    config = own_bake / ".pre-commit-config.yaml"
    config.write_text(config.read_text().replace("flake8==", "flake8==1"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_pins.py"], cwd=own_bake, capture_output=True, text=True
    )
    assert done.returncode == 1
