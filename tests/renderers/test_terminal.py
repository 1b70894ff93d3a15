import msgspec

from backburn.renderers import terminal
from backburn.report import Finding, Level, Look, Outcome, Report
from tests.renderers.reports import BROKEN, SOUND, many


def test_the_verdict_then_the_cause_then_what_to_do():
    lines = terminal.render([BROKEN]).splitlines()
    assert lines[0] == "✗ memorize: fail  Can the model memorize one batch? 0.0 s"
    assert lines[1] == "  error: memorize/loss-falls [digits] src/a, b:c/mödel.py:7"
    assert lines[2].startswith("    50% of <b>ünïcode</b>, a|b: `x` @team")
    assert "    → Lower the <lr>, then `backburn memorize`." in lines
    assert "    │ Traceback" in lines
    failed = next(line for line in lines if line.startswith("  ✗"))
    assert "The loss falls." not in failed  # the claim of a failed check is what does not hold
    assert lines[-1].startswith("  Next: mend memorize/loss-falls, then `backburn memorize`.")


def test_a_sound_report_ends_with_where_it_lies():
    text = terminal.render([SOUND])
    assert "✓ memorize: pass" in text
    assert "loss █▄▁" in text
    assert "device: cpu (rehearsal)" in text
    assert text.splitlines()[-1] == "  Next: nothing to mend. Report: build/backburn/memorize/report.json"


def test_where_there_is_a_page_the_last_line_names_it():
    look = Look(page="build/backburn/memorize/report.html")
    interrupted = msgspec.structs.replace(BROKEN, interrupted="interrupted by SIGINT")
    for report in (SOUND, BROKEN, interrupted):
        last = terminal.render([report], look).splitlines()[-1]
        assert last.startswith("  Next: ") and last.endswith(" Page: build/backburn/memorize/report.html")


def test_colours_only_when_asked_for():
    assert "\x1b[" not in terminal.render([BROKEN])
    assert "\x1b[" in terminal.render([BROKEN], Look(colour=True))


def test_many_findings_are_counted():
    text = terminal.render([many(50)])
    assert text.count("error: unit/") == 20
    assert "… and 30 more" in text


def rendered(*named, count=1, folder="build/x"):
    """Of a report with these (check, finding, …) before `count` that pass."""
    found = [Outcome(check=f"memorize/{name}", claim="C.", findings=tuple(findings)) for name, *findings in named]
    passed = [Outcome(check=f"memorize/c{number}", claim="It holds.") for number in range(count)]
    return terminal.render([Report(stage="memorize", question="Q?", outcomes=(*found, *passed), folder=folder)])


ERROR, SOFT = Finding(message="bad"), Finding(message="soft", level=Level.WARNING)


def test_one_cause_stands_first_and_the_rest_was_also_seen():
    lines = rendered(("late", SOFT), ("root", ERROR, ERROR), ("then", ERROR)).splitlines()
    marks = [line.strip() for line in lines if line.startswith(("  also", "  error", "  warning"))]
    assert marks == [*["error: memorize/root"] * 2, "also seen:", "error: memorize/then", "warning: memorize/late"]
    assert "also seen" not in rendered(("root", ERROR)) + rendered(("late", SOFT), ("later", SOFT))


def test_more_checks_than_anybody_reads_are_counted():
    assert rendered(("root", ERROR), count=19).count("It holds.") == 19
    text = rendered(("root", ERROR), count=20)
    assert "It holds." not in text and "  checks: 1 failed, 20 passed" in text


def test_without_a_folder_none_is_named():
    assert (
        rendered(("root", ERROR), folder="").splitlines()[-1] == "  Next: mend memorize/root, then `backburn memorize`."
    )
    assert rendered(folder="").splitlines()[-1] == "  Next: nothing to mend."
