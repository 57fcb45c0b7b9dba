"""The built-in rules of Amazon SageMaker Debugger, with the defaults of its developer guide."""

from __future__ import annotations

from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Need, Place, Severity
from gradcheck_health.records.trace import Trace
from gradcheck_health.rules.presets._judge import crossing, distributions_of


def vanishing_gradient(trace: Trace, *, threshold: float = 1e-7) -> Iterator[Finding | Need]:
    """The mean absolute value of a parameter's gradient is below the threshold."""
    found = distributions_of(trace, "gradient")
    bad = None if found is None else [(entry, entry.mean) for entry in found if entry.mean < threshold]
    yield from crossing(trace, "sagemaker-vanishing-gradient", "gradient", bad, threshold, "the mean absolute value")


def exploding_tensor(trace: Trace) -> Iterator[Finding | Need]:
    """A gradient, a weight or an output holds NaN or Inf."""
    places = [Place(name, layer.kind) for name, layer in trace.layers.items() if layer.output and not layer.output.finite]
    places += [
        Place(name, parameter.kind)
        for name, parameter in trace.parameters.items()
        if not parameter.value.finite or (parameter.gradient is not None and not parameter.gradient.finite)
    ]
    if places:
        text = f"NaN or Inf in {len(places)} tensors (0 allowed)"
        yield Finding("sagemaker-exploding-tensor", Severity.ERROR, text, tuple(places), got=len(places), bound=0)


def dead_relu(trace: Trace, *, threshold_layer: float = 50.0) -> Iterator[Finding | Need]:
    """More than half of a ReLU layer's units are active for less than 1 % of the entries."""
    found = distributions_of(trace, "output")
    bad = None
    if found is not None:
        shares = [(entry, 100 * (entry.inactive or 0.0)) for entry in found if entry.kind in ("ReLU", "ReLU6")]
        bad = [(entry, share) for entry, share in shares if share > threshold_layer]
    yield from crossing(trace, "sagemaker-dead-relu", "output", bad, threshold_layer, "the percentage of inactive units")


def saturated_activation(trace: Trace, *, threshold_layer: float = 50.0) -> Iterator[Finding | Need]:
    """More than half of a sigmoid or tanh layer's units lie beyond the published limits nearly always."""
    found = distributions_of(trace, "output")
    bad = None
    if found is not None:
        shares = [(entry, 100 * (entry.inactive or 0.0)) for entry in found if entry.kind in ("Sigmoid", "Tanh")]
        bad = [(entry, share) for entry, share in shares if share > threshold_layer]
    yield from crossing(
        trace, "sagemaker-saturated-activation", "output", bad, threshold_layer, "the percentage of inactive units"
    )


def poor_weight_initialization(
    trace: Trace, *, threshold: float = 10.0, distribution_range: float = 0.001
) -> Iterator[Finding | Need]:
    """The variances of two layers' weights differ tenfold, or a gradient's 5th and 95th percentile lie within 0.001."""
    weights, gradients = distributions_of(trace, "weight"), distributions_of(trace, "gradient")
    if weights is None or gradients is None:
        yield Need("distributions")
        return
    spread = [(entry, entry.variance) for entry in weights if entry.variance > 0 and entry.name.endswith("weight")]
    if len(spread) > 1:
        (low, least), (high, most) = min(spread, key=lambda pair: pair[1]), max(spread, key=lambda pair: pair[1])
        if most / least > threshold:
            text = f"the variances of the weights of two layers differ {most / least:.2g} x (at most {threshold:g} allowed)"
            places = (Place(low.name, low.kind), Place(high.name, high.kind))
            yield Finding(
                "sagemaker-poor-weight-initialization", Severity.ERROR, text, places, got=most / least, bound=threshold
            )
    bad = [(entry, entry.high - entry.low) for entry in gradients if entry.high - entry.low < distribution_range]
    what = "the distance from the 5th to the 95th percentile"
    yield from crossing(trace, "sagemaker-poor-weight-initialization", "gradient", bad, distribution_range, what)


def weight_update_ratio(
    trace: Trace, *, large_threshold: float = 10.0, small_threshold: float = 1e-8
) -> Iterator[Finding | Need]:
    """One step changes a weight by more than ten times its mean, or by less than a hundred-millionth of it."""
    found = distributions_of(trace, "weight")
    if found is None:
        yield Need("distributions")
        return
    moved = [(entry, entry.moved) for entry in found if entry.moved is not None]
    name, what = "sagemaker-weight-update-ratio", "the relative change in one step"
    large = [(entry, ratio) for entry, ratio in moved if ratio > large_threshold]
    small = [(entry, ratio) for entry, ratio in moved if ratio < small_threshold]
    yield from crossing(trace, name, "weight", large, large_threshold, what)
    yield from crossing(trace, name, "weight", small, small_threshold, what)


def all_zero(trace: Trace, *, threshold: float = 100.0) -> Iterator[Finding | Need]:
    """Every entry of a weight or a gradient is zero."""
    found = None
    if "distributions" in trace.facts:
        found = [*(distributions_of(trace, "weight") or ()), *(distributions_of(trace, "gradient") or ())]
    bad = None if found is None else [(entry, 100 * entry.zeros) for entry in found if 100 * entry.zeros >= threshold]
    yield from crossing(trace, "sagemaker-all-zero", "tensor", bad, threshold, "the percentage of zeros")


def unchanged_tensor(trace: Trace, *, rtol: float = 1e-5) -> Iterator[Finding | Need]:
    """A weight does not move in a step of training."""
    found = distributions_of(trace, "weight")
    bad = None if found is None else [(entry, entry.moved) for entry in found if entry.moved is not None and entry.moved < rtol]
    yield from crossing(trace, "sagemaker-unchanged-tensor", "weight", bad, rtol, "the relative change in one step")


def loss_not_decreasing(trace: Trace, *, diff_percent: float = 0.1) -> Iterator[Finding | Need]:
    """The loss falls by less than 0.1 % in ten steps."""
    if "distributions" not in trace.facts:
        yield Need("distributions")
        return
    for fact in trace.facts["distributions"]:
        if len(fact.losses) > 1:
            first, last = fact.losses[0], fact.losses[-1]
            fall = 100 * (first - last) / max(abs(first), 1e-12)
            if not fall >= diff_percent:
                text = (
                    f"the objective falls by {fall:.2g} % in {len(fact.losses) - 1} steps (at least {diff_percent:g} % allowed)"
                )
                yield Finding("sagemaker-loss-not-decreasing", Severity.ERROR, text, (Place(""),), got=fall, bound=diff_percent)


RULES = (
    vanishing_gradient,
    exploding_tensor,
    dead_relu,
    saturated_activation,
    poor_weight_initialization,
    weight_update_ratio,
    all_zero,
    unchanged_tensor,
    loss_not_decreasing,
)
