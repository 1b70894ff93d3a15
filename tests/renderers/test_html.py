import re
import time
from html.parser import HTMLParser

import msgspec
import pytest

from backburn.renderers import html
from backburn.report import Finding, Level, Look, Outcome, Report
from backburn.visible import spelled
from tests.renderers.reports import BROKEN, GREEN, HOSTILE, SOUND, WORKFLOW, hostile, many


class Text(HTMLParser):
    """What a reader reads: the text of a page without its markup, and the values of its attributes."""

    def __init__(self, page):
        super().__init__()
        self.read, self.attributes = [], []
        self.feed(page)

    def handle_data(self, data):
        self.read.append(data)

    def handle_starttag(self, tag, attrs):
        self.attributes += [value or "" for _, value in attrs]


def text_of(page):
    return " ".join(" ".join(Text(page.partition("</head>")[2]).read).split())


def test_the_cause_comes_first_then_where_then_what_to_do():
    text = text_of(html.render(WORKFLOW))
    assert text.startswith(
        "backburn ✗ fail memorize/loss-falls [digits] 50% of <b>ünïcode</b>, a|b: `x` @team ::error::forged second line"
        " [link](x) *star* ##[error]old src/a, b:c/mödel.py:7 What to do Lower the <lr>, then backburn memorize ."
    )
    assert text.index("Traceback") < text.index("mend memorize/loss-falls, then run") < text.index("hygiene")


def test_what_could_not_be_judged_is_the_cause_where_nothing_failed():
    text = text_of(html.render(WORKFLOW[:2]))
    assert text.startswith("backburn ? unjudged reproduce/reference-is-comparable [digits] no reference for cpu-avx2;")
    assert "see why reproduce/reference-is-comparable could not be judged, then run backburn reproduce ." in text


def test_a_green_night_says_so_and_how_many_warn():
    assert text_of(html.render(GREEN)).startswith("backburn ✓ pass nothing to mend 4 stages, 10 checks, 1 warning .")
    assert "no report was found" in html.render([])


def test_an_error_is_the_cause_also_behind_a_warning():
    findings = (Finding(message="slow", level=Level.WARNING), Finding(message="wrong"))
    outcome = Outcome(check="unit/tests-pass", claim="All pass.", findings=findings)
    text = text_of(html.render([Report(stage="unit", question="Do they?", outcomes=(outcome,))]))
    assert text.startswith("backburn ✗ fail unit/tests-pass wrong Next:")


@pytest.mark.parametrize("report", WORKFLOW + GREEN)
def test_each_stage_is_there_with_all_that_it_says(report):
    text = text_of(html.render([report, SOUND]))
    assert f"{report.stage}: {report.verdict.value} {report.question}" in text
    for outcome in report.outcomes:
        assert outcome.check in text
        for finding in outcome.findings:
            assert " ".join(finding.message.split()) in text and finding.hint.replace("`", "") in text.replace(
                " .", "."
            )
    assert all(f"{figure.name}" in text and str(figure) in text for figure in report.figures)
    assert all(name in text and said in text for table in report.tables for name, said in table.rows)
    assert all(curve.name.split()[0] in text for curve in report.curves)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Run `a <b>`, then `c`.", "Run <code>a &lt;b&gt;</code>, then <code>c</code>."),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("a `b", "a `b"),
        ("a", "a"),
    ],
)
def test_what_a_hint_quotes_is_code(hint, shown):
    outcome = Outcome(check="unit/x", claim="y", findings=(Finding(message="m", hint=hint),))
    assert f"What to do</b>{shown}</p>" in html.render([Report(stage="unit", question="?", outcomes=(outcome,))])


def test_a_commit_with_changes_is_called_that():
    for commit, said in (("0123456789abcdef", "</p>"), ("0123456789abcdef+", " with changes</p>")):
        assert f"<code>0123456789ab</code>{said}" in html.render([msgspec.structs.replace(SOUND, commit=commit)])


def test_evidence_of_an_earlier_run_is_called_that():
    said = "Not trained now, as nothing that it reaches has changed: digits"
    assert said in text_of(html.render(GREEN[1:2]))
    assert said not in text_of(html.render([SOUND]))


def test_the_command_that_was_typed_is_what_to_run_again():
    assert "then run backburn memorize --seed 1 ." in text_of(
        html.render([BROKEN], Look(again="backburn memorize --seed 1"))
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_read_as_it_is(text):
    page = html.render([hostile(text)])
    assert spelled(page) == page
    tags = set(re.findall(r"<([a-zA-Z!/?][^\s>]*)", page))
    assert tags <= set(re.findall(r"<([a-zA-Z!/?][^\s>]*)", html.render([hostile("x")])))
    first = " ".join(re.split(r"[\x00-\x20\x7f-\x9f\u200b-\u206f\ufeff]", text)[0].split())
    assert first in text_of(page)


def test_what_cannot_be_seen_is_spelled_out():
    text = text_of(html.render([hostile("a\u202eb \x1b[31mred\x1b[0m \x00 \udcff 👩\u200d🔬")]))
    assert "a\\u202eb red \\u0000 \\udcff 👩\u200d🔬" in text


def test_one_file_that_asks_for_nothing():
    page = html.render(WORKFLOW)
    asked = [value for value in Text(page).attributes if re.match(r"https?:|//|url\(", value)]
    assert asked == []
    assert "<script" not in page and "url(" not in page and "@import" not in page
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page


def test_a_night_is_small():
    assert len(html.render(GREEN).encode()) < 40 * 1024


def test_five_thousand_findings_stay_readable_and_quick():
    report = many(5000)
    started = time.process_time()
    page = html.render([report])
    assert time.process_time() - started < 2
    assert len(page.encode()) < 2 * 1024 * 1024
    text = text_of(page)
    assert "4950 more findings in report.json" in text
    assert "4800 more in report.json" in text
    assert "Checks: 5000 fail" in text


def test_of_a_long_detail_the_end_is_shown_folded():
    finding = Finding(message="bad", detail="first\n" + "x\n" * 20_000 + "last")
    page = html.render(
        [Report(stage="unit", question="?", outcomes=(Outcome(check="a", claim="", findings=(finding,)),))]
    )
    assert "characters more" in page and "last</pre>" in page and "first\n" not in page
    assert "<details><summary>Detail, " in page
    assert "<details open><summary>Detail, 4 lines" in html.render([BROKEN])


def test_headings_are_in_order():
    levels = [int(one) for one in re.findall(r"<h(\d)", html.render(WORKFLOW + GREEN))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:]))
