"""The loss beside that of an output that is the same for every sample: is it worth finding out, and when is it zero."""

from __future__ import annotations

from gradcheck_health.records.trace import Trace

FLOOR = 1e-6
"""A best constant loss below this share of the loss is zero up to rounding: there is nothing to compare with."""


def may_be_better(trace: Trace, share: float) -> bool:
    """Whether the outputs are large enough, or pulled the same way often enough, for zeros or a shift to gain `share`."""
    called = [p for p in trace.parameters.values() if p.order >= 0]
    if not called or trace.loss is None:
        return False
    last = max(called, key=lambda p: p.order).layer
    layers = [trace.layers[name] for name in (last, "") if name in trace.layers]
    for layer in layers if trace.objective == "the given loss" else layers[:1]:
        y, g = layer.output, layer.output_gradient
        if y is None or g is None or y.norm * g.norm >= share * trace.loss:
            return True
    bias = next((p.gradient for p in called if p.layer == last and p.role == "bias"), None)
    pull = layers[0].output_gradient if layers else None
    if bias is None or pull is None or not bias.numel or not pull.norm:
        return False
    # under a squared error the best shift gains exactly this share of the loss
    return bias.norm**2 >= share * pull.norm**2 * pull.numel / bias.numel


def asks_for_nothing(trace: Trace) -> bool:
    """One and the same output makes a loss written by hand zero, whatever the targets; and no output of zeros does."""
    seen = [constant for one in trace.facts.get("constant_predictor", ()) for constant in one.constants]
    return bool(seen) and all(
        one.paired and one.best <= FLOOR * one.loss and one.neutral > SOME * one.loss and one.reach < FAR for one in seen
    )


SOME, FAR = 1e-3, 1e3
"""Of the loss: what zeros, or equal probabilities, leave of it. And how large that output may be: one at infinity is none."""
