"""`backburn.memorize(module, data)`: what it answers, what it refuses, and that it leaves no trace."""

import copy
import logging
import os
import random
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import lightning.pytorch as pl
import msgspec
import numpy
import pytest
import torch
from torch import nn

import backburn
from backburn import evidence, references
from backburn.report import Level, Report, Verdict

from .probes import trainings as t


def loud(report):
    return [one.check for one in report.outcomes if one.verdict is Verdict.FAIL]


# What it answers


def test_a_sound_module_passes():
    report = backburn.memorize(t.Net(), t.loader())
    assert (report.verdict, report.cause, loud(report)) == (Verdict.PASS, None, [])
    assert report.outcomes[0].check == "memorize/training-ran"
    assert report.seconds < 60


def test_a_planted_defect_is_named_with_its_place():
    report = backburn.memorize(t.Flipped(), t.loader())
    assert (report.verdict, report.cause) == (Verdict.FAIL, "memorize/loss-sign")
    (finding,) = next(one for one in report.outcomes if one.check == report.cause).findings
    assert finding.level is Level.ERROR and finding.message and finding.hint


class Loaders(pl.LightningDataModule):
    def __init__(self):
        super().__init__()
        self.seen = []

    def setup(self, stage):
        self.seen.append(stage)
        self.data = t.loader()

    def train_dataloader(self):
        return self.data


@pytest.mark.parametrize("data", [Loaders, lambda: [next(iter(t.loader()))], lambda: iter([next(iter(t.loader()))])])
def test_a_datamodule_a_list_and_a_generator_are_data(data):
    assert backburn.memorize(t.Net(), data()).verdict is Verdict.PASS


def test_what_the_training_raises_is_in_the_report():
    report = backburn.memorize(Raising(), t.loader())
    assert (report.verdict, report.cause) == (Verdict.FAIL, "memorize/training-ran")
    finding = report.outcomes[0].findings[0]
    assert finding.message == "ValueError: labels out of range: 7"
    assert finding.detail.rstrip().endswith(finding.message)
    assert finding.path.endswith("test_api.py") and "raise ValueError" in _line(finding)


def _line(finding):
    return Path(finding.path).read_text().splitlines()[finding.line - 1]


class Raising(t.Net):
    def training_step(self, batch, batch_idx):
        if self.global_step == 2:
            raise ValueError("labels out of range: 7")
        return super().training_step(batch, batch_idx)


def test_a_report_is_a_reference_and_so_is_a_blessed_file(tmp_path):
    healthy = backburn.memorize(t.Backbone(), t.loader())
    assert healthy.verdict is Verdict.PASS
    frozen = [one for one in healthy.outcomes if one.check == "memorize/parameters-stay-trainable"][0]
    assert frozen.findings[0].level is Level.WARNING
    table = next(one for one in healthy.tables if one.name == "candidate")
    blessed = msgspec.structs.replace(references.from_rows(table.rows), training="it")
    references.write(blessed, tmp_path / "any.json")
    for reference in (healthy, tmp_path / "any.json", str(tmp_path / "any.json")):
        again = backburn.memorize(t.Backbone(), t.loader(), reference=reference)
        assert (again.verdict, loud(again)) == (Verdict.PASS, [])
        same = [one for one in again.outcomes if one.check == frozen.check][0]
        assert {one.level for one in same.findings} <= {Level.NOTICE}
    sound = backburn.memorize(t.Net(), t.loader())
    assert backburn.memorize(t.Backbone(), t.loader(), reference=sound).cause == frozen.check


def test_what_is_allowed_is_a_notice():
    allowed = backburn.memorize(t.Flipped(), t.loader(), allow=["loss-sign", "memorize/loss-[ab]*", "loss-falls"])
    assert allowed.verdict is Verdict.PASS
    assert backburn.memorize(t.Backbone(), t.loader(), frozen=["encoder.*"]).verdict is Verdict.PASS


def test_the_trainers_arguments_are_taken():
    ran = []

    class Told(pl.Callback):
        def on_train_start(self, trainer, module):
            ran.append((trainer.precision, trainer.gradient_clip_val))

    given = {"precision": "bf16-mixed", "gradient_clip_val": 0.5, "callbacks": [Told()]}
    given |= {"max_epochs": 3, "accumulate_grad_batches": 4, "accelerator": "cpu", "logger": True}
    assert backburn.memorize(t.Net(), t.loader(), trainer=given).verdict is Verdict.PASS
    assert ran == [("bf16-mixed", 0.5)]
    assert len(given["callbacks"]) == 1


# Wrong use


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ((t.Net, t.loader()), TypeError, "module must be a LightningModule, got the class Net: make one"),
        ((nn.Linear(1, 1), t.loader()), TypeError, "module must be a LightningModule, got Linear"),
        ((t.Net(), None), TypeError, "data must be a LightningDataModule or an iterable of batches, got NoneType"),
        ((t.Net(), 3), TypeError, "got int"),
        ((t.Net(), Loaders), TypeError, "got the class Loaders: make one"),
    ],
)
def test_wrong_use_is_refused(given, error, said):
    with pytest.raises(error, match=said):
        backburn.memorize(*given)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"trainer": {"max_epoch": 3}}, TypeError, "trainer has no argument 'max_epoch'. Did you mean 'max_epochs'"),
        ({"trainer": [1]}, TypeError, "trainer must be a dict of Trainer arguments, got list"),
        ({"steps": 1}, ValueError, "steps"),
        ({"reference": "nowhere.json"}, Exception, "nowhere.json"),
        ({"allow": ["los-sign"]}, ValueError, "no check of memorize is called 'los-sign'. Did you mean 'loss-sign'"),
        ({"allow": "loss-sign"}, TypeError, "allow must be a list of checks, got the str 'loss-sign'"),
        ({"frozen": "encoder.*"}, TypeError, "frozen must be a list of patterns, got the str"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_runs(given, error, said):
    module = t.Net()
    with pytest.raises(error, match=said):
        backburn.memorize(module, t.loader(), **given)
    assert module._trainer is None


# No trace


class Whole(t.Net):
    """Of all that can be left behind, some."""

    def __init__(self, raises=None):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.raises = raises
        self.seen = []
        self.encoder.requires_grad_(False)
        self.head.eval()
        self.head.register_forward_hook(lambda *args: None)
        self.own = torch.optim.Adam(self.parameters(), lr=0.03)

    def forward(self, x):
        return super().forward(self.norm(x))

    def training_step(self, batch, batch_idx):
        self.seen.append(batch_idx)
        random.random()
        numpy.random.rand()
        if self.raises and self.global_step == 2:
            raise self.raises
        self.log("train_loss", loss := super().training_step(batch, batch_idx))
        return loss

    def configure_optimizers(self):
        return self.own


def prepared(**given):
    torch.manual_seed(3)
    module = Whole(**given)
    module.loss(*t.samples()).backward()
    module.own.step()
    return module


def everything(module, data):
    """All that there is to find changed, by name."""
    return {
        "state": {name: one.clone() for name, one in module.state_dict().items()},
        "grads": {name: None if one.grad is None else one.grad.clone() for name, one in module.named_parameters()},
        "flags": {name: one.training for name, one in module.named_modules()},
        "trainable": {name: one.requires_grad for name, one in module.named_parameters()},
        "hooks": {name: (len(one._forward_hooks), len(one._forward_pre_hooks)) for name, one in module.named_modules()},
        "optimizer": copy.deepcopy(module.own.state_dict()),
        "attributes": sorted(vars(module)),
        "own": sorted(vars(module.own)),
        "seen": list(module.seen),
        "data": {name: repr(one) for name, one in vars(data).items()},
        "random": (torch.get_rng_state(), numpy.random.get_state()[1].copy(), random.getstate()),
        "warnings": list(warnings.filters),
        "levels": {name: logging.getLogger(name).level for name in sorted(logging.root.manager.loggerDict)},
        "environment": dict(os.environ),
        "place": os.getcwd(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "backward": (torch.autograd.backward, nn.functional.cross_entropy, torch.Tensor.backward, sys.excepthook),
        "signal": signal.getsignal(signal.SIGINT),
        "stance": torch._dynamo.eval_frame._stance.stance,
    }


def same(one, other):
    if torch.is_tensor(one) or isinstance(one, numpy.ndarray):
        return bool((one == other).all())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def files(*folders):
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A working folder and a home that are empty."""
    for name in ("here", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    backburn.memorize(t.Net(), t.loader())  # what is imported and looked up once is none of ours
    return tmp_path


LEAVES = {
    "SystemExit": SystemExit(3),
    "a CUDA error": torch.OutOfMemoryError("CUDA out of memory."),
    "an error": KeyError("x"),
}


@pytest.mark.parametrize("name", [None, *LEAVES])
def test_all_is_as_it_was(name, nowhere):
    module, data = prepared(raises=LEAVES.get(name)), Loaders()
    before, tensors = everything(module, data), {id(one) for one in [*module.parameters(), *module.buffers()]}
    report = backburn.memorize(module, data, seed=1)
    after = everything(module, data)
    assert isinstance(report, Report) and (name is None) == (report.verdict is Verdict.PASS)
    assert [key for key in before if not same(before[key], after[key])] == []
    assert {id(one) for one in [*module.parameters(), *module.buffers()]} == tensors
    assert files(nowhere) == {nowhere / one: (nowhere / one).stat().st_mtime_ns for one in ("here", "home")}
    assert module._trainer is None and data.trainer is None


def test_an_interrupt_leaves_and_all_is_as_it_was(nowhere):
    module, data = prepared(raises=KeyboardInterrupt()), Loaders()
    before = everything(module, data)
    with pytest.raises(KeyboardInterrupt):
        backburn.memorize(module, data)
    after = everything(module, data)
    assert [key for key in before if not same(before[key], after[key])] == []


def test_what_is_trained_afterwards_is_what_it_would_have_been():
    """A fit, from the same weights and random numbers, whether the module was looked at before or not."""

    def fitted(look):
        torch.manual_seed(5)
        module, data = prepared(), t.loader()
        if look:
            backburn.memorize(module, data)
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
        pl.Trainer(max_epochs=2, accelerator="cpu", **off).fit(module, data)
        return module.state_dict()

    assert same(fitted(False), fitted(True))


def test_two_trainings_in_one_process_do_not_know_of_each_other():
    alone = [backburn.memorize(one(), t.loader(), seed=2) for one in (t.Net, t.Detached)]
    again = [backburn.memorize(one(), t.loader(), seed=2) for one in (t.Detached, t.Net)]
    assert [one.cause for one in alone] == [None, "memorize/parameters-are-connected"]
    assert [one.cause for one in again] == ["memorize/parameters-are-connected", None]


def test_one_module_twice_says_the_same():
    module, data = prepared(), Loaders()
    one, two = (backburn.memorize(module, data, seed=4) for _ in range(2))
    assert [evidence.dumps(outcome) for outcome in one.outcomes] == [
        evidence.dumps(outcome) for outcome in two.outcomes
    ]


class Even(t.Net):
    """Its batch is one sample again and again: an error that somebody may well have reviewed."""

    def training_step(self, batch, batch_idx):
        return self.loss(batch[0], batch[1])


def one_input():
    x, y = t.samples(64)
    return t.loader(torch.utils.data.TensorDataset(x[:1].expand(64, 8), y))


def test_an_error_that_was_reviewed_does_not_fail_again():
    healthy = backburn.memorize(Even(), one_input())
    assert healthy.cause == "memorize/inputs-vary"
    again = backburn.memorize(Even(), one_input(), reference=healthy, seed=1)
    assert "memorize/inputs-vary" not in loud(again)


class Interrupted(t.Net):
    def training_step(self, batch, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return super().training_step(batch, batch_idx)


def test_a_process_that_is_told_to_end_ends(tmp_path):
    """And puts everything back before it does, for whoever handles the signal."""
    told = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append("end"))
    module = Interrupted()
    weights = copy.deepcopy(module.state_dict())
    try:
        report = backburn.memorize(module, t.loader())
    except SystemExit as ended:
        assert ended.code == 143
    else:
        assert report.verdict is Verdict.PASS  # the handler was the caller's, and Lightning left it alone
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told
    assert all(torch.equal(weights[name], one) for name, one in module.state_dict().items())


def test_a_process_without_a_handler_is_ended_by_the_signal():
    """By the signal itself, not by a report that goes on."""
    code = "import backburn; from tests.test_api import Interrupted, t;"
    code += "backburn.memorize(Interrupted(), t.loader()); print('on')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGTERM and "on" not in ended.stdout
