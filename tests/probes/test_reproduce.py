"""The probe inside real fits: what it tells, and that it changes nothing."""

import json
import math
import pickle
import random

import lightning.pytorch as pl
import numpy
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader

from backburn import evidence
from backburn.probes import channel, reproduce as probe, trainer as reached
from backburn.stages import reproduce

from . import trainings as t

SETTINGS = {"seed": 42, "shift": 0, "require_gpu": False, "rehearsal": False}
OFF = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
GRID = [1, 2, 3, 5, 8, 13, 21, 34, 55, 68, 85, 106, 132]


class Net(t.Net):
    """Draws random numbers in each step, and validates and tests."""

    def __init__(self):
        super().__init__()
        self.encoder.append(nn.Dropout(0.2))

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(*batch))

    def test_step(self, batch, batch_idx):
        self.log("test_loss", self.loss(*batch))


class Witness(Callback):
    """What the probe should tell, seen by other means: each step's loss, rate and gradient."""

    def __init__(self):
        self.losses, self.rates, self.norms, self.validations = [], [], [], []

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])
        squares = [one.grad.square().sum() for one in module.parameters() if one.grad is not None]
        self.norms.append(math.sqrt(sum(squares)))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        loss = outputs.get("loss") if outputs else None
        self.losses.append(None if loss is None else loss.item())

    def on_validation_end(self, trainer, module):
        if not trainer.sanity_checking:
            self.validations.append(trainer.callback_metrics["val_loss"].item())


def asking(path, **settings):
    return channel.Asked("reproduce", SETTINGS | {"scratch": str(path)} | settings, str(path / "probe.json"))


def made(path, probed=True, callbacks=(), **given):
    """A Trainer, with the probe given by hand."""
    mine = [probe.callback(asking(path), "lightning.pytorch")] if probed else []
    fixed = {"accelerator": "cpu", "max_epochs": 3, "default_root_dir": path, "deterministic": True}
    return pl.Trainer(**fixed | OFF | given, callbacks=[*callbacks, *mine])


def read(path):
    return evidence.load(path / "probe.json", reproduce.Told)


def seed():
    random.seed(1)
    numpy.random.seed(1)
    torch.manual_seed(1)


def fitted(path, module=Net, train=t.loader, validation=None, probed=True, **given):
    """(what a witness saw, the module, what comes next of each generator) of a fit from one seed."""
    seed()
    witness, module = Witness(), module()
    trainer = made(path, probed, [witness], **given)
    trainer.fit(module, train(), validation() if validation else None)
    return witness, module, (torch.rand(1).item(), random.random(), numpy.random.random())


def uneven():
    return t.loader(batch_size=24, shuffle=False)


TRAININGS = {
    "plain": {},
    "validated": {"validation": uneven, "val_check_interval": 2},
    "accumulated and clipped": {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1},
    "manual": {"module": t.Manual},
    "one cycle": {"module": t.OneCycle},
    "workers": {"train": lambda: t.loader(num_workers=1)},
    "a random stream": {"train": lambda: DataLoader(t.Stream(), batch_size=16), "max_steps": 9, "max_epochs": -1},
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_that_is_watched_is_the_same_to_the_bit(name, tmp_path):
    for folder in ("bare", "ours"):
        (tmp_path / folder).mkdir()
    bare, one, left = fitted(tmp_path / "bare", probed=False, **TRAININGS[name])
    ours, other, after = fitted(tmp_path / "ours", **TRAININGS[name])
    assert bare.losses == ours.losses and len(bare.losses) >= 9
    assert (bare.norms, bare.validations) == (ours.norms, ours.validations)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    assert left == after
    assert read(tmp_path / "ours").ended == "fit"
    assert not (tmp_path / "bare" / "probe.json").exists()


def test_curves_are_exact_at_the_grid_of_steps(tmp_path):
    witness, _, _ = fitted(tmp_path, module=t.OneCycle, max_epochs=34)
    told = read(tmp_path)
    assert (told.steps, told.planned, told.epochs) == (136, 136, 34)
    assert told.losses == tuple((step, witness.losses[step - 1]) for step in GRID)
    assert told.rates == tuple((step, witness.rates[step - 1]) for step in GRID)
    assert len(set(told.rates)) == len(GRID)
    assert [step for step, _ in told.norms] == GRID
    assert [norm for _, norm in told.norms] == pytest.approx([witness.norms[step - 1] for step in GRID], rel=1e-5)


def test_means_are_over_octaves(tmp_path):
    witness, _, _ = fitted(tmp_path, max_epochs=5)
    told = read(tmp_path)
    octaves = [(0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 20)]
    assert told.means == tuple((end, sum(witness.losses[a:end]) / (end - a)) for a, end in octaves)


def test_accumulated_gradients_are_told_where_the_optimizer_steps(tmp_path):
    """Lightning divides the loss; the one that is told is the one that training_step returned."""
    witness, _, _ = fitted(tmp_path, accumulate_grad_batches=4, max_epochs=5)
    told = read(tmp_path)
    assert [step for step, _ in told.losses] == [1, 2, 3, 5, 8, 13]
    assert [loss for _, loss in told.losses] == [4 * witness.losses[step - 1] for step, _ in told.losses]
    assert [step for step, _ in told.norms] == [4, 8, 16]
    assert [norm for _, norm in told.norms] == pytest.approx([witness.norms[i] for i in (0, 1, 3)], rel=1e-5)


def test_a_validation_is_told_without_the_sanity_check(tmp_path):
    witness, _, _ = fitted(tmp_path, validation=uneven, val_check_interval=2)
    told = read(tmp_path)
    assert [step for step, _ in told.validations["val_loss"]] == [2, 4, 6, 8, 10, 12]
    assert [loss for _, loss in told.validations["val_loss"]] == witness.validations
    assert told.samples == 64
    assert told.metrics["val_loss"] == witness.validations[-1]
    assert told.data["validation samples"] == "64" and len(told.data["validation batch"]) == 32


def test_a_validation_tells_only_what_it_logged(tmp_path):
    class Both(Net):
        def training_step(self, batch, batch_idx):
            self.log("train_loss", 0.5)
            return super().training_step(batch, batch_idx)

    fitted(tmp_path, module=Both, validation=uneven)
    assert list(read(tmp_path).validations) == ["val_loss"]
    assert set(read(tmp_path).metrics) == {"val_loss", "train_loss"}


def test_a_script_that_validates_first_has_told_nothing_by_that(tmp_path):
    trainer, module = made(tmp_path), Net()
    trainer.validate(module, uneven(), verbose=False)
    assert not (tmp_path / "probe.json").exists()
    trainer.fit(module, t.loader(), uneven())
    assert [step for step, _ in read(tmp_path).validations["val_loss"]] == [4, 8, 12]


def test_a_test_adds_its_metrics(tmp_path):
    trainer, module = made(tmp_path), Net()
    trainer.fit(module, t.loader(), uneven())
    before = read(tmp_path)
    (tested,) = trainer.test(module, uneven(), verbose=False)
    assert "test_loss" not in before.metrics
    assert read(tmp_path).metrics == before.metrics | tested
    assert read(tmp_path).ended == "fit"


def test_a_second_fit_goes_on_with_the_first(tmp_path):
    """And does not look at a step that is not on the grid."""
    module = Net()
    for _ in range(3):
        made(tmp_path, max_epochs=1, limit_train_batches=3).fit(module, t.loader(), uneven())
    told = read(tmp_path)
    assert (told.steps, told.planned, told.epochs, told.ended) == (9, 9, 3, "fit")
    for curve in (told.losses, told.rates, told.norms):
        assert [step for step, _ in curve] == [1, 2, 3, 5, 8]
    assert [step for step, _ in told.validations["val_loss"]] == [3, 6, 9]


def test_a_training_that_goes_on_from_a_checkpoint_says_so(tmp_path):
    first = made(tmp_path, probed=False, max_epochs=1)
    first.fit(Net(), t.loader(), t.loader(shuffle=False))
    first.save_checkpoint(tmp_path / "kept.ckpt")
    made(tmp_path, max_epochs=2).fit(Net(), t.loader(), t.loader(shuffle=False), ckpt_path=tmp_path / "kept.ckpt")
    told = read(tmp_path)
    assert (told.settings["start.epoch"], told.settings["start.step"]) == ("1", str(first.global_step))
    assert told.steps == first.global_step


def test_the_same_data_has_the_same_digest_and_other_data_has_not(tmp_path):
    found = []
    for number, train in enumerate((t.loader, t.loader, lambda: t.loader(shuffle=False))):
        (tmp_path / str(number)).mkdir()
        fitted(tmp_path / str(number), train=train)
        found.append(read(tmp_path / str(number)).data)
    assert found[0] == found[1] != found[2]
    assert len(set(found[0]["train batches"].split())) == 3


def test_a_stream_without_end_is_planned_by_its_steps(tmp_path):
    fitted(tmp_path, train=lambda: DataLoader(t.Stream(), batch_size=16), max_steps=9, max_epochs=-1)
    told = read(tmp_path)
    assert (told.steps, told.planned, told.samples, told.validations) == (9, 9, 0, {})
    assert "train samples" not in told.data and told.data["train batches"]


def test_a_loss_that_was_only_logged_counts(tmp_path):
    seed()
    logged = []

    class Look(Callback):
        def on_train_batch_end(self, trainer, *args):
            logged.append(trainer.callback_metrics["train_loss"].item())

    made(tmp_path, callbacks=[Look()]).fit(t.Manual(), t.loader())
    assert read(tmp_path).losses == tuple((step, logged[step - 1]) for step in GRID[:5])


class Validated(t.Manual):
    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.loss(*batch) + 100)


def test_a_validations_loss_is_none_of_a_step(tmp_path):
    seed()
    made(tmp_path, callbacks=[]).fit(Validated(), t.loader(), t.loader(shuffle=False))
    told = read(tmp_path)
    assert told.validations["val_loss"][0][1] > 99 > max(value for _, value in told.losses + told.means)


def test_of_two_optimizers_both_gradients_count(tmp_path):
    seed()
    squares = {}

    class Look(Callback):
        def on_before_optimizer_step(self, trainer, module, optimizer):
            own = [one.grad for group in optimizer.param_groups for one in group["params"]]
            squares.setdefault(trainer.fit_loop.epoch_loop.batch_idx + 1, []).extend(
                one.square().sum().item() for one in own
            )

    made(tmp_path, callbacks=[Look()], max_epochs=1).fit(t.Adversarial(), t.loader())
    told = read(tmp_path)
    assert [step for step, _ in told.norms] == [1, 2, 3]
    assert [norm for _, norm in told.norms] == pytest.approx(
        [math.sqrt(sum(squares[step])) for step in (1, 2, 3)], rel=1e-5
    )


def test_a_step_without_a_loss_is_a_step(tmp_path):
    class Skipping(Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx) if self.trainer.fit_loop.epoch_loop.batch_idx % 2 else None

    fitted(tmp_path, module=Skipping)
    told = read(tmp_path)
    assert told.steps == 12
    assert [step for step, _ in told.losses] == [2, 8]
    assert [step for step, _ in told.means] == [2, 4, 8, 12]
    assert [step for step, _ in told.norms] == [2, 4, 6, 8]  # the next step that has a gradient


def test_what_is_not_finite_is_told(tmp_path):
    fitted(tmp_path, module=t.Vanishing)
    losses = dict(read(tmp_path).losses)
    assert math.isfinite(losses[2]) and math.isnan(losses[3])


def test_it_tells_at_the_first_step_and_when_it_breaks(tmp_path):
    seen = []

    class Broken(Net):
        def training_step(self, batch, batch_idx):
            if self.global_step == 1:
                seen.append(read(tmp_path))
            if self.global_step == 6:
                raise KeyError("x")
            return super().training_step(batch, batch_idx)

    with pytest.raises(KeyError):
        fitted(tmp_path, module=Broken)
    assert (seen[0].ended, seen[0].steps) == ("running", 1)
    told = read(tmp_path)
    assert (told.ended, told.steps) == ("exception", 6)
    assert [step for step, _ in told.losses] == [1, 2, 3, 5]
    assert told.means[-1][0] == 6 and told.seconds > 0


def test_a_long_training_tells_now_and_then(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "_EVERY", 0)
    steps = []

    class Look(Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            if trainer.global_step:
                steps.append(read(tmp_path).steps)

    made(tmp_path, callbacks=[Look()], max_epochs=3).fit(Net(), t.loader())
    assert steps == [1, 2, 3, 4, 5, 5, 5, 8, 8, 8, 8]


def test_a_test_that_breaks_is_an_exception(tmp_path):
    class Broken(Net):
        def test_step(self, batch, batch_idx):
            raise KeyError("x")

    trainer, module = made(tmp_path), Broken()
    trainer.fit(module, t.loader())
    with pytest.raises(KeyError):
        trainer.test(module, uneven(), verbose=False)
    assert read(tmp_path).ended == "exception"


def test_it_says_on_what_it_ran(tmp_path):
    fitted(tmp_path)
    told = read(tmp_path)
    assert told.device == "cpu" and told.peak_memory > 2**20 and told.seconds > 0
    assert told.machine.hardware.startswith("cpu-") and told.machine.hard["deterministic algorithms"] == "True"
    assert told.settings["optimizer.0.lr"] == "0.03"


def test_long_histories_of_validations_are_thinned(tmp_path):
    fitted(tmp_path, validation=uneven, max_epochs=60, val_check_interval=1, limit_val_batches=1)
    steps = [step for step, _ in read(tmp_path).validations["val_loss"]]
    assert 100 <= len(steps) <= 200 and {b - a for a, b in zip(steps, steps[1:])} == {2}


# Around the Trainer


@pytest.mark.skipif(reached.has_gpu(), reason="a GPU is here")
def test_where_a_gpu_is_required_and_none_is_seen_nothing_runs(tmp_path):
    with pytest.raises(SystemExit) as left:
        probe.overridden(asking(tmp_path, require_gpu=True), {})
    assert (left.value.code, read(tmp_path).ended) == (0, "no-gpu")


def test_the_training_itself_is_made_as_its_author_wrote_it(tmp_path):
    given = {"accelerator": "gpu", "devices": 4}
    assert probe.overridden(asking(tmp_path), given) is given


def test_under_another_seed_what_is_kept_by_default_goes_to_scratch(tmp_path):
    changed = probe.overridden(asking(tmp_path, shift=2), {"max_epochs": 3, "default_root_dir": "mine"})
    assert changed == {"max_epochs": 3, "default_root_dir": str(tmp_path)}


@pytest.mark.skipif(reached.has_gpu(), reason="a GPU is here")
def test_a_rehearsal_goes_on_without_the_gpu_that_is_hard_coded(tmp_path):
    asked = asking(tmp_path, rehearsal=True, require_gpu=True)
    changed = probe.overridden(asked, {"accelerator": "gpu", "devices": 4})
    assert (changed["accelerator"], changed["devices"]) == ("auto", 1)
    assert probe.overridden(asked, {"accelerator": "cpu"}) == {"accelerator": "cpu"}


def test_it_travels_to_a_process_that_is_spawned(tmp_path):
    one = probe.callback(asking(tmp_path), "lightning.pytorch")
    other = pickle.loads(pickle.dumps(one))
    assert (type(other).__name__, other.asked.evidence) == ("ReproduceProbe", one.asked.evidence)


def test_the_answer_is_json_that_the_stage_reads(tmp_path):
    fitted(tmp_path, validation=uneven)
    plain = json.loads((tmp_path / "probe.json").read_text())
    assert set(plain) == set(reproduce.Told.__struct_fields__)
