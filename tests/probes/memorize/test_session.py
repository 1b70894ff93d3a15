"""A pass of a session: the training's own step, as often as a look asks, without a trace."""

import random

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from backburn.probes.memorize import looks
from backburn.probes.memorize.session import Untold, is_plain

from .. import trainings as t


class Look:
    """Stands in the place of the first looks, and calls a function with the session."""

    def __init__(self, asks):
        self.asks, self.found = asks, []

    def look(self, session):
        self.found.append(self.asks(session))
        return {}


@pytest.fixture
def ask(tmp_path, monkeypatch):
    def asked(module, asks, data=None, **given):
        one = Look(asks)
        monkeypatch.setattr(looks, "FIRST", {"batch": one})
        monkeypatch.setattr(looks, "MOVED", {})
        monkeypatch.setattr(looks, "LAST", {})
        monkeypatch.setattr("backburn.evidence.load", lambda *args: None)  # that look's record is none of memorize's
        t.told(module, data, path=tmp_path, steps=4, running=3, **given)
        (found,) = one.found
        if isinstance(found, Exception):
            raise found
        return found

    return asked


class Busy(t.Net):
    """Changes all that a step can change."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.seen, self.count = [], 0

    def training_step(self, batch, batch_idx):
        self.seen.append(random.random())
        self.count += 1
        self.late = torch.ones(1)
        with torch.no_grad():
            self.head.bias += 1
            batch[0].mul_(2)
        self.log("train_loss", loss := self.loss(self.norm(batch[0]), batch[1]) + torch.rand(()))
        return loss


def state(module):
    return {name: one.clone() for name, one in module.state_dict().items()}, len(module.seen), module.count


def test_a_pass_leaves_no_trace_and_is_the_same_each_time(ask):
    def twice(session):
        module, batch = session.module, {path: one.clone() for path, one in session.tensors().items()}
        before, drawn = state(module), (torch.get_rng_state(), random.getstate())
        passes = [session.run() for _ in range(2)]
        passes[0].returned.backward()
        same = all(torch.equal(one, state(module)[0][name]) for name, one in before[0].items())
        kept = all(torch.equal(one, session.tensors()[path]) for path, one in batch.items())
        counted = (len(module.seen), module.count, hasattr(module, "late")) == (*before[1:], False)
        numbers = torch.equal(drawn[0], torch.get_rng_state()) and drawn[1] == random.getstate()
        return [same, kept, counted, numbers, passes[0].value == passes[1].value, [*passes[1].logged]]

    assert ask(Busy(), twice) == [True, True, True, True, True, ["train_loss"]]


def test_a_pass_tells_what_was_called_given_and_returned(ask):
    def told(session):
        one = session.first
        return [call.name for call in one.calls], [name for name, _ in one.inputs], [name for name, _ in one.outputs]

    assert ask(t.Net(), told) == (["cross_entropy"], ["encoder", "head"], ["encoder", "head"])


def test_another_seed_another_draw(ask):
    def draws(session):
        return session.run().value, session.run(seed=7).value, session.run(seed=7).value

    one, two, three = ask(t.Noisy(), draws)
    assert one != two == three


def test_evaluation_puts_all_in_eval_mode_for_that_pass(ask):
    class Mode(t.Net):
        def training_step(self, batch, batch_idx):
            self.log("mode", float(self.encoder.training))
            return super().training_step(batch, batch_idx)

    def modes(session):
        logged = [session.run(evaluation=flag).logged["mode"] for flag in (False, True)]
        return logged, session.module.encoder.training

    assert ask(Mode(), modes) == ([1.0, 0.0], True)


def test_validation_runs_without_gradients(ask):
    def validated(session):
        one = session.evaluate()
        return one.returned, list(one.logged), session.module.training

    assert ask(t.Validated(), validated) == (None, ["val_loss"], True)


@pytest.mark.parametrize("module", [t.Manual, t.Adversarial])
def test_manual_optimization_takes_no_step_in_a_pass_and_its_roots_are_seen(ask, module):
    def roots(session):
        before = [one.detach().clone() for one in session.module.parameters()]
        done = session.run()
        same = all(map(torch.equal, before, session.module.parameters()))
        return (
            same,
            len(done.roots),
            done.roots == done.losses,
            all(not one.state for one in session.trainer.optimizers),
        )

    same, many, are_losses, unmoved = ask(module(), roots)
    assert (same, many, are_losses, unmoved) == (True, 2 if module is t.Adversarial else 1, True, True)


def test_what_a_step_raises_is_raised_and_undone(ask):
    class Raises(t.Net):
        def training_step(self, batch, batch_idx):
            self.count = getattr(self, "count", 0) + 1
            if self.trainer.global_step == 0 and self.count == 1:
                raise KeyError("x")
            return super().training_step(batch, batch_idx)

    def raised(session):
        with pytest.raises(KeyError):
            session.run()
        session.module.count = 1
        return session.returns_loss

    assert ask(Raises(), raised) is True


def test_a_batch_that_cannot_be_copied_is_not_changed(ask):
    class Locked:
        def __init__(self, x, y):
            vars(self).update(x=x, y=y)

        def __setattr__(self, name, value):
            raise TypeError("read-only")

        def __deepcopy__(self, memo):
            raise RuntimeError("no copies")

    batch = Locked(*t.samples(16))

    class Takes(t.Net):
        def training_step(self, batch, batch_idx):
            return self.loss(batch.x, batch.y)

    def copied(session):
        with pytest.raises(Untold, match="a Locked cannot be copied"):
            session.copy()
        return session.run().value > 0

    assert ask(Takes(), copied, data=DataLoader([batch], batch_size=None)) is True


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (torch.ones(2), True),
        (torch.ones(2).to_sparse(), False),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), False),
        ([1], False),
    ],
)
def test_what_lies_there_one_by_one(value, plain):
    assert is_plain(value) is plain


class Scheduled(t.Net):
    """Its optimizer has modes, as schedule-free ones do."""

    def validation_step(self, batch, batch_idx):
        return self.loss(*batch)

    def on_validation_model_eval(self):
        super().on_validation_model_eval()
        self.optimizers().param_groups[0]["train_mode"] = False


def test_validation_puts_no_optimizer_into_another_mode(tmp_path, monkeypatch):
    modes = []

    class Look:
        @staticmethod
        def look(session):
            session.optimizers[0].param_groups[0]["train_mode"] = True
            session.evaluate()
            modes.append(session.optimizers[0].param_groups[0]["train_mode"])

    for name in ("FIRST", "MOVED", "LAST"):
        monkeypatch.setattr(looks, name, {"modes": Look} if name == "FIRST" else {})
    t.told(Scheduled(), t.loader(), path=tmp_path, steps=4)
    assert modes == [True]
