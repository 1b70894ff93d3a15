from backburn.rehearse.rows import Row
from backburn.rehearse.said import reports
from backburn.report import Finding, Level, Outcome, Report, Verdict


def row(job, verdict, headline="", stage="", **more):
    return Row(workflow="push", job=job, stage=stage, verdict=verdict, headline=headline, **more)


def stage(name, folder):
    return Report(stage=name, question="?", outcomes=(Outcome(check=f"{name}/x", claim="c"),), folder=folder)


def test_every_stage_is_there_with_the_folder_of_its_artifact():
    folder = "/project/build/rehearsal/push/artifacts/unit-unit-0"
    (said,) = reports([row("unit", Verdict.PASS, report=stage("unit", folder))], [], root="/project")
    assert (said.stage, said.folder) == ("unit", "build/rehearsal/push/artifacts/unit-unit-0")


def test_a_job_of_which_no_stage_tells_is_there_with_its_cause():
    rows = [
        row("unit", Verdict.PASS, report=stage("unit", "/project/a")),
        row("lint", Verdict.FAIL, "failed in: ruff", seconds=2.5),
        row("docs", Verdict.FAIL, "timed out after 5 minutes"),
        row("gpu", Verdict.SKIP, "skipped: vars.GPU"),
        row("wheel", Verdict.UNJUDGED, "act refused the workflow"),
        row("greet", Verdict.PASS, "every step passed"),
    ]
    findings = [
        Finding(message="push / lint · failed in: ruff", detail="F401"),
        Finding(message="push / lint2 · failed in: mypy"),
        Finding(message="push · act refused push.yml", detail="bad"),
    ]
    unit, own = reports(rows, findings, root="/project")
    assert (unit.stage, own.stage, own.verdict) == ("unit", "rehearse", Verdict.FAIL)
    told = {one.check: one for one in own.outcomes}
    assert {check: str(one.verdict) for check, one in told.items()} == {
        "rehearse/push/lint": "fail",
        "rehearse/push/docs": "fail",
        "rehearse/push/gpu": "skip",
        "rehearse/push/wheel": "unjudged",
        "rehearse/push/greet": "pass",
    }
    lint = told["rehearse/push/lint"]
    assert lint.seconds == 2.5
    assert lint.findings == (Finding(message="failed in: ruff", detail="F401"),)
    (refused,) = told["rehearse/push/wheel"].findings
    assert (refused.message, refused.level, refused.detail) == ("act refused push.yml", Level.WARNING, "bad")


def test_a_failure_without_a_word_is_still_one():
    (own,) = reports([row("docs", Verdict.FAIL, "timed out after 5 minutes")], [], root="/project")
    assert [one.message for one in own.outcomes[0].findings] == ["timed out after 5 minutes"]


def test_an_unjudged_job_has_its_own_words():
    findings = [Finding(message="push / unit · failed in: unit", detail="exit status 3")]
    (own,) = reports([row("unit", Verdict.UNJUDGED, "failed in: unit", stage="unit")], findings, root="/project")
    assert own.verdict is Verdict.UNJUDGED
    assert [(one.level, one.detail) for one in own.outcomes[0].findings] == [(Level.WARNING, "exit status 3")]


def test_nothing_silent_is_no_report():
    assert list(reports([], [], root="/")) == []
