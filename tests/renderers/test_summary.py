import re

import msgspec
import pytest

from backburn.renderers import summary
from backburn.report import Finding, Level, Outcome, Report, Table
from tests.renderers.reports import BROKEN, GREEN, HOSTILE, SOUND, hostile, many


def test_the_verdict_is_the_first_line_and_names_the_cause():
    first = summary.render([BROKEN]).splitlines()[0]
    assert first.startswith("### ❌ memorize: fail: memorize/loss-falls \\[digits\\]: src/a, b:c/mödel.py:7: 50%")
    assert summary.render([SOUND]).startswith("### ✅ memorize: pass\n")


@pytest.mark.parametrize(("level", "said"), [("error", ""), ("warning", "warning: "), ("notice", "notice: ")])
def test_a_row_says_where_and_of_what_passed_how_bad(level, said):
    findings = (Finding(message="black changed this file", file="a.py", line=3, level=Level(level)),)
    outcome = Outcome(check="hygiene/black", claim="The hook 'black' passes.", findings=findings, seconds=0.25)
    text = summary.render([Report(stage="hygiene", question="?", outcomes=(outcome,))])
    mark = "❌" if level == "error" else "✅"
    assert f"| {mark} | hygiene/black | {said}a.py:3: black changed this file | 0.25 |" in text


def test_figures_and_the_loss_curve_are_drawn():
    text = summary.render([SOUND])
    assert "best-loss \\[digits\\] **0.03**" in text
    assert "**cpu (rehearsal)**" in text
    assert "`█▄▁` loss" in text


def test_nothing_from_a_training_becomes_markup():
    text = summary.render([BROKEN])
    assert "<b>" not in text
    assert "[link](x)" not in text
    assert "@team" not in text
    table = [line for line in text.splitlines() if line.startswith("| ❌")]
    assert table == [line for line in table if line.count(" | ") == 3]
    assert "<summary>error: memorize/loss-falls <code>src/a, b:c/mödel.py:7</code></summary>" in text
    fenced = text.split("````")
    assert len(fenced) == 3
    assert "</details>" in fenced[1]


def test_what_may_be_looked_up_is_folded_at_the_end():
    text = summary.render(GREEN[2:3])
    assert text.index("| ✅ |") < text.index(
        "<details><summary>environment [digits]</summary>\n\n| | |\n|---|---|\n| device"
    )
    assert "| reason | a &lt;wider&gt; model |" in text
    assert "| final val\\_loss | 0.031 → 0.03175 |" in text
    assert text.endswith("\n\n</details>\n")


def test_where_there_is_no_room_the_tables_go_first():
    table = Table(name="environment", rows=(("package", "é" * 20_000),) * 2)
    report = msgspec.structs.replace(SOUND, tables=(table,))
    assert "environment" not in summary.render([report])
    assert summary.render([report]).startswith(summary.render([SOUND]).rstrip())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_ends_no_fold_and_no_table(text):
    found = re.sub(r"(?s)\n(`{3,})\n.*?\n\1\n", "\n", summary.render([hostile(text)]))  # but what is in fences
    assert re.findall("</?details>", found) == ["<details>", "</details>"] * 2
    assert set(re.findall("<[^>]*>", found)) <= {
        "<details>", "</details>", "<summary>", "</summary>", "<code>", "</code>", "<br>", "<!-- -->",
    }  # fmt: skip
    for line in found.splitlines():
        assert line.startswith("| ") == line.endswith(" |"), line


def test_a_colour_between_backticks_does_not_end_the_fence():
    finding = Finding(message="bad", detail="``\x1b[0m`\n</details>@team")
    outcome = Outcome(check="unit/tests-pass", claim="", findings=(finding,))
    text = summary.render([Report(stage="unit", question="?", outcomes=(outcome,))])
    assert "\n````\n```\n</details>@team\n````\n" in text


def test_at_most_twenty_rows_and_sixty_kibibytes():
    text = summary.render([many(200)])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 20
    assert "181 more" in rows[-1]
    assert len(text.encode()) < 60 * 1024
    assert "more findings: see `report.json`" in text
    assert len(summary.render([many(30)] * 3).encode()) < 60 * 1024


def test_two_reports_of_one_stage_are_told_apart_by_their_folders():
    legs = [msgspec.structs.replace(SOUND, folder=f"artifacts/<leg {leg}>") for leg in (0, 1)]
    text = summary.render([*legs, GREEN[0]])
    assert [f"Evidence: <code>artifacts/&lt;leg {leg}&gt;</code>" in text for leg in (0, 1)] == [True, True]
    assert text.count("Evidence: ") == 2


def test_a_commit_with_changes_is_called_that():
    for commit, said in (("0123456789abcdef", "\n"), ("0123456789abcdef+", " with changes\n")):
        assert f"<code>0123456789ab</code>{said}" in summary.render([msgspec.structs.replace(SOUND, commit=commit)])
