"""One sample's output depends on the other samples of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.influence import Influence
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis.influence import influence_finding, jumps

if TYPE_CHECKING:
    from torch import nn

_JOINING = 1e-4
"""From this share on an operation counts that is known to join what lies along its axis: nothing else does it by rounding."""
_JOINS = (
    *("softmax", "log_softmax", "softmin", "gumbel_softmax", "logsumexp", "mean", "sum", "nansum", "nanmean", "prod", "cumsum"),
    *("norm", "vector_norm", "normalize", "var", "std", "var_mean", "std_mean", "layer_norm", "group_norm", "instance_norm"),
    *("view", "reshape", "flatten", "unflatten", "view_as", "reshape_as", "transpose", "permute", "roll", "flip"),
)
_EXTREMES = ("max", "amax", "min", "amin", "aminmax", "maximum", "minimum", "quantile", "kthvalue", "topk", "median")
_DRAWS = ("poisson", "binomial", "multinomial", "gamma", "standard_gamma", "dirichlet", "exponential", "geometric")
"""How many random numbers these take depends on the values of all samples."""
_ELEMENTWISE = ("add", "sub", "mul", "div", "pow", "true_divide", "subtract", "multiply", "divide", "where", "lerp", "addcmul")
"""These join samples by broadcasting alone, where the batch of one operand meets another axis of the other one."""
_HELP = "reduce, normalise and reshape along the axes behind the batch; attention and recurrent layers: batch_first=True"
_LAYOUT = "pass batch_axis=1 if the batch lies along axis 1, otherwise set batch_first=True"


def mixed_samples(trace: Trace, *, max_influence: float | None = None) -> Iterator[Finding | Need]:
    """In eval mode the output of one sample moves when the other samples of its batch change.

    What it does: follows the axis of the samples through the operations of the forward pass. Where it cannot be followed,
    runs the model in eval mode, forward only, on four samples, and on one of them alone, which must come out as among
    the others; where it does not, the first and the last of three are examined.

    Why it is bad: the gradient of one sample's loss flows into other samples. The model learns from its neighbours
    in the batch, the validation loss misleads, and predictions depend on what happens to be served together. The
    training curve shows nothing. The usual causes are an attention or recurrent layer that takes the batch along
    another axis, and a view(), softmax, mean or normalisation along axis 0.

    How it is measured: the movement of the output of what was kept, over its movement when it changes itself, above
    max_influence, and smoothly: a small step of the others moves it in proportion. The default is 1e-4 where the first
    operation that moves it joins the samples (softmax, mean, norm, reshape), and 0.03 elsewhere. Routing with a
    capacity (which jumps), and a scale that is the largest entry of the batch (quantisers), are a note. Only outputs
    with one axis whose size follows the number of samples are examined.

    When it is legitimate: rows that are nodes of one graph or points of one cloud are no samples: say
    batch_axis=None. Batch statistics in training mode are not examined. A batch norm without running statistics, and
    a layer with batch_first=False through which nothing is mixed if the batch lies along axis 1, are a note.

    How to fix: batch_first=True, reductions and softmax along the axes behind the batch, reshapes that keep axis 0.

    How to silence: batch_axis=None, or ignore={"mixed-samples": "the reason"}.
    """
    if trace.declared.batched is False or trace.inputs.batch is None or trace.apart:
        return
    if "mixing" not in trace.facts:
        yield Need("mixing")
        return
    for seen in trace.facts["mixing"]:
        for influence in seen.influences:
            yield _finding(trace, influence, max_influence)
        if seen.gaps and trace.declared.batched:
            yield Finding("mixed-samples", Severity.NOTE, f"not judged: {seen.gaps[0]}", (Place("", trace.model),))


def _finding(trace: Trace, influence: Influence, max_influence: float | None) -> Finding:
    op = influence.op.strip("_")
    allowed = max_influence if max_influence is not None else _JOINING if op in _JOINS else 0.03
    scales = (op in _EXTREMES and (influence.reduces == 1 or not influence.joined)) or _quantises(op)
    layout = influence.layout and not trace.declared.batched
    jumping = jumps(influence)
    draws = op in _DRAWS
    guessed = op in _ELEMENTWISE and trace.inputs.made_up and trace.inputs.description.count("[") > 1
    certain = influence.share > allowed and not (draws or guessed or jumping or layout or influence.statistics or scales)
    operation = f"{influence.op} in {influence.layer or 'the model itself'}" if influence.op else "not seen"
    if layout:
        reason = f"{influence.kind} has batch_first=False: it takes samples along axis 1"
    elif influence.statistics:
        reason = "this batch norm keeps no running statistics: it takes those of the batch in eval mode, too"
    elif guessed:
        reason = f"{operation} broadcasts the batch of a made-up argument over another axis: give inputs of real ranks"
    elif draws:
        reason = f"{operation} draws more or fewer random numbers for the others: the draws of this sample are other ones then"
    elif scales:
        reason = f"{operation} is a scale for the whole batch, as of a quantiser: its largest entry decides for all samples"
    elif jumping:
        reason = "the output jumps (routing, sorting, a capacity): a small change of the others does not move it"
    else:
        reason = f"{operation} is the first whose result moves"
    return influence_finding(
        "mixed-samples",
        Severity.ERROR if certain else Severity.NOTE,
        influence,
        allowed,
        compared="as far with the other samples as with itself",
        because=reason,
        details=(("help", _LAYOUT if layout else _HELP),),
    )


def _quantises(op: str) -> bool:
    """Operations of torch that take the scale of their input from the whole batch by themselves."""
    return "fake_quant" in op or op.endswith("_dynamic")


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(16, 32),
        nn.BatchNorm1d(32),
        nn.ReLU(),
        nn.Linear(32, 4),
    )


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        """softmax over the batch instead of the classes."""

        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.head(torch.relu(self.features(x))), dim=0)

    return Classifier()
