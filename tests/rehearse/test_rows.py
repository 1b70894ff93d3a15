import json

import pytest

from backburn import evidence
from backburn.rehearse import rows, workflow
from backburn.rehearse.act import Leg
from backburn.report import Figure, Finding, Outcome, Report

STAGE = "steps: [{uses: actions/checkout@v7}, {uses: backburn-ci/backburn/actions/unit@abc}]"
TWO = "steps: [{uses: backburn-ci/backburn/actions/hygiene@abc}, {uses: backburn-ci/backburn/actions/unit@abc}]"


def report(stage="unit", **outcome):
    figures = (Figure(name="tests", value=12), Figure(name="device", text="cpu (rehearsal)"))
    outcomes = (Outcome(check=f"{stage}/sound", claim="x."), Outcome(check=f"{stage}/first", claim="y.", **outcome))
    return Report(stage=stage, question="?", outcomes=outcomes, figures=figures, seconds=1.5)


FAILING = {"findings": (Finding(message="test_a failed", file="tests/test_a.py", line=3, hint="mend"),)}


@pytest.fixture
def conclude(tmp_path):
    """`conclude(jobs, legs, reports by artifact number)` -> rows and findings."""

    def conclude(jobs, *legs, reports=None, repository="team/x", **more):
        for number, one in (reports or {}).items():
            to = tmp_path / "artifacts" / f"a{number}" / "unit" / "report.json"
            evidence.write(one, to) if isinstance(one, bytes) else evidence.save(one, to)
        entries = [json.dumps({"id": number, "name": f"a{number}"}) for number in reports or {}]
        (tmp_path / "index").write_text("\n".join(entries))
        planned = workflow.read(f"on: push\njobs:\n{jobs}\n", "w.yml", "push")
        told = rows.Told(
            workflow=planned,
            repository=repository,
            legs={leg.label: leg for leg in legs},
            artifacts=tmp_path / "artifacts",
            index=tmp_path / "index",
            **more,
        )
        return rows.conclude(told)

    return conclude


def leg(job="one", outcome="success", label="", tail=(), failed="", **more):
    more = {"outputs": {"0": tail}, "broken": {failed: "0"} if failed else {}} | more
    return Leg(job=job, label=label or job, started=10.0, ended=12.5, outcome=outcome, **more)


def brief(made):
    return [(row.job, row.stage, str(row.verdict), row.headline) for row in made[0]]


def test_a_job_without_a_stage_is_what_act_says(conclude):
    made = conclude("  one: {}\n  two: {}", leg(), leg("two", "failure", failed="a step", tail=("said", "exit 1")))
    assert brief(made) == [("one", "", "pass", "every step passed"), ("two", "", "fail", "failed in: a step")]
    assert made[0][0].seconds == 2.5
    assert made[1] == (Finding(message="push / two · failed in: a step", detail="said\nexit 1"),)


@pytest.mark.parametrize(
    ("job", "why"),
    [
        ("{if: vars.GPU == 'true'}", "skipped: vars.GPU == 'true'"),
        ("{needs: [one, two]}", "skipped: needs two"),
        ("{needs: two, if: github.ref == 'x'}", "skipped: needs two"),
        ("{needs: two, if: 'always() && vars.X'}", "skipped: always() && vars.X"),
        ("{runs-on: windows-latest}", "skipped: windows-latest cannot be had here"),
        ("{container: alpine}", "skipped: a container cannot be had here"),
    ],
)
def test_a_job_that_act_says_nothing_of_is_skipped_and_says_why(conclude, job, why):
    made = conclude(f"  one: {{}}\n  two: {{}}\n  three: {job}", leg(), leg("two", "failure", failed="x"))
    assert brief(made)[2] == ("three", "", "skip", why)
    assert made[0][2].seconds is None


def test_a_skipped_job_names_the_stage_that_did_not_happen(conclude):
    made = conclude(f"  one: {{if: vars.GPU, {STAGE}}}")
    assert brief(made) == [("one", "unit", "skip", "skipped: vars.GPU")]


def test_what_needs_a_skipped_job_is_skipped(conclude):
    made = conclude("  one: {if: vars.A}\n  two: {needs: one}\n  three: {needs: two}")
    assert [row.headline for row in made[0]] == ["skipped: vars.A", "skipped: needs one", "skipped: needs two"]


def test_a_job_without_any_reason_to_be_silent_is_unjudged(conclude):
    assert brief(conclude("  one: {}")) == [("one", "", "unjudged", "act said nothing of this job")]


def test_a_platform_that_act_skips_is_not_green(conclude):
    made = conclude("  one: {runs-on: windows-latest}", leg(outcome="", unsupported=True))
    assert brief(made)[0][2] == "skip"


def test_a_container_job_that_act_could_not_start_is_not_the_projects_fault(conclude):
    assert brief(conclude("  one: {container: x}", leg(outcome="failure")))[0][2] == "skip"


def test_the_verdict_and_headline_of_a_stage_come_from_its_report(conclude):
    made = conclude(f"  one: {{{STAGE}}}", leg(artifacts={"1"}), reports={1: report()})
    assert brief(made) == [("one", "unit", "pass", "tests 12, cpu (rehearsal)")]
    assert made[1] == ()


def test_a_failing_stage_is_one_row_with_its_first_finding(conclude):
    failed = leg(outcome="failure", failed="unit", artifacts={"1"})
    made = conclude(f"  one: {{{STAGE}}}", failed, reports={1: report(**FAILING)})
    assert brief(made) == [("one", "unit", "fail", "tests 12, cpu (rehearsal)")]
    (finding,) = made[1]
    assert finding.message == "push / one · unit/first: test_a failed"
    assert (finding.file, finding.line, finding.hint) == ("tests/test_a.py", 3, "mend")


def test_an_unjudged_stage_that_only_warns_is_still_unjudged(conclude):
    made = conclude(f"  one: {{{STAGE}}}", leg(artifacts={"1"}), reports={1: report(unjudged="no GPU")})
    assert brief(made)[0][2] == "unjudged" and made[1][0].message == "push / one · unit/first: no GPU"


def test_a_promised_report_that_is_missing_or_unreadable_is_unjudged(conclude):
    job = f"  one: {{{STAGE}}}"
    assert brief(conclude(job, leg()))[0][1:] == ("unit", "unjudged", "no report of unit among the job's artifacts")
    made = conclude(job, leg(artifacts={"1"}), reports={1: b"{"})
    assert brief(made)[0][2] == "unjudged" and brief(made)[0][3].startswith("unreadable report")


def test_another_jobs_report_does_not_count(conclude):
    made = conclude(f"  one: {{{STAGE}}}", leg(artifacts={"2"}), reports={1: report()})
    assert brief(made)[0][2] == "unjudged"


def test_a_stage_that_ended_without_a_report_failed_or_could_not_be_installed(conclude):
    job = f"  one: {{{STAGE}}}"
    assert brief(conclude(job, leg(outcome="failure", failed="unit", tail=("exit status 2",))))[0][1:3] == (
        "unit",
        "fail",
    )
    made = conclude(job, leg(outcome="failure", failed="unit", tail=("no network", "exit status 3")))
    assert brief(made)[0][1:3] == ("unit", "unjudged")


def test_a_later_failing_step_gets_a_row_of_its_own(conclude):
    failed = leg(outcome="failure", failed="deploy", artifacts={"1"})
    made = conclude(f"  one: {{{STAGE}}}", failed, reports={1: report()})
    assert [one[1:3] for one in brief(made)] == [("unit", "pass"), ("", "fail")]
    assert made[0][0].note == "the job failed in: deploy"


def test_two_stages_in_one_job_are_two_rows(conclude):
    both = leg(outcome="failure", failed="hygiene", artifacts={"1"})
    made = conclude(f"  one: {{{TWO}}}", both, reports={1: report("hygiene", **FAILING)})
    assert [one[1:3] for one in brief(made)] == [("hygiene", "fail"), ("unit", "unjudged")]
    assert [row.seconds for row in made[0]] == [1.5, None]


def test_three_stages_in_one_job_are_judged_each_by_its_own_report(conclude):
    names = ("unit", "reproduce", "profile")
    uses = ", ".join(f"{{uses: backburn-ci/backburn/actions/{name}@abc}}" for name in names)
    reports = {1: report("unit"), 2: report("reproduce", **FAILING), 3: report("profile", unjudged="no reference")}
    three = leg(outcome="failure", failed="reproduce", artifacts={"1", "2", "3"})
    made = conclude(f"  one: {{steps: [{uses}]}}", three, reports=reports)
    assert [(one[1], one[2]) for one in brief(made)] == [*zip(names, ("pass", "fail", "unjudged"), strict=True)]
    assert {(row.seconds, row.note) for row in made[0]} == {(1.5, "")}  # reproduce says why the job failed
    assert [one.message.partition(" · ")[2] for one in made[1]] == [
        "reproduce/first: test_a failed",
        "profile/first: no reference",
    ]


def test_each_stage_that_ended_without_a_report_says_why_itself(conclude):
    names = ("hygiene", "unit", "memorize")
    steps = [f"backburn-ci/backburn/actions/{name}@abc" for name in names]
    said = {"1": ("corrupt", "exit status 2"), "2": ("no network", "exit status 3")}
    two = leg(outcome="failure", broken={steps[1]: "1", steps[2]: "2"}, outputs=said, artifacts={"1"})
    uses = ", ".join(f"{{uses: {one}}}" for one in steps)
    made = conclude(f"  one: {{steps: [{uses}]}}", two, reports={1: report("hygiene")})
    assert [one[1:] for one in brief(made)] == [
        ("hygiene", "pass", "tests 12, cpu (rehearsal)"),
        ("unit", "fail", f"failed in: {steps[1]}"),
        ("memorize", "unjudged", f"failed in: {steps[2]}"),
    ]
    assert [one.detail for one in made[1]] == ["corrupt\nexit status 2", "no network\nexit status 3"]
    assert not any(row.note for row in made[0])


def test_a_report_beside_the_plan_is_shown_too(conclude):
    made = conclude("  one: {}", leg(artifacts={"1"}), reports={1: report()})
    assert [one[1:3] for one in brief(made)] == [("unit", "pass")]


def test_each_leg_of_a_matrix_has_its_own_report(conclude):
    legs = (leg(label="one (1)", artifacts={"1"}), leg(label="one (2)", artifacts={"2"}, outcome="failure", failed="u"))
    made = conclude(f"  one: {{{STAGE}}}", *legs, reports={1: report(), 2: report(**FAILING)})
    assert [(row.job, str(row.verdict)) for row in made[0]] == [("one (1)", "pass"), ("one (2)", "fail")]


def test_a_job_past_its_limit_failed_and_what_it_took_along_is_unjudged(conclude):
    late = leg(outcome="failure", timed_out=True, tail=("epoch 3",))
    jobs = "  one: {timeout-minutes: 0.05}\n  two: {}\n  three: {if: always()}"
    made = conclude(jobs, late, leg("two", ""), cut="one timed out")
    assert brief(made) == [
        ("one", "", "fail", "timed out after 0.05 min"),
        ("two", "", "unjudged", "ended early: one timed out"),
        ("three", "", "unjudged", "not reached: one timed out"),
    ]
    assert made[1][0].detail == "epoch 3"


def test_a_stage_that_passed_before_its_job_timed_out_is_told_no_step_that_failed(conclude):
    late = leg(outcome="failure", timed_out=True, artifacts={"1"})
    made = conclude(f"  one: {{{TWO}}}", late, reports={1: report("hygiene")})
    assert [one[1:3] for one in brief(made)] == [("hygiene", "pass"), ("unit", "unjudged"), ("", "fail")]
    assert {row.note for row in made[0]} == {""}


def test_what_would_have_been_skipped_anyway_is_skipped_also_where_act_was_ended(conclude):
    late = leg(outcome="failure", timed_out=True)
    jobs = """  one: {timeout-minutes: 0.05}
  windows: {runs-on: windows-latest}
  never: {if: "${{ false }}"}
  after: {needs: never}
  later: {needs: after}
  failed: {needs: one}
  perhaps: {if: vars.X}
  report: {needs: [one, never], if: always()}
  fine: {}
  next: {needs: fine}"""
    made = conclude(jobs, late, leg("fine"), cut="one timed out")
    assert [one[2:] for one in brief(made)[1:]] == [
        ("skip", "skipped: windows-latest cannot be had here"),
        ("skip", "skipped: false"),
        ("skip", "skipped: needs never"),
        ("skip", "skipped: needs after"),
        ("skip", "skipped: needs one"),
        ("unjudged", "not reached: one timed out"),
        ("unjudged", "not reached: one timed out"),
        ("pass", "every step passed"),
        ("unjudged", "not reached: one timed out"),
    ]


def test_what_a_job_needs_may_stand_below_it(conclude):
    made = conclude("  two: {needs: one, if: vars.X}\n  one: {}", leg("one"))
    assert brief(made)[0] == ("two", "", "skip", "skipped: vars.X")


def test_a_job_that_act_forgot_is_unjudged(conclude):
    assert brief(conclude("  one: {}", leg(outcome="")))[0][2:] == ("unjudged", "act ended without a word on it")


def test_a_workflow_that_act_refuses_is_unjudged(conclude):
    assert brief(conclude("  one: {if: x}", complaint="Error: bad"))[0][2:] == ("unjudged", "act refused the workflow")


@pytest.mark.parametrize(
    ("uses", "headline"),
    [("backburn-ci/backburn/actions/publish@abc", "night: unjudged"), ("some/greeting@abc", "every step passed")],
)
def test_what_publish_said_of_the_night_is_its_jobs_headline(conclude, uses, headline):
    tails = {"publish": ("night: pass", "would open: x", "night: unjudged", "bye"), "report": ("Page: report.html",)}
    said = leg(outputs=tails)
    assert brief(conclude(f"  one: {{steps: [{{uses: {uses}}}]}}", said)) == [("one", "", "pass", headline)]
