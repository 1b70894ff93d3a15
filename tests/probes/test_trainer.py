"""The folder on PYTHONPATH, and what it does to a Trainer."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import lightning.pytorch as pl
import pytest
from lightning.pytorch import callbacks
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.environments import LightningEnvironment

from backburn.probes import trainer as probe

REPOSITORY = Path(__file__).parents[2]
ONPATH = REPOSITORY / "src" / "backburn" / "probes" / "onpath"


def python(code, *folders, **extra):
    env = {key: value for key, value in os.environ.items() if key not in ("BACKBURN_PROBE", "PYTHONPATH")}
    env |= {"PYTHONPATH": os.pathsep.join(map(str, (ONPATH, *folders))), **extra}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout


def test_the_users_sitecustomize_runs_and_is_the_one_that_others_see(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('mine')\nvalue = 7\n")
    assert python("import sitecustomize; print(sitecustomize.value)", tmp_path) == "mine\n7\n"


def test_without_a_stage_nothing_of_ours_is_imported():
    code = "import sys, importlib.metadata as m; e, = m.entry_points(group='{}')"
    for group in ("lightning.pytorch.callbacks_factory", "pytorch_lightning.callbacks_factory"):
        found = python(code.format(group) + "; print(e.load()(), 'backburn_probes.trainer' in sys.modules)")
        assert found == "[] False\n"


def test_with_a_stage_only_the_standard_library_is_imported_at_first(tmp_path):
    asked = json.dumps({"stage": "memorize", "settings": {}, "evidence": str(tmp_path / "x")})
    code = "import sys; print('backburn_probes.trainer' in sys.modules, {'torch', 'numpy'} & set(sys.modules))"
    assert python(code, BACKBURN_PROBE=asked) == "True set()\n"


def test_the_probes_folder_itself_shadows_nothing():
    assert python("import profile, trace; print(profile.__file__)").startswith(os.path.dirname(os.__file__))


def test_a_wheel_holds_all_that_is_on_the_path(tmp_path):
    pip = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--wheel-dir", tmp_path, REPOSITORY], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    for file in ONPATH.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            assert file.relative_to(REPOSITORY / "src").as_posix() in held


HARD = {"accelerator": "gpu", "devices": 4, "strategy": "ddp", "num_nodes": 2, "sync_batchnorm": True}


def test_hard_coded_hardware_becomes_one_device(tmp_path):
    changed = probe.on_one_device(HARD | {"max_epochs": 3, "fast_dev_run": True}, str(tmp_path))
    assert changed["devices"] == changed["num_nodes"] == 1
    assert changed["strategy"] == "auto" and changed["fast_dev_run"] is False and changed["max_epochs"] == 3
    assert changed["accelerator"] == ("gpu" if probe.has_gpu() else "auto")
    pl.Trainer(**changed, logger=False)


@pytest.mark.parametrize("asked", ["cpu", "auto"])
def test_an_accelerator_that_is_here_stays(asked, tmp_path):
    assert probe.on_one_device({"accelerator": asked}, str(tmp_path))["accelerator"] == asked


def test_one_that_is_not_becomes_auto(tmp_path):
    assert probe.on_one_device({"accelerator": "tpu"}, str(tmp_path))["accelerator"] == "auto"
    assert "accelerator" not in probe.on_one_device({}, str(tmp_path))


def test_plugins_of_other_strategies_go(tmp_path):
    class FSDPPrecision:
        pass

    given = {"plugins": [LightningEnvironment(), FSDPPrecision()]}
    assert probe.on_one_device(given, str(tmp_path))["plugins"] is None
    kept = probe.on_one_device({"plugins": "anything"}, str(tmp_path))
    assert kept["plugins"] == ["anything"]


def test_what_saves_ends_or_prints_is_taken_out(tmp_path):
    class Own(callbacks.EarlyStopping):
        pass

    given = [Own("loss"), callbacks.ModelCheckpoint(), callbacks.LearningRateMonitor()]
    trainer = pl.Trainer(callbacks=given, logger=CSVLogger(tmp_path), default_root_dir=tmp_path, accelerator="cpu")
    probe.take_out(trainer, probe.UNWANTED)
    assert [type(one).__name__ for one in trainer.callbacks] == ["LearningRateMonitor", "ModelCheckpoint"]
    probe.take_out(trainer, probe.UNWANTED_IN_FIT)
    assert [type(one).__name__ for one in trainer.callbacks] == ["LearningRateMonitor"]


def test_loggers_go_on_taking_calls(tmp_path):
    trainer = pl.Trainer(logger=CSVLogger(tmp_path), default_root_dir=tmp_path, accelerator="cpu")
    probe.take_out(trainer, probe.UNWANTED)
    trainer.logger.experiment.add_image("x", 1)
    trainer.logger.log_image(key="x")
    trainer.logger.experiment.config.update({"x": 1})
    assert trainer.log_dir == str(tmp_path) == str(trainer.logger.save_dir)
    bare = pl.Trainer(logger=False, accelerator="cpu")
    probe.take_out(bare, probe.UNWANTED)
    assert bare.loggers == []


def test_the_folders_of_a_quiet_logger_are_the_scratch_one(tmp_path):
    trainer = pl.Trainer(logger=CSVLogger("logs"), default_root_dir=tmp_path, accelerator="cpu")
    probe.take_out(trainer, probe.UNWANTED)
    logger = trainer.logger
    for folder in (logger.log_dir, logger.root_dir, logger.experiment.log_dir, logger.experiment.get_logdir()):
        assert os.path.join(folder, "img") == str(tmp_path / "img")
    assert os.path.join(logger.save_dir, logger.name, f"version_{logger.version}").startswith(str(tmp_path))


def test_there_are_as_many_quiet_loggers_as_there_were_loggers(tmp_path):
    trainer = pl.Trainer(logger=[CSVLogger("a"), CSVLogger("b")], default_root_dir=tmp_path, accelerator="cpu")
    for _ in range(2):
        probe.take_out(trainer, probe.UNWANTED)
    assert [type(one).__name__ for one in trainer.loggers] == ["QuietLogger"] * 2


SWALLOWS = """
import torch, lightning.pytorch as pl
from torch.utils.data import DataLoader, TensorDataset

class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(2, 2)
    def training_step(self, batch, i):
        return torch.nn.functional.cross_entropy(self.net(batch[0]), batch[1])
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1.0)

data = DataLoader(TensorDataset(torch.eye(2), torch.arange(2)), batch_size=2)
trainer = pl.Trainer(accelerator="cpu")
try:
    trainer.fit(Net(), data)
except SystemExit:
    print("swallowed")
trainer.test(Net(), data)
print("tested")
"""


def test_a_script_that_swallows_the_end_does_not_test(tmp_path):
    settings = {"steps": 9, "threshold": 0.9, "running": 1, "floor": None, "seed": 1, "scratch": str(tmp_path)}
    settings |= {"require_gpu": False, "rehearsal": False}
    asked = {"stage": "memorize", "settings": settings, "evidence": str(tmp_path / "probe.json")}
    assert python(SWALLOWS, BACKBURN_PROBE=json.dumps(asked)).splitlines()[-1] == "swallowed"
    assert json.loads((tmp_path / "probe.json").read_text())["steps"] < 9
