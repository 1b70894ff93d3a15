"""The whole of `backburn rehearse`, by the real act."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.rehearse import Options, rehearsal
from backburn.report import Verdict

from .conftest import CHECKOUT, DOWNLOAD, UPLOAD, git

FORK_GUARD = """
    on: {push: , pull_request: , merge_group: }
    jobs:
      memorize:
        if: vars.BACKBURN_GPU == 'true' && (github.event_name != 'pull_request'
          || github.event.pull_request.head.repo.full_name == github.repository)
        runs-on: [self-hosted, gpu]
        steps: [{run: 'echo "$GITHUB_REPOSITORY $GITHUB_REF $GITHUB_BASE_REF $GITHUB_HEAD_REF"'}]
      verdict:
        needs: memorize
        if: always()
        runs-on: ubuntu-24.04
        steps: [{run: 'echo verdict: $IT; [ $IT = success ]', env: {IT: '${{ needs.memorize.result }}'}}]
    """


def brief(made):
    return {(row.workflow, row.job): (str(row.verdict), row.headline) for row in made.rows}


def test_a_workflow_from_end_to_end(place):
    here = place(
        push=f"""
        on: push
        jobs:
          good:
            runs-on: ubuntu-latest
            steps: [{{uses: {CHECKOUT}}}, {{name: Look, run: 'cat a.txt; git log --oneline | cat'}}]
          bad:
            runs-on: ubuntu-latest
            strategy: {{matrix: {{v: [1, 2]}}, fail-fast: false}}
            steps: [{{name: Break, run: 'echo because of ${{{{ matrix.v }}}}; exit $((${{{{ matrix.v }}}} - 1))'}}]
          after: {{runs-on: ubuntu-latest, needs: bad, steps: [{{run: 'true'}}]}}
        """,
        files={"a.txt": "at HEAD\n"},
    )
    here.write("a.txt", "changed\n")
    here.write("new.txt", "untracked\n")
    made = here.rehearse()
    assert brief(made) == {
        ("push", "good"): ("pass", "every step passed"),
        ("push", "bad (1)"): ("pass", "every step passed"),
        ("push", "bad (2)"): ("fail", "failed in: Break"),
        ("push", "after"): ("skip", "skipped: needs bad"),
    }
    assert made.verdict is Verdict.FAIL and made.not_pushed == ("new.txt",)
    assert made.notes == ("1 changed file(s) were rehearsed as they are at HEAD (--dirty): a.txt",)
    (finding,) = made.findings
    assert finding.message == "push / bad (2) · failed in: Break" and "because of 2" in finding.detail
    assert here.said[0] == "push: rehearsing .github/workflows/push.yml as push"
    assert sum(line.startswith("push / bad (2) · Break … ") and line.endswith(" FAILED") for line in here.said) == 1
    assert "good | Look | at HEAD" in here.log() and "changed" not in here.log()
    lines = (made.folder / "push" / "act.jsonl").read_text().splitlines()
    assert any(json.loads(line).get("jobResult") == "success" for line in lines if line.startswith("{"))
    assert git(here.folder, "status", "--porcelain").split() == ["M", "a.txt", "??", "new.txt"]


def test_dirty_rehearses_what_is_changed(place):
    here = place(push="on: push\njobs: {one: {runs-on: x, steps: [{run: 'true'}]}}\n")
    text = (
        f"on: push\njobs: {{two: {{runs-on: x, steps: [{{uses: {CHECKOUT}}}, {{run: 'git status --short; ls'}}]}}}}\n"
    )
    here.write(".github/workflows/push.yml", text)
    assert list(brief(here.rehearse())) == [("push", "one")]
    assert list(brief(here.rehearse(dirty=True))) == [("push", "two")]


@pytest.mark.parametrize(
    ("options", "memorize", "verdict"),
    [
        ({}, "pass", "pass"),
        ({"event": "pull_request"}, "pass", "pass"),
        ({"event": "merge_group"}, "pass", "pass"),
        ({"fork": True}, "skip", "fail"),
        ({"variables": {"BACKBURN_GPU": "false"}}, "skip", "fail"),
    ],
)
def test_the_fork_guard_can_be_tried_both_ways(place, options, memorize, verdict):
    made = place(gpu=FORK_GUARD).rehearse("gpu", **options)
    assert [str(row.verdict) for row in made.rows] == [memorize, verdict]
    if memorize == "skip":
        assert made.rows[0].headline.startswith("skipped: vars.BACKBURN_GPU == 'true' && (github.event_name")
    assert any("BACKBURN_GPU were true" in note for note in made.notes) is ("variables" not in options)


def test_a_pull_request_has_the_refs_that_github_gives_it(place):
    here = place(gpu=FORK_GUARD)
    git(here.folder, "remote", "add", "origin", "git@github.com:team/digits.git")
    here.rehearse("gpu", event="pull_request")
    assert "| team/digits refs/pull/1/merge main topic" in here.log("gpu")


def test_steps_see_no_secret_and_nothing_of_ours(place, monkeypatch):
    names = (
        "GITHUB_TOKEN",
        "MY_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "DB_PASSWORD",
        "PIP_TOKEN",
        "HARMLESS",
        "SSH_AUTH_SOCK",
    )
    for name in names:
        monkeypatch.setenv(name, f"canary-{name}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/canary-relative-tool:{os.environ['PATH']}")
    monkeypatch.setenv("PIP_INDEX_URL", "https://kept.example.com")
    inner = "runs: {using: composite, steps: [{shell: bash, run: 'env | sort; env > $RUNNER_TEMP/seen'}]}\n"
    here = place(
        push=f"""
        on: push
        env: {{GIVEN: '${{{{ github.token }}}}${{{{ secrets.GITHUB_TOKEN }}}}'}}
        jobs:
          one:
            runs-on: ubuntu-latest
            steps:
              - uses: {CHECKOUT}
              - run: env | sort; cat $HOME/../proc/self/environ 2>/dev/null | tr '\\0' '\\n'; echo "token [$GIVEN]"
              - uses: ./act
              - run: tr '\\0' '\\n' < /proc/$PPID/environ || true
        """,
        # Files that act reads settings from, had it not been told otherwise.
        files={
            "act/action.yml": f"name: x\n{inner}",
            ".secrets": "GITHUB_TOKEN=canary-file\n",
            ".env": "FILE=canary-env\n",
            ".actrc": "--env=X=canary-rc\n",
        },
    )
    made = here.rehearse()
    seen = here.log()
    assert made.verdict is Verdict.PASS
    assert [line for line in seen.split("\n") if "canary" in line and "canary-relative-tool" not in line] == []
    assert "token []" in seen
    paths = [line.partition("PATH=")[2] for line in seen.split("\n") if "| PATH=" in line]
    assert len(paths) >= 2 and all(str(Path(sys.executable).parent) not in one.split(":") for one in paths)
    assert "PIP_INDEX_URL=https://kept.example.com" in seen and "BACKBURN_REHEARSAL=1" in seen
    assert f"XDG_CACHE_HOME={os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}" in seen


def test_a_job_past_its_time_limit_is_ended_with_all_it_started(place):
    here = place(push="""
        on: push
        jobs:
          slow:
            runs-on: ubuntu-latest
            timeout-minutes: 0.1  # in which a busy machine, too, comes to its step
            steps: [{name: Wait, run: 'echo begun; (setsid sleep 86399 &); sleep 86399'}]
          verdict: {needs: slow, if: always(), runs-on: ubuntu-latest, steps: [{run: 'true'}]}
        """)
    started = time.monotonic()
    made = here.rehearse()
    assert time.monotonic() - started < 60  # the step sleeps for a day
    assert brief(made) == {
        ("push", "slow"): ("fail", "timed out after 0.1 min"),
        ("push", "verdict"): ("unjudged", "not reached: slow timed out"),
    }
    assert "begun" in made.findings[0].detail
    assert not sleeping("86399")


def test_ctrl_c_ends_everything_and_removes_what_was_temporary(place, tmp_path):
    here = place(
        push="on: push\njobs: {one: {runs-on: x, steps: [{run: '(setsid sleep 86398 &); sleep 86398'}]}}\n",
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    program = (
        "import sys; from pathlib import Path; from backburn import errors, rehearse\n"
        "try: rehearse.rehearse(Path(sys.argv[1]), (), rehearse.Options(), print)\n"
        "except errors.Interrupted as said: sys.exit(said.exit_code)"
    )
    environ = os.environ | {"TMPDIR": str(temporary)}
    child = subprocess.Popen([sys.executable, "-c", program, str(here.folder)], env=environ)
    try:
        until(lambda: len(sleeping("86398")) == 2)
        with pytest.raises(UserError, match="another rehearsal is at work"):
            here.rehearse()
        assert len(sleeping("86398")) == 2
        child.send_signal(signal.SIGINT)
        assert child.wait(10) == 130
    finally:
        child.kill()
    until(lambda: not sleeping("86398"))
    assert list(temporary.iterdir()) == []


def sleeping(seconds):
    """The processes `sleep <seconds>` of any parent."""
    listed = subprocess.run(["ps", "-axo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[1:] == ["sleep", seconds]]


def until(true, seconds=15):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_what_a_step_leaves_running_ends_with_the_rehearsal(place):
    here = place(push="on: push\njobs: {one: {runs-on: x, steps: [{run: 'setsid sleep 86397 >/dev/null 2>&1 &'}]}}\n")
    assert here.rehearse().verdict is Verdict.PASS
    assert not sleeping("86397")


def test_a_linked_worktree_a_subfolder_and_a_space(place, tmp_path):
    steps = f"[{{uses: {CHECKOUT}}}, {{run: 'git log --oneline; cat sub/a'}}]"
    text = f"on: push\njobs: {{one: {{runs-on: x, steps: {steps}}}}}\n"
    here = place(push=text, files={"sub/a": "inside\n", "sub/pyproject.toml": ""}, folder="a project")
    git(here.folder, "worktree", "add", "-q", "--detach", str(tmp_path / "linked tree"))
    root = tmp_path / "linked tree" / "sub"
    made = here.rehearse("push", root=root)
    assert brief(made) == {("push", "one"): ("pass", "every step passed")}
    assert "| inside" in (root / "build" / "rehearsal" / "push" / "log.txt").read_text()


def test_a_missing_stand_in_stops_before_the_first_job_and_can_be_supplied(place, tmp_path):
    text = "on: push\njobs: {one: {runs-on: x, steps: [{uses: some/thing@v1}]}}\n"
    here = place(aaa=text.replace("uses: some/thing@v1", "run: 'true'"), push=text)
    with pytest.raises(UserError, match="no stand-in for some/thing@v1(?s:.*)--stand-in some/thing=DIR"):
        here.rehearse()
    assert [line for line in here.said if "…" in line] == []
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "action.yml").write_text("name: x\nruns: {using: composite, steps: [{shell: bash, run: echo mine}]}\n")
    options = Options.from_words(stand_ins=[f"some/thing={mine}"], variables=["A=b=c"], dirty=True)
    assert options.variables == {"A": "b=c"} and options.dirty
    made = here.rehearse("push", stand_ins=options.stand_ins)
    assert made.verdict is Verdict.PASS and "| mine" in here.log()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"variables": ["A"]}, "expected --var NAME=VALUE, got 'A'"),
        ({"stand_ins": ["=x"]}, "expected --stand-in OWNER/REPO=DIR"),
        ({"stand_ins": ["a/b=/nowhere"]}, "no such folder"),
    ],
)
def test_words_of_another_shape_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        Options.from_words(**words)


@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        (("nightly",), {}, "no workflow 'nightly' at HEAD(?s:.*)There are: push"),
        (("new.yml",), {}, "not committed, and what is rehearsed is HEAD"),
        (("push",), {"event": "schedule"}, "does not run on schedule"),
        (("push",), {"fork": True}, "does not run on pull_request"),
        (("push",), {"fork": True, "event": "push"}, "--fork is about pull requests"),
        ((), {"event": "schedule"}, "no committed workflow runs on schedule"),
        (("push",), {"toolkit": Path("/nonesuch")}, "no actions/ in it"),
    ],
)
def test_what_is_asked_wrongly_is_said(place, asked, options, said):
    here = place(push="on: push\njobs: {one: {runs-on: x, steps: [{run: 'true'}]}}\n")
    here.write("new.yml", "on: push\n")
    with pytest.raises(UserError, match=said):
        here.rehearse(*asked, **options)


def test_without_a_name_all_that_a_push_or_pull_request_triggers(place, tmp_path):
    job = "jobs: {one: {runs-on: x, steps: [{run: 'true'}]}}\n"
    here = place(
        push=f"on: push\n{job}",
        review=f"on: pull_request\n{job}",
        nightly=f"on: {{schedule: [{{cron: '1 2 * * *'}}]}}\n{job}",
        called=f"on: workflow_call\n{job}",
    )
    assert [row.workflow for row in here.rehearse().rows] == ["push", "review"]
    outside = tmp_path / "outside.yml"
    outside.write_text(f"on: {{schedule: [{{cron: '1 2 * * *'}}]}}\n{job}")
    made = here.rehearse("nightly", str(outside))
    assert [(row.workflow, str(row.verdict)) for row in made.rows] == [("nightly", "pass"), ("outside", "pass")]


def test_workflows_come_in_the_order_asked_else_those_of_rare_runners_last(place):
    job = "steps: [{run: 'true'}]}}\n"
    here = place(
        gpu="on: push\njobs: {one: {runs-on: [self-hosted, gpu], " + job,
        push="on: push\njobs: {one: {runs-on: ubuntu-24.04, " + job,
    )
    assert [row.workflow for row in here.rehearse().rows] == ["push", "gpu"]
    for asked in (("push", "gpu"), ("gpu", "push")):
        assert tuple(row.workflow for row in here.rehearse(*asked).rows) == asked


def test_a_workflow_that_act_refuses_is_unjudged_and_says_why(place):
    made = place(push="on: push\njobs: {one: {runs-on: x, steps: [{run: 'true', nonsense: 1}]}}\n").rehearse()
    assert brief(made) == {("push", "one"): ("unjudged", "act refused the workflow")}
    assert "nonsense" in made.findings[0].detail


def test_yesterdays_artifacts_are_gone(place):
    here = place(push="on: push\njobs: {one: {runs-on: x, steps: [{run: 'true'}]}}\n")
    old = here.write("build/rehearsal/push/artifacts/unit/report.json", "{}")
    here.rehearse()
    assert not old.exists() and (here.folder / "build" / "rehearsal" / ".gitignore").read_text() == "*\n"


STAGE = """
name: a stage
inputs: {artifact-name: {default: "unit-${{ github.job }}-${{ strategy.job-index }}"}}
runs:
  using: composite
  steps:
    - shell: bash
      run: |
        mkdir -p build/backburn/unit
        cp "$GITHUB_ACTION_PATH/../../report.json" build/backburn/unit/
    - uses: UPLOAD
      with: {name: "${{ inputs.artifact-name }}", path: build/backburn/unit}
""".replace("UPLOAD", UPLOAD)
REPORT = {
    "kind": "report",
    "schema": 1,
    "stage": "unit",
    "question": "?",
    "outcomes": [{"check": "unit/tests-pass", "claim": "x."}],
    "figures": [{"name": "tests", "value": 3}],
}


def test_a_stage_of_the_toolkit_is_judged_by_the_report_it_uploads(place):
    toolkit = place(files={"actions/unit/action.yml": STAGE, "report.json": json.dumps(REPORT)}, folder="toolkit")
    commit = git(toolkit.folder, "rev-parse", "HEAD")
    jobs = """
        on: push
        jobs:
          unit:
            strategy: {matrix: {v: [a, b]}}
            runs-on: ubuntu-latest
            steps: [{uses: CHECKOUT}, {uses: backburn-ci/backburn/actions/unit@COMMIT}]
        """.replace("CHECKOUT", CHECKOUT)
    here = place(push=jobs.replace("COMMIT", commit))
    made = here.rehearse(toolkit=toolkit.folder)
    assert sorted((row.job, row.stage, str(row.verdict), row.headline) for row in made.rows) == [
        (f"unit ({leg})", "unit", "pass", "tests 3") for leg in "ab"
    ]
    assert here.artifacts() == ["unit-unit-0/report.json", "unit-unit-1/report.json"] and made.notes == ()
    here.write(".github/workflows/push.yml", jobs.replace("COMMIT", "0" * 40).replace("        ", ""))
    here.commit()
    (note,) = here.rehearse(toolkit=toolkit.folder).notes
    assert note == f"the workflows pin backburn-ci/backburn at {'0' * 12}, rehearsed with {commit[:12]}"


@pytest.mark.parametrize(
    ("commit", "said"),
    [
        ("a" * 40, "a" * 12),
        ("a" * 40 + "+", "a" * 12 + " with changes of its own"),
        ("", "one whose commit git does not tell"),
    ],
)
def test_it_says_what_was_served_in_the_place_of_a_pin(commit, said):
    (note,) = rehearsal._pins({"0" * 40}, commit)
    assert note.endswith(f"rehearsed with {said}")


NIGHTLY = f"""
    on: {{schedule: [{{cron: "23 3 * * *"}}], workflow_dispatch: }}
    concurrency: {{ group: nightly, cancel-in-progress: false, queue: max }}
    jobs:
      train:
        if: vars.BACKBURN_GPU == 'true'
        concurrency:
          queue: max
          group: train
        runs-on: [self-hosted, gpu]
        steps:
          - uses: {CHECKOUT}
          - run: echo "$GITHUB_EVENT_NAME at ${{{{ github.event.schedule }}}}"
          - uses: backburn-ci/backburn/actions/unit@COMMIT
          - {{uses: backburn-ci/backburn/actions/reproduce@COMMIT, if: '${{{{ !cancelled() }}}}'}}
          - {{uses: backburn-ci/backburn/actions/profile@COMMIT, if: '${{{{ !cancelled() }}}}'}}
      publish:
        needs: train
        if: always() && vars.BACKBURN_GPU == 'true'
        runs-on: ubuntu-24.04
        steps:
          - {{uses: {DOWNLOAD}, continue-on-error: true, with: {{pattern: "*-train-*", path: artifacts}}}}
          - {{uses: backburn-ci/backburn/actions/publish@COMMIT, with: {{result: '${{{{ needs.train.result }}}}'}}}}
    """
PUBLISH = """
name: publish
inputs: {result: {default: ""}}
runs:
  using: composite
  steps:
    - {shell: bash, run: 'ls -A; ls artifacts/*; echo "night: $RESULT"', env: {RESULT: "${{ inputs.result }}"}}
"""


def nightly(place, **verdicts):
    """A toolkit whose stages say what they are told to, and a project that has them nightly in one job."""
    files = {"actions/publish/action.yml": PUBLISH}
    for stage in ("unit", "reproduce", "profile"):
        outcome = {"check": f"{stage}/sound", "claim": "x."} | verdicts.get(stage, {})
        report = REPORT | {"stage": stage, "outcomes": [outcome], "seconds": 0.25}
        code = 1 if "findings" in outcome else 0
        action = STAGE.replace("unit", stage).replace("report.json", f"{stage}.json")
        action = action.replace(f"build/backburn/{stage}/\n", f"build/backburn/{stage}/report.json; exit {code}\n")
        files[f"actions/{stage}/action.yml"] = action.replace("- uses", "- if: always()\n      uses")
        files[f"{stage}.json"] = json.dumps(report)
    toolkit = place(files=files, folder="toolkit")
    commit = git(toolkit.folder, "rev-parse", "HEAD")
    return toolkit, place(nightly=NIGHTLY.replace("COMMIT", commit))


def test_a_night_is_a_row_for_each_stage_and_is_published_whatever_it_said(place):
    red = {"findings": [{"message": "beyond what seeds do"}]}
    toolkit, here = nightly(place, unit=red, profile={"unjudged": "no reference"})
    made = here.rehearse(toolkit=toolkit.folder)
    assert [(row.job, row.stage, str(row.verdict), row.headline) for row in made.rows] == [
        ("train", "unit", "fail", "tests 3"),
        ("train", "reproduce", "pass", "tests 3"),
        ("train", "profile", "unjudged", "tests 3"),
        ("publish", "", "pass", "night: failure"),
    ]
    assert [row.seconds for row in made.rows[:3]] == [0.25] * 3
    folders = [f"build/rehearsal/nightly/artifacts/{stage}-train-0" for stage in ("unit", "reproduce", "profile")]
    assert [one.folder for one in made.reports] == [*folders, ""]
    assert [one.check for one in made.reports[-1].outcomes] == ["rehearse/nightly/publish"]
    told = [line.split("| ", 2)[-1] for line in here.log("nightly").splitlines() if line.startswith("publish | ")]
    assert "artifacts" in told and ".github" not in told  # no checkout: nothing but what was downloaded
    assert {f"artifacts/{stage}-train-0:" for stage in ("unit", "reproduce", "profile")} <= set(told)
    assert "workflow_dispatch at" in here.log("nightly")


def test_a_night_may_be_rehearsed_as_the_clock_starts_it(place):
    toolkit, here = nightly(place)
    assert here.rehearse("nightly", toolkit=toolkit.folder, event="schedule").verdict is Verdict.PASS
    assert "schedule at 23 3 * * *" in here.log("nightly") and "night: success" in here.log("nightly")


def test_a_night_without_a_runner_is_neither_trained_nor_published(place):
    toolkit, here = nightly(place)
    made = here.rehearse("nightly", toolkit=toolkit.folder, variables={"BACKBURN_GPU": "false"})
    assert [str(row.verdict) for row in made.rows] == ["skip", "skip"]


def test_our_own_repository_may_say_where_its_actions_are_in_githubs_new_way(place):
    text = f"on: push\njobs: {{one: {{runs-on: x, steps: [{{uses: {CHECKOUT}}}, {{uses: $/actions/unit}}]}}}}\n"
    files = {"actions/unit/action.yml": STAGE, "report.json": json.dumps(REPORT)}
    here = place(push=text, files=files)
    git(here.folder, "remote", "add", "origin", "https://github.com/backburn-ci/backburn.git")
    made = here.rehearse()
    assert [(row.stage, str(row.verdict)) for row in made.rows] == [("unit", "pass")]


def test_a_called_workflow_has_rows_of_its_own_and_is_looked_into(place):
    called = f"""
        on: workflow_call
        jobs:
          inner: {{runs-on: only-there, steps: [{{uses: {CHECKOUT}}}, {{uses: $/act}}, {{run: exit 3}}]}}
          other: {{name: The other, runs-on: x, steps: [{{run: 'true'}}]}}
        """
    files = {"act/action.yml": "name: x\nruns: {using: composite, steps: [{uses: some/thing@v1}]}\n"}
    caller = """
        on: push
        jobs:
          call: {uses: $/.github/workflows/called.yml}
          after: {needs: call, runs-on: x, steps: [{run: 'true'}]}
        """
    here = place(push=caller, called=called, files=files)
    with pytest.raises(UserError, match="no stand-in for some/thing@v1"):
        here.rehearse()
    here.write("act/action.yml", files["act/action.yml"].replace("uses: some/thing@v1", "shell: bash, run: echo mine"))
    here.commit()
    made = here.rehearse()
    assert sorted((row.job, str(row.verdict), row.headline) for row in made.rows) == [
        ("after", "skip", "skipped: needs call"),
        ("call / The other", "pass", "every step passed"),
        ("call / inner", "fail", "failed in: exit 3"),
    ]
    (here.folder / ".github/workflows/called.yml").unlink()
    here.commit()
    with pytest.raises(UserError, match="calls ./.github/workflows/called.yml, which is not at HEAD"):
        here.rehearse()
