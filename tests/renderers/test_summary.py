from backburn.renderers import summary
from tests.renderers.reports import BROKEN, SOUND, many


def test_the_verdict_is_the_first_line_and_names_the_cause():
    first = summary.render([BROKEN]).splitlines()[0]
    assert first.startswith("### ❌ memorize: fail: memorize/loss-falls \\[digits\\]: 50% of &lt;b&gt;")
    assert summary.render([SOUND]).startswith("### ✅ memorize: pass\n")


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


def test_at_most_twenty_rows_and_sixty_kibibytes():
    text = summary.render([many(200)])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 20
    assert "181 more" in rows[-1]
    assert len(text.encode()) < 60 * 1024
    assert "more findings: see `report.json`" in text
    assert len(summary.render([many(30)] * 3).encode()) < 60 * 1024
