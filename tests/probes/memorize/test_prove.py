"""All bugs are planted into one real training after another, and each is caught by a check of its own."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from backburn import pipeline, training
from backburn.memorization.planted import caught
from backburn.probes.memorize.bugs import BUGS
from backburn.report import Level, name_of
from backburn.stages import memorize

from ..trainings import Net, judged, loader, told


class Dropping(Net):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(0.1))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.003)


OWN = {
    "sign": "loss-sign",
    "softmax": "loss-takes-logits",
    "shuffled": "labels-stay-paired",
    "mixed": "samples-are-independent",
    "detached": "parameters-are-connected",
    "forgotten": "parameters-are-optimized",
    "frozen": "parameters-stay-trainable",
    "stale": "gradients-are-fresh",
    "slowed": "updates-are-sized",
    "evaluated": "trains-in-train-mode",
    "nan": "loss-is-finite",
}


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    torch.manual_seed(0)
    module, data = Dropping(), loader()
    collate, before = data.collate_fn, {name: one.clone() for name, one in module.state_dict().items()}
    seen = told(module, data, path=tmp_path_factory.mktemp("prove"), prove=True)
    assert all(one.equal(before[name]) for name, one in module.state_dict().items())
    assert data.collate_fn is collate and module.training
    assert not {"training_step", "configure_optimizers", "train_dataloader"} & set(vars(module))
    return seen


def evidence(told):
    return memorize.Evidence(ended=training.Ended(command=("python",), code=0, seconds=1.0), told=told)


def names(told, checks=memorize.CHECKS):
    return {one.bug: one for one in caught(evidence(told), memorize.Config(prove=True), checks)}


def test_every_bug_is_planted_and_caught_by_its_own_check(proven):
    assert [one.name for one in proven.planted] == [*BUGS] and set(BUGS) == set(OWN)
    rows = names(proven)
    assert {name: rows[sentence].check for name, (sentence, _) in BUGS.items()} == OWN
    quiet = {one.bug for one in rows.values() if one.level is not Level.ERROR}
    assert quiet <= {BUGS["frozen"][0]}  # what a reference has to know


@pytest.mark.parametrize("name", OWN)
def test_a_check_that_is_taken_out_catches_nothing(proven, name):
    left = [one for one in memorize.CHECKS if name_of(one) != OWN[name]]
    assert names(proven, left)[BUGS[name][0]].check != OWN[name]


def test_the_sound_training_passes_all_the_same(proven):
    outcomes = judged(proven, prove=True)
    assert not [name for name, one in outcomes.items() if one.verdict == "fail"]
    (finding,) = outcomes["proof"].findings
    assert finding.level is Level.NOTICE and finding.message.startswith("10 of 11 planted bugs fail this training")
    assert len(finding.detail.splitlines()) == len(BUGS)
    assert pipeline.judge(memorize, "memorize", evidence(proven), memorize.Config())[-1].skipped


class Manual(pl.LightningModule):
    """One layer, a loss of its own, manual optimization."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.net = nn.Linear(8, 4)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = -self.net(x).log_softmax(1)[torch.arange(len(y)), y].mean()
        own = self.optimizers()
        own.zero_grad()
        self.manual_backward(loss)
        own.step()
        self.log("loss", loss)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03)


def test_what_cannot_be_planted_says_why(tmp_path):
    reasons = {one.name: one.untold for one in told(Manual(), path=tmp_path, prove=True).planted}
    assert reasons["sign"] == "training_step returns no loss"
    assert reasons["softmax"] == "its loss takes no logits"
    assert reasons["stale"] == "manual optimization calls zero_grad itself"
    assert reasons["evaluated"] == "no layer in train mode behaves differently in eval mode"
    for name in ("detached", "frozen", "forgotten", "mixed"):
        assert reasons[name] == "fewer than two layers with trainable parameters are called"
    assert not reasons["nan"] and not reasons["shuffled"]


def test_nothing_is_planted_unless_asked_nor_into_what_is_broken(tmp_path):
    class Turned(Net):
        def training_step(self, batch, batch_idx):
            return -super().training_step(batch, batch_idx)

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert told(Net(), path=tmp_path / "a").planted == ()
    broken = told(Turned(), path=tmp_path / "b", prove=True)
    assert broken.planted == ()
    assert "does not memorize" in judged(broken, prove=True)["proof"].skipped
