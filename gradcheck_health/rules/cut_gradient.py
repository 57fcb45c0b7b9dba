"""The graph is cut between a used layer and the output."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import UNLINKED, Cut
from gradcheck_health.records.finding import LOSS, Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted, listed
from gradcheck_health.rules.analysis.lost_draws import DRAWN_HELP, SCORE, lost_draws
from gradcheck_health.rules.analysis.no_gradient import cut_of, needs, suspects, why
from gradcheck_health.rules.analysis.reasons import Why
from gradcheck_health.rules.analysis.teachers import teacher
from gradcheck_health.rules.analysis.written_over import written_over

if TYPE_CHECKING:
    from torch import nn

_COMPARED = "a comparison has no derivative: use the sigmoid itself, or a straight-through estimator"
_HELP = {
    **DRAWN_HELP,
    "detach": "remove detach(), or freeze what lies before it with requires_grad_(False)",
    "data": "use the tensor itself instead of .data",
    "no_grad": "compute it outside of torch.no_grad(), or freeze what lies before it with requires_grad_(False)",
    "inference_mode": "compute it outside of inference_mode(), or freeze what lies before it with requires_grad_(False)",
    "argmax": "use softmax (or a straight-through estimator) where the choice has to be learnt",
    "multinomial": f"a draw has no derivative: use gumbel_softmax, or {SCORE}",
    "bernoulli": f"a draw has no derivative: use RelaxedBernoulli(...).rsample(), or {SCORE}",
    "poisson": f"a draw has no derivative: use {SCORE}",
    "binomial": f"a draw has no derivative: use {SCORE}",
    "argmin": "use softmin (or a straight-through estimator) where the choice has to be learnt",
    "indices": "the choice itself has no gradient: use the values, or a soft choice (softmax, Gumbel)",
    "nn.Parameter": "use the tensor itself: nn.Parameter(x) makes a new leaf that knows nothing of where x came from",
    "checkpoint": "pass use_reentrant=False: a reentrant checkpoint of an input without a gradient has none itself",
    "gt": _COMPARED,
    "lt": _COMPARED,
    "ge": _COMPARED,
    "le": _COMPARED,
    "tensor": "torch.tensor(x) copies values without their graph: use x itself, or torch.stack",
}
_IN_THE_LOSS = {
    "detach": "compute the loss from the output itself, without detach()",
    "data": "compute the loss from the output itself, without .data",
    "no_grad": "compute the loss outside of torch.no_grad()",
    "inference_mode": "compute the loss outside of inference_mode()",
    "argmax": "a hit rate has no derivative: train on cross_entropy, and report it beside",
}
_INTEGER = "integers have no gradient: keep the real value, or use a soft choice"
_NUMPY = "stay in torch: values that pass through Python or numpy lose their graph"
_FLAT = "its derivative is zero everywhere: use a straight-through estimator, x + (round(x) - x).detach()"
_PYTHON = ("numpy", "tolist", "item", "__array__", "__float__", "__int__", "__bool__", "__index__")
_CASTS = ("long", "int", "short", "byte", "char", "bool")
_ROUNDING = ("round", "sign", "sgn", "floor", "ceil", "trunc", "heaviside", "fix", "floor_divide")


def cut_gradient(trace: Trace) -> Iterator[Finding | Need]:
    """An operation cuts layers off from the output: values pass, gradients do not.

    What it does: names the operation and the line (detach, no_grad, .data, numpy, torch.tensor, argmax, round, sign,
    a comparison, sampling) behind which trainable parameters get no gradient, although the output depends on them.

    Why it is bad: everything before the cut stays at its initial values, and the loss still falls, because the rest
    learns.

    A part of a weight counts, too: rows of a fused projection that move the output and get no gradient on any batch. And a
    draw by sample(), where there is an rsample(), or by torch.normal(mean, std): the mean may learn from another term of the
    loss, as the divergence of an autoencoder is, and learns nothing from what layers make of the draw.

    Values that forward writes behind autograd count, too: parameters that it writes over, where the next forward undoes
    what a step has moved, are an error, and results that change through .data or under no_grad a warning.

    How it is measured: the values of parameters whose gradient is missing or exactly zero in all of several passes
    are followed through every operation; a cut is where a gradient could flow back from the inputs, and no longer
    from the result.

    When it is legitimate: a straight-through estimator or a stop-gradient leaves another way for the gradient, and is
    not reported. A reversible block alone, on made-up inputs, is a note: no gradient goes through it unless what it is
    fed has one. What forward itself writes to (a codebook that follows its mean) is a note, and so is a teacher,
    a target or a moving average (in eval mode while the model trains, or with the shapes of a part that is trained and
    takes nothing from it). A backbone that is frozen on purpose should say so with
    requires_grad_(False).

    How to fix: remove the cut, or use a differentiable relaxation, or freeze what lies before it.

    How to silence: ignore={"cut-gradient:backbone.*": "features are precomputed"}.
    """
    yield from written_over(trace)
    yield from _severed(trace)
    lost = [*suspects(trace, zeros=False), *suspects(trace, zeros=True)]
    if not lost:
        yield from lost_draws(trace)
        return
    asked = (*needs(trace, zeros=False), *needs(trace, zeros=True))
    missing = [need for need in asked if need.fact in ("stirred", "woken", "after_steps", "detailed")]
    if missing:
        yield from missing
        return
    # one line of code is one cause, in however many layers it runs
    groups: dict[tuple[str, str | None], list[tuple[Cut, str]]] = {}
    for parameter in lost:
        if why(trace, parameter) is Why.CUT and (cut := cut_of(trace, parameter)) is not None:
            groups.setdefault((cut.op, cut.source), []).append((cut, parameter.name))
    yield from lost_draws(trace, told={source for _, source in groups})
    for members in groups.values():
        parts: dict[str, list[tuple[Cut, str]]] = {}
        for member in members:
            parts.setdefault(member[1].partition(".")[0], []).append(member)
        taught = {name: teacher(trace, [cut for cut, _ in part], [name for _, name in part]) for name, part in parts.items()}
        for name, part in parts.items():
            if (found := taught[name]) is not None:
                yield _teacher(trace, part, *found)
        written = {one.parameter for one in trace.rewritten}
        if moved := [member for name, part in parts.items() if taught[name] is None for member in part if member[1] in written]:
            yield _moved(trace, moved)
        if rest := [
            member for name, part in parts.items() if taught[name] is None for member in part if member[1] not in written
        ]:
            yield _finding(trace, rest)


def _finding(trace: Trace, members: list[tuple[Cut, str]]) -> Finding:
    cut, names = members[0][0], [name for _, name in members]
    layers = list(dict.fromkeys(one.layer for one, _ in members))
    layer = trace.layers.get(cut.layer)
    where = str(Place(cut.layer, layer.kind if layer else "", cut.source, cut.op))
    if len(layers) > 1:
        where += f"; the same in {listed([name or 'the model itself' for name in layers[1:]])}"
    end = "loss" if cut.layer == LOSS else "output"
    trainable = sum(p.trainable for p in trace.parameters.values())
    # what is fed to a part of a model has a gradient: made-up inputs say nothing of it
    alone = cut.op.startswith(UNLINKED) and trace.inputs.made_up
    return Finding(
        rule="cut-gradient",
        severity=Severity.NOTE if alone else Severity.ERROR,
        message=f"{cut.op} cuts {len(names)} of {trainable} trainable parameters off from the {end} (0 allowed)",
        places=tuple(Place(name, trace.parameters[name].kind, _source(trace, name)) for name in names),
        details=(("starts", where), ("at", listed(names)), ("help", _help(cut))),
        got=float(len(names)),
        bound=0.0,
    )


def _severed(trace: Trace) -> Iterator[Finding | Need]:
    """A part of a fused weight is cut off: its rows get no gradient, although the others do."""
    if trace.starved and "severed" not in trace.facts:
        yield Need("severed")
    found = [one for measured in trace.facts.get("severed", ()) for one in measured.severed]
    for op, source in dict.fromkeys((one.op, one.source) for one in found):
        members = [one for one in found if (one.op, one.source) == (op, source)]
        first, layer = members[0], trace.layers.get(members[0].layer)
        more = f", and of {counted(len(members) - 1, 'more layer')}" if len(members) > 1 else ""
        owner = trace.parameters[first.parameter].layer or "the model"
        yield Finding(
            rule="cut-gradient",
            severity=Severity.ERROR,
            message=f"{op} cuts {first.units} of {first.of} units of {owner}{more} off from the output (0 allowed)",
            places=tuple(Place(one.parameter, trace.parameters[one.parameter].kind) for one in members),
            details=(
                ("starts", str(Place(first.layer, layer.kind if layer else "", source, op))),
                ("because", "the output moves with these units, and no gradient comes back to them on any batch"),
                ("help", _help(Cut(op, first.layer, source, (), True))),
            ),
            got=float(first.units),
            bound=0.0,
        )


def _teacher(trace: Trace, members: list[tuple[Cut, str]], path: str, why: str) -> Finding:
    return _by_design(trace, members, f"{path} is a teacher or a target", why, f"model.{path}.requires_grad_(False)")


def _moved(trace: Trace, members: list[tuple[Cut, str]]) -> Finding:
    """Codebooks and running means that stand where trained parameters stand."""
    first = next(one for one in trace.rewritten if one.parameter == members[0][1])
    why = f"forward writes to it ({first.op}, {first.source})" if first.source else f"forward writes to it ({first.op})"
    return _by_design(trace, members, "forward itself moves them", why, "register_buffer, or requires_grad_(False)")


def _by_design(trace: Trace, members: list[tuple[Cut, str]], what: str, why: str, advice: str) -> Finding:
    """Sound: a note that says how to tell everybody so."""
    cut, names = members[0][0], [name for _, name in members]
    trainable = sum(p.trainable for p in trace.parameters.values())
    layer = trace.layers.get(cut.layer)
    return Finding(
        rule="cut-gradient",
        severity=Severity.NOTE,
        message=f"{cut.op} cuts {len(names)} of {trainable} trainable parameters off: {what}",
        places=tuple(Place(name, trace.parameters[name].kind, _source(trace, name)) for name in names),
        details=(
            ("starts", str(Place(cut.layer, layer.kind if layer else "", cut.source, cut.op))),
            ("because", why),
            ("help", f"say so: {advice}; an optimizer and weight decay then leave it alone, too"),
        ),
        got=float(len(names)),
        bound=0.0,
    )


def _help(cut: Cut) -> str:
    if cut.op in _PYTHON:
        return _NUMPY
    if cut.op.startswith(UNLINKED):
        return "feed inputs that require grad: a custom Function has no gradient where none of its inputs has one"
    op = cut.op.strip("_")
    if cut.layer == LOSS and op in _IN_THE_LOSS:
        return _IN_THE_LOSS[op]
    last = op.replace(".", " ").split()[-1]  # Normal.sample, topk indices
    if op in _ROUNDING:
        return _FLAT
    return _HELP.get(op) or _HELP.get(last) or (_INTEGER if op in _CASTS else "its result carries no gradient")


def _source(trace: Trace, name: str) -> str | None:
    seen = trace.closest
    return seen.parameters[name].source


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(8, 8)
            self.head = nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            code: torch.Tensor = self.head(self.encoder(x).detach())
            return code

    return Detached()
