"""The probe inside real fits: what it tells of sound trainings, and of one planted defect each."""

import pytest
import torch
from torch import nn

from backburn import evidence, training
from backburn.probes.batches import digest, leaves
from backburn.report import Level, Verdict
from backburn.stages import memorize

from .. import trainings as t


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
    "workers": (t.Net, {"data": lambda: t.loader(num_workers=2, persistent_workers=True)}),
    "a fixed stream": (t.Net, {"data": lambda: t.loader(t.FixedStream(), shuffle=False)}),
    "a random stream": (t.Net, {"data": lambda: t.loader(t.Stream(), shuffle=False)}),
    "random augmentation": (t.Net, {"data": lambda: t.loader(t.Augmented())}),
    "a batch sampler of its own": (
        t.Net,
        {"data": lambda: t.loader(batch_sampler=t.Wandering(), batch_size=1, shuffle=None)},
    ),
    "callbacks that stop and save": (t.Validated, {"callbacks": t.watchers}),
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
    assert told.ended in ("memorized", "fallen") and told.steps < 150


class Silent(t.Net):
    """A second head with a gradient that is there, and 0."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(8, 1)

    def loss(self, x, y):
        return super().loss(x, y) + 0 * self.other(x).sum()


def test_a_gradient_of_0_has_a_healthy_reading(tmp_path):
    outcomes = t.judged(t.told(Silent(), path=tmp_path))
    (finding,) = outcomes["gradients-reach"].findings
    assert failing(outcomes) == [] and finding.level is Level.WARNING
    assert finding.message.startswith("2 of 6 trainable parameters (other.{weight,bias}): the gradient is always 0")


DEFECTS = {
    "a detached encoder": (t.Detached, {}, "parameters-are-connected", "2 of 4 trainable parameters (encoder.0"),
    "an encoder under no_grad": (t.NoGrad, {}, "parameters-are-connected", "encoder.0"),
    "the wrong sign": (t.Flipped, {}, "loss-sign", "-1.00 × cross_entropy: minimised with the wrong sign"),
    "nll_loss of a softmax": (t.FlippedTail, {}, "loss-takes-log-probabilities", "got probabilities"),
    "NaN on the way": (t.Vanishing, {}, "loss-is-finite", "nan at step 3"),
    "infinite at once": (t.Infinite, {}, "loss-is-finite", "-inf at step 1"),
    "a learning rate of 0": (t.Frozen, {}, "learning-rate-holds", "is 0"),
    "parameters kept from the optimizer": (t.Forgotten, {}, "parameters-are-optimized", "encoder.0"),
    "a learning rate too small": (t.Slow, {}, "loss-falls", "memorizing takes"),
    "no loss": (t.Nothing, {}, "loss-is-finite", "returned no loss"),
    "blind to its input": (t.Conflicting, {}, "inputs-are-used", "ignores what it is given"),
    "one logit": (t.OneLogit, {}, "loss-has-classes", "(16, 1)"),
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
    assert min(told.losses) < 0.6 and told.bound is None


class Afterwards(t.Net):
    """Reads, when its fit ends, a checkpoint that nobody made; and fails."""

    def on_train_end(self):
        raise AttributeError(self.trainer.checkpoint_callback.best_model_path)

    on_train_epoch_end = on_fit_end = on_train_end


def test_no_hook_of_an_epochs_or_a_fits_end_runs_on_a_memorized_toy(tmp_path):
    told = t.told(Afterwards(), path=tmp_path)
    assert told.ended == "memorized"
    assert failing(t.judged(told)) == []


def test_a_crash_after_the_verdict_is_a_warning(tmp_path):
    ended = training.Ended(command=("python",), code=1, seconds=1.0, raised=True, message="AttributeError: x")
    outcomes = t.judged(t.told(t.Net(), path=tmp_path), ended)
    assert failing(outcomes) == []
    assert [one.level.value for one in outcomes["training-ran"].findings] == ["warning"]
    assert "AttributeError" in outcomes["training-ran"].findings[0].message


class Relying(t.Net):
    """Relies on a validation before it."""

    def on_train_batch_end(self, *args):
        print(self.trainer.callback_metrics["val_loss"])


def test_a_crash_inside_the_fit_says_what_is_different_here(tmp_path):
    with pytest.raises(KeyError):
        t.told(Relying(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    ended = training.Ended(command=("python",), code=1, seconds=1.0, raised=True, message="KeyError: 'val_loss'")
    (finding,) = t.judged(told, ended)["training-ran"].findings
    assert finding.message == "KeyError: 'val_loss'"
    assert "without validation, checkpoints and loggers" in finding.hint


def test_an_exit_inside_the_fit_was_a_fit(tmp_path):
    class Leaves(t.Net):
        def training_step(self, batch, batch_idx):
            raise SystemExit(0)

    with pytest.raises(SystemExit):
        t.told(Leaves(), path=tmp_path)
    told = evidence.load(tmp_path / "probe.json", memorize.Told)
    assert told.ended == "exception"
    assert failing(t.judged(told)) == ["training-ran"]


def test_manual_optimization_is_not_looked_into_and_says_so(tmp_path):
    outcome = t.judged(t.told(t.Manual(), path=tmp_path))["loss-above-bound"]
    assert outcome.skipped.endswith("manual optimization is not looked into")


def test_what_starts_at_its_floor_need_only_stay_there(tmp_path):
    told = t.told(t.trained(), path=tmp_path)
    outcomes = t.judged(told)
    assert failing(outcomes) == [] and outcomes["loss-falls"].verdict is Verdict.PASS
    assert told.losses[0] < 0.01 and told.steps < 20


def test_two_optimizers_against_each_other_are_judged_by_what_moves(tmp_path):
    torch.manual_seed(0)
    told = t.told(t.Adversarial(), path=tmp_path, steps=20)
    outcomes = t.judged(told, steps=20)
    assert failing(outcomes) == []
    assert outcomes["loss-falls"].skipped.startswith("2 optimizers")
    assert told.losses


def test_manual_optimization_that_shows_no_loss_is_a_skip_that_says_so(tmp_path):
    told = t.told(t.Unlogged(), path=tmp_path)
    outcomes = t.judged(told)
    assert outcomes["loss-is-finite"].skipped.startswith("no loss was seen: this training optimizes manually")
    assert (failing(outcomes), told.ended, told.steps) == ([], "seen", 40)


def test_a_configured_floor_counts(tmp_path):
    """1.2 lies between the floor and the first loss: what is left to fall is less, so it takes fewer steps."""
    torch.manual_seed(1)
    told = t.told(t.Net(), path=tmp_path, floor=1.2)
    assert t.judged(told, floor=1.2)["loss-falls"].verdict is Verdict.PASS
    assert told.ended == "memorized" and told.losses[-1] > 0.25 * told.losses[0]


class Inside(t.Net):
    """Compiles one of its layers, and its loss's step another."""

    def __init__(self):
        super().__init__()
        self.encoder.compile(backend=refused)
        self.head = torch.compile(self.head, backend=refused)


def refused(graph, inputs):
    raise AssertionError("this was compiled")


@pytest.mark.parametrize("module", [lambda: torch.compile(t.Net(), backend=refused), Inside])
def test_what_is_compiled_is_looked_at_as_if_it_were_not(module, tmp_path):
    """Compiling takes a minute and hides what a look is for; afterwards torch compiles as before."""
    told = t.told(module(), path=tmp_path)
    assert (told.ended, told.functions, told.bound) == ("memorized", "cross_entropy", 0.0)
    assert told.loss_calls is not None and failing(t.judged(told)) == []
    with pytest.raises(Exception, match="this was compiled"):
        torch.compile(nn.Linear(1, 1), backend=refused)(torch.ones(1, 1))


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
    assert told.loss_calls is not None and told.batch_digest


# Traps


class Eval(t.Net):
    """Sound, but for a fit's start: a Dropout that is not to work was left in eval mode, as after a validation."""

    def __init__(self):
        super().__init__()
        self.encoder.append(nn.Dropout(0.2))
        self.eval()


def test_a_module_left_in_eval_before_fit_is_named(tmp_path):
    outcomes = t.judged(t.told(Eval(), path=tmp_path))
    assert outcomes["trains-in-train-mode"].findings


class Sometimes(t.Net):
    """Returns None on a path of its own: every other step."""

    def training_step(self, batch, batch_idx):
        return self.loss(*batch) if batch_idx % 2 == 0 else None


def test_a_step_that_sometimes_returns_none_is_memorized(tmp_path):
    told = t.told(Sometimes(), path=tmp_path)
    outcomes = t.judged(told)
    assert failing(outcomes) == []
    assert told.ended == "memorized" and len(told.losses) < told.steps


def test_what_takes_the_loss_away_after_some_steps_ends(tmp_path):
    class Stops(t.Net):
        def training_step(self, batch, batch_idx):
            return self.loss(*batch) if self.global_step < 2 else None

    told = t.told(Stops(), path=tmp_path)
    assert len(told.losses) == 2 and failing(t.judged(told))


def test_two_fits_in_one_process_are_two_trainings(tmp_path):
    """The second is not judged by what the first left, nor the first by the second."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert "parameters-are-connected" in failing(t.judged(t.told(t.Detached(), path=one)))
    assert failing(t.judged(t.told(t.Net(), path=two))) == []


def test_every_batch_is_the_first_one_whatever_draws_it(tmp_path):
    class Seen(t.Net):
        def on_train_batch_start(self, batch, batch_idx):
            self.digests = [*getattr(self, "digests", ()), digest(leaves(batch))]

    module = Seen()
    told = t.told(module, t.loader(t.Augmented()), path=tmp_path)
    assert len(module.digests) == told.steps > 3 and set(module.digests) == {told.batch_digest}
