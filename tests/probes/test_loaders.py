import lightning.pytorch as pl
import pytest
from torch.utils.data import DataLoader

from backburn.probes.loaders import fit_alone, sizes

from . import trainings as t


def fitted(loader, **given):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=2, **given
    )

    class Look(pl.Callback):
        def setup(self, trainer, module, stage):
            fit_alone(trainer)

    trainer.callbacks.append(Look())
    trainer.fit(t.Net(), loader, t.loader())
    return trainer


class Replay:
    """Yields batches, and is no DataLoader."""

    def __iter__(self):
        yield from t.loader(shuffle=False)


@pytest.mark.parametrize("given", [{"overfit_batches": 2}, {"limit_val_batches": 1, "num_sanity_val_steps": 2}])
def test_a_fit_trains_and_does_nothing_else(given):
    """Of 4 batches, whatever overfit_batches left of them, each is a step of the optimizer."""
    trainer = fitted(t.loader(), val_check_interval=2, accumulate_grad_batches=2, **given)
    assert trainer.global_step == 2 * (given.get("overfit_batches", 4))
    assert not trainer.fit_loop.epoch_loop.val_loop._has_run


@pytest.mark.parametrize(
    ("train", "validation", "said"),
    [
        (t.loader(), t.loader(batch_size=5), {"train samples": "64", "validation samples": "64"}),
        ([t.loader(), t.loader()], None, {"train samples": "64 + 64"}),
        (DataLoader(t.FixedStream(), batch_size=2), t.loader(), {"validation samples": "64"}),
        (Replay(), None, {}),
    ],
)
def test_datasets_that_have_a_length_tell_it(train, validation, said):
    found = []

    class Look(pl.Callback):
        def on_train_start(self, trainer, module):
            found.append(sizes(trainer))
            trainer.should_stop = True

    class Net(t.Net):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch[0] if isinstance(batch[0], list) else batch, batch_idx)

        def validation_step(self, batch, batch_idx):
            pass

    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, callbacks=[Look()], num_sanity_val_steps=0, **off)
    trainer.fit(Net(), train, validation)
    assert found == [said]
