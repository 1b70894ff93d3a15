import msgspec

from backburn.renderers import terminal
from backburn.report import Look
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
