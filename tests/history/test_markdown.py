"""What a training wrote, as a person reads it on GitHub: as text, whatever it holds."""

import pytest

from backburn.history.markdown import code, line, table


def test_plain_words_stay_as_they_are():
    assert line("the loss is 0.31, not 0.3") == "the loss is 0.31, not 0.3"
    assert code("größer als é") == "`größer als é`"


@pytest.mark.parametrize(
    "bad", ["\x1b[31m", "\x00", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\x9b", "\ue000"]
)
def test_no_control_bidi_or_invisible_character_is_left(bad):
    assert all(one not in line(f"a{bad}b") for one in bad if not one.isprintable())


@pytest.mark.parametrize("breaks", ["\n", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"])
def test_it_is_one_line(breaks):
    assert line(f"ok{breaks}::error::mine").splitlines() == ["ok ::error::mine"]


def test_it_is_clipped_and_says_so():
    assert line("x" * 301) == "x" * 299 + "…"
    assert line("x" * 300) == "x" * 300
    assert len(line("x " * 10_000_000, 40)) == 40


@pytest.mark.parametrize("bad", ["`", "``", "```\n# up", "a`@all`b", "\\`@all"])
def test_a_code_span_has_one_end(bad):
    assert code(bad).count("`") == 2 and code(bad)[0] == code(bad)[-1] == "`"


def test_a_cell_has_one_end():
    row = table(["a", "b"], [[code("x | y | z"), "w"]]).splitlines()[-1]
    assert row.count("|") == 3


def test_nothing_is_nothing():
    assert code("") == code("\u200b\n") == ""
