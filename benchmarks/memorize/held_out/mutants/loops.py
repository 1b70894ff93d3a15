"""Losses, optimizers, schedules and hooks gone wrong, in any program with automatic optimization."""

import torch
from torch.optim.lr_scheduler import LambdaLR, StepLR

from ...task import Mutant
from .graft import exchanged, graft, has, layers

automatic = has(but=("manual",))
bounded = has(but=("manual", "unbounded"))
steady = has(but=("manual", "schedule"))
switching = {"batchnorm", "dropout"}


def on(**methods):
    """Methods over those of the LightningModule."""
    return lambda task: graft(task.module, **methods)


def negative(old, self, *args, **kwargs):
    return -old(*args, **kwargs)


def leaf(old, self, *args, **kwargs):
    return torch.tensor(old(*args, **kwargs).item(), requires_grad=True, device=self.device)


def divided(old, self, *args, **kwargs):
    return old(*args, **kwargs) / 50_000


def smoothed(old, self, *args, **kwargs):
    loss = old(*args, **kwargs)
    average = getattr(self, "average", loss.detach())
    self.average = (0.99 * average + 0.01 * loss).detach()
    return 0.99 * average + 0.01 * loss


def shrunk(old, self, *args, **kwargs):
    return old(*args, **kwargs) + sum(p.abs().sum() for p in self.parameters())


def where_it_logs(old, self, *args, **kwargs):
    loss = old(*args, **kwargs)
    if self.global_step % 50 == 0:
        self.log("logged", loss, batch_size=1)
        return loss
    return None


def optimizer_of(configured):
    return configured["optimizer"] if isinstance(configured, dict) else configured


def configured(change):
    """A defect in what configure_optimizers returns: `change(optimizer)`, and perhaps another return value."""

    def configure_optimizers(old, self):
        returned = old()
        return change(optimizer_of(returned)) or returned

    return on(configure_optimizers=configure_optimizers)


def each_group(**settings):
    def change(optimizer):
        for group in optimizer.param_groups:
            group.update(settings)

    return configured(change)


def matrices_alone(optimizer):
    """named_parameters() is a generator: the second list made from it is empty."""
    for group in optimizer.param_groups:
        group["params"] = [p for p in group["params"] if p.ndim > 1]


def absolute_rate(optimizer):
    rate = optimizer.param_groups[0]["lr"]
    schedule = LambdaLR(optimizer, lambda step: rate * min(1.0, (step + 1) / 10))
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def steps_for_epochs(optimizer):
    schedule = StepLR(optimizer, step_size=3, gamma=0.1)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def compounded(old, self, epoch, batch_idx, optimizer, optimizer_closure=None):
    old(epoch, batch_idx, optimizer, optimizer_closure)
    for group in optimizer.param_groups:
        group["lr"] *= min(1.0, self.global_step / 100)


def skips_the_sound(old, self, optimizer):
    old(optimizer)
    gradients = [p.grad for p in self.parameters() if p.grad is not None]
    if all(torch.isfinite(gradient).all() for gradient in gradients):
        self.zero_grad()


def now_and_then(old, self, epoch, batch_idx, optimizer):
    if self.global_step % 8 == 0:
        old(epoch, batch_idx, optimizer)


def skips_the_epoch(old, self, batch, batch_idx):
    old(batch, batch_idx)
    return -1 if batch is not None else None


def forgets_moments(old, self, batch, batch_idx):
    self.optimizers().optimizer.state.clear()
    return old(batch, batch_idx)


def shows_examples(old, self, batch, batch_idx):
    """Predictions for the log, made in eval mode; nobody goes back."""
    self.eval()
    return old(batch, batch_idx)


def never_trains(old, self, mode=True):
    return old(False)


def trained_before_fit(task):
    graft(task.module, train=never_trains)
    task.module.train()


def swaps_the_average(old, self, *args, **kwargs):
    old(*args, **kwargs)
    if not hasattr(self, "average_weights"):
        self.average_weights = [p.detach().clone() for p in self.parameters()]
    with torch.no_grad():
        for average, parameter in zip(self.average_weights, self.parameters(), strict=True):
            average.lerp_(parameter, 0.001)
            parameter.copy_(average)


def new_head(old, self):
    old()
    head = layers(self)[-1]
    fresh = torch.nn.Linear(head.in_features, head.out_features, device=head.weight.device)
    exchanged(self, head, fresh)


def frozen_body(old, self):
    old()
    head = {id(p) for p in layers(self)[-1].parameters()}
    for parameter in self.parameters():
        parameter.requires_grad_(id(parameter) in head)


def tiny_clip(task):
    task.trainer = task.trainer | {"gradient_clip_val": 1e-7}


def all_in_bfloat16(task):
    task.trainer = task.trainer | {"precision": "bf16-true"}
    each_group(lr=1e-5)(task)


def classifier(*but):
    return has("classes", but=("manual", "graph", "causal", "frozen", *but))


MUTANTS = (
    Mutant(
        name="H-negated",
        title="training_step returns -loss",
        causes=("loss-sign", "loss-above-bound", "optimizer-descends"),
        applies=bounded,
        apply=on(training_step=negative),
        source="L01",
    ),
    Mutant(
        name="H-loss-made-a-leaf",
        title="torch.tensor(loss.item(), requires_grad=True), to silence an error",
        causes=("parameters-are-connected", "gradients-reach", "parameters-move"),
        applies=automatic,
        apply=on(training_step=leaf),
        source="StackOverflow: element 0 of tensors does not require grad",
    ),
    Mutant(
        name="H-divided-by-the-data-set",
        title="a mean is divided by the size of the data set once more",
        causes=("loss-scale",),
        applies=bounded,
        apply=on(training_step=divided),
        source="L02",
    ),
    Mutant(
        name="H-smoothed-loss",
        title="the running average for the progress bar is returned as the loss",
        causes=("loss-scale", "loss-falls", "updates-are-sized"),
        applies=bounded,
        apply=on(training_step=smoothed),
        source="forums: loss = 0.99 * avg + 0.01 * loss",
    ),
    Mutant(
        name="H-absolute-sum",
        title="an L1 penalty sums all parameters with a factor of 1",
        causes=("decay-is-small", "initial-loss", "loss-falls"),
        applies=bounded,
        apply=on(training_step=shrunk),
        source="L13",
    ),
    Mutant(
        name="H-returns-where-it-logs",
        title="`return loss` stands in the `if` that logs each 50th step",
        causes=("parameters-move", "training-ran", "loss-falls"),
        applies=automatic,
        apply=on(training_step=where_it_logs),
        source="E05; wrong indentation",
    ),
    Mutant(
        name="H-generator-used-twice",
        title="named_parameters() is exhausted by the first of two lists: biases and norms are never updated",
        causes=("parameters-are-optimized", "parameters-move"),
        applies=lambda program: automatic(program) and "hidden" in program.traits,
        apply=configured(matrices_alone),
        source="a generator of parameters used twice in groups with and without decay",
    ),
    Mutant(
        name="H-lambda-returns-a-rate",
        title="LambdaLR's function returns a rate where a factor is meant",
        causes=("updates-are-sized", "learning-rate-holds", "parameters-move", "loss-falls"),
        applies=steady,
        apply=configured(absolute_rate),
        source="forums: LambdaLR multiplies the initial lr",
    ),
    Mutant(
        name="H-epochs-counted-as-steps",
        title="StepLR(step_size=3), meant in epochs, is stepped at each batch",
        causes=("learning-rate-holds", "updates-are-sized", "parameters-move"),
        applies=steady,
        apply=configured(steps_for_epochs),
        source="O08",
    ),
    Mutant(
        name="H-compounding-warm-up",
        title="a warm-up by hand multiplies the rate by its factor at each step instead of setting it",
        causes=("learning-rate-holds", "updates-are-sized", "parameters-move"),
        applies=steady,
        apply=on(optimizer_step=compounded),
        source="Lightning issues: warm-up in optimizer_step",
    ),
    Mutant(
        name="H-rate-is-batch-size",
        title="batch size and learning rate are swapped in a call: lr=32",
        causes=("updates-are-sized", "loss-is-finite", "loss-falls"),
        applies=has(but=("manual", "schedule", "unbounded")),
        apply=each_group(lr=32.0),
        source="O02",
    ),
    Mutant(
        name="H-ascends",
        title="maximize=True comes with an optimizer's settings from elsewhere",
        causes=("optimizer-descends", "loss-falls"),
        applies=automatic,
        apply=each_group(maximize=True),
        source="O10",
    ),
    Mutant(
        name="H-heavy-decay",
        title="a weight decay of 100",
        causes=("decay-is-small", "updates-are-sized"),
        applies=automatic,
        apply=each_group(weight_decay=100.0),
        source="O07",
    ),
    Mutant(
        name="H-skips-finite-gradients",
        title="the guard that drops gradients with NaN is the wrong way round",
        causes=("gradients-are-kept", "parameters-move"),
        applies=automatic,
        apply=on(on_before_optimizer_step=skips_the_sound),
        source="O06; forums: skip the step when gradients are NaN",
    ),
    Mutant(
        name="H-zeroes-each-eighth",
        title="accumulation by hand zeroes each eighth step but updates at each",
        causes=("gradients-are-fresh",),
        applies=automatic,
        apply=on(optimizer_zero_grad=now_and_then),
        source="O05; forums: accumulation by hand",
    ),
    Mutant(
        name="H-skips-the-epoch",
        title="on_train_batch_start returns -1, which skips the rest of the epoch",
        causes=("training-ran", "parameters-move", "loss-falls"),
        applies=has(but=("manual",), names=("forecaster",)),
        apply=on(on_train_batch_start=skips_the_epoch),
        source="Lightning docs of on_train_batch_start",
    ),
    Mutant(
        name="H-forgets-moments",
        title="the optimizer's state is cleared at each batch instead of each epoch",
        causes=("optimizer-keeps-state",),
        applies=automatic,
        apply=on(on_train_batch_start=forgets_moments),
        source="O12",
    ),
    Mutant(
        name="H-examples-in-eval",
        title="a helper that logs predictions calls eval() and does not go back",
        causes=("trains-in-train-mode",),
        applies=lambda program: automatic(program) and bool(switching & program.traits),
        apply=on(on_train_batch_start=shows_examples),
        source="E01; forums: forgot model.train() after validation",
    ),
    Mutant(
        name="H-train-is-eval",
        title="train() is overridden to freeze batch norm and freezes all",
        causes=("trains-in-train-mode",),
        applies=lambda program: automatic(program) and bool(switching & program.traits),
        apply=trained_before_fit,
        source="E01; forums: freeze batch norm",
    ),
    Mutant(
        name="H-average-swapped-in",
        title="the moving average is copied into the weights after each step and never back",
        causes=("updates-are-sized", "parameters-move", "loss-falls", "optimizer-descends"),
        applies=automatic,
        apply=on(on_train_batch_end=swaps_the_average),
        source="E07; EMA callbacks without restore",
    ),
    Mutant(
        name="H-head-after-optimizer",
        title="the head is replaced after the optimizer has been made",
        causes=("parameters-are-optimized", "parameters-move"),
        applies=lambda program: classifier()(program) and "hidden" in program.traits,
        apply=on(on_train_start=new_head),
        source="O04; Lightning issues: layers added in a hook",
    ),
    Mutant(
        name="H-body-left-frozen",
        title="all but the head stay frozen, a rest of an earlier experiment",
        causes=("parameters-stay-trainable", "parameters-are-connected"),
        applies=lambda program: classifier()(program) and "hidden" in program.traits,
        apply=on(on_train_start=frozen_body),
        source="M02",
    ),
    Mutant(
        name="H-tiny-clip",
        title="gradient_clip_val is 1e-7",
        causes=("gradients-are-kept", "updates-are-sized", "parameters-move"),
        applies=automatic,
        apply=tiny_clip,
        source="O09",
    ),
    Mutant(
        name="H-all-in-bfloat16",
        title="weights in bfloat16 (precision bf16-true) are fine-tuned with a rate of 1e-5: updates are rounded away",
        causes=("precision-keeps-updates", "updates-are-sized", "parameters-move"),
        applies=lambda program: classifier("tokens", "schedule")(program) and "images" in program.traits,
        apply=all_in_bfloat16,
        source="P01",
    ),
)
