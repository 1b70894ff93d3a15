"""The profile probe inside real fits: by every road, and what it must leave out, keep and tell."""

import concurrent.futures
import json
import os
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from backburn import config, environment, evidence, training
from backburn.probes import channel, profile as probe
from backburn.stages import profile

from ..stages import roads
from ..stages.test_memorize import CACHE, NO_GPU, OLD, old_lightning  # noqa: F401 (a fixture)
from . import profiled as p, trainings as t

PASSES = ("count", "time")


@pytest.mark.parametrize("one", PASSES)
def test_what_was_trained_on_what_is_told(one, tmp_path):
    told = p.told(tmp_path, trainer={"max_epochs": 7, "accumulate_grad_batches": 2}, **{"pass": one})
    assert (told.ended, told.device) == ("profiled", "cpu")
    assert told.machine.hardware.startswith("cpu-")
    # As its author wrote it, not as it was cut.
    assert told.settings["trainer.max_epochs"] == "7"
    assert (told.settings["trainer.limit_train_batches"], told.settings["trainer.limit_val_batches"]) == ("1.0", "1.0")


def test_each_pass_tells_its_own(tmp_path):
    count, time = (p.told(tmp_path, **{"pass": one}) for one in PASSES)
    assert count.operations and count.flops and count.workload
    assert not (count.steps or count.sections or count.resident_memory)
    assert time.steps and time.sections and time.resident_memory
    assert not (time.operations or time.flops or time.workload)


@pytest.mark.parametrize("one", PASSES)
def test_nothing_is_kept_and_nothing_ends_it_but_callbacks_stay(one, tmp_path):
    seen = []

    class Mine(pl.Callback):
        def on_train_batch_end(self, *args):
            seen.append(args)

    keep = ModelCheckpoint(monitor="val_loss", dirpath=tmp_path / "kept", every_n_train_steps=1)
    stop = EarlyStopping("val_loss", patience=0, divergence_threshold=0.0)
    told = p.told(tmp_path / "out", callbacks=[Mine(), keep, stop], **{"pass": one})
    assert (told.ended, len(seen)) == ("profiled", {"count": 8, "time": 9}[one])
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["probe.json"]


class Crashing(p.Net):
    def training_step(self, batch, batch_idx):
        if self.trainer.fit_loop.total_batch_idx == 5:
            raise ValueError("labels out of range")
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("one", PASSES)
def test_a_crash_is_told_and_goes_on(one, tmp_path):
    with pytest.raises(ValueError, match="labels out of range"):
        p.told(tmp_path, Crashing(), **{"pass": one})
    told = evidence.load(tmp_path / "probe.json", profile.Told)
    assert (told.ended, told.device) == ("exception", "cpu")
    assert p.told(tmp_path, t.Net(), validation=()).ended == "profiled"  # no mode was left behind


class Leaving(pl.Callback):
    def on_train_batch_end(self, trainer, *args):
        trainer.should_stop = True


def test_a_training_that_ends_itself_is_cut(tmp_path):
    told = p.told(tmp_path, callbacks=[Leaving()])
    assert (told.ended, told.workload["training batches"]) == ("cut", 1)


def test_a_fit_without_a_step_is_cut(tmp_path):
    told = p.told(tmp_path, trainer={"max_epochs": 0})
    assert (told.ended, told.workload, told.machine) == ("cut", {}, None)


def test_a_required_gpu_that_is_not_there_ends_it_at_once(tmp_path):
    asked = channel.Asked("profile", p.SETTINGS | {"require_gpu": True}, str(tmp_path / "probe.json"))
    with pytest.raises(SystemExit):
        probe.overridden(asked, {})
    assert evidence.load(tmp_path / "probe.json", profile.Told) == profile.Told(ended="no-gpu")


def test_a_checkpoint_gives_its_weights_and_not_its_steps(tmp_path):
    trainer = pl.Trainer(**p.QUIET, logger=False, default_root_dir=tmp_path)
    trainer.fit(p.Net(), t.loader())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    told = p.told(tmp_path / "out", ckpt_path=tmp_path / "last.ckpt")
    assert (told.ended, told.workload["training batches"], told.workload["optimizer steps"]) == ("profiled", 8, 8)


# By every road

ROADS = {
    "plain script": ("python train.py", "lightning", ""),
    "pytorch_lightning": ("python train.py", "pl", ""),
    "LightningCLI": ("python cli.py fit", "lightning", ""),
    **{
        f"{package} {version}": ("python train.py", "lightning" if package == "lightning" else "pl", version)
        for package in ("lightning", "pytorch-lightning")
        for version in OLD
    },
}
COUNTED = [(name, "count") for name in ROADS]
TIMED = [(name, "time") for name in ("plain script", *(name for name in ROADS if name.endswith(OLD[0])))]


def go(top, name, one, command, cwd, old):
    root = top / f"{name} {one}".replace(" ", "-")
    roads.write(root)
    out = root / "build" / "out"
    out.mkdir(parents=True)
    env = NO_GPU | ({"PYTHONPATH": str(CACHE / name.replace(" ", "-"))} if old else {})
    asked = p.SETTINGS | {"pass": one, "trace": str(out / "trace.json.gz")}
    ended = training.start(
        config.Training(name="it", command=command, cwd=cwd, env=env),
        "profile",
        asked,
        args=(),
        python=environment.prepare(root, "none", out / "install.txt"),
        root=root,
        out=out,
        timeout=300,
    )
    answer = out / "probe.json"
    return ended, evidence.load(answer, profile.Told) if answer.exists() else None, root


@pytest.fixture(scope="module")
def seen(tmp_path_factory, old_lightning):  # noqa: F811
    top = tmp_path_factory.mktemp("roads")
    with pytest.MonkeyPatch.context() as patch, concurrent.futures.ThreadPoolExecutor(2) as pool:
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        every = {key: pool.submit(go, top, *key, *ROADS[key[0]]) for key in (*COUNTED, *TIMED)}
        return {key: one.result() for key, one in every.items()}


@pytest.mark.parametrize("key", [*COUNTED, *TIMED], ids=" ".join)
def test_a_training_is_profiled_by_every_road(seen, key):
    ended, told, root = seen[key]
    assert (ended.code, told and told.ended) == (0, "profiled"), ended.tail
    assert (root / "build" / "out" / "trace.json.gz").exists() == (key in TIMED)
    assert [path for name in ("uploaded", "*.ckpt", "metrics.csv") for path in root.rglob(name)] == []


def test_one_training_counts_the_same_in_both_packages_and_each_minor(seen):
    """The model's own work does; what Lightning does around it may change with it."""
    own = ("data", "training_step", "backward", "validation")
    scripts = [name for name in ROADS if ROADS[name][0] == "python train.py"]
    counts = {
        name: {key: count for key, count in seen[name, "count"][1].operations.items() if key.split(" ")[0] in own}
        for name in scripts
    }
    assert counts["plain script"]["training_step aten.addmm"] == 16
    assert [name for name in scripts if counts[name] != counts["plain script"]] == []


def test_a_validation_before_the_fit_leaves_its_limit(seen):
    workload = seen["plain script", "count"][1].workload
    assert (workload["validation batches"], workload["validation steps"]) == (2, 4)


def test_the_digits_of_the_template_count_the_same_in_another_process(bake, tmp_path):
    root = bake(project_name="Digits")
    environ = NO_GPU | {"PYTHONPATH": os.pathsep.join([str(training.ONPATH), str(root / "src")])}
    two = []
    for name in ("first", "second"):
        answer = tmp_path / name
        asked = {"stage": "profile", "settings": p.SETTINGS | {"scratch": str(tmp_path)}, "evidence": str(answer)}
        subprocess.run(
            [sys.executable, "-m", "digits.train", "fit"],
            cwd=root,
            env=os.environ | environ | {channel.VARIABLE: json.dumps(asked)},
            check=True,
        )
        two.append(evidence.load(answer, profile.Told))
    first, second = two
    assert (first.workload, first.operations, first.flops) == (second.workload, second.operations, second.flops)
    expected = {"steps per epoch": 22, "epochs": 20, "batch size": 64, "training batches": 8, "validation steps": 4}
    assert {key: first.workload[key] for key in expected} == expected
    assert first.operations["training_step aten.convolution"] == 16


LENGTHS = """
import torch
from model import Net, pl

pl.seed_everything(3)
sizes = torch.randint(1, 60, (64,)).tolist()
batches = [(torch.randn(size, 8), torch.randint(4, (size,))) for size in sizes]
pl.Trainer(max_epochs=1).fit(Net(), torch.utils.data.DataLoader(batches, batch_size=None))
"""


@pytest.mark.slow
def test_the_same_steps_under_another_seed_of_the_scripts_own(tmp_path):
    told = []
    for shift in (0, 0, 1):
        out = tmp_path / str(len(told))
        roads.write(out)
        (out / "lightning" / "lengths.py").write_text(LENGTHS)
        asked = {"stage": "profile", "settings": p.SETTINGS | {"shift": shift, "scratch": str(out)}}
        environ = {"PYTHONPATH": str(training.ONPATH)}
        environ[channel.VARIABLE] = json.dumps(asked | {"evidence": str(out / "probe.json")})
        command = [sys.executable, "lengths.py"]
        subprocess.run(command, cwd=out / "lightning", env=os.environ | NO_GPU | environ, check=True)
        told.append(evidence.load(out / "probe.json", profile.Told))
    first, same, other = told
    assert first.operations == same.operations == other.operations
    assert first.flops == same.flops != other.flops
