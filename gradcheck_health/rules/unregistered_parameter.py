"""Trainable tensors that are no parameters of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import ForeignLeaf
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import listed

if TYPE_CHECKING:
    from torch import nn

_HELP = {
    "module": "hold modules in nn.ModuleList or nn.ModuleDict, not in a plain list or dict, and after super().__init__(); "
    "if it is hidden on purpose, call requires_grad_(False) on it",
    "attribute": "wrap it in nn.Parameter and assign it to an attribute (or put it into nn.ParameterList, nn.ParameterDict)",
    "product": "assign the nn.Parameter itself and compute with it in forward: the product of a parameter is no parameter, and "
    "scaling the values before they are wrapped, nn.Parameter(0.02 * torch.randn(...)), keeps it one",
    "global": "make it an attribute of the module: an nn.Parameter or a submodule",
    "forward": "build it once, in __init__: forward makes a new one in every call, and nothing that it learns is kept",
    "derived": "use the value itself: requires_grad_() on a detached tensor, or nn.Parameter(h), makes a new leaf, at which "
    "the gradient stops",
}
_NOTES = {
    "module": "in a module that is not registered",
    "attribute": "not registered",
    "product": "computed from an nn.Parameter that has no name",
    "global": "not an attribute of the model",
    "forward": "made in forward",
}


def unregistered_parameter(trace: Trace) -> Iterator[Finding | Need]:
    """A trainable tensor takes part in forward and is not among the model's parameters.

    Attributes that were computed from parameters before forward, in __init__, are the same fault: forward uses the old
    product whatever a step does to them.

    What it does: finds tensors that require a gradient, get one, and are missing from model.parameters(): layers in a
    plain list or dict, tensors with requires_grad as attributes, attributes that were computed from an nn.Parameter,
    layers and nn.Parameters built inside forward, and new leaves made of a layer's output by
    .detach().requires_grad_() or nn.Parameter(h).

    Why it is bad: the optimizer never gets it, so it keeps its initial value; to(device), state_dict() and
    zero_grad() do not reach it either. The loss still falls, because the rest learns. A leaf made of a layer's output
    stops the gradient on its way to that layer.

    How it is measured: the leaves of the autograd graph less the parameters. If any are left, forward runs again: a
    leaf that is the same object in two passes is kept somewhere and should be a parameter; an nn.Parameter that is
    new in every pass is built in forward; a new leaf whose values change with parameters that get no gradient in any
    of several batches was made out of them.

    When it is legitimate: inputs with requires_grad, whatever forward differentiates by (a PINN, a gradient penalty,
    an attack), and modules hidden on purpose whose parameters do not require a gradient are not reported.

    How to fix: nn.Parameter, nn.ModuleList, nn.ModuleDict, nn.ParameterList; requires_grad_(False) on what is hidden
    on purpose.

    How to silence: ignore={"unregistered-parameter:critic.*": "has an optimizer of its own"}.
    """
    if not trace.leaves:
        if trace.stale:
            yield _stale(trace, trace.stale)
        return
    if "foreign_leaves" not in trace.facts:
        yield Need("foreign_leaves")
        return
    known = {leaf.name for one in trace.facts["foreign_leaves"] for leaf in one.foreign}
    if rest := [name for name in trace.stale if name not in known]:
        yield _stale(trace, rest)
    groups: dict[str, list[ForeignLeaf]] = {}
    for leaf in (leaf for one in trace.facts["foreign_leaves"] for leaf in one.foreign):
        if leaf.behind and leaf.kind != "Parameter":
            if "after_steps" not in trace.facts:
                yield Need("after_steps")
                return
            if not any(_asleep(trace, name) for name in leaf.behind):
                continue
        groups.setdefault("derived" if leaf.behind else leaf.held, []).append(leaf)
    for group, members in groups.items():
        yield _finding(trace, group, members)


def _stale(trace: Trace, names: Sequence[str]) -> Finding:
    count = len(names)
    return Finding(
        rule="unregistered-parameter",
        severity=Severity.ERROR,
        message=f"forward uses {count} product{'s' if count > 1 else ''} of parameters from before forward (0 allowed)",
        places=tuple(Place(name, "", None, "computed once, and stale after the first step") for name in names),
        details=(
            ("because", f"{listed(list(names))}: a step moves the parameters, and forward goes on with the old product"),
            ("help", "compute it in forward (or in a property), from the parameters as they are then"),
        ),
        got=float(count),
        bound=0.0,
    )


def _asleep(trace: Trace, name: str) -> bool:
    """No pass gives the parameter a gradient, so that the leaf does keep it from learning."""
    seen = [one.parameters[name] for one in trace.facts["after_steps"] if name in one.parameters]
    return all(p.gradient is None or p.gradient.is_zero for p in seen)


def _finding(trace: Trace, group: str, members: list[ForeignLeaf]) -> Finding:
    count = len(members)
    what = "tensor requires a gradient and is not" if count == 1 else "tensors require a gradient and are not"
    places = tuple(Place(leaf.name, leaf.kind, leaf.source, _NOTES[leaf.held]) for leaf in members)
    details: list[tuple[str, str]] = []
    if group == "derived":
        cut = list(dict.fromkeys(name for leaf in members for name in leaf.behind))
        made = Place(members[0].name, members[0].kind, members[0].source, "made of a layer's output")
        details = [("starts", str(made)), ("because", f"the gradient stops there: {listed(cut)} get none")]
        places = tuple(Place(name, trace.parameters[name].kind) for name in cut)
    return Finding(
        rule="unregistered-parameter",
        severity=Severity.ERROR,
        message=f"{count} {what} in model.parameters() (0 allowed)",
        places=places,
        details=(*details, ("help", _HELP[group])),
        got=float(count),
        bound=0.0,
    )


def healthy() -> nn.Module:
    import torch
    from torch import nn

    class Registered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.relu(layer(x))
            out: torch.Tensor = self.head(x)
            return out

    return Registered()


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Linear(8, 8) for _ in range(3)]
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = torch.relu(layer(x))
            out: torch.Tensor = self.head(x)
            return out

    return Hidden()
