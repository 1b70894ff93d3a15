"""What a change of the inputs does to the outputs: passes in eval mode, with the same random numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..batches import leaves
from .exchange import Exchange
from .roles import INPUT, roles
from .passes import Pass
from .session import Session, Untold, is_plain

_LIMIT = 1.0  # seconds: a model whose passes are slow is looked at less


class Output:
    """A tensor that the model computed: what a loss function was given, or what an outermost module returned."""

    def __init__(self, name: str, value: Any, call: Any = None) -> None:
        self.name, self.graph, self.call = name, value, call
        self.value = value.detach().float()

    @property
    def where(self) -> tuple[str, int]:
        """Where its loss function is called."""
        return self.call.where if self.call is not None else ("", 0)


class Changes:
    """`run` the training's step with inputs changed, and see what `moved`.

    `inputs` are the parts of the batch that go into the model, by path, with more than one value in them; `base` are
    the outputs as they are, `held` those of them that a loss function is given (all where there are none).
    """

    def __init__(self, session: Session) -> None:
        import time

        self.session, self.clocks = session, (time.perf_counter, time.process_time)
        self.started = [clock() for clock in self.clocks]
        self.roles = roles(session)
        self.first = session.run(evaluation=True)
        self.base = outputs(self.first)
        if not self.base:
            raise Untold("neither a loss function of torch's nor an output of a module was seen")
        self.held = [one for one in self.base if one.call is not None] or self.base
        tensors = session.tensors()
        self.tensors = {path: one for path, one in tensors.items() if one.dim() and str(one.layout) == "torch.strided"}
        inputs = {path for path in self.tensors if INPUT in self.roles[path]}
        if not inputs:  # what is given to the model was made of its target: denoising
            inputs = {path for path, one in self.tensors.items() if one.dim() > 1 and one.is_floating_point()}
        self.inputs = {path: one for path, one in self.tensors.items() if path in inputs and varies(one)}
        self.generator = _generator(session)

        self.follows: set[str] = set()  # parts that something was seen to follow
        self._exchange: Exchange | None = None

    @property
    def exchange(self) -> Exchange:
        """Passes with single samples of the data set exchanged, made once. Raises Untold where that cannot be."""
        if self._exchange is None:
            self._exchange = Exchange(self.session)
        return self._exchange

    @property
    def batch_is_rows(self) -> bool:
        """Whether each leaf of the batch surely has a row for each sample, at the front: as many as were asked for."""
        size, own = self.session.asked, [one for _, one in leaves(self.session.batch)]
        if size < 2 or not all(is_plain(one) and one.dim() > 0 and one.shape[0] == size for one in own):
            return False
        return any(one.dim() == 1 or one.shape[1] != size for one in own)  # else positions may come first

    @property
    def late(self) -> bool:
        """Whether it took long enough by now; not where others keep the machine busy."""
        return min(clock() - began for clock, began in zip(self.clocks, self.started)) > _LIMIT

    def run(self, changed: Mapping[str, Any]) -> Pass:
        """The step on a batch in which these tensors stand at these paths."""
        batch = self.session.copy()
        for path, one in parts(self.session, batch).items():
            if path in changed:
                _put(one, changed[path])
        return self.session.run(batch, evaluation=True)

    def moved(self, done: Pass, *, all_of_them: bool = True) -> Iterator[tuple[Output, Any]]:
        """Each output of the base with how far each of its numbers moved, as a share of the output's spread.

        Without `all_of_them`, those that have another shape now (padding left out, say) go without a word.
        """
        others = outputs(done)
        alike = [(one.name, one.value.shape) == (two.name, two.value.shape) for one, two in zip(self.base, others)]
        if len(others) != len(self.base) or not (all(alike) if all_of_them else any(alike)):
            raise Untold("a change of the inputs changed what is computed")
        for one, other, same in zip(self.base, others, alike):
            if same:
                yield one, (one.value - other.value).abs() / spread(one.value)

    def shuffled(self, path: str) -> Any:
        """This input with nothing of itself left."""
        return self.mixed(self.inputs[path])

    def mixed(self, one: Any) -> Any:
        """The tensor's numbers in another order, and floats with noise of their own scale."""
        import torch

        order = torch.randperm(one.numel(), generator=self.generator)
        mixed = one.reshape(-1)[order.to(one.device)].reshape(one.shape).clone()
        if mixed.equal(one):  # four labels are in one of 24 orders, a single True nearly always
            mixed = one.reshape(-1).roll(1).reshape(one.shape)
        return mixed + spread(one.float()) * self.noise(one) if noisy(one) else mixed

    def noise(self, one: Any) -> Any:
        """Normal numbers in the shape, type and place of `one`; always the same ones."""
        import torch

        return torch.randn(one.shape, generator=self.generator).to(one.device, one.dtype)


def parts(session: Session, batch: Any = None) -> dict[str, Any]:
    """Path -> tensor, as the session's; of a graph library's batch, which shows no leaves, by its attributes."""
    batch = session.batch if batch is None else batch
    found = session.tensors(batch)
    if not found and hasattr(batch, "__dict__"):
        inside = leaves(dict(vars(batch)))
        found = {path.replace("batch['_store']", "batch", 1): one for path, one in inside if is_plain(one)}
    return found


def _put(one: Any, value: Any) -> None:
    """Let a tensor of a batch have this value; a type of a library's own may not take it by `data`."""
    one.data = value
    if one.data_ptr() != value.data_ptr():
        one.copy_(value)


def outputs(done: Pass) -> list[Output]:
    """What loss functions were given, then what outermost modules returned; only what depends on a parameter."""
    found: list[Any] = [(call.name, call.given["input"], call) for call in done.calls if "input" in call.given]
    found += [(name, one, None) for name, one in done.outputs]
    return [
        Output(name, one, call)
        for name, one, call in found
        if one.requires_grad and one.is_floating_point() and one.numel()
    ]


def spread(one: Any) -> float:
    """The standard deviation of a tensor's numbers; of its size where they are all the same, and never 0."""
    whole = float(one.std()) if one.numel() > 1 else 0.0
    return whole or float(one.abs().max()) or 1.0


def noisy(one: Any) -> bool:
    """Whether noise may be added: to floats that are no mask and no whole numbers."""
    return bool(one.is_floating_point()) and not bool((one == one.round()).all())


def varies(one: Any) -> bool:
    """Whether there is more than one value in it."""
    return bool(one.numel() > 1 and (one != one.reshape(-1)[0]).any())


def _generator(session: Session) -> Any:
    import torch

    return torch.Generator().manual_seed(int(session.settings.get("seed", 0)))
