"""One sample's output depends on the other samples of the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradcheck_health.records.evidence import Influence
from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.analysis.influence import influence_finding, jumps

if TYPE_CHECKING:
    from torch import nn

_HELP = "reduce, normalise and reshape along the axes behind the batch; attention and recurrent layers: batch_first=True"
_LAYOUT = "pass batch_axis=1 if the batch lies along axis 1, otherwise set batch_first=True"


def mixed_samples(trace: Trace, *, max_influence: float = 0.03) -> Iterator[Finding | Need]:
    """In eval mode the output of one sample moves when the other samples of its batch change.

    What it does: runs the model in eval mode, forward only, on five samples; then keeps one of them and changes all
    others. What was kept must come out as before; where it does not, the first and the last of three are looked at.

    Why it is bad: the gradient of one sample's loss flows into other samples. The model learns from its neighbours
    in the batch, the validation loss lies, and predictions depend on what happens to be served together. The
    training curve shows nothing. The usual causes are an attention or recurrent layer that takes the batch along
    another axis, and a view(), softmax, mean or normalisation along axis 0.

    How it is measured: the movement of the output of what was kept, over its movement when it changes itself, above
    max_influence (default 0.03), and smoothly: a small change of the others moves it in proportion. So rounding that
    depends on the largest entry of a batch (0.01), and routing with a capacity (which jumps), are a note. Only outputs
    with one axis whose size follows the number of samples are looked at.

    When it is legitimate: rows that are nodes of one graph or points of one cloud are no samples: say
    batch_axis=None. Batch statistics in training mode are not looked at. A batch norm without running statistics, and
    a layer with batch_first=False whose input may be meant with the batch along axis 1, are a note.

    How to fix: batch_first=True, reductions and softmax along the axes behind the batch, reshapes that keep axis 0.

    How to silence: batch_axis=None, or ignore={"mixed-samples": "the reason"}.
    """
    if trace.declared.batched is False or trace.inputs.batch is None:
        return
    if "mixing" not in trace.facts:
        yield Need("mixing")
        return
    for seen in trace.facts["mixing"]:
        for influence in seen.influences:
            yield _finding(trace, influence, max_influence)
        if seen.gaps and trace.declared.batched:
            yield Finding("mixed-samples", Severity.NOTE, f"not judged: {seen.gaps[0]}", (Place("", trace.model),))


def _finding(trace: Trace, influence: Influence, allowed: float) -> Finding:
    layout = influence.layout and not trace.declared.batched
    jumping = jumps(influence)
    certain = influence.share > allowed and not jumping and not layout and not influence.statistics
    operation = f"{influence.op} in {influence.layer or 'the model itself'}" if influence.op else "not seen"
    if layout:
        reason = f"{influence.kind} has batch_first=False: it takes samples along axis 1"
    elif influence.statistics:
        reason = "this batch norm keeps no running statistics: it takes those of the batch in eval mode, too"
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


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4))


def sick() -> nn.Module:
    import torch
    from torch import nn

    class Classifier(nn.Module):
        """softmax over the batch where the classes were meant."""

        def __init__(self) -> None:
            super().__init__()
            self.features, self.head = nn.Linear(16, 32), nn.Linear(32, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.softmax(self.head(torch.relu(self.features(x))), dim=0)

    return Classifier()
