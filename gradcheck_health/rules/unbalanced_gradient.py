"""Weights in the same place that learn at very different rates."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import flow

if TYPE_CHECKING:
    from torch import nn

MAX_RATIO = 3e3
_NEAR = 3.0
_Key = tuple[object, ...]


def unbalanced_gradient(trace: Trace, *, max_ratio: float | None = None) -> Iterator[Finding | Need]:
    """Of weights that play the same part, one matters thousands of times less to the loss than another.

    What it does: compares the elasticity |W| |gradient| of weights of the same class and shape that stand in the same
    place of repeated blocks (blocks.0.fc, blocks.1.fc) or of parallel branches (user_tower.0, item_tower.0).

    Why it is bad: a plain optimizer cannot serve both: at a rate that moves the one, the other stands still. Often a
    branch is multiplied by a tiny factor, or the losses of two tasks differ by orders of magnitude.

    How it is measured: the elasticity does not change when a layer's scale moves into the next one, and in a plain
    ReLU chain it is the same in every layer. Above max_ratio on the first batch, with perturbed weights and after three
    optimizer steps, which is where branches that start at zero have grown, and half of it (on a log scale) in one step
    from a weight to the next larger one: a gradient that grows from layer to layer is for the flow to judge. The
    default, 3e3, lies above all of 288 sound models (571 at most, a RepViT; then 203, a stack of 30 batch norms).
    Queries are not compared with values, so branches of one projection, with its norm and activation or without, are not
    compared, nor convolutions with linear layers: those differ by 1e6 and more in sound models. A max_ratio that you
    set is a bound, and crossing it an error.

    When it is legitimate: an auxiliary task with a tiny weight.

    How to fix: remove the factor, normalise the branches before they are added, balance the losses, or give parameter
    groups their own learning rates (Adam hides the difference, weight decay does not).

    How to silence: ignore={"unbalanced-gradient:aux_tower.*": "weighted down on purpose"}.
    """
    limit = MAX_RATIO if max_ratio is None else max_ratio
    first = _groups(trace)
    suspects = {key: members for key, members in first.items() if _ratio(members) > limit and _apart(members)}
    if not suspects or flow.fades(trace):
        return
    if "kicked" not in trace.facts:  # on a few samples a ratio is less sure: what comes near the limit is measured again
        if "nudged" not in trace.facts:
            yield Need("nudged")
            return
        nudged = [_groups(dataclasses.replace(one, layers=trace.layers)) for one in trace.facts["nudged"]]
        suspects = {
            key: part
            for key, part in suspects.items()
            if not any(key in groups and _ratio(groups[key]) < limit / _NEAR for groups in nudged)
        }
        if not suspects:
            return
    for fact in ("kicked", "after_steps"):
        if fact not in trace.facts:
            yield Need(fact)
            return
        later = [_groups(one) for one in (*trace.facts["kicked"], *trace.facts.get("after_steps", ())[1:4])]
        ratios = {key: min([_ratio(part), *(_ratio(g[key]) for g in later if key in g)]) for key, part in suspects.items()}
        found = {key: ratio for key, ratio in ratios.items() if ratio > limit}
        if not found:
            return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    worst = max(found, key=lambda key: found[key])
    yield _finding(trace, suspects[worst], found[worst], limit, Severity.WARNING if max_ratio is None else Severity.ERROR)


def _groups(trace: Trace) -> dict[_Key, list[tuple[float, ParameterTrace]]]:
    """Weights that play the same part, each with its elasticity; a weight of an elasticity of zero is another rule's."""
    found: dict[_Key, list[tuple[float, ParameterTrace]]] = {}
    deep = _deep(trace)
    for p in trace.parameters.values():
        if not p.trainable or p.role != "weight" or p.gradient is None or not p.gradient.finite:
            continue
        elasticity = p.value.norm * p.gradient.norm
        if elasticity > 0:
            for key in _parts(trace, p, deep):
                found.setdefault(key, []).append((elasticity, p))
    return {key: members for key, members in found.items() if len(members) > 1}


def _parts(trace: Trace, p: ParameterTrace, deep: set[str]) -> Iterator[_Key]:
    """The same name in layers whose names differ in numbers, and in siblings of the same class."""
    owner, _, name = p.name.rpartition(".")
    yield p.kind, p.shape, re.sub(r"\d+", "*", owner), name
    parts = p.name.split(".")
    for i in range(len(parts) - 2):
        branch = trace.layers.get(".".join(parts[: i + 1]))
        if branch is not None and branch.name in deep:
            yield p.kind, p.shape, branch.kind, *parts[:i], None, *parts[i + 1 :]


def _deep(trace: Trace) -> set[str]:
    """Branches of several projections: one, with its norm and activation, may be that of queries beside that of values."""
    layers = {p.layer for p in trace.parameters.values() if p.role == "weight" and len(p.shape) > 1}
    above = Counter(layer[: dot.start()] for layer in layers for dot in re.finditer(r"\.", layer))
    return {branch for branch, count in above.items() if count > 1}


def _ratio(members: list[tuple[float, ParameterTrace]]) -> float:
    values = [value for value, _ in members]
    return max(values) / min(values)


def _apart(members: list[tuple[float, ParameterTrace]]) -> bool:
    """One step between neighbours makes up half of the ratio, on a log scale.

    Many small ones are a gradient that grows from layer to layer, which is for the flow to judge.
    """
    values = sorted(value for value, _ in members)
    return max(b / a for a, b in zip(values, values[1:], strict=False)) ** 2 >= _ratio(members)


def _finding(
    trace: Trace, members: list[tuple[float, ParameterTrace]], ratio: float, limit: float, severity: Severity
) -> Finding:
    ordered = sorted(members, key=lambda pair: pair[0])
    (low, least), (high, most) = ordered[0], ordered[-1]
    seen = trace.closest
    small = [p for value, p in ordered if value * limit < high]
    return Finding(
        rule="unbalanced-gradient",
        severity=severity,
        message=f"{least.name} matters {ratio:.2g} x less to the loss than {most.name} (at most {limit:.2g} x allowed)",
        places=tuple(Place(p.name, p.kind, seen.parameters[p.name].source) for p in small),
        details=(
            ("because", f"|weight| x |gradient| is {low:.2g} and {high:.2g}, in layers of the same class and shape"),
            ("help", "find the tiny factor in front of the branch, or balance the losses"),
        ),
        got=ratio,
        bound=limit,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user_tower = nn.Sequential(
                nn.Linear(8, 16),
                nn.ReLU(),
                nn.Linear(16, 4),
            )
            self.item_tower = nn.Sequential(
                nn.Linear(8, 16),
                nn.ReLU(),
                nn.Linear(16, 4),
            )
            self.register_buffer("scale", torch.ones(()))
            self.scale: torch.Tensor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            item = self.scale * self.item_tower(x)
            out: torch.Tensor = self.user_tower(x) + item
            return out

    return Towers()


def sick() -> nn.Module:
    """The good example, with one of its towers scaled down to a millionth."""
    model = healthy()
    model.get_buffer("scale").fill_(1e-6)
    return model
