"""The loss call: what torch's loss functions were given, and how the returned loss follows from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from ..floor import Call, Relation
from . import classes, frames, lossgraph, lossparts
from .parameters import unreached
from .passes import Pass
from .roles import TARGET, roles
from .session import Session, Untold

BY_CLASS = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")
_SUM = 1e-3  # by which a row of probabilities may miss 1: float32 misses it by 1e-6, bfloat16 by 4e-3 at worst
_ENOUGH = 0.95  # of tokens that agree
_FEW = 4  # different targets that are ignored, at most
_OFTEN = 6  # times that a token has to be there: of a masked language model's, 0.15^6 = 1e-5 are all drawn by chance
_MANY = 64  # tokens that are told of


def look(session: Session) -> dict[str, Any]:
    """Facts of each loss call, and the terms of the loss, as `backburn.memorization.losscalls.LossCalls` says."""
    first = session.first
    if not first.calls and not first.losses:
        raise Untold("training_step returned no loss, and called none of torch's loss functions")
    named: list[dict[str, Any]] = []
    for root in first.losses:
        with contextlib.suppress(RuntimeError):  # a graph that is freed, compiled or checkpointed
            named += lossgraph.terms(root)
    calls = [_call(session, one) for one in first.calls]
    _mark_fed(session, calls)
    return {
        "calls": calls,
        "terms": named,
        **_relation(first),
        "manual": bool(first.roots),
        "value": sum(float(one.detach()) for one in first.losses) if first.roots else first.value,
        "size": session.size,
        "squeezed": next(filter(None, map(lossgraph.squeezed, first.losses)), ""),
        "underflows": next(filter(None, map(lossgraph.underflows, first.losses)), ""),
        "spread": next(filter(None, map(lossgraph.spread, first.losses)), ""),
        "related": lossparts.related(session),
        "ends": lossgraph.ends(first.losses),
        "missing": _missing(session),
        "tied": _is_tied(session.module),
        "largest": _largest(first),
        "step": frames.of(type(session.module).training_step),
    }


def _relation(first: Pass) -> dict[str, Any]:
    if first.returned is None:
        return {}
    seen = Relation(first.returned, first.calls)
    return {"sign": seen.sign, "functions": seen.names}


def _largest(first: Pass) -> float:
    """The largest absolute value of what modules were given, of floating-point inputs."""
    given = [one for _, one in first.inputs if one.is_floating_point() and one.numel()]
    return max((float(one.abs().max()) for one in given), default=0.0)


def _missing(session: Session) -> int:
    """How many labels are missing (NaN in the batch), and the loss follows the outputs for them all the same."""
    import torch

    first, most = session.first, 0
    known = roles(session)
    for path, one in session.tensors(first.batch).items():
        lacking = one.isnan() if one.is_floating_point() and TARGET in known.get(path, ()) else one.new_zeros(0)
        for put in [call.given["input"] for call in first.calls if "input" in call.given] if lacking.any() else ():
            if put.numel() != one.numel() or not put.requires_grad:
                continue
            for loss in first.losses:
                found = torch.autograd.grad(loss.float().mean(), [put], retain_graph=True, allow_unused=True)[0]
                if found is not None:
                    most = max(most, int((found.reshape(-1)[lacking.reshape(-1)] != 0).sum()))
    return most


def _is_tied(module: Any) -> bool:
    every = [id(one) for _, one in module.named_parameters(remove_duplicate=False)]
    return len(every) > len(set(every))


def _call(session: Session, call: Call) -> dict[str, Any]:
    given, told = call.given, {"name": call.name, "where": call.where, "value": float(call.value.float().mean())}
    derivative = _derivative(session.first, call)
    told["weight"], told["sign"] = _weight(derivative)
    put, wanted = tensors(call)
    if put is None:
        return told
    told |= {"made_by": lossgraph.source(put), "trains": put.requires_grad, "reduction": given.get("reduction", "")}
    told["options"] = _options(given)
    told |= {"input": list(put.shape), "target": list(wanted.shape), "taken": _in_batch(session, call, wanted)}
    told |= _counted(call, derivative)
    told |= {"weights": classes.weights(call), "unreached": unreached(session, call.edge.node) if call.edge else 0}
    put, wanted = put.detach().float(), wanted.detach()
    told |= {"low": float(put.min()), "high": float(put.max()), "zeros": float((put == 0).float().mean())}
    told |= {"chance": _chance(call), "whole": bool((wanted == wanted.round()).all()) if wanted.numel() else False}
    told |= _of_targets(call, put, wanted)
    if call.name in (*BY_CLASS, "kl_div"):
        told |= _of_classes(call, put, wanted)
    if call.name in BY_CLASS and not wanted.is_floating_point():
        told |= _shift(session, call, wanted)
        told |= _by_token(session, _seen(call, wanted), told.get("shift") == 1)
    return told


def _options(given: Any) -> list[str]:
    """What a call was given beside outputs and targets that makes another loss of it."""
    usual = {"reduction": "mean", "ignore_index": -100, "size_average": None, "reduce": None}
    words = {name: value for name, value in given.items() if name not in ("input", "target")}
    return sorted(
        name
        for name, value in words.items()
        if hasattr(value, "detach") or (value != usual[name] if name in usual else value not in (None, 0, 1, False))
    )


def _mark_fed(session: Session, calls: list[dict[str, Any]]) -> None:
    """Of calls with a constant target (a GAN's), note whether what they are given follows the batch. One more pass."""
    if not any(one.get("different") == 1 and not one["taken"] and one["weight"] for one in calls):
        return
    batch = session.copy()
    for one in session.tensors(batch).values():
        if one.is_floating_point():
            one.mul_(0.5)
    done, before = session.run(batch).calls, session.first.calls
    if len(done) == len(before):
        for told, one, other in zip(calls, before, done):
            (put, _), (moved, _) = tensors(one), tensors(other)
            told["fed"] = put is not None and moved is not None and not _are_equal(put, moved)


def _are_equal(one: Any, other: Any) -> bool:
    return one.shape == other.shape and bool((one == other).all())


def tensors(call: Call) -> tuple[Any, Any]:
    """Its outputs and targets; None of both where it has not both."""
    put, wanted = call.given.get("input"), call.given.get("target")
    return (put, wanted) if hasattr(put, "detach") and hasattr(wanted, "detach") else (None, None)


def _derivative(first: Pass, call: Call) -> Any:
    """The loss's derivative by what the call returned; None where it does not depend on it."""
    import torch

    for loss in first.losses if call.edge is not None else ():
        with contextlib.suppress(RuntimeError):
            found = torch.autograd.grad(loss.float().mean(), [call.edge], retain_graph=True, allow_unused=True)[0]
            if found is not None:
                return found
    return None


def _weight(found: Any) -> tuple[float | None, int]:
    """The sum of |d loss / d call| (None: the loss does not depend on it), and its sign where it is one for all."""
    if found is None:
        return None, 0
    low, high = float(found.min()), float(found.max())
    steady = high - low <= _SUM * max(abs(low), abs(high))
    return float(found.abs().sum()), (1 if low > 0 else -1 if high < 0 else 0) if steady else 0


def _counted(call: Call, derivative: Any) -> dict[str, Any]:
    """The share of targets that the loss counts, of those that there were before a mask, and the values it ignores."""
    given, wanted = call.given, call.given["target"].detach()
    seen = _seen(call, wanted)
    ignored = wanted[~seen].unique()[:_FEW].tolist() if call.name in BY_CLASS else []
    if derivative is not None and derivative.numel() == wanted.numel() > 1:  # a mask that it was multiplied by
        seen = seen & (derivative.detach().reshape(wanted.shape) != 0)
    share = float(seen.float().mean()) if seen.numel() else 1.0
    return {"share": share * lossgraph.picked(given["input"]), "ignored": [int(one) for one in ignored]}


def _seen(call: Call, wanted: Any) -> Any:
    """Which targets the call counts: what ignore_index and weights of 0 leave."""
    weight = call.given.get("weight")
    if call.name in BY_CLASS and not wanted.is_floating_point():
        seen = wanted != call.given.get("ignore_index", -100)
        return seen if weight is None else seen & (weight[wanted.clamp(0, len(weight) - 1)] != 0)
    if call.name in BINARY and weight is not None:
        return (weight != 0).expand_as(wanted)
    return wanted == wanted


def _by_token(session: Session, seen: Any, is_next: bool) -> dict[str, Any]:
    """Tokens (padding, a prompt's) of which no target counts, the most frequent first, and those of which all do."""
    size = session.size
    tokens = next(_tokens(session, size), None)
    if tokens is None or seen.numel() not in (tokens.numel(), size * (tokens.shape[1] - 1) if is_next else 0):
        return {}
    seen = seen.reshape(size, -1)
    if is_next:
        seen, tokens = seen[:, : tokens.shape[1] - 1], tokens[:, 1:]
    values, places, counts = tokens.reshape(-1).unique(return_inverse=True, return_counts=True)
    shares = seen.reshape(-1).float().new_zeros(len(values)).index_add_(0, places, seen.reshape(-1).float()) / counts
    order = counts.argsort(descending=True)
    often = [i for i in order.tolist() if counts[i] >= _OFTEN and values[i] >= 0][:_MANY]
    never = [int(values[i]) for i in often if shares[i] == 0][:_FEW]
    return {"never": never, "always": [int(values[i]) for i in often if shares[i] == 1]}


def _in_batch(session: Session, call: Call, wanted: Any) -> str:
    """How the targets follow from a part of the batch: `batch[1]` where they have its values, or such of one order with
    them (scaled, logarithms, one-hot); `another order of batch[1]`; or "".
    """
    import torch

    flat, shuffled = wanted, ""
    if wanted.is_floating_point() and call.name == "cross_entropy" and wanted.dim() > 1:
        flat = wanted.argmax(dim=1)
    ranks, values = _ranks(flat), flat.detach().unique()
    seen = flat.detach().reshape(-1) != call.given.get("ignore_index", -100)
    for path, one in session.tensors(session.first.batch).items():
        if one.numel() > wanted.numel() and not one.is_floating_point() and len(values) > 1:
            if bool(torch.isin(values, one.detach().to(values.dtype)).all()):
                return path  # those of its tokens that are masked, or come next
        if one.numel() not in (flat.numel(), wanted.numel()) or not one.numel():
            continue
        if flat.numel() == one.numel() and bool(seen.any()) and not bool(seen.all()):
            if torch.equal(
                _ranks(one.reshape(-1)[seen.to(one.device)]).to(seen.device), _ranks(flat.reshape(-1)[seen])
            ):
                return path  # some of it is ignored
        other = _ranks(one)
        if any(torch.equal(other, mine.to(other.device)) for mine in {ranks, _ranks(wanted)}):
            return path
        if other.numel() == ranks.numel() and torch.equal(other.sort().values, ranks.sort().values.to(other.device)):
            shuffled = shuffled or f"another order of {path}"
    return shuffled


def _ranks(values: Any) -> Any:
    """Each value's place among the different ones."""
    import torch

    return torch.unique(values.detach().reshape(-1), return_inverse=True)[1]


def _of_targets(call: Call, put: Any, wanted: Any) -> dict[str, Any]:
    """Range and variety of the targets; how many are out of the reach of what made the outputs."""
    values = wanted.float()
    if not values.numel():
        return {"targets": 0}
    told = {"targets": values.numel(), "lowest": float(values.min()), "highest": float(values.max())}
    told["different"] = int(values.reshape(-1).unique().numel())
    told["floating"] = bool(wanted.is_floating_point())
    reach = {"Sigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Relu": (0.0, float("inf"))}
    made = lossgraph.source(call.given["input"])
    if made in reach and call.name not in (*BY_CLASS, *BINARY, "kl_div"):
        low, high = reach[made]
        told["unreachable"] = float(((values < low - 0.05) | (values > high + 0.05)).float().mean())
    if call.name in BINARY:
        outside = (values < -_SUM) | (values > 1 + _SUM)
        weight = call.given.get("weight")
        told["no_shares"] = float((outside if weight is None else outside & (weight != 0)).float().mean())
    return told


def _of_classes(call: Call, put: Any, wanted: Any) -> dict[str, Any]:
    axis = 1 if put.dim() > 1 and call.name != "kl_div" else -1
    rows = put.movedim(axis, -1).reshape(-1, put.shape[axis])
    sums = rows.sum(dim=-1)
    told: dict[str, Any] = {
        "classes": rows.shape[-1],
        "probabilities": bool((rows >= 0).all() and ((sums - 1).abs() <= _SUM).all()),
        "normalised": bool((rows.logsumexp(dim=-1).abs() <= 0.02).all()),
    }
    if wanted.is_floating_point():
        told["other_axis"] = classes.on_other_axis(call, wanted)
        if call.name == "cross_entropy":
            told["most_in_row"] = float(wanted.float().movedim(axis, -1).sum(dim=-1).max())
        return told
    seen = wanted != call.given.get("ignore_index", -100)
    if call.given.get("weight") is not None:
        weight = call.given["weight"]
        seen &= weight[wanted.clamp(0, len(weight) - 1)] != 0
    counted = wanted[seen]
    if counted.numel():
        told |= {"lowest": float(counted.min()), "highest": float(counted.max())}
    return told | {"counted": counted.numel(), "different": int(counted.unique().numel())}


def _chance(call: Call) -> float | None:
    """What the same call gives for outputs that are all 0: ln C for classes, E[y^2] for squares."""
    import torch
    import torch.nn.functional as functional

    if call.name not in ("cross_entropy", "binary_cross_entropy_with_logits", "mse_loss", "l1_loss", "smooth_l1_loss"):
        return None
    with contextlib.suppress(Exception), torch.no_grad():
        value = getattr(functional, call.name)(**{**call.given, "input": torch.zeros_like(call.given["input"])})
        return float(value.float().mean())
    return None


def _shift(session: Session, call: Call, wanted: Any) -> dict[str, Any]:
    """By how many tokens the targets are ahead of what the model was given (1 in a language model), if that shows."""
    size = session.size
    for tokens in _tokens(session, size):
        length = tokens.shape[1]
        for rows in (length, length - 1):
            if rows < 4 or wanted.numel() != size * rows:
                continue
            target = wanted.reshape(size, rows).to(tokens.device)
            agreed = {by: _agree(target, tokens, by) for by in (-1, 0, 1, 2)}
            best = max(agreed, key=lambda by: agreed[by])
            if agreed[best] >= _ENOUGH and sum(one >= _ENOUGH / 2 for one in agreed.values()) == 1:
                if best == 0 and not _is_given(session, call, tokens):
                    continue
                return {"shift": best, "causal": best == 1 or _is_causal(session)}
    return {}


def _tokens(session: Session, size: int) -> Iterator[Any]:
    for _, one in session.first.inputs:
        if one.dim() == 2 and one.shape[0] == size and one.shape[1] >= 4 and not one.is_floating_point():
            if one.unique().numel() >= 4:
                yield one


def _is_given(session: Session, call: Call, tokens: Any) -> bool:
    """Whether the outputs at a token's own place follow it: not those of labels, which a model of Hugging Face's is
    given as well, and shifts itself.
    """
    import torch

    batch, place, found = session.copy(), session.first.calls.index(call), False
    copies = session.tensors(batch)
    for path, one in session.tensors(session.first.batch).items():
        column = _last_column(one, tokens)
        if column is not None:
            copies[path][:, column], found = copies[path][:, 0], True
    if not found:
        return True
    runs = [session.run(evaluation=True), session.run(batch, evaluation=True)]
    before, after = (run.calls[place].given["input"] for run in runs)
    return not torch.allclose(before, after, atol=1e-4) if before.shape == after.shape else True


def _last_column(part: Any, tokens: Any) -> int | None:
    """Where in a part of the batch the last of the tokens stand; None where they are not of it."""
    import torch

    if part.dim() != 2 or part.dtype != torch.long or part.shape[0] != tokens.shape[0]:
        return None
    if part.untyped_storage().data_ptr() == tokens.untyped_storage().data_ptr():
        column = tokens.storage_offset() - part.storage_offset() + tokens.shape[1] - 1
        return int(column) if 0 < column < part.shape[1] and part.stride() == tokens.stride() else None
    return int(part.shape[1]) - 1 if part.shape == tokens.shape and torch.equal(part, tokens) else None


def _agree(target: Any, tokens: Any, by: int) -> float:
    """The share of targets that are the token `by` places on; of those that count."""
    start, stop = max(0, -by), min(target.shape[1], tokens.shape[1] - by)
    mine, other = target[:, start:stop], tokens[:, start + by : stop + by]
    counted = mine >= 0
    return float((mine == other)[counted].float().mean()) if bool(counted.any()) else 0.0


def _is_causal(session: Session) -> bool:
    """Whether a change of each sample's last token leaves the outputs before it as they were."""
    import torch

    batch = session.copy()
    for one in session.tensors(batch).values():
        if one.dim() == 2 and one.shape[1] >= 4 and one.dtype == torch.long:
            one[:, -1] = one[:, 0]
    plain, changed = session.run(evaluation=True), session.run(batch, evaluation=True)
    pairs = [(a, b) for (_, a), (_, b) in zip(plain.outputs, changed.outputs) if a.dim() == 3 and a.shape == b.shape]
    if not pairs:
        return False
    before, after = pairs[-1]
    return bool(torch.allclose(before[:, :-1], after[:, :-1], atol=1e-4))
