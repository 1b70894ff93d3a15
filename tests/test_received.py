"""What may be hostile; the tricks with a report's content are in tests/history/test_artifacts.py."""

import os

import pytest

from backburn import evidence, received
from backburn.errors import UserError
from backburn.received import line
from tests.renderers.reports import BROKEN


def test_plain_words_stay_as_they_are():
    assert line("the loss is 0.31, not 0.3") == "the loss is 0.31, not 0.3"


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


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "unit" / "report.json"
    evidence.save(BROKEN, path)
    return path


def test_a_plain_report_of_a_known_stage_is_read(written):
    assert received.report(written, ("memorize",)) == BROKEN


def as_a_link(path):
    path.symlink_to(path.rename(path.with_name("other.json")))


def in_a_linked_folder(path):
    path.parent.symlink_to(path.parent.rename(path.parent.with_name("elsewhere")))


def as_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def as_a_folder(path):
    path.unlink()
    path.mkdir()


def too_large(path):
    path.write_bytes(path.read_bytes() + b" " * received.BYTES)


def of_no_stage(path):
    path.write_text(path.read_text().replace('"memorize"', '"../x\\u001b[2J"'))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (os.unlink, "no report.json: No such file"),
        (as_a_link, "not a plain file in a plain folder"),
        (in_a_linked_folder, "not a plain file in a plain folder"),
        (as_a_pipe, "not a plain file in a plain folder"),
        (as_a_folder, "not a plain file in a plain folder"),
        (too_large, "over 1048576 bytes"),
        (of_no_stage, "no stage is called '../x [2J'"),
    ],
)
def test_nothing_else_is(written, spoil, said):
    spoil(written)
    with pytest.raises(UserError, match=said.replace("[", r"\[")):
        received.report(written, ("memorize",))


def test_lines_keep_their_indent_and_nothing_that_cannot_be_seen():
    assert received.lines("-  a\u202e\x1b[2J  \n+\tb\n" + "c\n" * 9, 3, 20) == ("-  a  [2J", "+   b", "c")
    assert received.lines("x" * 99, 3, 20) == ("x" * 20,) and received.lines("", 3, 20) == ()


def test_a_file_of_another_name_has_a_limit_of_its_own(tmp_path):
    (tmp_path / "blame.json").write_bytes(b"x" * 11)
    received.expect_plain(tmp_path / "blame.json", 11)
    with pytest.raises(UserError, match="blame.json is over 10 bytes"):
        received.expect_plain(tmp_path / "blame.json", 10)
    with pytest.raises(UserError, match="no other.json"):
        received.expect_plain(tmp_path / "other.json")
