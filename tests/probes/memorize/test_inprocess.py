"""A fit in this process. That it leaves no trace is in tests/test_api.py."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import backburn
from backburn.probes.memorize import inprocess
from backburn.report import Verdict

from ...stages.test_memorize import old_lightning  # noqa: F401 (a fixture)
from .. import trainings as t

CACHE = Path(__file__).parents[3] / "build" / "cache" / "lightning"
REPOSITORY = Path(__file__).parents[3]


def test_the_package_of_a_module_is_its_own():
    assert inprocess.package(t.Net()) == "lightning.pytorch"
    assert {"max_epochs", "callbacks", "precision"} <= inprocess.arguments(t.Net())
    assert "self" not in inprocess.arguments(t.Net())


@pytest.mark.parametrize(
    "data", [t.loader(), [t.loader(), t.loader()], {"a": t.loader()}, [next(iter(t.loader()))], zip(*[t.loader()])]
)
def test_data_of_every_kind_become_a_loader(data):
    loader = inprocess._loader(data)
    one = next(iter(loader[0] if isinstance(loader, list) else loader["a"] if isinstance(loader, dict) else loader))
    assert one is not None and isinstance(data, DataLoader) == (loader is data and isinstance(loader, DataLoader))


def test_a_callback_may_be_one_or_several_or_none():
    assert [inprocess._listed(one) for one in (None, 1, [1, 2], (3,))] == [[], [1], [1, 2], [3]]


def test_a_bug_of_ours_is_no_finding(monkeypatch):
    """It is raised: a training is never blamed for it."""

    def broken(self, trainer, module):
        raise ZeroDivisionError("ours")

    from backburn.probes.memorize import memorizer

    broken.__code__ = broken.__code__.replace(co_filename=memorizer.__file__)
    monkeypatch.setattr(memorizer.Memorizer, "on_train_start", broken)
    with pytest.raises(ZeroDivisionError, match="ours"):
        backburn.memorize(t.Net(), t.loader())


def test_an_exit_of_the_training_is_in_the_report():
    class Leaves(t.Net):
        def training_step(self, batch, batch_idx):
            raise SystemExit("enough")

    report = backburn.memorize(Leaves(), t.loader())
    assert report.verdict is Verdict.FAIL and "SystemExit: enough" in report.outcomes[0].findings[0].message


def test_what_a_function_of_torch_refuses_is_the_trainings_own():
    """It goes by a mode of ours, which looks for loss functions."""

    class Unfit(t.Net):
        def training_step(self, batch, batch_idx):
            return (batch[0].reshape(7, -1) + self(batch[0])).mean()

    report = backburn.memorize(Unfit(), t.loader())
    assert report.verdict is Verdict.FAIL and "RuntimeError: shape '[7, -1]'" in report.outcomes[0].findings[0].message


def test_gradients_may_be_off_outside():
    with torch.no_grad():
        report = backburn.memorize(t.Net(), t.loader())
    assert report.verdict is Verdict.PASS


SCRIPT = """
import sys
import pytorch_lightning as pl
import torch
from torch import nn
import backburn


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


batch = torch.randn(16, 8), torch.randint(4, (16,))
report = backburn.memorize(Net(), [batch])
print(report.verdict, pl.__version__, "lightning" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["2.4.0", "2.5.6"])
def test_modules_of_pytorch_lightning_are_fitted_by_their_own_trainer(version, tmp_path, old_lightning):  # noqa: F811
    (tmp_path / "it.py").write_text(SCRIPT)
    path = f"{CACHE / f'pytorch-lightning-{version}'}:{REPOSITORY / 'src'}"
    command = [sys.executable, "it.py"]
    env = {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PATH": "", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["pass", version, "False"], done.stderr
