from types import SimpleNamespace

import numpy
import pytest
import torch

from backburn.probes.served import Served

from . import recorded as r, trainings as t


def chain(batches):
    one = Served()
    for batch in batches:
        one.add(batch)
    return one.digest


def batches(count=3, size=8, width=8):
    draw = torch.Generator().manual_seed(0)
    return [[torch.randn(size, width, generator=draw), torch.arange(size)] for _ in range(count)]


def other_label(one):
    one[1][1][3] = 99
    return one


CHANGES = {
    "another order": lambda one: one[::-1],
    "one missing": lambda one: one[:-1],
    "one twice": lambda one: [*one, one[-1]],
    "two samples exchanged": lambda one: [[x[[1, 0, *range(2, len(x))]] for x in batch] for batch in one],
    "another label": other_label,
    "cut otherwise": lambda one: [[torch.cat(x) for x in zip(*one)]],
}


@pytest.mark.parametrize("width", [8, 5000])
@pytest.mark.parametrize("change", CHANGES)
def test_another_order_is_another_digest(change, width):
    """Also where only a part of each sample is read."""
    assert chain(batches(width=width)) == chain(batches(width=width)) != chain(CHANGES[change](batches(width=width)))


def test_of_a_large_tensor_a_part_of_each_sample_is_read():
    one, other = batches(1, 64, 5000), batches(1, 64, 5000)
    for sample in range(64):
        changed = [one[0][0].clone(), one[0][1]]
        changed[0][sample] += 1
        assert chain([changed]) != chain(one)
    other[0][0][3, 7] += 1  # that alone is not seen: the digest of the whole batch sees it
    assert chain(other) == chain(one)


@pytest.mark.parametrize(
    "batch",
    [
        {"x": torch.ones(2), "n": ["a", 1]},
        numpy.ones(3),
        "text",
        torch.tensor(3.0),
        torch.ones(0, 4),
        [torch.ones(70_000)],
    ],
)
def test_any_batch_is_read(batch):
    assert chain([batch]) == chain([batch]) and len(chain([batch])) == 16


def test_a_batch_that_lies_on_a_gpu_ends_it():
    one = Served()
    one.add([torch.ones(2)])
    assert one.digest
    one.add([torch.ones(2, device="meta")])
    one.add([torch.ones(2)])
    assert one.digest == ""


def test_only_training_batches_of_the_fit_are_read():
    moved = []
    strategy = SimpleNamespace(batch_to_device=lambda batch, *_: moved.append(batch) or batch)
    trainer = SimpleNamespace(strategy=strategy, training=True)
    bare, one = strategy.batch_to_device, Served()
    one.listen(trainer)
    assert strategy.batch_to_device is not bare
    empty = one.digest
    trainer.training = False
    assert strategy.batch_to_device("validation", 0) == "validation" and one.digest == empty
    trainer.training = True
    assert strategy.batch_to_device("training") == "training" and one.digest != empty
    one.stop()
    assert "batch_to_device" not in vars(strategy) and moved == ["validation", "training"]


def test_the_recorded_digest_is_of_all_batches(tmp_path):
    """Also of those between the recorded steps, and not of a validation's."""

    class Seen(t.pl.Callback):
        def __init__(self):
            self.batches = []

        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            self.batches.append([one.clone() for one in batch])

    seen = Seen()
    r.fitted(tmp_path, validation=r.uneven, callbacks=[seen], trainer={"val_check_interval": 2})
    found = r.read(tmp_path)
    assert [step for step in (1, 3, 8) if found[step].served == chain(seen.batches[:step])] == [1, 3, 8]
