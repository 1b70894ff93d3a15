"""A project whose training is reached by every road that scripts take, and whose scripts do what scripts do after."""

MODEL = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
{imports}


class Net(pl.LightningModule):
    def __init__(self, width: int = 32):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, 4))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        if self.logger:
            self.logger.experiment.add_scalar("x", 1)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.training_step(batch, batch_idx))

    test_step = validation_step

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


class Data(pl.LightningDataModule):
    def loader(self):
        draw = torch.Generator().manual_seed(0)
        x, y = torch.randn(64, 8, generator=draw), torch.randint(4, (64,), generator=draw)
        return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)

    train_dataloader = val_dataloader = test_dataloader = loader
"""

# Hard-coded hardware, a baseline before the fit, and everything that must not happen after it.
SCRIPT = """
from pathlib import Path

from model import Data, Net, pl
from {package}.callbacks import EarlyStopping, ModelCheckpoint
from {package}.loggers import CSVLogger

if __name__ == "__main__":
    best = ModelCheckpoint(monitor="val_loss", dirpath="checkpoints")
    stop = EarlyStopping("val_loss", patience=1)
    trainer = pl.Trainer(
        accelerator="gpu", devices=4, strategy="ddp", num_nodes=2, sync_batchnorm=True, max_epochs=1000,
        callbacks=[best, stop], logger=CSVLogger("logs"), limit_val_batches=2, accumulate_grad_batches=4,
    )
    assert trainer.checkpoint_callback is best
    before = trainer.validate(Net(), Data())[0]["val_loss"]
    trainer.fit(Net(), Data())
    trainer.test(ckpt_path="best", datamodule=Data())
    Path("uploaded").write_text(best.best_model_path)
"""

CLI = """
from model import Data, Net
from lightning.pytorch.cli import LightningCLI

if __name__ == "__main__":
    cli = LightningCLI(Net, Data, trainer_defaults={"max_epochs": 2})
    cli.trainer.test(cli.model, cli.datamodule)
    open("uploaded", "w").close()
"""

HYDRA = """
import os

import hydra
from model import Data, Net, pl


@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    assert os.path.basename(os.getcwd()) == "elsewhere"
    trainer = pl.Trainer(max_epochs=config.epochs)
    trainer.fit(Net(), Data())
    open("uploaded", "w").close()


if __name__ == "__main__":
    main()
"""

CRASH = """
from model import Data, Net, pl


class Broken(Net):
    def training_step(self, batch, batch_idx):
        if self.global_step == 3:
            raise ValueError("labels out of range: 7")
        return super().training_step(batch, batch_idx)


pl.Trainer(max_epochs=1).fit(Broken(), Data())
"""

HANG = """
import time


def wait():
    time.sleep(60)


wait()
"""

# No Trainer anywhere near: what the exit code and the last traceback alone say.
RAISES = """
import sys


class OutOfMemoryError(RuntimeError):
    pass


def load():
    {what}


load()
"""


def write(folder):
    """The whole project in `folder`."""
    for package, imports in (("lightning", "import lightning.pytorch as pl"), ("pl", "import pytorch_lightning as pl")):
        own = folder / package
        own.mkdir(parents=True)
        (own / "model.py").write_text(MODEL.format(imports=imports))
        name = "lightning.pytorch" if package == "lightning" else "pytorch_lightning"
        (own / "train.py").write_text(SCRIPT.format(package=name))
    own = folder / "lightning"
    (own / "app").mkdir()
    (own / "app" / "__init__.py").touch()
    (own / "app" / "train.py").write_text(SCRIPT.format(package="lightning.pytorch"))
    (own / "cli.py").write_text(CLI)
    (own / "config.yaml").write_text("epochs: 3\nhydra: {run: {dir: elsewhere}, job: {chdir: true}}\n")
    (own / "with_hydra.py").write_text(HYDRA)
    (own / "crash.py").write_text(CRASH)
    (own / "hang.py").write_text(HANG)
    (folder / ".gitignore").write_text("data/\n")
