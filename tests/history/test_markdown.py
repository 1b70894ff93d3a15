"""What a training wrote, as a person reads it on GitHub: as text, whatever it holds."""

import pytest

from backburn.history import markdown
from backburn.history.markdown import code, table


def test_plain_words_stay_as_they_are():
    assert code("größer als é") == "`größer als é`"


@pytest.mark.parametrize("bad", ["`", "``", "```\n# up", "a`@all`b", "\\`@all"])
def test_a_code_span_has_one_end(bad):
    assert code(bad).count("`") == 2 and code(bad)[0] == code(bad)[-1] == "`"


def test_a_cell_has_one_end():
    row = table(["a", "b"], [[code("x | y | z"), "w"]]).splitlines()[-1]
    assert row.count("|") == 3


def test_nothing_is_nothing():
    assert code("") == code("\u200b\n") == ""


@pytest.mark.parametrize("row", ["```", "+````", "~~~", "    ```x"])
def test_no_line_ends_a_block(row):
    first, *inside, last = markdown.block([row, "b"], "diff").splitlines()
    assert (first, inside) == (last + "diff", [row, "b"]) and last not in row and set(last) == {"`"}
    assert markdown.block([]) == ""
