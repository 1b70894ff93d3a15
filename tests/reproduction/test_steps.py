"""`steps.jsonl` read back: whole, cut short, foreign, newer, corrupt."""

import json

import msgspec
import pytest

from backburn.errors import UserError
from backburn.reproduction import steps
from backburn.reproduction.steps import Step

HEADER = {"kind": "steps", "schema": 1}
ONE = {"step": 1, "batch": "a", "forward": [["head", "b"]], "loss": (0.1 + 0.2).hex(), "norms": {"w": [1.0, 0.5]}}


def written(path, *lines, end="\n"):
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines) + end)
    return path


def test_what_was_written_is_read_back(tmp_path):
    path = written(tmp_path / steps.FILE, HEADER, ONE, {"step": 2, "validation": {"val_loss": "nan"}})
    first, second = steps.load(path)
    assert msgspec.to_builtins(first) == ONE | {"forward": (("head", "b"),), "norms": {"w": (1.0, 0.5)}}
    assert float.fromhex(first.loss) == 0.1 + 0.2
    assert second == Step(step=2, validation={"val_loss": "nan"})


def test_a_last_line_that_was_cut_short_is_left_out(tmp_path):
    path = written(tmp_path / steps.FILE, HEADER, ONE, '{"step": 2, "ba', end="")
    assert [one.step for one in steps.load(path)] == [1]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((HEADER, '{"step": 1, "ba', ONE), "line 2 is not readable as JSON"),
        ((HEADER, {"step": 1, "grads": {}}), "unknown field `grads`"),
        ((HEADER | {"schema": 2}, ONE), "schema 2 is newer"),
        ((ONE,), "expected a file of kind 'steps'"),
        ((), "it is empty"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, lines, said):
    with pytest.raises(UserError, match=said):
        steps.load(written(tmp_path / steps.FILE, *lines, end="\n" if lines else ""))


def test_a_missing_one_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        steps.load(tmp_path / steps.FILE)
