"""Schedules of the learning rate, in real fits and by themselves."""

import math

import pytest
import torch
from torch.optim import lr_scheduler

from backburn.probes import schedules
from backburn.report import Verdict

from . import trainings as t


class Scheduled(t.Net):
    """A schedule of its own, by step or by epoch; `schedule` makes it of an optimizer of the rate `rate`."""

    schedule, interval, rate = None, "step", 0.03

    def configure_optimizers(self):
        adam = torch.optim.Adam(self.parameters(), lr=self.rate)
        return [adam], [{"scheduler": type(self).schedule(adam), "interval": self.interval}]


def scheduled(schedule, **given):
    """A module class with this schedule."""
    return type("Scheduled", (Scheduled,), {"schedule": staticmethod(schedule)} | given)


def by(factor):
    """A LambdaLR."""
    return lambda optimizer: lr_scheduler.LambdaLR(optimizer, factor)


def warm_then_cosine(step, warm=1000, total=10_000):
    """As transformers' get_cosine_schedule_with_warmup."""
    return step / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


def one_after_another(optimizer):
    """Linear, then cosine: what torch has for it."""
    first = lr_scheduler.LinearLR(optimizer, 1e-4, total_iters=500)
    then = lr_scheduler.CosineAnnealingLR(optimizer, 5000)
    return lr_scheduler.SequentialLR(optimizer, [first, then], [500])


SOUND = {
    "a one-cycle schedule of 100,000 steps": scheduled(lambda one: lr_scheduler.OneCycleLR(one, 0.03, 100_000)),
    "a long warm-up and a cosine": scheduled(by(warm_then_cosine), rate=0.005),
    "a linear warm-up, then a cosine": scheduled(one_after_another),
    "a warm-up by epoch": scheduled(by(lambda epoch: min(1, epoch / 5)), interval="epoch"),
    "Noam's": scheduled(by(lambda step: 0.9 * min((step + 1) ** -0.5, (step + 1) * 1000**-1.5)), rate=1.0),
    "one that falls at each step": scheduled(lambda one: lr_scheduler.StepLR(one, 2, 0.1)),
    "one that falls by epoch": scheduled(lambda one: lr_scheduler.StepLR(one, 2, 0.1), interval="epoch"),
}
STANDING = {
    "one that stays at 0": scheduled(by(lambda step: 0.0)),
    "one that stays at 0 by epoch": scheduled(by(lambda step: 0.0), interval="epoch"),
    "a warm-up to a learning rate of 0": scheduled(by(warm_then_cosine), rate=0.0),
}


@pytest.mark.parametrize("name", SOUND)
def test_no_schedule_keeps_a_batch_from_being_memorized(name, tmp_path):
    torch.manual_seed(1)
    told = t.told(SOUND[name](), path=tmp_path)
    assert [one.check for one in t.judged(told).values() if one.verdict is Verdict.FAIL] == []
    assert (told.ended, told.steps < 150) == ("memorized", True)


@pytest.mark.parametrize("name", STANDING)
def test_a_learning_rate_that_stays_at_0_is_a_defect(name, tmp_path):
    outcomes = t.judged(t.told(STANDING[name](), path=tmp_path, steps=40), steps=40)
    (finding,) = outcomes["learning-rate-holds"].findings
    assert "learning rate" in finding.message and outcomes["parameters-move"].verdict is Verdict.SKIP


class Watched(Scheduled):
    """Notes the rate of each step."""

    def on_before_optimizer_step(self, optimizer):
        self.rates.append(optimizer.param_groups[0]["lr"])


def rates(path, schedule, **given):
    module = type("Watched", (Watched,), {"schedule": staticmethod(schedule), "rates": []} | given)()
    t.told(module, path=path, threshold=1e-4, steps=100)
    return module.rates


def test_a_long_way_up_is_walked_in_a_tenth_of_the_steps(tmp_path):
    seen = rates(tmp_path, by(warm_then_cosine))
    assert seen[:11] == pytest.approx([0.003 * step for step in range(11)])
    assert set(seen[10:]) == {0.03}


def test_a_short_way_up_is_walked_as_it_is(tmp_path):
    seen = rates(tmp_path, by(lambda step: min(1, step / 3)))
    assert seen[:4] == pytest.approx([0.0, 0.01, 0.02, 0.03])
    assert set(seen[3:]) == {0.03}


def test_manual_optimization_keeps_its_schedules(tmp_path):
    class Own(t.Manual):
        def configure_optimizers(self):
            adam = super().configure_optimizers()
            return [adam], [lr_scheduler.LambdaLR(adam, lambda step: min(1, (step + 1) / 3))]

        def training_step(self, batch, batch_idx):
            seen.append(self.optimizers().param_groups[0]["lr"])
            super().training_step(batch, batch_idx)
            self.lr_schedulers().step()

    seen = []
    t.told(Own(), path=tmp_path)
    assert seen[:4] == pytest.approx([0.01, 0.02, 0.03, 0.03])


@pytest.mark.parametrize(
    ("schedule", "count"),
    [(one_after_another, 1300), (lambda one: lr_scheduler.OneCycleLR(one, 0.03, 500), 501), (by(lambda step: 1), 300)],
)
def test_a_schedule_that_was_tried_is_what_it_was(schedule, count):
    optimizer = torch.optim.Adam(t.Net().parameters(), lr=0.03)
    scheduler = schedule(optimizer)
    before = repr((scheduler.state_dict(), optimizer.param_groups))
    assert len(schedules._ahead(scheduler)) == count
    assert repr((scheduler.state_dict(), optimizer.param_groups)) == before


def test_what_is_no_schedule_of_torchs_is_not_tried():
    assert schedules._ahead(object()) == []
