import lightning.pytorch as pl
import pytest
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from backburn.probes.loaders import described, hold_to_one_batch, sizes, without_workers

from . import trainings as t


def fitted(loader, **given):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False, max_epochs=9, **given
    )
    seen = []

    class Look(pl.Callback):
        def setup(self, trainer, module, stage):
            hold_to_one_batch(trainer, 4)

        def on_train_start(self, trainer, module):
            without_workers(trainer)

        def on_train_batch_start(self, trainer, module, batch, index):
            seen.append(batch[0].clone())

    trainer.callbacks.append(Look())
    trainer.fit(t.Net(), loader, t.loader())
    return trainer, seen


class Replay:
    """Yields batches, and is no DataLoader."""

    def __iter__(self):
        yield from t.loader(shuffle=False)


def test_a_fit_is_held_to_its_first_batch_without_validation():
    trainer, seen = fitted(t.loader(), val_check_interval=2, accumulate_grad_batches=2, min_epochs=7)
    assert (trainer.global_step, len(seen)) == (4, 4)
    assert all((one == seen[0]).all() for one in seen)
    assert not trainer.fit_loop.epoch_loop.val_loop._has_run


def test_loaders_are_described():
    trainer, _ = fitted(t.loader())
    assert described(trainer) == ["TensorDataset / BatchSampler / SequentialSampler"]
    trainer, _ = fitted(DataLoader(t.FixedStream(), batch_size=2))
    assert described(trainer)[0].startswith("FixedStream / ") and described(trainer)[0].endswith(" / iterable")
    trainer, _ = fitted(Replay())
    assert described(trainer) == ["NoneType / NoneType / NoneType"]
    data = t.loader().dataset
    trainer, _ = fitted(DataLoader(data, batch_sampler=BatchSampler(RandomSampler(data), 16, drop_last=False)))
    assert described(trainer) == ["TensorDataset / BatchSampler / RandomSampler"]


def test_workers_are_left_out_where_that_changes_nothing():
    trainer, seen = fitted(t.loader(num_workers=1))
    assert trainer.train_dataloader.num_workers == 0
    assert all((one == seen[0]).all() for one in seen)


def test_workers_stay_where_the_batch_may_depend_on_them():
    trainer, _ = fitted(DataLoader(t.FixedStream(), batch_size=2, num_workers=1))
    assert trainer.train_dataloader.num_workers == 1
    trainer, _ = fitted(t.loader(num_workers=1, worker_init_fn=print))
    assert trainer.train_dataloader.num_workers == 1


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
