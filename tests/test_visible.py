import pytest

from backburn.visible import spelled


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcode, 日本, tab\tand\nline", "plain, ünïcode, 日本, tab\tand\nline"),
        ("👩\u200d🔬 e\u0301 می\u200cخواهم", "👩\u200d🔬 e\u0301 می\u200cخواهم"),
        ("\x1b[1;31mred\x1b[0m\x1b[K \x1b]0;title\x07 \x1b]8;;u\x1b\\link\x1b]8;;\x1b\\", "red  link"),
        ("\x1b[31", "\\u001b[31"),
        ("\r\n 10%\r20%", "\n 10%\\u000d20%"),
        ("\x00 \x7f \x9b31m \x85 \u2028", "\\u0000 \\u007f \\u009b31m \\u0085 \\u2028"),
        (
            "\u202egnp\u202c \u2066a\u2069 \u200f \ufeff \u200b",
            "\\u202egnp\\u202c \\u2066a\\u2069 \\u200f \\ufeff \\u200b",
        ),
        ("\udcff \ufffe", "\\udcff \\ufffe"),
    ],
)
def test_what_cannot_be_seen_is_spelled_out_and_the_rest_stays(text, shown):
    assert spelled(text) == shown
    assert spelled(shown) == shown
