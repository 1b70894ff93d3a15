"""The probe inside real fits: what it tells of sound trainings, and of one planted defect each."""

import pytest
import torch
from torch import nn

from backburn import evidence, training
from backburn.report import Verdict
from backburn.stages import memorize

from . import trainings as t


def failing(outcomes):
    return [name for name, outcome in outcomes.items() if outcome.verdict is Verdict.FAIL]


def message(outcomes):
    return next(outcome.findings[0].message for outcome in outcomes.values() if outcome.verdict is Verdict.FAIL)


SOUND = {
    "cross entropy": (t.Net, {}),
    "label smoothing": (t.Smoothed, {}),
    "soft targets": (t.Soft, {}),
    "regression": (t.Regression, {}),
    "multi-label": (t.MultiLabel, {}),
    "7 x the loss": (t.Scaled, {}),
    "noise in the step": (t.Noisy, {}),
    "a frozen backbone": (t.Backbone, {}),
    "gradient checkpointing": (t.Checkpointed, {}),
    "a plateau scheduler of val_loss": (t.Decayed, {}),
    "a scheduler by epoch": (t.Stepped, {}),
    "a one-cycle schedule": (t.OneCycle, {}),
    "a bias before a normalisation": (t.Normalised, {}),
    "manual optimization": (t.Manual, {}),
    "bf16": (t.Net, {"trainer": {"precision": "bf16-mixed"}}),
    "accumulated gradients": (t.Net, {"trainer": {"accumulate_grad_batches": 4}}),
    "a barebones trainer": (t.Net, {"trainer": {"barebones": True, "enable_progress_bar": None}}),
    "workers": (t.Net, {"data": lambda: t.loader(num_workers=1)}),
    "a fixed stream": (t.Net, {"data": lambda: t.loader(t.FixedStream(), shuffle=False)}),
    "a NaN in the batch that the loss leaves out": (t.Partial, {"data": t.with_nan}),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_training_is_memorized(name, tmp_path):
    module, given = SOUND[name]
    torch.manual_seed(1)
    given = dict(given, data=given["data"]()) if "data" in given else given
    told = t.told(module(), path=tmp_path, **given)
    outcomes = t.judged(told)
    assert failing(outcomes) == []
    assert outcomes["loss-falls"].verdict is Verdict.PASS
    assert (told.ended, told.steps < 150) == ("memorized", True)


class Silent(t.Net):
    """A second head with a gradient that is there, and 0."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(8, 1)

    def loss(self, x, y):
        return super().loss(x, y) + 0 * self.other(x).sum()


DEFECTS = {
    "a detached encoder": (t.Detached, {}, "gradients-reach", "2 of 4 trainable parameters (encoder.0.{weight,bias})"),
    "an encoder under no_grad": (t.NoGrad, {}, "gradients-reach", "encoder.0"),
    "the wrong sign": (t.Flipped, {}, "loss-above-bound", "-1.00 × cross_entropy: minimised with the wrong sign"),
    "nll_loss of a softmax": (t.FlippedTail, {}, "loss-above-bound", "below 0"),
    "NaN on the way": (t.Vanishing, {}, "loss-is-finite", "nan at step 3"),
    "infinite at once": (t.Infinite, {}, "loss-is-finite", "-inf at step 1"),
    "a learning rate of 0": (t.Frozen, {}, "parameters-move", "4 of 4"),
    "parameters kept from the optimizer": (t.Forgotten, {}, "parameters-move", "encoder.0"),
    "a gradient of 0": (Silent, {}, "gradients-reach", "(other.{weight,bias}): the gradient is always 0"),
    "a learning rate too small": (t.Slow, {}, "loss-falls", "memorizing takes"),
    "no loss": (t.Nothing, {}, "loss-is-finite", "returned no loss"),
    "blind to its input": (t.Conflicting, {}, "loss-falls", "memorizing takes"),
    "one logit": (t.OneLogit, {}, "gradients-reach", "4 of 4"),
    "a batch sampler of its own": (
        t.Net,
        {"data": lambda: t.loader(batch_sampler=t.Wandering(), batch_size=1, shuffle=None)},
        "batch-is-fixed",
        "Wandering",
    ),
    "a random stream": (
        t.Net,
        {"data": lambda: t.loader(t.Stream(), shuffle=False)},
        "batch-is-fixed",
        "Stream is an IterableDataset",
    ),
    "random augmentation": (t.Net, {"data": lambda: t.loader(t.Augmented())}, "batch-is-fixed", "augmentation"),
    "a fit that ends itself": (t.Net, {"callbacks": [t.Leaving()]}, "training-ran", "itself after 7 of 300 steps"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_fails_under_its_name(name, tmp_path):
    module, given, check, said = DEFECTS[name]
    torch.manual_seed(1)
    given = dict(given, data=given["data"]()) if "data" in given else given
    outcomes = t.judged(t.told(module(), path=tmp_path, **given))
    first = next(iter(failing(outcomes)))
    assert first == check
    finding = outcomes[check].findings[0]
    assert said in f"{finding.message} {finding.hint}"


class Siamese(t.Net):
    """SimSiam's loss, with a little mse beside it and a warm-up from 0."""

    def loss(self, x, y):
        here, there = self(x), self(x + 0.1)
        return (
            0.01 * nn.functional.mse_loss(here, there)
            - nn.functional.cosine_similarity(here, nn.functional.one_hot(y, t.CLASSES).float()).mean()
        )

    def configure_optimizers(self):
        adam = super().configure_optimizers()
        warm = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1, step / 20))
        return [adam], [{"scheduler": warm, "interval": "step"}]


class Likely(t.Net):
    """A Gaussian's likelihood; an mse is only logged."""

    def loss(self, x, y):
        guess = self(x)
        wanted = nn.functional.one_hot(y, t.CLASSES).float()
        self.log("mse", nn.functional.mse_loss(guess, wanted))
        return -torch.distributions.Normal(guess, 0.5).log_prob(wanted).mean()

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-4)


@pytest.mark.parametrize("module", [Siamese, Likely])
def test_a_loss_that_is_no_sum_of_known_ones_has_no_sign(module, tmp_path):
    """In two steps that hardly move, any ratio of the loss to an mse beside it is steady."""
    torch.manual_seed(1)
    told = t.told(module(), path=tmp_path, floor=-2.0, steps=60)
    outcomes = t.judged(told, floor=-2.0, steps=60)
    assert (told.sign, told.bound) == (0, None)
    assert outcomes["loss-above-bound"].skipped.startswith("its lower bound is unknown")


class Taught(t.Net):
    """A teacher that grows surer by the step: what the loss can come down to falls with it."""

    def loss(self, x, y):
        sure = 0.05 * self.global_step * nn.functional.one_hot(y, t.CLASSES)
        return nn.functional.cross_entropy(self(x), sure.softmax(dim=1))


def test_a_floor_that_falls_is_no_bound(tmp_path):
    """In the first two steps it falls by 0.02 %."""
    torch.manual_seed(1)
    told = t.told(Taught(), path=tmp_path, threshold=0.05)
    assert failing(t.judged(told, threshold=0.05)) == []
    assert min(told.losses) < 0.5 and told.bound is None


class Afterwards(t.Net):
    """Reads, when its fit ends, a checkpoint that nobody made."""

    def on_train_end(self):
        print(self.trainer.checkpoint_callback.best_model_path)


def test_a_crash_after_the_verdict_is_a_warning(tmp_path):
    with pytest.raises(AttributeError):
        t.told(Afterwards(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    assert told.ended == "memorized"
    ended = training.Ended(command=("python",), code=1, seconds=1.0, raised=True, message="AttributeError: x")
    outcomes = t.judged(told, ended)
    assert failing(outcomes) == []
    assert [one.level.value for one in outcomes["training-ran"].findings] == ["warning"]
    assert "AttributeError" in outcomes["training-ran"].findings[0].message


class Validated(t.Net):
    """Relies on a validation."""

    def on_train_epoch_end(self):
        print(self.trainer.callback_metrics["val_loss"])


def test_a_crash_inside_the_fit_says_what_is_different_here(tmp_path):
    with pytest.raises(KeyError):
        t.told(Validated(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    ended = training.Ended(command=("python",), code=1, seconds=1.0, raised=True, message="KeyError: 'val_loss'")
    (finding,) = t.judged(told, ended)["training-ran"].findings
    assert finding.message == "KeyError: 'val_loss'"
    assert "without validation, checkpoints and loggers" in finding.hint


def test_an_exit_inside_the_fit_was_a_fit(tmp_path):
    class Leaves(t.Net):
        def training_step(self, batch, batch_idx):
            raise SystemExit(0)

    t.told(Leaves(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    assert told.ended == "exception"
    assert failing(t.judged(told)) == ["training-ran"]


def test_manual_optimization_is_not_looked_into_and_says_so(tmp_path):
    outcome = t.judged(t.told(t.Manual(), path=tmp_path))["loss-above-bound"]
    assert outcome.skipped.endswith("manual optimization is not looked into")


def test_a_start_at_the_floor_is_a_skip_that_says_so(tmp_path):
    told = t.told(t.trained(), path=tmp_path)
    outcomes = t.judged(told)
    assert failing(outcomes) == []
    assert outcomes["loss-falls"].skipped.startswith("it starts at its floor: ")
    assert told.steps < 20


def test_two_optimizers_against_each_other_are_judged_by_what_moves(tmp_path):
    torch.manual_seed(0)
    told = t.told(t.Adversarial(), path=tmp_path, steps=20)
    outcomes = t.judged(told, steps=20)
    assert failing(outcomes) == []
    assert outcomes["loss-falls"].skipped.startswith("2 optimizers")
    assert told.source == "d_loss + g_loss"


def test_manual_optimization_that_shows_no_loss_is_unjudged(tmp_path):
    outcome = t.judged(t.told(t.Unlogged(), path=tmp_path, steps=9))["loss-is-finite"]
    assert outcome.verdict is Verdict.UNJUDGED
    assert "self.log" in outcome.findings[0].hint


def test_a_configured_floor_counts(tmp_path):
    """1.2 lies between the floor and the first loss: what is left to fall is less, so it takes fewer steps."""
    torch.manual_seed(1)
    told = t.told(t.Net(), path=tmp_path, floor=1.2)
    assert t.judged(told, floor=1.2)["loss-falls"].verdict is Verdict.PASS
    assert told.steps < 20 and told.losses[-3] > 0.9


def test_a_compiled_module_is_left_alone(tmp_path):
    module = torch.compile(t.Net(), backend="eager")
    told = t.told(module, path=tmp_path)
    assert (told.ended, told.functions) == ("memorized", "")
    assert t.judged(told)["loss-above-bound"].skipped


def test_a_resumed_fit_starts_counting_at_0(tmp_path):
    off = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing"), False)
    trainer = t.pl.Trainer(accelerator="cpu", max_steps=301, default_root_dir=tmp_path, **off)
    module = t.Net()
    trainer.fit(module, t.loader(batch_size=64))
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    told = t.told(t.Net(), path=tmp_path, ckpt_path=tmp_path / "it.ckpt")
    assert told.ended == "memorized" and 3 < told.steps < 20
    assert told.losses[0] < 0.3


def test_the_step_of_a_module_is_its_own_again(tmp_path):
    module = t.Net()
    t.told(module, path=tmp_path)
    assert "training_step" not in vars(module)


def test_an_exception_leaves_what_was_seen(tmp_path):
    class Broken(t.Net):
        def training_step(self, batch, batch_idx):
            if self.global_step == 2:
                raise KeyError("x")
            return super().training_step(batch, batch_idx)

    with pytest.raises(KeyError):
        t.told(Broken(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    assert (told.ended, len(told.losses)) == ("exception", 2)


def test_digits_of_a_second_batch_differ(tmp_path):
    told = t.told(t.Net(), t.loader(t.Augmented()), path=tmp_path)
    assert len(set(told.batches)) == 2 and told.steps == 2
    assert told.differs == "batch[0]: float32 (16, 8)"
