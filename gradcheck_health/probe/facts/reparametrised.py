"""Would anything be learnt through a draw if it were reparametrised? The same values, drawn so that a gradient comes back."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gradcheck_health.model.call import call, eager
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.source.lines import user_line
from gradcheck_health.probe.backward import slopes
from gradcheck_health.probe.experiments.subbatch import judged_on_few
from gradcheck_health.probe.forward import draws
from gradcheck_health.probe.graph import graph as graphs
from gradcheck_health.probe.graph.streams import ancestors
from gradcheck_health.probe.objective import Objective, objective
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import GradhealthError
from gradcheck_health.records.trace import Trace

_SAMPLES = 8
_MIXES = ("Addmm", "Mm", "Bmm", "Baddbmm", "Convolution", "Linear")
"""Autograd's names of what layers do."""


def reparametrised(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with those `draws` that layers take on the way to the objective, and whose `log_prob` nobody asks for."""
    return (judged_on_few(partial(_reparametrised, trace=trace), subject, _SAMPLES),)


def _reparametrised(subject: Subject, trace: Trace) -> Trace:
    try:
        with sandbox(subject.model), eager(), _Reparametrised() as seen:
            output = call(subject.model, subject.inputs, subject.seed)
            goal = objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed)
            lines = seen.lost(goal)
    except (GradhealthError, RuntimeError):
        return trace.only(draws=())
    return trace.only(draws=tuple(one for one in trace.draws if one.source in lines))


class _Reparametrised(TorchFunctionMode):
    """Every draw hands its gradient back, and is noted."""

    def __init__(self) -> None:
        super().__init__()
        self._drawn: list[tuple[torch.Tensor, list[Any], str | None]] = []
        """A draw with its graph, the distributions that it comes from, and the line."""
        self._scored: dict[int, Any] = {}
        """By their ids, distributions whose log_prob was asked for."""
        self._open = False
        """The newest is what an operation inside of a `sample` made that goes on: the last one there makes the draw."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._scored.update((id(one), one) for one in draws.calls_of("log_prob"))
        sampled = list(draws.calls_of("sample"))
        self._open = self._open and bool(sampled)
        made = draws.with_gradient(func, args, kwargs)
        out = func(*args, **kwargs) if made is NotImplemented else made
        if isinstance(out, torch.Tensor) and out.requires_grad and (sampled or made is not NotImplemented):
            if self._open:
                self._drawn.pop()
            self._drawn.append((out, sampled, user_line()))
            self._open = bool(sampled)
        return out

    def lost(self, goal: Objective) -> set[str | None]:
        """The lines of the draws through whose result, and through layers, a gradient would come."""
        drawn = [one for one in self._drawn if not any(id(distribution) in self._scored for distribution in one[1])]
        graph = graphs.walk([root.grad_fn for root in goal.roots if root.grad_fn is not None]) if drawn else None
        if graph is None:
            return set()
        position = {node: i for i, node in enumerate(graph.nodes)}
        near = [one for one in drawn if (at := position.get(one[0].grad_fn)) is not None and _taken_by_layers(graph, at)]
        gradients = slopes(goal.roots, [draw for draw, _, _ in near], goal.gradients) if near else ()
        return {line for (_, _, line), gradient in zip(near, gradients, strict=True) if gradient is not None and gradient.any()}


def _taken_by_layers(graph: graphs.Graph, position: int) -> bool:
    """On the way to the objective; and it is not compared with its own mean, as a score function does that is written out."""
    above = ancestors(graph, position) - {position, 0}
    compared = any(
        position in graph.edges[i] and len(graph.edges[i]) > 1 and graph.nodes[i].name().startswith("Sub") for i in above
    )
    return not compared and any(graph.nodes[i].name().startswith(_MIXES) for i in above)
