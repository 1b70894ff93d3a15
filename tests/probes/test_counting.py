"""What is counted, in which phase: against loops of our own, and with one regression planted each."""

from collections import Counter

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from backburn.probes import counting

from . import profiled as p, trainings as t


class Bare(TorchDispatchMode):
    """Counts as simply as can be; `phase` is said by hand."""

    def __init__(self):
        super().__init__()
        self.phase, self.counts = "other", Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func._overloadpacket)
        if not name.startswith("profiler."):
            self.counts[f"{self.phase} {name}"] += 1
        return func(*args, **(kwargs or {}))

    def by_operation(self):
        total = Counter()
        for name, count in self.counts.items():
            total[name.partition(" ")[2]] += count
        return total


def by_operation(told):
    total = Counter()
    for name, count in told.operations.items():
        if not name.endswith(" with gradient"):
            total[name.partition(" ")[2]] += count
    return total


def test_a_loop_of_our_own_has_the_same_counts_phase_by_phase(tmp_path):
    told = p.told(tmp_path, t.Net(), validation=())
    net, loader, bare = t.Net(), t.loader(), Bare()
    adam = net.configure_optimizers()
    with bare:
        for _ in range(2):
            batches = iter(loader)
            for _ in range(4):
                bare.phase = "data"
                batch = next(batches)
                bare.phase = "training_step"
                loss = net.training_step(batch, 0)
                bare.phase = "optimizer"  # it calls the step; Lightning divides by the batches that it accumulates
                loss = loss / 1
                bare.phase = "zero_grad"
                adam.zero_grad()
                bare.phase = "backward"
                loss.backward()
                loss.detach()  # so that Lightning lets go of the graph
                bare.phase = "optimizer"
                loss.detach().clone()  # what Lightning returns of it
                adam.step()
                bare.phase = "other"
    mine = {name: count for name, count in bare.counts.items() if not name.startswith("other ")}
    phases = {name.partition(" ")[0] for name in mine}
    shown = {name: count for name, count in told.operations.items() if not name.endswith("with gradient")}
    assert {name: count for name, count in shown.items() if name.partition(" ")[0] in phases} == mine
    assert sum(count for name, count in shown.items() if name.partition(" ")[0] not in phases) < 50


class Within(pl.Callback):
    """Counts a fit that no probe is in."""

    def __init__(self):
        self.mode = Bare()

    def on_train_start(self, trainer, pl_module):
        iter(trainer.fit_loop._data_fetcher)  # as the first epoch's was made before
        self.mode.__enter__()

    def on_train_end(self, trainer, pl_module):
        self.mode.__exit__(None, None, None)


def test_the_probe_adds_nothing_to_lightnings_own_operations(tmp_path):
    told = p.told(tmp_path, trainer={"logger": False})
    within = Within()
    given = p.QUIET | {"max_epochs": 2, "limit_val_batches": 2, "num_sanity_val_steps": 0, "logger": False}
    trainer = pl.Trainer(**given, enable_checkpointing=False, callbacks=[within])
    trainer.fit(p.Net(), t.loader(), t.loader(shuffle=False))
    assert by_operation(told) == within.mode.by_operation()


@pytest.mark.parametrize("inference", [torch.no_grad, torch.inference_mode])
def test_floating_point_operations_are_torchs_own(inference):
    net, (x, y) = p.Net(), t.samples()
    phases = counting.Phases()
    with FlopCounterMode(display=False) as torchs, counting.counter(phases) as ours:
        net.loss(x, y).backward()
        with inference():
            net.loss(x, y)
    assert sum(ours.flops.values()) == torchs.get_total_flops() > 0
    assert set(ours.flops) == {"other", "backward"}  # no profiler named it


def test_a_phase_is_that_of_the_innermost_action_that_has_one():
    phases, seen = counting.Phases(), []
    for action in ("run_training_batch", "[LightningModule]Net.optimizer_step", "[Strategy]X.training_step", "mine"):
        phases.start(action)
        seen.append(phases.now)
    phases.stop("never started")
    phases.stop("[Strategy]X.training_step")  # "mine" was left open by an exception
    assert (seen, phases.now) == (["other", "optimizer", "training_step", "training_step"], "optimizer")


@pytest.mark.parametrize(
    ("action", "phase"),
    [
        ("[_TrainingEpochLoop].train_dataloader_next", "data"),
        ("[_EvaluationLoop].val_next", "data"),
        ("[LightningModule]Net.on_after_batch_transfer", "transfer"),
        ("[Strategy]SingleDeviceStrategy.backward", "backward"),
        ("[LightningModule]Net.on_validation_model_zero_grad", "zero_grad"),
        ("[LightningModule]Net.on_validation_epoch_end", "validation"),
        ("[LightningModule]Net.configure_gradient_clipping", "optimizer"),
        ("[Callback]EMA{'decay': 0.9}.on_train_batch_end", "callbacks"),
        ("save_checkpoint", "checkpoint"),
        ("run_training_epoch", ""),
    ],
)
def test_actions_of_lightning_open_phases(action, phase):
    assert counting.phase_of(action) == phase


# One regression each


class Twice(p.Net):
    def training_step(self, batch, batch_idx):
        self.loss(*batch)
        return super().training_step(batch, batch_idx)


class Item(p.Net):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        loss.item()
        return loss


class Graded(p.Net):
    def validation_step(self, batch, batch_idx):
        with torch.enable_grad():
            super().validation_step(batch, batch_idx)


class Zeros(p.Net):
    def optimizer_zero_grad(self, epoch, batch_idx, optimizer):
        optimizer.zero_grad(set_to_none=False)


class Foreach(p.Net):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01, foreach=True)


class Chatty(p.Net):
    def training_step(self, batch, batch_idx):
        for index in range(8):
            self.log(f"more_{index}", float(index))
        return super().training_step(batch, batch_idx)


class Frozen(p.Net):
    def __init__(self):
        super().__init__()
        self.layers[1].requires_grad_(False)


class Slow(Dataset):
    """Reads each sample as often as it is told."""

    def __init__(self, times):
        self.times, self.samples = times, t.samples()

    def __len__(self):
        return 64

    def __getitem__(self, index):
        for _ in range(self.times):
            x = self.samples[0][index] * 1.0
        return x, self.samples[1][index]


class Average(pl.Callback):
    def on_train_batch_end(self, trainer, pl_module, *args):
        self.kept = [one.detach().clone() for one in pl_module.parameters()]


NET = {"module": p.Net}
CLIPPED = {"trainer": {"gradient_clip_val": 1.0}}
# Before, after, and what rises by how much; a fall is a rise the other way round.
REGRESSIONS = {
    "a second forward": (NET, {"module": Twice}, {"training_step aten.convolution": 8, "flops training_step": 43008}),
    "an item each step": (NET, {"module": Item}, {"training_step aten._local_scalar_dense": 8}),
    "no_grad lost in validation": (
        {"trainer": {"inference_mode": False}},
        {"module": Graded, "trainer": {"inference_mode": False}},
        {"validation with gradient": None},
    ),
    "zeros instead of none": (NET, {"module": Zeros}, {"zero_grad aten.zero_": None}),
    "foreach lost": ({"module": Foreach}, NET, {"optimizer aten.addcdiv_": 32, "optimizer aten.sqrt": 32}),
    "eight more logged": (NET, {"module": Chatty}, {"logging aten.clone": None, "training_step aten.add": 0}),
    "a heavy callback": (NET, {"callbacks": [Average()]}, {"callbacks aten.clone": 32}),
    "clipping": (NET, CLIPPED, {"optimizer aten.linalg_vector_norm": None}),
    "a layer unfrozen": ({"module": Frozen}, NET, {"workload trainable parameters": 16}),
    "half the batch": (
        NET,
        {"data": lambda: t.loader(batch_size=8)},
        {"workload batch size": -8, "workload steps per epoch": 4, "workload planned steps": 20},
    ),
    "validated four times as often": (
        NET,
        {"trainer": {"val_check_interval": 0.25}},
        {"workload batches between validations": -3},
    ),
    "a sample read three times, by workers": (
        {"data": lambda: t.loader(Slow(1), num_workers=2)},
        {"data": lambda: t.loader(Slow(3), num_workers=2)},
        {"data aten.mul": 256},
    ),
}


def figures(told):
    found = Counter({f"workload {name}": count for name, count in told.workload.items()})
    return found + Counter({f"flops {name}": count for name, count in told.flops.items()}) + Counter(told.operations)


def run(path, given):
    given = dict(given, module=given.get("module", p.Net)())
    return p.told(path, **given | ({"data": given["data"]()} if "data" in given else {}))


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_moves_its_own_counter(name, tmp_path):
    before, after, moved = REGRESSIONS[name]
    first, second = figures(run(tmp_path, before)), figures(run(tmp_path, after))
    for figure, by in moved.items():
        risen = second[figure] - first[figure]
        assert risen > 0 if by is None else risen == by, figure
    if "validation with gradient" in moved:
        assert first["validation with gradient"] == 0


# Sound trainings, counted twice


class Compiled(p.Net):
    def __init__(self):
        super().__init__()
        self.layers = torch.compile(self.layers)


class Attention(p.Net):
    """In inference mode, multi-head attention is another operation than in training."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.TransformerEncoderLayer(4, 2, 8), nn.Flatten())
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.layers(x))


class Unnamed(pl.LightningModule):
    training_step = p.Net.training_step
    loss = p.Net.loss
    configure_optimizers = p.Net.configure_optimizers

    def __init__(self):
        super().__init__()
        self.layers = p.Net().layers

    def forward(self, x):
        return self.layers(x)


class Two(p.Net):
    def training_step(self, batch, batch_idx):
        return super().training_step(batch["a"], batch_idx)


def stream():
    x, y = t.samples()
    for start in range(0, 10**6, 16):
        yield x[start % 48 :][:16], y[start % 48 :][:16]


def workers(**given):
    return lambda: t.loader(num_workers=2, **given)


SOUND = {
    "as it is": ({}, {"optimizer steps": 8, "validation steps": 4, "loader items": 128, "validation items": 64}),
    "manual optimization": ({"module": t.Manual}, {"optimizer steps": 8}),
    "two optimizers": ({"module": t.Adversarial}, {"optimizer steps": 16}),
    "an endless stream": ({"data": lambda: t.loader(t.Stream(), shuffle=False)}, {"training batches": 8}),
    "a short stream": (
        {"data": lambda: t.loader(t.FixedStream(), shuffle=False), "steps": 40},
        {"training batches": 8, "validation steps": 4},
    ),
    "a generator": ({"data": stream}, {"training batches": 8}),
    "two loaders": ({"module": Two, "data": lambda: {"a": t.loader(), "b": t.loader(batch_size=4)}}, {}),
    "no validation": ({"module": Unnamed, "validation": ()}, {"validation batches": 0, "optimizer steps": 8}),
    "no data for validation": ({"validation": ()}, {"validation batches": 0}),
    "accumulated gradients": ({"trainer": {"accumulate_grad_batches": 4}}, {"accumulate": 4, "optimizer steps": 2}),
    "clipping": (CLIPPED, {}),
    "bf16": ({"trainer": {"precision": "bf16-mixed"}}, {}),
    "workers": ({"data": workers()}, {}),
    "persistent workers": (
        {"data": workers(persistent_workers=True), "validation": workers(persistent_workers=True)()},
        {"validation steps": 4},
    ),
    "workers of a stream": ({"data": lambda: t.loader(t.Stream(), shuffle=False, num_workers=2)}, {}),
    "validated every third epoch": (
        {"trainer": {"check_val_every_n_epoch": 3}},
        {"epochs between validations": 3, "validation batches": 4, "validation steps": 4},
    ),
    "validated by steps": (
        {"trainer": {"check_val_every_n_epoch": None, "val_check_interval": 6}},
        {"batches between validations": 6, "validation steps": 4},
    ),
    "an end by steps": ({"trainer": {"max_steps": 3, "max_epochs": -1}}, {"planned steps": 3, "training batches": 8}),
    "loaders made each epoch": ({"trainer": {"reload_dataloaders_every_n_epochs": 1}}, {}),
    "a barebones trainer": ({"trainer": {"barebones": True, "enable_progress_bar": None}}, {}),
    "a profiler of its own": ({"trainer": {"profiler": "simple"}}, {}),
    "attention": ({"module": Attention}, {}),
    "a schedule by epoch": ({"module": t.Stepped, "validation": ()}, {}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_training_counted_twice_is_the_same(name, tmp_path):
    given, expected = SOUND[name]
    first, second = run(tmp_path, given), run(tmp_path, given)
    assert (first.workload, first.operations, first.flops) == (second.workload, second.operations, second.flops)
    assert (first.ended, second.ended) == ("profiled", "profiled")
    assert not first.compiled
    assert first.workload["training batches"] == 8
    assert {key: first.workload[key] for key in expected} == expected
    assert "validation with gradient" not in first.operations
    assert first.flops["training_step"] > 0 < first.flops["backward"]


def test_workers_load_here_while_they_are_counted(tmp_path):
    here, there = (p.told(tmp_path, data=t.loader(num_workers=number)) for number in (0, 2))
    assert here.operations == there.operations


def test_workers_that_the_user_sets_up_stay(tmp_path):
    loader = t.loader(num_workers=1, worker_init_fn=print)
    told = p.told(tmp_path, data=loader)
    assert (loader.num_workers, told.ended) == (1, "profiled")
    assert "data aten.stack" not in p.told(tmp_path, data=loader, validation=()).operations


def test_what_is_compiled_is_counted_as_if_it_were_not(tmp_path):
    plain, compiled = p.told(tmp_path), p.told(tmp_path, Compiled())
    assert (plain.compiled, compiled.compiled) == (False, True)
    assert (compiled.operations, compiled.flops) == (plain.operations, plain.flops)


def test_a_compiled_part_is_noticed():
    assert not counting.is_compiled(nn.Linear(1, 1))
    net = nn.Sequential(nn.Linear(1, 1))
    net[0].compile()
    assert counting.is_compiled(net)
