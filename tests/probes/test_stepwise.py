"""The steps that a training writes down: what is in them, that they cost it nothing but time, and little of that."""

import json
import os
import subprocess
import sys

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from backburn.probes import lines, stepwise, tensors
from backburn.reproduction import steps

from . import recorded as r, trainings as t
from .test_seeds import ONPATH

GRID = [1, 2, 3, 5, 8]
TABLES = ("rng", "settings", "gradients", "optimizer", "parameters", "buffers")


class Witness(pl.Callback):
    """What should be written, seen by other means: what each step begins with, makes, and leaves."""

    def __init__(self):
        self.began, self.gradients, self.left = [], [], []

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.began.append((tensors.nested(batch), torch.get_rng_state(), trainer.optimizers[0].param_groups[0]["lr"]))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        self.gradients.append({name: one.grad.clone() for name, one in module.named_parameters()})

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        state = {name: one.clone() for name, one in module.state_dict().items()}
        moments = {name: trainer.optimizers[0].state[one]["exp_avg"].clone() for name, one in module.named_parameters()}
        self.left.append((outputs["loss"].item(), state, moments))


def digests(values):
    return {name: tensors.digest(one) for name, one in values.items()}


def test_each_step_of_the_grid_is_written_as_it_was(tmp_path):
    class Cycle(t.OneCycle):
        def __init__(self):
            super().__init__()
            self.encoder.append(torch.nn.BatchNorm1d(32))

    seen = Witness()
    r.fitted(tmp_path, module=Cycle, callbacks=[seen], trainer={"gradient_clip_val": 0.1})
    found = r.read(tmp_path)
    assert list(found) == GRID
    for step, one in found.items():
        (batch, rng, rate), gradients = seen.began[step - 1], seen.gradients[step - 1]
        loss, state, moments = seen.left[step - 1]
        assert (one.batch, one.rng["torch"], one.settings["0.0.lr"]) == (batch, tensors.digest(rng), rate.hex())
        assert one.gradients == digests(gradients) and one.loss == loss.hex()
        assert one.parameters | one.buffers == digests(state) and len(one.buffers) == 3
        assert {f"0.exp_avg.{name}": value for name, value in digests(moments).items()}.items() <= one.optimizer.items()
        weight = state["head.weight"]
        assert one.norms["head.weight"] == pytest.approx((weight.abs().sum().item(), weight.norm().item()))
        assert not one.before and not one.forward and not one.clipped and not one.validation


def test_a_training_that_repeats_writes_the_same_and_another_does_not(tmp_path):
    class Other(r.Net):
        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), lr=0.03, eps=1e-7)

    for name, module in (("a", r.Net), ("b", r.Net), ("c", Other)):
        r.fitted(tmp_path / name, module=module, validation=r.uneven)
    one, same, other = (r.read(tmp_path / name) for name in "abc")
    assert one == same
    equal = {name: getattr(one[1], name) == getattr(other[1], name) for name in steps.Step.__struct_fields__}
    assert {name for name, holds in equal.items() if not holds} == {"settings", "parameters", "norms"}
    assert one[2].loss != other[2].loss


DETAIL = {"detail": [1, 12], "operations": 2}
TRAININGS = {
    "plain": {},
    "validated": {"validation": r.uneven, "trainer": {"val_check_interval": 2}},
    "accumulated and clipped": {"trainer": {"accumulate_grad_batches": 3, "gradient_clip_val": 0.1}},
    "manual": {"module": t.Manual},
    "two optimizers": {"module": t.Adversarial},
    "one cycle": {"module": t.OneCycle},
    "checkpointed": {"module": t.Checkpointed},
    "half": {"trainer": {"precision": "bf16-mixed"}},
    "workers": {"train": lambda: t.loader(num_workers=1)},
    "a random stream": {
        "train": lambda: DataLoader(t.Stream(), batch_size=16),
        "trainer": {"max_steps": 9, "max_epochs": -1},
    },
}


@pytest.mark.parametrize("name", TRAININGS)
def test_the_closest_look_changes_no_bit(name, tmp_path):
    one, left = r.fitted(tmp_path / "bare", **TRAININGS[name], probed=False)
    other, after = r.fitted(tmp_path / "ours", **TRAININGS[name], **DETAIL)
    assert r.same(one, other) and left == after
    found = r.read(tmp_path / "ours")
    assert len(found) == (9 if name == "a random stream" else 12) and r.operations(tmp_path / "ours")[1]
    assert all(one.forward and one.before for one in found.values()) and not r.told(tmp_path / "ours").unrecorded


@pytest.mark.slow
def test_a_module_that_is_compiled_stays_the_same_to_the_bit(tmp_path):
    class Compiled(r.Net):
        def __init__(self):
            super().__init__()
            self.encoder.compile(backend="aot_eager")

    one, left = r.fitted(tmp_path / "bare", module=Compiled, probed=False)
    other, after = r.fitted(tmp_path / "ours", module=Compiled, **DETAIL)
    assert r.same(one, other) and left == after
    assert [name for name, _ in r.read(tmp_path / "ours")[3].forward] == ["head", ""]  # no module runs inside


def test_lbfgs_comes_more_than_once_and_counts_once(tmp_path):
    class Newton(t.Net):
        def configure_optimizers(self):
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3)

    one, left = r.fitted(tmp_path / "bare", module=Newton, probed=False)
    other, after = r.fitted(tmp_path / "ours", module=Newton, detail=[1, 2], operations=3)
    assert r.same(one, other) and left == after
    found = r.read(tmp_path / "ours")[2]
    assert len(found.gradients) == 4 and [name for name, _ in found.forward][-1].startswith("#")


def test_what_is_accumulated_is_told_before_the_optimizer_steps(tmp_path):
    r.fitted(tmp_path, trainer={"accumulate_grad_batches": 3})
    found = r.read(tmp_path)
    assert len({tuple(one.gradients.values()) for one in found.values()}) == 5
    assert found[1].parameters == found[2].parameters != found[3].parameters and not found[1].optimizer


def test_a_validation_belongs_to_the_step_before_it(tmp_path):
    """On its line, or on one of its own."""
    r.fitted(tmp_path, validation=r.uneven, trainer={"val_check_interval": 2})
    found, told = r.read(tmp_path), r.told(tmp_path)
    assert list(found) == [1, 2, 3, 4, 5, 6, 8, 10, 12]
    values = {step: value.hex() for step, value in told.validations["val_loss"]}
    assert {step: one.validation["val_loss"] for step, one in found.items() if one.validation} == values
    assert found[2].batch and found[8].batch and not found[4].batch


def test_validations_without_end_are_not_all_written(tmp_path, monkeypatch):
    monkeypatch.setattr(stepwise, "_VALIDATIONS", 2)
    r.fitted(tmp_path, validation=r.uneven, trainer={"val_check_interval": 1})
    found = r.read(tmp_path)
    assert [step for step, one in found.items() if one.validation] == [1, 2, 3, 4, 5, 6, 8]


def test_a_second_fit_goes_on_behind_the_first(tmp_path):
    asked, module = r.asking(tmp_path), r.Net()
    for _ in range(3):
        callback = r.probe.callback(asked, "lightning.pytorch")
        one = pl.Trainer(**r.QUIET | {"max_epochs": 1, "limit_train_batches": 3}, callbacks=[callback])
        one.fit(module, t.loader())
        assert "batch_to_device" not in vars(one.strategy)
    found = r.read(tmp_path)
    assert list(found) == GRID and len({one.served for one in found.values()}) == 5


def test_a_loss_that_is_no_number_is_written(tmp_path):
    r.fitted(tmp_path, module=t.Vanishing)
    found = r.read(tmp_path)
    assert found[3].loss == "nan" and str(found[3].norms["head.weight"][0]) == "nan"


def test_a_step_without_a_loss_is_a_step(tmp_path):
    r.fitted(tmp_path, module=t.Nothing)
    assert [(step, one.loss, one.gradients) for step, one in r.read(tmp_path).items()] == [(i, "", {}) for i in GRID]


# What it costs


def test_where_it_costs_too_much_only_the_first_step_is_written(tmp_path):
    r.fitted(tmp_path, share=1e-9, validation=r.uneven)
    found = r.read(tmp_path)
    assert [step for step, one in found.items() if one.batch] == [1] and set(found) >= {4, 8, 12}
    assert 0 < r.told(tmp_path).recording < r.told(tmp_path).seconds


@pytest.mark.parametrize("asked", [{"until": 9}, {"detail": [4, 4]}, {"operations": 4}])
def test_where_single_steps_are_asked_for_no_time_is_saved(asked, tmp_path):
    r.fitted(tmp_path, share=1e-9, **asked)
    assert set(r.read(tmp_path)) == {*GRID} | ({4} if "detail" in asked or "operations" in asked else set())


def test_without_a_share_nothing_is_written(tmp_path):
    r.fitted(tmp_path, share=0.0)
    assert not (tmp_path / "steps.jsonl").exists() and r.told(tmp_path).recording == 0.0


def test_the_chain_over_all_batches_ends_where_it_costs_too_much(tmp_path, monkeypatch):
    one = stepwise.Steps(r.asking(tmp_path, share=0.02))
    one.lines = lines.Lines(str(tmp_path / "steps.jsonl"), "steps")
    one.served.seconds = 0.1
    assert one.due(5, True, 10.1, 0.0) and one.served.digest
    assert one.due(8, True, 9.9, 0.0) and not one.served.digest  # more than half of 2 % of 9.9 s


def test_at_the_default_share_a_training_of_half_a_minute_is_written_and_cheap(tmp_path, monkeypatch):
    """By its own count: the clock goes on as if each batch took half a second."""
    clock = r.probe.time.perf_counter
    beyond = [0.0]

    class Slow(pl.Callback):
        def on_train_batch_start(self, *args):
            beyond[0] += 0.5

    monkeypatch.setattr(r.probe.time, "perf_counter", lambda: clock() + beyond[0])
    r.fitted(tmp_path, callbacks=[Slow()], trainer={"max_epochs": 15}, share=0.02)
    told = r.told(tmp_path)
    assert told.seconds > 30 and told.recording < 0.02 * told.seconds
    assert list(r.read(tmp_path)) == [*GRID, 13, 21, 34, 55]


# What goes wrong


def test_a_disk_that_gets_full_ends_the_recording_and_not_the_training(tmp_path, monkeypatch):
    written = []

    class Full:
        def __init__(self, stream):
            self.stream = stream

        def write(self, content):
            written.append(content)
            return self.stream.write(content if len(written) < 4 else content[:50])

        def close(self):
            self.stream.close()

    monkeypatch.setattr(lines, "open", lambda path, *a, **given: Full(open(path, *a, **given)), raising=False)
    one, left = r.fitted(tmp_path / "bare", probed=False)
    other, after = r.fitted(tmp_path / "ours")
    told = r.told(tmp_path / "ours")
    assert r.same(one, other) and left == after and (told.ended, told.steps) == ("fit", 12)
    assert told.unrecorded == "steps.jsonl: No space left on device"
    assert list(r.read(tmp_path / "ours")) == [1, 2]  # and what is left of the third is no line


def test_a_file_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "steps.jsonl").mkdir(parents=True)
    (tmp_path / "operations.jsonl").mkdir()
    r.fitted(tmp_path, operations=2)
    told = r.told(tmp_path)
    assert (told.ended, told.unrecorded) == ("fit", "steps.jsonl: Is a directory")


def test_what_was_written_before_a_crash_is_there(tmp_path):
    class Broken(r.Net):
        def training_step(self, batch, batch_idx):
            if self.global_step == 6:
                raise KeyError("x")
            return super().training_step(batch, batch_idx)

    with pytest.raises(KeyError):
        r.fitted(tmp_path, module=Broken)
    assert list(r.read(tmp_path)) == [1, 2, 3, 5]


def test_a_process_that_is_killed_leaves_all_but_the_last_step(tmp_path):
    seen = []

    class Look(pl.Callback):
        def on_train_batch_start(self, *args):
            seen.append(list(r.read(tmp_path)) if (tmp_path / "steps.jsonl").exists() else None)

    r.fitted(tmp_path, callbacks=[Look()])
    assert seen[1:9] == [[], [1], [1, 2], [1, 2, 3], [1, 2, 3], [1, 2, 3, 5], [1, 2, 3, 5], [1, 2, 3, 5]]


# Goes on from a checkpoint


@pytest.mark.parametrize("at", [4, 6])
def test_a_training_that_goes_on_from_a_checkpoint_is_the_unbroken_one(at, tmp_path):
    """To the bit, at the steps of the grid of the whole: behind an epoch, and in the middle of one."""

    class Ordered(torch.utils.data.Sampler):
        """A shuffle that depends on the epoch alone, and goes on where it was."""

        def __iter__(self):
            done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            draw = torch.Generator().manual_seed(self.trainer.current_epoch)
            return iter(torch.randperm(64, generator=draw).tolist()[16 * done :])

        def __len__(self):
            return 64

    class Data(pl.LightningDataModule):
        def train_dataloader(self):
            order = Ordered()
            order.trainer = self.trainer
            return t.loader(shuffle=False, sampler=order)

    class Net(t.OneCycle):
        def __init__(self):
            super().__init__()
            self.encoder.append(torch.nn.BatchNorm1d(32))

    def fit(path, callbacks=(), ckpt_path=None):
        r.fitted(path, module=Net, train=Data, callbacks=callbacks, ckpt_path=ckpt_path, trainer={"max_epochs": 4})
        return r.told(path), r.read(path)

    class Keep(pl.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
            if trainer.global_step == at:
                trainer.save_checkpoint(tmp_path / "kept.ckpt")

    told, whole = fit(tmp_path / "whole", [Keep()])
    resumed, rest = fit(tmp_path / "rest", ckpt_path=tmp_path / "kept.ckpt")
    assert (told.start, told.steps, resumed.start, resumed.steps) == (0, 16, at, 16 - at)
    shared = sorted(set(whole) & {step + at for step in rest})
    assert shared == [step for step in (5, 8, 13) if step > at]
    for step in shared:
        for name in ("batch", "settings", "loss", "gradients", "optimizer", "parameters", "buffers", "norms"):
            assert getattr(whole[step], name) == getattr(rest[step - at], name), (step, name)
    assert {step + at: loss for step, loss in resumed.losses}[8] == dict(told.losses)[8]


# Several processes

DDP = """
import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader, TensorDataset

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(8, 4)

    def training_step(self, batch, batch_idx):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)

if __name__ == "__main__":
    pl.seed_everything(1)
    draw = torch.Generator().manual_seed(0)
    data = TensorDataset(torch.randn(64, 8, generator=draw), torch.randint(4, (64,), generator=draw))
    pl.Trainer(accelerator="cpu", devices=2, strategy="STRATEGY", max_epochs=3, logger=False).fit(
        Net(), DataLoader(data, batch_size=8, shuffle=True)
    )
    print("after the fit")
"""


def ddp(path, strategy="ddp", **settings):
    (path / "train.py").write_text(DDP.replace("STRATEGY", strategy))
    asked = {"stage": "reproduce", "settings": r.SETTINGS | {"scratch": str(path)} | settings}
    asked["evidence"] = str(path / "probe.json")
    env = os.environ | {"PYTHONPATH": str(ONPATH), "BACKBURN_PROBE": json.dumps(asked), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=path, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_another_rank_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(pl.Trainer, "is_global_zero", False)
    r.fitted(tmp_path, operations=2)
    assert not [*tmp_path.rglob("*.jsonl"), *tmp_path.rglob("probe.json")]


@pytest.mark.slow
def test_of_several_processes_rank_zero_writes(tmp_path):
    """And the closest look finds the same there as in the training that is not watched so closely."""
    for name, settings in (("whole", {}), ("detail", {"detail": [2, 2], "operations": 3, "until": 5})):
        (tmp_path / name).mkdir()
        out = ddp(tmp_path / name, **settings)
        assert ("after the fit" in out) == (name == "whole")
        op_by_op = ["operations.jsonl"] if name == "detail" else []
        assert sorted(one.name for one in (tmp_path / name).glob("*.jsonl")) == [*op_by_op, "steps.jsonl"]
    (whole, told), (detail, cut) = ((r.read(tmp_path / name), r.told(tmp_path / name)) for name in ("whole", "detail"))
    assert (told.ended, told.steps, told.unrecorded) == ("fit", 12, "") and (cut.ended, cut.steps) == ("until", 5)
    assert list(whole) == GRID and list(detail) == [1, 2, 3, 5]
    for step in detail:
        assert [getattr(whole[step], name) == getattr(detail[step], name) for name in TABLES] == [True] * len(TABLES)
        assert whole[step].served == detail[step].served and whole[step].batch == detail[step].batch
    assert [name for name, _ in detail[2].forward] == ["net", ""] and detail[2].clipped == detail[2].gradients


@pytest.mark.slow
def test_processes_that_were_spawned_end_too(tmp_path):
    ddp(tmp_path, "ddp_spawn", until=5)
    assert (r.told(tmp_path).ended, r.told(tmp_path).steps) == ("until", 5)


@pytest.mark.slow
def test_processes_agree_that_the_time_is_up(tmp_path):
    assert "after the fit" not in ddp(tmp_path, seconds=1e-6)
    assert (r.told(tmp_path).ended, r.told(tmp_path).steps) == ("budget", 8)
