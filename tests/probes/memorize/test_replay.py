"""One batch that is fetched once, whatever it is made of and whoever draws it, and then handed out again and again."""

import collections
import copy
import dataclasses
import os
import types

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

import backburn
from backburn.probes.batches import leaves
from backburn.probes.memorize.replay import duplicate
from backburn.report import Verdict

from .. import trainings as t

X, Y = t.samples(16)


class Taking(t.Net):
    """Takes its samples out of the batch by a function."""

    def __init__(self, take):
        super().__init__()
        self.take = take

    def training_step(self, batch, batch_idx):
        return self.loss(*self.take(batch))


@dataclasses.dataclass
class Pair:
    x: torch.Tensor
    y: torch.Tensor
    names: list


Named = collections.namedtuple("Named", "x y")


class Graph:
    """As a graph library's: attributes that lie in a store, a length, an iterator, `to`."""

    def __init__(self, x, y):
        self.__dict__["_store"] = {"x": x, "y": y, "edge_index": torch.zeros(2, 40).long(), "batch": torch.arange(16)}

    def __getattr__(self, name):
        if name == "_store" or name not in self._store:
            raise AttributeError(name)
        return self._store[name]

    def to(self, device, non_blocking=False):
        self._store.update({name: one.to(device) for name, one in self._store.items()})
        return self

    def __len__(self):
        return 4

    def __iter__(self):
        return iter(self._store.items())


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


class Uncopied:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


class Locked(Slotted):
    __slots__ = ()

    def __deepcopy__(self, memo):
        raise RuntimeError("no copies")


def items(batch):
    return batch["x"], batch["y"]


def parts(batch):
    return batch.x, batch.y


def two(batch):
    return batch[0], batch[1]


ragged = [torch.randn(length + 1) for length in range(16)]


class Keys(dict):
    __getattr__ = dict.__getitem__


class Anything(dict):
    __getattr__ = dict.get


class Itself(dict):
    def __init__(self, *given):
        super().__init__(*given)
        self.__dict__ = self


BATCHES = {
    "strings": (lambda batch: (X, Y), ["a"] * 16),
    "None inside": (items, {"x": X, "y": Y, "z": None}),
    "nested": (lambda batch: (batch[0]["a"][0], batch[1]["b"][0]["y"]), [{"a": (X,)}, {"b": [{"y": Y}]}]),
    "a dataclass": (parts, Pair(X, Y, ["a"] * 16)),
    "a named tuple": (parts, Named(X, Y)),
    "a ragged list": (lambda batch: (torch.stack([one.mean().expand(8) for one in batch[0]]), batch[1]), (ragged, Y)),
    "a nested tensor": (lambda batch: (X, batch[1]), (torch.nested.nested_tensor(ragged), Y)),
    "sparse": (lambda batch: (batch[0].to_dense(), batch[1]), (X.to_sparse(), Y)),
    "compressed": (lambda batch: (batch[0].to_dense(), batch[1]), (X.to_sparse_csr(), Y)),
    "a graph": (parts, Graph(X, Y)),
    "a scalar alone": (lambda batch: (batch * X, Y), torch.tensor(1.0)),
    "a number": (lambda batch: (batch * X, Y), 1.0),
    "arrays": (lambda batch: (torch.as_tensor(batch[0]), torch.as_tensor(batch[1])), (X.numpy(), Y.numpy())),
    "slots": (parts, Slotted(X, Y)),
    "what refuses to be copied": (parts, Uncopied(X, Y)),
    "what cannot be copied": (parts, Locked(X, Y)),
    "an empty tensor": (two, (X, Y, torch.zeros(0, 3))),
    "an expanded tensor": (two, (X, Y, torch.zeros(1).expand(16, 3))),
    "a graph of autograd behind it": (two, (X.clone().requires_grad_() * 1, Y)),
    "complex numbers": (lambda batch: (batch[0].real, batch[1]), (torch.complex(X, X), Y)),
    "a generator": (two, (X, Y, (one for one in X))),
    "a function": (two, (X, Y, len)),
    "a read-only dict": (items, types.MappingProxyType({"x": X, "y": Y})),
    "a UserDict": (items, collections.UserDict({"x": X, "y": Y})),
    "a dict whose attributes are its keys": (items, Keys({"x": X, "y": Y})),
    "a dict with any attribute": (items, Anything({"x": X, "y": Y})),
    "a dict that is its own attributes": (items, Itself({"x": X, "y": Y})),
    "one sample": (two, (X[:1], Y[:1])),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_of_any_kind_is_held(name):
    """It is memorized, each look is taken or says why not, and the user's own batch stays what it was."""
    take, batch = BATCHES[name]
    torch.manual_seed(0)
    before = [one.clone() for _, one in leaves(batch) if torch.is_tensor(one)]
    report = backburn.memorize(Taking(take), [batch])
    assert (report.verdict, report.cause) == (Verdict.PASS, None)
    assert not [one for one in report.outcomes if "it raised" in one.skipped]
    assert not [one for one in report.outcomes if one.check == "memorize/batch-is-fixed" and one.findings]
    after = [one for _, one in leaves(batch) if torch.is_tensor(one)]
    assert all(bool((one.to_dense() == other.to_dense()).all()) for one, other in zip(before, after))


@pytest.mark.parametrize(
    "name",
    [
        *("nested", "a dataclass", "a graph", "slots", "what refuses to be copied", "a UserDict"),
        *("a dict whose attributes are its keys", "a dict with any attribute", "a dict that is its own attributes"),
    ],
)
def test_a_duplicate_shares_no_tensor(name):
    batch = BATCHES[name][1]
    copied = duplicate(batch)
    assert type(copied) is type(batch)
    before = copy.deepcopy(X), copy.deepcopy(Y)
    for _, one in leaves(copied):
        if torch.is_tensor(one):
            one.zero_()
    assert bool((X == before[0]).all()) and bool((Y == before[1]).all())


class Writing(t.Net):
    """Normalises its batch in place: each step would see another one."""

    def training_step(self, batch, batch_idx):
        batch[0].mul_(0.5)
        return self.loss(*batch)


def test_a_step_that_writes_into_its_batch_gets_a_fresh_one_and_is_named():
    report = backburn.memorize(Writing(), [[X.clone(), Y]])
    (finding,) = next(one.findings for one in report.outcomes if one.check == "memorize/batch-is-fixed")
    assert "batch[0]" in finding.message
    assert report.verdict is Verdict.PASS


class Replacing(t.Net):
    """Puts other things into its batch, and takes some out."""

    def training_step(self, batch, batch_idx):
        assert len(batch) == 2
        x, y = batch["x"], batch.pop("y")
        batch["x"] = x * 2
        return self.loss(x, y)


def test_a_step_that_rearranges_its_batch_gets_a_fresh_one_too():
    report = backburn.memorize(Replacing(), [{"x": X, "y": Y}])
    assert [one.findings for one in report.outcomes if one.check == "memorize/batch-is-fixed"][0]
    assert report.verdict is Verdict.PASS


def test_batches_that_a_collate_left_empty_are_gone_past():
    report = backburn.memorize(t.Net(), [None, None, (X, Y)])
    assert report.verdict is Verdict.PASS


def test_a_loader_that_gives_nothing_is_a_finding():
    report = backburn.memorize(t.Net(), [None])
    assert report.cause == "memorize/training-ran" and "a loader that is empty" in report.outcomes[0].findings[0].hint


class Workers(IterableDataset):
    """Says which process gives a sample, and counts how many it was asked for."""

    def __iter__(self):
        for one, label in zip(*t.samples()):
            yield one, label, os.getpid()


class OfWorkers(t.Net):
    def training_step(self, batch, batch_idx):
        self.processes = {int(one) for one in batch[2]}
        return self.loss(batch[0], batch[1])


def test_workers_give_the_batch_and_are_gone_once_it_is_there():
    """In a fresh process, as a fork of this one would take its threads along."""
    module = OfWorkers()
    data = DataLoader(Workers(), batch_size=16, num_workers=2, persistent_workers=True)
    assert backburn.memorize(module, data).verdict is Verdict.PASS
    children = [pid for pid in os.listdir("/proc") if pid.isdigit() and _parent(pid) == os.getpid()]
    assert not [pid for pid in children if b"pt_data_worker" in _command(pid)]


def _parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _command(pid):
    try:
        with open(f"/proc/{pid}/comm", "rb") as name:
            return name.read()
    except OSError:
        return b""


class Own(t.Net):
    """Its hooks of the transfer make the batch what it is."""

    def on_before_batch_transfer(self, batch, dataloader_idx):
        return batch[0] + 1, batch[1]

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.calls = getattr(self, "calls", 0) + 1
        return batch[0] * 2, batch[1]

    def on_train_batch_start(self, batch, batch_idx):
        assert torch.equal(batch[0], (X + 1) * 2)


def test_the_hooks_of_the_transfer_run_once():
    assert backburn.memorize(Own(), [(X, Y)]).verdict is Verdict.PASS


class Hungry(t.Net):
    """Takes the loader itself instead of a batch."""

    def training_step(self, dataloader_iter):
        batch, _, _ = next(dataloader_iter)
        return self.loss(*batch)


def test_a_step_that_takes_the_loader_gets_one_batch_of_it():
    report = backburn.memorize(Hungry(), t.loader())
    assert report.verdict is Verdict.PASS


def test_several_loaders_give_one_batch_together():
    class Both(t.Net):
        def training_step(self, batch, batch_idx):
            return self.loss(*batch["a"]) + self.loss(*batch["b"])

    assert backburn.memorize(Both(), {"a": t.loader(), "b": t.loader()}).verdict is Verdict.PASS


def test_a_layer_that_is_only_sometimes_called_is_no_crash():
    class Branching(t.Net):
        def __init__(self):
            super().__init__()
            self.other = nn.Linear(8, t.CLASSES)

        def training_step(self, batch, batch_idx):
            scores = self(batch[0]) if batch_idx % 2 else self(batch[0]) + self.other(batch[0])
            return nn.functional.cross_entropy(scores, batch[1])

    assert backburn.memorize(Branching(), [(X, Y)]).verdict is Verdict.PASS


class Logging(t.Net):
    def training_step(self, batch, batch_idx):
        loss = self.loss(*batch)
        self.logger.experiment.add_scalar("loss", loss, self.global_step)
        self.logger.log_metrics({"loss": float(loss)}, self.global_step)
        return loss


def test_a_module_may_log_by_its_logger():
    assert backburn.memorize(Logging(), [(X, Y)]).verdict is Verdict.PASS
