"""A training whose every digest is a hash of what it comes from, so that a defect shows in all that follows from it.

Two linear layers, a dropout between them, a batch norm behind; Adam with clipping; an average of the weights; a
validation after each fourth step. `defect(place, value, step)` may change any value on its way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Callable

from backburn.reproduction.steps import Step

DRAWN = {"net.first.weight": (80.0, 4.0), "net.second.weight": (90.0, 4.2), "net.norm.weight": (16.0, 4.0)}
Defect = Callable[[str, Any, int], Any]


def digest(*values: object) -> str:
    return hashlib.sha256(repr(values).encode()).hexdigest()[:16]


def sound(place: str, value: Any, step: int) -> Any:
    return value


def at(place: str, since: int = 1, to: Any = None) -> Defect:
    """From `since` on what is at `place` is another digest, or `to`."""

    def defect(where: str, value: Any, step: int) -> Any:
        if where != place or step < since:
            return value
        return digest(value, "other") if to is None else to

    return defect


@dataclass
class Training:
    defect: Defect = sound
    detailed: bool = True
    rng: dict[str, str] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    buffers: dict[str, str] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    served: str = ""

    def __post_init__(self) -> None:
        self.rng = {name: self.change(f"rng.{name}", digest(name), 0) for name in ("torch", "python", "numpy")}
        for name in DRAWN:
            self.weights[name] = self.change(f"init.{name}", digest(name, self.rng["torch"]), 0)
            self.rng["torch"] = digest(self.rng["torch"])
        self.weights["average"] = digest("average")
        self.buffers = {"net.norm.running_mean": self.change("init.running_mean", digest("mean"), 0)}

    def change(self, place: str, value: Any, step: int) -> Any:
        return self.defect(place, value, step)

    def draw(self, generator: str, step: int) -> None:
        times = self.change(f"draws.{generator}", 1, step)
        for _ in range(times):
            self.rng[generator] = digest(self.rng[generator])

    def step(self, number: int) -> Step:
        change = lambda place, value: self.change(place, value, number)  # noqa: E731
        epoch, within = divmod(number - 1, 4)
        if not within:
            self.order = change("order", digest("shuffle", self.rng["torch"], epoch))
            self.draw("torch", number)
        batch = change("batch", digest("batch", self.order, within, change("augment", "")))
        self.served = digest(self.served, batch)
        begun = {"rng": dict(self.rng), "before": self.weights | self.buffers}
        settings = change("settings", {"0.0.lr": change("lr", 0.01).hex(), "0.0.eps": change("eps", 1e-8).hex()})
        forward = self.forward(batch, change)
        out = forward[-1][1]
        loss = (int(digest(change("loss", out), "loss")[:8], 16) / 2**32).hex()
        gradients = self.gradients(loss, change)
        clipped = {name: change("clip", digest("clipped", one)) for name, one in gradients.items()}
        if change("clipping", True) is False:
            clipped = dict(gradients)
        steps = change("steps", True)
        if steps:
            self.optimize(clipped, settings, change)
        self.weights["average"] = change("average", digest(self.weights["average"], self.weights["net.first.weight"]))
        self.buffers["net.norm.running_mean"] = change("mean", digest(out, self.buffers["net.norm.running_mean"]))
        return Step(
            step=number,
            batch=batch,
            served=self.served,
            settings=settings,
            loss=loss,
            gradients=gradients,
            optimizer=dict(self.state),
            parameters=dict(self.weights),
            buffers=dict(self.buffers),
            norms=dict(DRAWN | {name: value for name in DRAWN if (value := change(f"norm.{name}", None))}),
            validation={} if number % 4 else self.validation(change),
            rng=begun["rng"],
            before=begun["before"] if self.detailed else {},
            forward=tuple(forward) if self.detailed else (),
            clipped=(clipped if steps else {}) if self.detailed else {},
        )

    def forward(self, batch: str, change: Any) -> list[tuple[str, str]]:
        values = [("net.first", digest(batch, self.weights["net.first.weight"]))]
        if change("a draw", False):
            self.rng["torch"] = digest(self.rng["torch"])
        if change("off", False):  # a dropout that drops nothing draws nothing
            values.append(("net.drop", values[-1][1]))
        elif change("drops", True):
            drawn = digest(values[-1][1], self.rng["torch"], change("p", 0.1))
            values.append(("net.drop", drawn))
            self.draw("torch", 1000)
        if change("more", False):
            values.append(("net.more", digest(values[-1][1], "more")))
        if change("identity", False):
            values.append(("net.identity", values[-1][1]))
        values.append(("net.second", digest(values[-1][1], self.weights["net.second.weight"], change("second", ""))))
        values.append(("net.norm", digest(values[-1][1], self.weights["net.norm.weight"])))
        values.append(("net", values[-1][1]))
        return [*values, ("", values[-1][1])]

    def gradients(self, loss: str, change: Any) -> dict[str, str]:
        scale, frozen = change("scale", 1), change("frozen", ())
        back = digest(loss, scale)
        found = {}
        for name in ("net.norm.weight", "net.second.weight", "net.first.weight"):
            back = change(f"back.{name}", digest(back, name))
            found[name] = back
        return {name: found[name] for name in DRAWN if name not in frozen}

    def optimize(self, clipped: dict[str, str], settings: dict[str, str], change: Any) -> None:
        for name, gradient in clipped.items():
            key = f"0.exp_avg.{name}"
            self.state[key] = change("state", digest(self.state.get(key), gradient))
            self.weights[name] = change(f"update.{name}", digest(self.weights[name], self.state[key], settings))

    def validation(self, change: Any) -> dict[str, str]:
        accuracy = int(digest(self.weights, self.buffers, change("evaluation", ""))[:8], 16) / 2**32
        self.rng["torch"] = digest(self.rng["torch"]) if change("evaluation draws", False) else self.rng["torch"]
        return {"val_accuracy": accuracy.hex(), "val_time": change("time", 1.0).hex()}


def trained(defect: Defect = sound, steps: int = 12, *, detailed: bool = True, grid: Any = None) -> tuple[Step, ...]:
    """The steps of a training with a defect; those of `grid` alone where it is given, and all validations."""
    one = Training(defect=defect, detailed=detailed)
    found = [one.step(number) for number in range(1, steps + 1)]
    if grid is None:
        return tuple(found)
    rest = [step if step.step in grid else Step(step=step.step, validation=step.validation) for step in found]
    return tuple(step for step in rest if step.step in grid or step.validation)
