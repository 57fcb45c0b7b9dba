"""Parameters without a gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis import over_time
from gradcheck_health.rules.analysis.no_gradient import needs, supply, suspects, why
from gradcheck_health.rules.analysis.reasons import Why

if TYPE_CHECKING:
    from torch import nn

_HELP = {
    Why.UNUSED: "use the layer in forward(), or freeze it with requires_grad_(False), or remove it",
    Why.REPLACED: "tie it: layer.weight = the tensor that it is handed, before the optimizer is built; or drop the layer's own",
    Why.NOT_RETURNED: "return what is computed from it, or use it in the loss; or remove the layer",
    Why.BYPASSED: "if no input or setting ever leads there, freeze or remove it: it breaks DistributedDataParallel",
    Why.ADDITIVE: "bias=False there changes nothing but the number of parameters",
    Why.ROUTED: "nothing to do: other batches reach it",
    Why.NOT_IN_LOSS: "add the output that it feeds to the loss, or freeze it",
}


def missing_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """Trainable parameters get no gradient at all.

    What it does: finds parameters with requires_grad whose .grad stays None, and says why: never called, or computed
    and not returned.

    Why it is bad: they stay at their initial values for ever, take memory, and break DistributedDataParallel. Often a
    typo: a sibling with the same shape was called twice.

    How it is measured: in the union of up to nine passes over several batches and three optimizer steps, so that
    routing, stochastic depth and early exits have their chance. An error if the code never refers to the layer, or
    computes it without using the result; a note if some branch that this run did not take refers to it, or if other
    batches reach it. What a detach() or the like cuts off is left to cut-gradient. In a watched loop the first twenty
    steps count, and a module that is never called although its siblings are, an expert, is a note.

    When it is legitimate: teachers, target networks and frozen parts, which should say so with requires_grad_(False).

    How to fix: call the layer, return its result, freeze it, or delete it.

    How to silence: ignore={"missing-gradient:teacher.*": "frozen on purpose"}.
    """
    if over_time.watched_only(trace):
        yield from _in_a_loop(trace)
        return
    lost = suspects(trace, zeros=False)
    if not lost:
        return
    missing = needs(trace, zeros=False)
    if missing:
        yield from missing
        return
    reasons: dict[Why, list[ParameterTrace]] = {}
    for parameter in lost:
        reasons.setdefault(why(trace, parameter), []).append(parameter)
    trainable = sum(p.trainable for p in trace.parameters.values())
    for reason, members in reasons.items():
        if reason in (Why.CUT, Why.GATED):
            continue
        bad = reason in (Why.UNUSED, Why.REPLACED, Why.NOT_RETURNED)
        text = "computed, but its result does not reach the loss" if _ends_before_the_loss(trace, reason) else reason.value
        verdict = "0 allowed" if bad else text
        seen = trace.closest
        places = tuple(
            Place(p.name, p.kind, seen.parameters[p.name].source, text if i == 0 else "") for i, p in enumerate(members)
        )
        yield Finding(
            rule="missing-gradient",
            severity=Severity.ERROR if bad else Severity.NOTE,
            message=f"{len(members)} of {trainable} trainable parameters have no gradient ({verdict})",
            places=places,
            details=supply(trace, reason) or ((*_typo(trace, members[0]), ("help", _HELP[reason])) if reason in _HELP else ()),
            got=float(len(members)),
            bound=0.0,
        )


_EVIDENCE = 20
"""Steps of a loop."""


def _in_a_loop(trace: Trace) -> Iterator[Finding]:
    for track in over_time.tracks(trace):
        if track.steps < _EVIDENCE or track.empty or len(track.missing) == len(track.parameters):
            continue  # no gradient at all is the matter of no-gradient-at-step
        known = {p.name for p in trace.parameters.values()}
        lost = [i for i in track.missing if track.parameters[i].name in known]
        for bad in (True, False):
            chosen = [i for i in lost if (i in track.uncalled) is not bad]
            if chosen:
                text = "0 allowed" if bad else "never called, and others beside them were"
                yield Finding(
                    rule="missing-gradient",
                    severity=Severity.ERROR if bad else Severity.NOTE,
                    message=f"{len(chosen)} of {len(track.parameters)} parameters of {track.optimizer} have had no gradient in "
                    f"{track.steps} steps ({text})",
                    places=over_time.places(track, chosen),
                    details=(("help", _HELP[Why.UNUSED] if bad else _HELP[Why.ROUTED]),),
                    got=float(len(chosen)),
                    bound=0.0,
                )


def _ends_before_the_loss(trace: Trace, reason: Why) -> bool:
    return reason is Why.NOT_RETURNED and trace.objective == "the given loss"


def _typo(trace: Trace, parameter: ParameterTrace) -> Iterator[tuple[str, str]]:
    """A sibling of the same class and shape that was called more than once."""
    idle = trace.idle_layer(parameter.layer)
    if idle is None:
        like = [p for p in trace.parameters.values() if p.layer == parameter.layer and p.shape == parameter.shape]
        for p in like if parameter.role != "bias" else ():
            if p.uses > 1:
                yield "because", f"{parameter.name} is never used, and {p.name}, of the same shape, {p.uses} times: a typo?"
                return
        return
    parent, kind = idle.rpartition(".")[0], trace.layers[idle].kind
    tail = parameter.name[len(idle) :]
    for name, layer in trace.layers.items():
        twin = trace.parameters.get(name + tail)
        if (
            name.rpartition(".")[0] == parent
            and layer.kind == kind
            and layer.calls > 1
            and twin
            and twin.shape == parameter.shape
        ):
            yield "because", f"{idle} is never called, and {name}, of the same shape, is called {layer.calls} times: a typo?"
            return


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Typo(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc1 = nn.Linear(8, 8)
            self.fc2 = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc1(torch.relu(self.fc1(x)))
            return out

    return Typo()
