"""Traces written down by hand: as little as a rule looks at, so that its verdict is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcheck_health import Finding, Need, Trace, rules
from gradcheck_health.records.measurements import (
    ActivationTrace,
    CutPoint,
    InputsTrace,
    LayerTrace,
    ParameterTrace,
    TensorStats,
)

FED = InputsTrace("float32[64, 4]", "given", False, 64, 1.0)


def trace(**parts: Any) -> Trace:
    """Of a model that nothing was seen of but this."""
    known: dict[str, Any] = {"layers": {}, "parameters": {}, "activations": (), "flow": (), "outputs": (), "inputs": FED}
    return Trace(**{"model": "Net", "objective": "the given loss", "seed": 0, "rounds": 1, **known, **parts})


def stats(norm: float, numel: int = 1) -> TensorStats:
    """Of a tensor of equal entries with this norm."""
    entry = norm / numel**0.5
    return TensorStats(numel, entry, entry)


def parameter(name: str, gradient: TensorStats | None = None, **parts: Any) -> ParameterTrace:
    layer, _, leaf = name.rpartition(".")
    known: dict[str, Any] = {"kind": "Linear", "shape": (4, 4), "dtype": "float32", "trainable": True, "value": stats(1.0, 16)}
    return ParameterTrace(
        **{"name": name, "layer": layer, "gradient": gradient, "order": 0, "role": "weight" if leaf == "weight" else "bias"}
        | known
        | parts
    )


def layer(name: str, **parts: Any) -> LayerTrace:
    return LayerTrace(**{"name": name, "kind": "Linear", "order": 0, "calls": 1, **parts})


def units(name: str, function: str, count: int, **parts: Any) -> ActivationTrace:
    """An activation of so many units, over 256 samples."""
    return ActivationTrace(**{"layer": name, "function": function, "order": 0, "units": count, "samples": 256, **parts})


def named(entries: Sequence[Any]) -> dict[str, Any]:
    return {entry.name: entry for entry in entries}


def falling(ratio: float, **parts: Any) -> Trace:
    """The gradient that arrives at the first of three layers is `ratio` times that at the last."""
    points = tuple(CutPoint(f"layer{i}", "Addmm", ratio ** (1 - i / 2)) for i in range(3))
    return trace(flow=points, layers=named([layer(f"layer{i}") for i in range(3)]), **parts)


def heard(rule: str, seen: Trace, **options: Any) -> tuple[list[Finding], list[str]]:
    """What a rule finds, and the facts that it asks for."""
    answers = list(rules.builtin()[rule](seen, **options))
    found = [answer for answer in answers if isinstance(answer, Finding)]
    return found, [answer.fact for answer in answers if isinstance(answer, Need)]


def severities(rule: str, seen: Trace, **options: Any) -> list[str]:
    """Of the findings; a rule that asks for a fact first has failed the question."""
    found, needs = heard(rule, seen, **options)
    assert needs == []
    return [str(finding.severity) for finding in found]
