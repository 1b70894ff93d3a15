"""`steps.jsonl`: what a training did at each recorded step, as digests, in the order in which a step does it.

The probe writes a line as a step ends, so that a training that is cut short leaves all but the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from .. import evidence
from ..errors import UserError

S = TypeVar("S", bound=msgspec.Struct)
FILE = "steps.jsonl"  # beside probe.json


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The first line."""

    kind: str = "steps"
    schema: int = 1


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One training batch, `step` of them since the process began. What was not recorded is empty.

    A digest is the first 16 hexadecimal digits of a SHA-256 over dtype, shape and bytes; a number is `float.hex()`.
    Tables are by parameter or buffer (`encoder.0.weight`), those of the optimizer by `<optimizer>.<state>.<parameter>`
    (`0.exp_avg.encoder.0.weight`), those of its settings by `<optimizer>.<group>.<setting>` (`0.0.lr`).
    """

    step: int
    batch: str = ""  # as training_step gets it
    served: str = ""  # of all training batches so far, in their order
    rng: dict[str, str] = {}  # by generator (torch, python, numpy, cuda:0), as the step begins
    before: dict[str, str] = {}  # parameters and buffers as the step begins
    settings: dict[str, str] = {}  # of the optimizers, as the step begins
    forward: tuple[tuple[str, str], ...] = ()  # (module, digest of its output), in the order in which they return
    loss: str = ""
    gradients: dict[str, str] = {}  # before clipping
    clipped: dict[str, str] = {}  # as the optimizer takes them
    optimizer: dict[str, str] = {}  # after its step
    parameters: dict[str, str] = {}  # after the step
    buffers: dict[str, str] = {}  # after the step
    validation: dict[str, str] = {}  # what validations logged since the step before the next
    norms: dict[str, tuple[float, float]] = {}  # of a parameter after the step: the sum of |x|, the root of that of x²


def load(path: Path) -> tuple[Step, ...]:
    """The steps of a training, ascending; a last line that was cut short is left out.

    Raises UserError for a file that is missing, of another kind or newer, or corrupt before its last line.
    """
    return tuple(rows(path, Header, Step))


def rows(path: Path, header: type[msgspec.Struct], row: type[S]) -> Iterator[S]:
    """The lines behind the first, which is a `header`; a last one that was cut short is left out.

    Raises UserError as `load` does.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    *whole, _ = lines  # behind the last newline: nothing, or what was being written
    if not whole:
        raise UserError("it is empty", where=str(path), hint="Delete it and run again.")
    for number, line in enumerate(whole, 1):
        where = str(path) if number == 1 else f"{path}, line {number}"
        try:
            data = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            hint = "Delete it and run again."
            raise UserError(f"line {number} is not readable as JSON: {error}", where=str(path), hint=hint) from error
        if number == 1:
            evidence.convert(data, header, where)
        else:
            yield evidence.convert(data, row, where)
