"""From reports to the night: verdicts, numbers, and why there may be none."""

import datetime
import json

import msgspec
import pytest

from backburn.errors import UserError
from backburn.history import night
from backburn.history.night import Run, conclude, dumps, told
from backburn.report import Figure, Finding, Level, Outcome, Report, Table, Verdict

from .conftest import report, three

NOW = datetime.datetime(2026, 11, 21, 3, 23, tzinfo=datetime.UTC)
EXPECT = ("unit", "reproduce", "profile")


def judged(*reports, refused=(), expect=EXPECT, result="success"):
    by_stage = {one.stage: told(one) for one in reports}
    problems = tuple(conclude(by_stage, refused, expect, result))
    return night.night(Run(id=7, attempt=1, commit="c0ffee"), by_stage, problems, NOW)


def test_a_whole_night_passes():
    one = judged(*three())
    assert (one.verdict, one.problems) == ("pass", ())
    assert list(one.stages) == list(EXPECT) and one.stages["reproduce"].figures == {"digits": {"steps": 240}}
    assert one.stages["unit"].figures == {"": {"steps": 240}}


def test_a_training_that_was_not_started_adds_no_figures():
    profile = msgspec.structs.replace(report("profile"), reused=("digits",))
    one = judged(*three(profile=profile))
    assert (one.verdict, one.stages["profile"].figures) == ("pass", {})
    assert (one.stages["profile"].reused, one.stages["reproduce"].reused) == (("digits",), ())
    assert one.stages["reproduce"].figures == {"digits": {"steps": 240}}


@pytest.mark.parametrize(
    ("named", "told"), [("nvidia-h200", "nvidia-h200"), ("any", ""), ("a b", ""), ("<!--", ""), ("x" * 101, "")]
)
def test_the_hardware_is_a_word_of_the_environments_table(named, told):
    tables = (
        Table(name="environment", rows=(("hardware", "another's"),), training="other"),
        Table(name="environment", rows=(("device", "x"), ("hardware", named)), training="digits"),
    )
    one = judged(*three(reproduce=report(tables=tables)))
    assert one.stages["reproduce"].hardware == ({"digits": told} if told else {})


def test_a_night_that_failed_or_was_not_judged_says_so():
    assert judged(*three(reproduce=report(said="it differs")), result="failure").verdict == "fail"
    assert judged(*three(reproduce=report(unjudged="no reference"))).verdict == "unjudged"
    assert judged(*three(profile=report("profile", unjudged="x"), reproduce=report(said="y"))).verdict == "fail"


@pytest.mark.parametrize(
    ("reports", "how", "said"),
    [
        (three()[:2], {}, "profile: no report"),
        (three(), {"refused": ("x: refused: y",)}, "x: refused: y"),
        (three(), {"result": "cancelled"}, "'cancelled'"),
        (three(), {"result": "skipped"}, "'skipped'"),
        (three(), {"result": ""}, "was not given"),
        (three(), {"result": "failure"}, "no report says why"),
        (three(reproduce=report(interrupted="interrupted by SIGTERM")), {}, "reproduce: interrupted by SIGTERM"),
        ([], {"expect": ()}, "there is no report"),
    ],
)
def test_what_is_missing_or_broken_is_never_a_verdict(reports, how, said):
    one = judged(*reports, **how)
    assert one.verdict == "no verdict" and said in "; ".join(one.problems)


def test_a_failed_job_whose_report_says_why_has_a_verdict():
    assert judged(*three(reproduce=report(said="it differs")), result="failure").problems == ()
    assert judged(*three(reproduce=report(unjudged="no reference")), result="failure").problems == ()


def test_the_line_is_one_line_and_has_finite_numbers_only():
    figures = [Figure(name=f"f{n}", value=n, training="digits") for n in range(60)]
    odd = [Figure(name=name, value=float(name), training="digits") for name in ("nan", "inf", "-inf")]
    odd += [Figure(name="beyond a float", value=10**400, training="digits")]
    other = Figure(name="theirs", value=1, training="another")
    text = Figure(name="device\n", text="cpu\n", training="digits")
    one = judged(*three(reproduce=report(figures=(text, *odd, other, *figures), seconds=float("nan"))))
    content = dumps(one)
    assert content.count(b"\n") == 1 and content.endswith(b"\n")
    stage = json.loads(content)["stages"]["reproduce"]
    assert list(stage["figures"]["digits"]) == [f"f{n}" for n in range(50)]
    assert list(stage["figures"]) == ["digits"] and stage["seconds"] is None
    assert (json.loads(content)["kind"], json.loads(content)["schema"]) == ("night", 1)


def test_the_cause_stands_first_and_is_one_plain_line():
    findings = (
        Finding(message="only a note", level=Level.NOTICE),
        Finding(message="it\n\x1b[1mdiffers", file="src/train.py", line=12, hint="look\nthere"),
    )
    fails = Outcome(check="reproduce/b", claim="", training="digits", findings=findings)
    waits = Outcome(check="reproduce/a", claim="", training="digits", unjudged="no reference")
    (part,) = told(Report(stage="reproduce", question="", outcomes=(waits, fails))).parts
    assert (part.verdict, part.cause.check) == (Verdict.FAIL, "reproduce/b")
    assert (part.cause.said, part.cause.where, part.cause.hint) == ("it [1mdiffers", "src/train.py:12", "look there")


def test_what_is_unjudged_tells_its_reason_and_its_hint():
    note = Finding(message="no reference", level=Level.WARNING, hint="backburn bless reproduce")
    waits = Outcome(check="reproduce/a", claim="", training="digits", unjudged="no reference", findings=(note,))
    (part,) = told(Report(stage="reproduce", question="", outcomes=(waits,))).parts
    assert (part.verdict, part.cause.said, part.cause.hint) == (
        Verdict.UNJUDGED,
        "no reference",
        "backburn bless reproduce",
    )


def test_trainings_are_told_apart():
    outcomes = tuple(report(training=name, said=said).outcomes[0] for name, said in (("a", "no"), ("b", "")))
    parts = told(Report(stage="reproduce", question="", outcomes=outcomes)).parts
    assert [(part.training, part.verdict) for part in parts] == [("a", Verdict.FAIL), ("b", Verdict.PASS)]


def test_a_report_without_outcomes_judges_nothing():
    (part,) = told(Report(stage="unit", question="", outcomes=())).parts
    assert part.verdict is Verdict.UNJUDGED and part.cause.said == "no check concluded anything"


@pytest.mark.parametrize("name", ["@all", "a b", "-->", "a`b", "x\n", "../x", "é", "a" * 101])
def test_a_training_has_a_name_that_a_project_could_give(name):
    with pytest.raises(UserError, match="no name of a training"):
        told(report(training=name))


def test_no_report_may_open_any_number_of_issues():
    outcomes = tuple(report(training=f"t{n}").outcomes[0] for n in range(21))
    with pytest.raises(UserError, match="21 trainings"):
        told(Report(stage="reproduce", question="", outcomes=outcomes))
    assert told(Report(stage="reproduce", question="", outcomes=outcomes[:20])).parts


def test_the_run_is_what_github_says():
    about = {"RUN_ID": "7", "RUN_ATTEMPT": "2", "SHA": "c0ffee", "REF": "refs/heads/a\u202eb", "WORKFLOW": "n\nightly"}
    environ = {f"GITHUB_{name}": text for name, text in about.items()}
    run = Run.from_environ(environ | {"GITHUB_SERVER_URL": "https://h", "GITHUB_REPOSITORY": "o/r"})
    assert (run.id, run.attempt, run.ref, run.workflow) == (7, 2, "refs/heads/a b", "n ightly")
    assert run.page == "https://h/o/r/actions/runs/7"
    assert Run.from_environ({"GITHUB_RUN_ID": "x" * 9}).id == 0
