"""What must hold of every random module; each by an oracle that knows nothing of the package."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.model.sandbox.process import process_guard
from gradcheck_health.probe import Subject, probe
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules import builtin
from tests.model.leftovers.fingerprint import Fingerprint
from tests.model.leftovers.grammar import Program

SCALE = 1024.0
"""A power of two: float32 and float64 are scaled exactly."""


def broken(program: Program) -> list[str]:
    """What does not hold, in words."""
    model, x = program.build()
    before = Fingerprint.of(model, x)
    trace, gradients = _probed(model, x)
    left = before.differences(Fingerprint.of(model, x))
    said = [f"traces at {', '.join(left[:5])}"] if left else []
    said += _not_as_autograd(program, gradients)
    said += _norms_off(trace, gradients)
    return [*said, *_moved_by_scale(program, trace)]


def _probed(model: nn.Module, x: torch.Tensor, scale: float = 1.0) -> tuple[Trace, dict[str, torch.Tensor]]:
    """The trace, and the gradients that backward left in the parameters inside of the sandbox."""
    with process_guard(), sandbox(model):
        trace = probe(Subject(model, Inputs((x,), batch=len(x)), loss=lambda output: _loss(output) * scale))
        return trace, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _loss(output: Any) -> torch.Tensor:
    """A sum of squares of every floating tensor, weighted so that no symmetry hides a gradient."""
    total = torch.zeros(())
    for tensor in _tensors(output):
        weights = torch.linspace(0.5, 1.5, tensor.numel(), dtype=tensor.dtype).reshape(tensor.shape)
        total = total + (weights * tensor).square().sum() + (weights * tensor).sum()
    return total


def _tensors(output: Any) -> Iterator[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        yield output
    else:
        for item in output.values() if isinstance(output, dict) else output:
            yield from _tensors(item)


def _not_as_autograd(program: Program, gradients: dict[str, torch.Tensor]) -> Iterator[str]:
    """Bare torch, on a module that nobody has looked at."""
    model, x = program.build()
    torch.manual_seed(0)
    _loss(model(x.clone())).backward()
    bare = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    if bare.keys() != gradients.keys():
        yield f"gradients of {sorted(bare.keys() ^ gradients.keys())} on one side only"
    for name in bare.keys() & gradients.keys():
        if not torch.equal(bare[name], gradients[name]):
            yield f"the gradient of {name} differs from that of bare autograd"


def _norms_off(trace: Trace, gradients: dict[str, torch.Tensor]) -> Iterator[str]:
    """Every norm of the trace against the same sum in float64."""
    for name, entry in trace.parameters.items():
        right = None if name not in gradients else float(gradients[name].double().square().sum().sqrt())
        got = None if entry.gradient is None else entry.gradient.norm
        if (right is None) != (got is None):
            yield f"{name}: the trace says {got}, autograd {right}"
        elif right is not None and got is not None and abs(got - right) > 1e-5 * right + 1e-30:
            yield f"{name}: norm {got}, in float64 {right}"


ABSOLUTE = ("half-precision-overflow", "half-precision-underflow")
"""Rules on numbers that a format of 16 bits cannot hold: the scale of the loss is what they are about."""


def _moved_by_scale(program: Program, trace: Trace) -> Iterator[str]:
    """Nothing that a rule says first depends on the scale of the loss."""
    model, x = program.build()
    scaled, _ = _probed(model, x, SCALE)
    one, other = _asked(trace), _asked(scaled)
    if one != other:
        yield f"the loss times {SCALE:g}: {sorted(one ^ other)}"


def _asked(trace: Trace) -> set[str]:
    """The findings, and the further looks that the rules ask for."""
    found = set()
    for name, rule in builtin().items():
        if name in ABSOLUTE:
            continue
        with contextlib.suppress(TypeError):  # one with options of its own that have no default
            for answer in rule(trace):
                found.add(f"{name} {getattr(answer, 'fact', '') or [place.name for place in answer.places]}")
    return found


def complaint(program: Program) -> str:
    """What is wrong with the module of a program, its source, and the shortest one that is wrong, too; empty if nothing is."""
    said = _or_error(program)
    if not said:
        return ""
    shortest = program.shrunken(lambda candidate: bool(_or_error(candidate)))
    lines = [
        f"seed {program.seed}: {'; '.join(said)}",
        "",
        program.source(),
        f"shortened: {'; '.join(_or_error(shortest))}",
        "",
    ]
    return "\n".join([*lines, shortest.source()])


def _or_error(program: Program) -> list[str]:
    try:
        return broken(program)
    except Exception as error:  # noqa: BLE001 - a module of the grammar has to run
        return [f"{type(error).__name__}: {error}"]
