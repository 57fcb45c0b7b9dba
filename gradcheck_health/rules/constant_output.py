"""Outputs that do not depend on the input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import LOSS, Finding, Need, Place, Severity
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import counted, listed
from gradcheck_health.rules.analysis import flow, flow_wording
from gradcheck_health.rules.analysis.no_gradient import needs, starts_at_zero, why
from gradcheck_health.rules.analysis.reasons import Why

if TYPE_CHECKING:
    from torch import nn

CONSTANT = 1e-9
ROUNDING = 1e-12
"""Ten times the last digit of float32, squared: what varies less may be rounding."""
_HELP = "a softmax or normalisation over one unit, a sum of probabilities, a saturated head, or an input that is never used"
_LOCATED = (Why.FACTOR, Why.INPUT, Why.WEIGHTS, Why.CANCELS, Why.DEAD, Why.CUT)
"""What zero-gradient finds inside of the model; the output is constant in consequence."""
_LOOKS = 4
"""Of `after_steps`: one before each of three steps, and one after them."""
LOST = 1e-4
"""Where the first layer gets less than this share of the gradient's norm, vanishing-gradient names the place."""


def constant_output(trace: Trace) -> Iterator[Finding | Need]:
    """The output is the same for every input.

    What it does: compares the samples of a batch: their outputs differ by no more than rounding, though their inputs
    do. A softmax or normalisation over a single unit, a head that is saturated everywhere, an input that forward
    forgets or multiplies by zero. Two weights or more of zeros, one behind another on every way from the inputs.

    Why it is bad: the model can learn one constant at most. Where the head is flat, no gradient comes back at all.

    How it is measured: the variance over the samples as a share of the mean square, divided by the same share of the
    inputs. Below 1e-9 on the first batch, with perturbed weights and after three optimizer steps: a warning; an error
    if weights get a gradient of zeros all the time, or one that shrinks ten thousandfold in float64: it was rounding,
    as behind the sum of a softmax. What vanishes on its way is left to vanishing-gradient. Where weights start at zero:
    constant before the first step and after it, a warning; after the second, too: an error (two hidden layers of zeros
    take three to ten times as many steps as random ones, three layers with SGD stay where they are). Sound
    models are constant at most until the first step (zero heads, ReZero, ControlNet); the lowest of 288 that were
    measured comes to 4e-5, a default-initialised stack of eight ReLU layers to 7e-5.

    When it is legitimate: a model that hands out its parameters and takes an input for its shape only.

    How to fix: check the last operation: softmax needs two units or more, one unit needs a sigmoid; scale down or
    normalise what saturates the head.

    How to silence: ignore={"constant-output": "a learned prior"}.
    """
    if not _constant(trace) or _would_vary(trace):
        return
    woken, opened = ("woken",) if starts_at_zero(trace) else (), ("opened",) if flow.shrinks(trace) else ()
    for fact in (*woken, *opened, "kicked", "after_steps"):
        if fact not in trace.facts:
            yield Need(fact)
            return
        # of the few samples of `opened` a batch norm makes what it likes
        judged = [one for one in trace.facts[fact] if fact != "opened" or (one.outputs and not one.flow_note)]
        if not all(_constant(one) for one in judged):
            if woken and fact in ("kicked", "after_steps"):
                yield from _behind_zeros(trace)
            return
    others = (*trace.facts["kicked"], *trace.facts["after_steps"])
    flat = _never_moved((trace, *others), trace)
    kept = flow.ratio(trace)
    faded = not flat and kept is not None and kept < LOST
    missing = [need for need in needs(trace, zeros=True) if flat] or [Need("detailed")]
    if faded:
        missing.append(Need("float64"))
    missing = [need for need in missing if need.fact not in trace.facts]
    if missing:
        yield from missing
        return
    if flat and all(why(trace, p) is Why.UNDERFLOW for p in flat):
        flat, faded = [], True
    cancelled = faded and flow.is_rounding(trace)
    if faded and not cancelled:
        return
    located = any(why(trace, p) in _LOCATED for p in flat)
    share = max(_share(one) or 0.0 for one in (trace, *others))
    seen = trace.closest
    called = [layer for layer in seen.layers.values() if layer.calls and layer.name not in ("", LOSS)]
    last = max(called, key=lambda layer: layer.order, default=None)
    places = [] if last is None else [Place(last.name, last.kind, last.source, "the last layer")]
    if cancelled:
        places = list(
            {p.name: p for p in (*flow_wording.flow_places(seen, seen.flow), *flow_wording.singles(seen), *places)}.values()
        )
    # nearest to the output first: that is where the gradient is lost
    places += [Place(p.name, p.kind, seen.parameters[p.name].source) for p in sorted(flat, key=lambda p: -p.order)]
    because = "what varies is lost beside a constant"
    if cancelled:
        because = f"the derivative is zero by algebra, and what passes {places[0].name or trace.model} is rounding"
    elif flat:
        because = f"{len(flat)} weights get a gradient of zeros: {_some(flat)}"
    yield Finding(
        rule="constant-output",
        severity=Severity.ERROR if cancelled or (flat and not located) else Severity.WARNING,
        message=f"the output is the same for every input: its variance is {share:.2g} of the inputs' (at least {CONSTANT:g})",
        places=(*places, Place("", trace.model)),
        details=(
            ("because", because),
            ("help", _HELP),
        ),
        got=share,
        bound=CONSTANT,
        effect_of=("dead-unit", "saturated-activation", *(("zero-gradient",) if located else ())),
    )


def _behind_zeros(trace: Trace) -> Iterator[Finding | Need]:
    """Weights are zero one behind another, on every way from an input to the output: each step wakes one of them alone."""
    zeros = [p for p in trace.parameters.values() if p.trainable and p.role == "weight" and p.value.numel and p.value.is_zero]
    if len(zeros) < 2 or all(p.gradient is not None and not p.gradient.is_zero for p in zeros):
        return
    if "after_steps" not in trace.facts:
        yield Need("after_steps")
        return
    steps = len(list(takewhile(_constant, trace.facts["after_steps"][:_LOOKS]))) - 1
    if steps < 1:
        return
    if "detailed" not in trace.facts:
        yield Need("detailed")
        return
    seen, names = trace.closest, listed([p.name for p in zeros])
    yield Finding(
        rule="constant-output",
        severity=Severity.ERROR if steps > 1 else Severity.WARNING,
        message=(
            "the output is the same for every input, and still is after "
            f"{counted(steps, 'step')}: weights of zeros stand behind one another (one at most allowed)"
        ),
        places=tuple(Place(p.name, p.kind, seen.parameters[p.name].source, "all zero") for p in zeros),
        details=(
            ("because", f"each step wakes one of {names} alone, and from then on its gradient is tiny"),
            ("help", "draw all but one of them at random (kaiming_normal_, xavier_uniform_), or add a skip connection"),
        ),
        got=float(steps),
        bound=0.0,
    )


def _constant(trace: Trace) -> bool:
    share = _share(trace)
    return share is not None and share < CONSTANT


def _would_vary(trace: Trace) -> bool:
    """It varies by more than rounding, and enough once learnt factors that start near zero are half open."""
    share = _share(trace) or 0.0
    if share < ROUNDING or len(trace.flow) < 2:
        return False
    return share * (flow.opens(trace.flow[0]) / flow.opens(trace.flow[-1])) ** 2 >= CONSTANT


def _share(trace: Trace) -> float | None:
    """The largest variation of an output relative to that of the inputs; None where either is not known."""
    shares = [output.variation for output in trace.outputs if output.why != "carries no gradient" and output.why != "auxiliary"]
    known = [share for share in shares if share is not None]
    if len(known) < len(shares) or not known or not trace.inputs.variation:
        return None
    return max(known) / trace.inputs.variation


def _never_moved(traces: tuple[Trace, ...], first: Trace) -> list[ParameterTrace]:
    """Weights that get gradients, all of them zero."""
    found = []
    for p in first.parameters.values():
        gradients = [one.parameters[p.name].gradient for one in traces if p.name in one.parameters]
        known = [gradient for gradient in gradients if gradient is not None]
        if p.role in ("weight", "embedding") and known and all(gradient.is_zero for gradient in known):
            found.append(p)
    return found


def _some(members: list[ParameterTrace]) -> str:
    names = [p.name for p in members]
    return listed(names)


def healthy() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(8, 16),
        nn.ReLU(),
        nn.Linear(16, 2),
        nn.Softmax(-1),
    )


def sick() -> nn.Module:
    from torch import nn

    return nn.Sequential(
        nn.Linear(8, 16),
        nn.ReLU(),
        nn.Linear(16, 1),
        nn.Softmax(-1),
    )
