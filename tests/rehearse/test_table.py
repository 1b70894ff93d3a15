from pathlib import Path

from backburn.rehearse import Rehearsal, Row, render
from backburn.report import Finding, Verdict


def rehearsal(*verdicts, **more):
    row = {"workflow": "push", "stage": "unit", "headline": "tests 12"}
    made = tuple(Row(job=f"job-{n}", verdict=one, seconds=1.25, **row) for n, one in enumerate(verdicts))
    given = {"findings": (), "notes": (), "not_pushed": ()} | more
    return Rehearsal(rows=made, folder=Path("build/rehearsal"), **given)


def test_one_table_then_what_to_look_at_and_do_next():
    found = Finding(message="push / unit · test_a failed", file="a.py", line=3, hint="mend it", detail="one\ntwo")
    text = render(rehearsal(Verdict.FAIL, findings=(found,), notes=("a note",), not_pushed=("new.py",)))
    assert text.split("\n")[0].split() == ["workflow", "job", "stage", "verdict", "headline", "seconds"]
    assert text.split("\n")[1].split() == ["push", "job-0", "unit", "fail", "tests", "12", "1.2"]
    assert "✗ a.py:3: push / unit · test_a failed\n  │ one\n  │ two\n  → mend it\n" in text
    assert "note: a note\nnot pushed (1 untracked): new.py\n" in text
    assert "Look at build/rehearsal: " in text and "rehearse again" in text and "\x1b" not in text


def test_a_headline_is_text_not_markup():
    row = Row(workflow="gpu", job="a", stage="", verdict=Verdict.SKIP, headline="skipped: x[0] == '[bold]'", note="why")
    text = render(Rehearsal(rows=(row,), findings=(), notes=(), not_pushed=(), folder=Path("x")))
    assert "skipped: x[0] == '[bold]'; why" in text


def test_the_verdict_is_the_worst_that_was_judged_and_never_green_by_default():
    verdict = {
        (): Verdict.UNJUDGED,
        (Verdict.SKIP,): Verdict.UNJUDGED,
        (Verdict.SKIP, Verdict.PASS): Verdict.PASS,
        (Verdict.PASS, Verdict.UNJUDGED): Verdict.UNJUDGED,
        (Verdict.UNJUDGED, Verdict.FAIL, Verdict.PASS): Verdict.FAIL,
    }
    for given, expected in verdict.items():
        assert rehearsal(*given).verdict is expected
        assert render(rehearsal(*given))


def test_a_rehearsal_as_a_fork_says_what_it_is():
    said = "This is how a pull request from a fork looks"
    for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNJUDGED):
        assert said in render(rehearsal(verdict, fork=True)) and said not in render(rehearsal(verdict))
