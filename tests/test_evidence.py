import math
import os

import msgspec
import pytest

from backburn import evidence
from backburn.errors import UserError


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    losses: tuple[float, ...] = ()
    steps: int | float | None = None
    name: str = ""
    kind: str = "memorize"
    schema: int = 2


def test_round_trip_is_exact(tmp_path):
    seen = Seen(losses=(math.nan, math.inf, -math.inf, -0.0, 0.1 + 0.2, 5e-324), steps=math.nan, name="nan")
    evidence.save(seen, tmp_path / "deep" / "evidence.json")
    back = evidence.load(tmp_path / "deep" / "evidence.json", Seen)
    assert [value.hex() for value in back.losses] == [value.hex() for value in seen.losses]
    assert math.isnan(back.steps)
    assert back.name == "nan"
    assert b'"nan"' in (tmp_path / "deep" / "evidence.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not readable as JSON"),
        (b"[" * 10**6, "not readable as JSON"),
        (b"[]", "expected a file of kind 'memorize', got 'list'"),
        (b'{"kind": "report", "schema": 1}', "expected a file of kind 'memorize', got 'report'"),
        (b'{"kind": "memorize", "schema": 3}', "newer"),
        (b'{"kind": "memorize", "schema": 2, "losses": 3}', "Expected `array`"),
        (b'{"kind": "memorize", "schema": 2, "loss": 3}', "unknown field `loss`"),
    ],
)
def test_a_corrupt_foreign_or_newer_file_is_refused(tmp_path, content, said):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        evidence.load(tmp_path / "x.json", Seen)
    assert said in str(caught.value)
    assert "x.json" in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        evidence.load(tmp_path / "gone.json", Seen)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    evidence.save(Seen(name="old"), tmp_path / "x.json")

    def full(number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        evidence.save(Seen(name="new"), tmp_path / "x.json")
    assert caught.value.filename == str(tmp_path / "x.json")
    assert evidence.load(tmp_path / "x.json", Seen).name == "old"
    assert os.listdir(tmp_path) == ["x.json"]
