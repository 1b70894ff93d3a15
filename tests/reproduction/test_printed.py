"""The text of a diff: the cause first; nothing in it gives orders to a terminal."""

import pytest

from backburn.reproduction import printed, recorded
from backburn.reproduction.diff import Metric, diff
from tests.reproduction.evidence import MACHINE, folder
from tests.reproduction.symbols import at, trained

SOUND = trained(steps=5, detailed=False)


@pytest.fixture
def shown(tmp_path):
    def made(steps=SOUND, before=SOUND, **told):
        base = recorded.read(folder(tmp_path / "base", before))
        return printed.render(diff(base, recorded.read(folder(tmp_path / "head", steps, **told))), width=140)

    return made


def test_the_same(shown, tmp_path):
    first, before, now, *_ = shown().splitlines()
    assert first == "= the same, to the last bit: 4 curves, 3 metrics, 5 recorded steps"
    assert before == f"  before: {tmp_path}/base, digits, 0123456, cpu-avx2, 12 steps"
    assert now.startswith(f"  now:    {tmp_path}/head")


def test_the_divergence_stands_first_and_each_part_below(shown):
    text = shown(trained(at("lr", 2, 0.02), steps=5, detailed=False), losses=[[1, 2.5], [2, 2.02], [3, 1.8]],
                 settings={"hparams.lr": "0.02"}, metrics={"val_loss": 0.27})  # fmt: skip
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "≠ they part at step 2, optimizer: lr of the optimizer is 0.02, was 0.01"
    assert "other settings: hparams.lr: 0.01 → 0.02" in lines
    assert "loss 3 step 2: 2 → 2.02 20 % at step 3" in lines
    assert "mean loss 2 none" in lines
    assert "val_loss 0.3 0.27 10 %" in lines
    assert "module, step 5 parameters identical size changed by" in lines and "net.first 1 0 % none" in lines


def test_different_ones_of_which_no_step_was_recorded(shown):
    text = shown((), metrics={"val_loss": 0.27})
    assert text.startswith("≠ different; they have no recorded step in common\n")
    text = shown(metrics={"val_loss": 0.27})
    assert text.startswith("≠ different; 5 recorded steps are the same\n")
    text = shown((), losses=[[1, 2.5], [2, 2.0], [3, 1.4]], means=[[1, 2.5], [2, 2.25]])
    assert text.startswith("≠ different from step 2 on: mean loss 2 → 2.25; 5 recorded steps are the same\n")


def test_another_environment_and_long_lists(shown):
    hard = {f"flag {number}": "on" for number in range(20)} | MACHINE.hard
    text = shown(machine={"hardware": "cpu-avx2", "hard": hard, "soft": MACHINE.soft})
    assert text.count("  another environment, which changes bits by itself: flag") == 12
    assert "  another environment, which changes bits by itself: 8 more\n" in text
    many = {f"metric{number}": float(number) for number in range(30)}
    assert "… and 13 more (--json has all)" in shown(metrics=many)


def test_what_comes_from_elsewhere_is_spelled_out(shown):
    text = shown(metrics={"val\x1b[31m_loss\u202e": 0.3}, settings={"hparams.\x07lr": "0.01"})
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert "\\u202e" in text and "hparams.\\u0007lr" in text


def test_a_metric_that_only_one_has():
    assert printed._change(Metric(name="a", before=None, now=1.0)) == "only now"
    assert printed._change(Metric(name="a", before=1.0, now=None)) == "no longer"
    assert printed._change(Metric(name="a", before=0.0, now=1.0)) == "beyond all measure"
