"""The checks on evidence, a row sound and a row broken for each; then the whole stage on planted defects."""

import subprocess
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from backburn import catalog, evidence, pipeline
from backburn.config import Seconds
from backburn.errors import Unjudged, UserError
from backburn.linters import Place
from backburn.precommit import FILE, Hook, Status
from backburn.report import Level, Verdict
from backburn.stages import hygiene
from tests.conftest import NOBODY
from tests.stages.record import CONFIG

GOOD = Hook(id="flake8", name="flake8", status=Status.PASSED, seconds=0.3)
SOUND = hygiene.Evidence(
    hooks=(
        GOOD,
        Hook(id="mypy", name="types", status=Status.PASSED, seconds=1.1),
        Hook(id="check-toml", name="TOML parses", status=Status.NO_FILES),
    ),
    files=3,
    seconds=1.6,
)
F401 = Place(file="a, b.py", line=3, column=1, message="F401 'os' imported but unused")
DIFF = Place(file="a.py", line=2, message="black changed this file", detail="@@ -2 +2 @@\n-a\n+b")


def failed(**about):
    return replace(SOUND, hooks=(replace(GOOD, status=Status.FAILED, **about), *SOUND.hooks[1:]), code=1)


def judged(seen, **config):
    """The outcomes by the names of their checks."""
    outcomes = pipeline.judge(catalog.STAGES["hygiene"], "hygiene", seen, hygiene.Config(**config))
    return {outcome.check.removeprefix("hygiene/"): outcome for outcome in outcomes}


def test_sound_evidence_yields_nothing():
    outcomes = judged(SOUND)
    assert list(outcomes) == ["every-hook-ran", "flake8", "mypy", "check-toml", "within-budget"]
    assert not any(outcome.findings for outcome in outcomes.values())
    assert [one.verdict for one in outcomes.values()] == ["pass", "pass", "pass", "skip", "pass"]
    assert outcomes["check-toml"].skipped == "no files to check"
    assert outcomes["mypy"].claim == "The hook 'types' passes."
    assert outcomes["mypy"].seconds == 1.1


CUT = replace(
    SOUND,
    hooks=(replace(GOOD, status=Status.CUT_SHORT), replace(SOUND.hooks[1], status=Status.NOT_REACHED)),
    tail="why",
)
BROKEN = [
    # evidence, check, level, what the finding says
    (replace(CUT, timed_out=True, code=-15), "every-hook-ran", "error", "flake8: ended after 600 s, the time limit"),
    (replace(CUT, code=3), "every-hook-ran", "error", "flake8: pre-commit ended with exit code 3"),
    (replace(SOUND, code=3), "every-hook-ran", "error", "pre-commit ended with exit code 3"),
    (failed(places=(F401,), code=1), "flake8", "error", "F401 'os' imported but unused"),
    (failed(places=(DIFF,), changed=True), "flake8", "error", "black changed this file"),
    (failed(tail="Traceback", code=1), "flake8", "error", "flake8 failed with exit code 1"),
    (failed(changed=True), "flake8", "error", "flake8 changed files"),
    (
        replace(SOUND, seconds=12.0),
        "within-budget",
        "warning",
        "the hooks took 12.0 s, more than the budget of 10 s; the slowest is mypy with 1.1 s",
    ),
    (
        replace(SOUND, seconds=float("nan"), hooks=SOUND.hooks[2:]),
        "within-budget",
        "warning",
        "the hooks took nan s, more than the budget of 10 s",
    ),
]


@pytest.mark.parametrize(("seen", "check", "level", "message"), BROKEN)
def test_each_check_can_fail(seen, check, level, message):
    outcomes = judged(seen)
    assert [(one.level, one.message) for one in outcomes[check].findings] == [(level, message)]
    others = [outcome for name, outcome in outcomes.items() if name != check]
    assert not any(outcome.findings for outcome in others), "one cause, one check"


def test_every_check_has_a_broken_row():
    assert {check for _, check, _, _ in BROKEN} == {"every-hook-ran", "flake8", "within-budget"}


def test_findings_carry_place_hint_and_detail():
    (finding,) = judged(failed(places=(F401,), code=1))["flake8"].findings
    assert (finding.file, finding.line, finding.column, finding.hint) == ("a, b.py", 3, 1, "")
    (finding,) = judged(failed(places=(DIFF,), changed=True))["flake8"].findings
    assert finding.detail.startswith("@@")
    assert finding.hint == "`pre-commit run flake8 --all-files` makes the change; commit it."
    (finding,) = judged(failed(tail="Traceback", code=1))["flake8"].findings
    assert (finding.file, finding.detail) == ("", "Traceback")
    assert "pre-commit run flake8" in finding.hint


NO_MEMORY = "ended by SIGKILL: most likely the machine ran out of memory"
SKIPPED, MANUAL = replace(GOOD, status=Status.SKIPPED), replace(GOOD, status=Status.OTHER_STAGE)


@pytest.mark.parametrize(
    ("seen", "check", "said"),
    [
        (replace(SOUND, hooks=()), "every-hook-ran", f"{FILE} lists no hook"),
        (replace(SOUND, hooks=(SKIPPED, MANUAL)), "every-hook-ran", "every hook was skipped by name"),
        (replace(SOUND, hooks=(MANUAL,)), "every-hook-ran", "every hook is for another git hook stage"),
        (replace(CUT, code=-9), "every-hook-ran", f"flake8: {NO_MEMORY}"),
        (replace(CUT, code=3, tail="[Errno 28] No space left on device"), "every-hook-ran", "flake8: the disk is full"),
        (failed(code=-9), "flake8", f"flake8: {NO_MEMORY}"),
        (failed(code=1, tail="write error: No space left on device"), "flake8", "flake8: the disk is full"),
    ],
)
def test_what_is_no_verdict_on_the_project_is_unjudged(seen, check, said):
    outcome = judged(seen)[check]
    assert (outcome.verdict, outcome.unjudged) == (Verdict.UNJUDGED, said)


def test_a_linter_that_writes_of_memory_is_judged():
    said = Place(file="a.py", line=1, message="B014 MemoryError is caught twice")
    assert judged(failed(places=(said,), tail=said.message, code=1))["flake8"].verdict is Verdict.FAIL


def test_why_a_hook_was_not_judged():
    outcomes = judged(replace(CUT, code=3))
    assert outcomes["flake8"].skipped == "after every-hook-ran"
    assert outcomes["mypy"].skipped == "not reached: pre-commit stopped at flake8"
    manual = replace(SOUND, hooks=(replace(GOOD, status=Status.OTHER_STAGE),))
    assert judged(manual)["flake8"].skipped == "for another git hook stage"


def test_two_hooks_of_one_id_are_two_checks():
    ids = ("flake8", "flake8", "within_budget", "flake8")
    seen = replace(SOUND, hooks=tuple(replace(GOOD, id=one) for one in ids))
    assert list(judged(seen))[1:-1] == ["flake8", "flake8-2", "within-budget-2", "flake8-3"]


def test_figures():
    figures = {one.name: str(one) for one in hygiene.measured(failed())}
    assert figures == {
        "hooks-failed": "1",
        "hooks": "3",
        "files": "3",
        "scope": "all files",
        "seconds": "1.6 s",
        "install-seconds": "0 s",
        "slowest": "mypy, 1.10 s",
    }
    assert next(iter(figures)) == "hooks-failed"
    assert {one.name: str(one) for one in hygiene.measured(replace(SOUND, base="main", hooks=()))}["slowest"] == "none"


# The whole stage. Hooks as the template has them, and one planted defect for each.
HOOKS = ("flake8", "shellcheck", "mypy", "check-toml", "end-of-file-fixer", "black")
CLEAN = {
    "src/größe, a b.py": '"""One."""\n\n\ndef one(x: int) -> int:\n    """Return it."""\n    return x\n',
    "go now.sh": '#!/bin/sh\necho "$1"\n',
    "a.toml": "a = 1\n",
    "a.txt": "a\n",
}
PY = "src/größe, a b.py"
DEFECTS = {
    # hook: (file, what it then holds, line of the finding, start of its message)
    "flake8": (PY, CLEAN[PY].replace('"""One."""\n', '"""One."""\n\nimport os\n'), 3, "F401 'os' imported but unused"),
    "shellcheck": ("go now.sh", "#!/bin/sh\necho $1\n", 2, "SC2086"),
    "mypy": (PY, CLEAN[PY].replace("return x", 'return "x"'), 6, "Incompatible return value type"),
    "check-toml": ("a.toml", "a = 1\nb =\n", 2, "Invalid value"),
    "end-of-file-fixer": ("a.txt", "a\nb", 2, "end-of-file-fixer changed this file"),
    "black": (PY, CLEAN[PY].replace("return x", "return  x"), 6, "black changed this file"),
}


def git(folder, *words):
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


def lay(folder, *defects):
    """A project with the sound files, or with the defects of some hooks in their place, committed."""
    (repo,) = yaml.safe_load(CONFIG.read_text())["repos"]
    repo["hooks"] = [next(hook for hook in repo["hooks"] if hook["id"] == name) for name in HOOKS]
    files = CLEAN | {DEFECTS[name][0]: DEFECTS[name][1] for name in defects}
    for name, content in files.items() | {(FILE, yaml.safe_dump({"repos": [repo]}))}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / ".gitignore").write_text("build/\n.mypy_cache/\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "--all")
    git(folder, *NOBODY, "commit", "-q", "-m", "Begin")
    return folder


def stage(folder, **given):
    return pipeline.run("hygiene", pipeline.Asked(folder=folder, given=given))[0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = lay(tmp_path_factory.mktemp("sound"))
    return folder, stage(folder)


def test_the_sound_twin_passes(sound):
    folder, report = sound
    assert report.verdict is Verdict.PASS, report.outcomes
    assert {one.check.removeprefix("hygiene/"): one.verdict for one in report.outcomes} == {
        "every-hook-ran": "pass",
        **dict.fromkeys(HOOKS, "pass"),
        "within-budget": "pass",
    }
    seen = evidence.load(folder / "build/backburn/hygiene/evidence.json", hygiene.Evidence)
    assert seen.files == len(CLEAN) + 2
    assert seen.seconds < 10, "the budget, warm"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_planted_defect_is_found_by_its_hook(tmp_path, hook):
    file, _, line, start = DEFECTS[hook]
    report = stage(lay(tmp_path, hook))
    failed = [outcome for outcome in report.outcomes if outcome.verdict is Verdict.FAIL]
    assert f"hygiene/{hook}" in [outcome.check for outcome in failed]
    # What black would lay out anew, flake8 may see as well; every other defect has one hook.
    assert {outcome.check for outcome in failed} <= {f"hygiene/{hook}", "hygiene/flake8"}
    (finding,) = next(outcome.findings for outcome in failed if outcome.check == f"hygiene/{hook}")
    assert (finding.file, finding.line) == (file, line)
    assert finding.message.startswith(start)
    assert finding.level is Level.ERROR
    if hook in ("black", "end-of-file-fixer"):
        assert finding.detail.startswith("@@ ")
        assert "commit it" in finding.hint


def test_only_what_changed_since_a_base(sound, tmp_path):
    folder = lay(tmp_path, "shellcheck")
    git(folder, "switch", "-q", "-c", "work")
    (folder / "new, one.sh").write_text("#!/bin/sh\necho $2\n")
    git(folder, "add", "--all")
    git(folder, *NOBODY, "commit", "-q", "-m", "Work")
    report = stage(folder, base="main")
    (outcome,) = (one for one in report.outcomes if one.check == "hygiene/shellcheck")
    assert [one.file for one in outcome.findings] == ["new, one.sh"]
    assert {one.name: str(one) for one in report.figures}["scope"] == "changed since main"
    with pytest.raises(UserError, match="nowhere"):
        stage(folder, base="nowhere")


def test_scope_changed_takes_the_pull_request_s_target(tmp_path, monkeypatch):
    folder = lay(tmp_path)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_BASE_REF", "main")
    with pytest.raises(UserError, match="origin/main"):
        hygiene.gather(hygiene.Config(scope="changed"), folder.resolve(), tmp_path / "out")
    git(folder, "update-ref", "refs/remotes/origin/main", "HEAD")
    (tmp_path / "out").mkdir()
    seen = hygiene.gather(hygiene.Config(scope="changed"), folder.resolve(), tmp_path / "out")
    assert (seen.base, seen.files) == ("origin/main", 0)
    assert {hook.status for hook in seen.hooks} == {Status.NO_FILES}


def test_a_shallow_clone_without_the_base_is_unjudged(sound, tmp_path):
    folder, _ = sound
    clone = tmp_path / "clone"
    git(folder, *NOBODY, "commit", "-q", "--allow-empty", "-m", "More")
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{folder}", str(clone))
    with pytest.raises(Unjudged, match="shallow"):
        hygiene.gather(hygiene.Config(base="HEAD~1"), clone.resolve(), tmp_path)


def test_a_project_below_the_top_folder_answers_for_its_own_files(tmp_path):
    """Hooks and config are the repository's; what lies beside the project is another project's."""
    folder = lay(tmp_path, "shellcheck")
    (folder / "project").mkdir()
    (folder / "project" / "pyproject.toml").write_text('[project]\nname = "p"\n')
    (folder / "project" / "run it.sh").write_text("#!/bin/sh\n\necho $3\n")
    git(folder, "add", "--all")
    report = stage(folder / "project")
    findings = [finding for outcome in report.outcomes for finding in outcome.findings]
    assert [(one.file, one.line) for one in findings] == [("project/run it.sh", 3)]
    seen = evidence.load(folder / "project/build/backburn/hygiene/evidence.json", hygiene.Evidence)
    assert [place.file for hook in seen.hooks for place in hook.places] == ["run it.sh"]


def test_what_was_asked_wrongly(tmp_path):
    with pytest.raises(UserError, match="git init"):
        hygiene.gather(hygiene.Config(), tmp_path, tmp_path)
    git(tmp_path, "init", "-q")
    with pytest.raises(UserError, match=FILE):
        hygiene.gather(hygiene.Config(), tmp_path, tmp_path)


def test_the_page_of_the_stage_tells_of_every_option_and_check():
    page = (Path(__file__).parents[2] / "docs" / "hygiene.md").read_text()
    assert page.startswith(f"# {hygiene.__doc__.splitlines()[0]}\n")
    for word in (*hygiene.Config.__struct_encode_fields__, "every-hook-ran", "within-budget"):
        assert f"`{word}`" in page
    assert isinstance(hygiene.Config().budget, Seconds)
