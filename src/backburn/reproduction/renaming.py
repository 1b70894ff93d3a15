"""Parts of a model that were given other names and are the same: a refactoring changes no bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .steps import Step

_TABLES = ("before", "gradients", "clipped", "parameters", "buffers", "norms")
Names = Mapping[str, str]


def as_named_in(base: Sequence[Step], head: Sequence[Step]) -> Sequence[Step]:
    """The steps of `head`, with the names that `base` has for the same parts. As they are where any part is another."""
    names = _renamed(base, head)
    return tuple(_under(step, names) for step in head) if names else head


def _renamed(base: Sequence[Step], head: Sequence[Step]) -> Names:
    """New name -> old one, of a parameter or of all that lies in a module: those that only one of the two has, where
    their bits are the same, one by one, at the first step that both recorded.
    """
    others = {step.step: step for step in head}
    for one in base:
        other = others.get(one.step, one)
        before, now = (one.before, other.before) if one.before and other.before else (one.parameters, other.parameters)
        if before and now:
            gone = [name for name in before if name not in now]
            new = [name for name in now if name not in before]
            same = [before[name] for name in gone] == [now[name] for name in new]
            return dict(_place(new_name, old) for new_name, old in zip(new, gone)) if same else {}
    return {}


def _place(new: str, old: str) -> tuple[str, str]:
    """The two without the last words that both have: the module that has another name, if it is one.

    >>> _place("net.readout.weight", "net.head.weight"), _place("net.scale", "net.size")
    (('net.readout', 'net.head'), ('net.scale', 'net.size'))
    """
    one, other = new.split("."), old.split(".")
    while one[1:] and other[1:] and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return ".".join(one), ".".join(other)


def _under(step: Step, names: Names) -> Step:
    tables = {table: {_old(name, names): value for name, value in getattr(step, table).items()} for table in _TABLES}
    kept = {_of_optimizer(name, names): value for name, value in step.optimizer.items()}
    forward = tuple((_old(name, names), value) for name, value in step.forward)
    return msgspec.structs.replace(step, **tables, optimizer=kept, forward=forward)


def _of_optimizer(name: str, names: Names) -> str:
    """`0.exp_avg.<parameter>`."""
    *about, parameter = name.split(".", 2)
    return ".".join((*about, _old(parameter, names)))


def _old(name: str, names: Names) -> str:
    """Also of a module's second call (`head#2`), and of what lies in it."""
    path, mark, number = name.partition("#")
    for new, old in names.items():
        if path == new or path.startswith(f"{new}."):
            return old + path[len(new) :] + mark + number
    return name
