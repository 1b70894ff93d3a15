"""What cannot be meant is said before anything is looked at."""

from pathlib import Path

import pytest

from backburn.errors import UserError
from backburn.pool.setup.request import Places, Request

RIGHT = Request(url="https://github.com/acme", token_file=Path("/t"))
DIGEST = "@sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("given", "first", "said"),
    [
        ({}, True, "whose jobs"),
        ({"url": "https://github.com/acme"}, True, "by what right"),
        ({"url": "u", "key": Path("/k")}, True, "belong together"),
        ({"url": "u", "app_id": "1"}, True, "belong together"),
        ({"key": Path("/k")}, False, "belong together"),
        ({"key": Path("/k"), "app_id": "1", "token_file": Path("/t")}, False, "not both"),
        ({"image": "x:latest"}, False, "by its digest only"),
        ({"image": f"x{DIGEST}0"}, False, "by its digest only"),
        ({"image": f"x{DIGEST}", "base": "y"}, False, "not both"),
    ],
)
def test_it_is_refused_with_what_to_do(given, first, said):
    with pytest.raises(UserError, match=said):
        Request(**given).check(first=first)


def test_what_can_be_meant():
    RIGHT.check(first=True)
    Request().check(first=False)
    Request(app_id="1").check(first=False)
    Request(url="u", app_id="1", key=Path("/k"), image=f"x{DIGEST}").check(first=True)
    assert Request().automatic and not Request(gpus=("none",)).automatic and RIGHT.secret == Path("/t")
    assert Places().file == Path("/etc/backburn/pool.toml")
