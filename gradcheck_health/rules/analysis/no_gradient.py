"""Why a parameter has no gradient, or one of zeros: decided from the facts, in the order of decisiveness."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from gradcheck_health.records.evidence import Cut, Zeroed
from gradcheck_health.records.finding import Need
from gradcheck_health.records.measurements import ParameterTrace
from gradcheck_health.records.trace import Trace
from gradcheck_health.records.wording import listed
from gradcheck_health.rules.analysis.reasons import SOUND, Why

WHOLE = 0.95
"""From this share of dead units on a layer passes nothing worth the name."""


_UNEXPLAINED: tuple[Why, ...] = (Why.INPUT, Why.FACTOR, Why.STOPPED, Why.UNKNOWN)
"""What an argument that was left out may explain: the zeros stand in for it."""
_UNSURE = ("flat", "stopped", "cancels", "")
"""How a gradient may become zero because float32 holds no smaller number; the others are zeros in every precision."""
_HOW = {
    "factor": Why.FACTOR,
    "single": Why.SINGLE,
    "input": Why.INPUT,
    "weights": Why.WEIGHTS,
    "cancels": Why.CANCELS,
    "stopped": Why.STOPPED,
}


def suspects(trace: Trace, *, zeros: bool) -> list[ParameterTrace]:
    """Trainable parameters without a gradient, or (`zeros`) weights whose gradient is exactly zero.

    An embedding that saw nothing but its padding_idx has a gradient of zeros by definition, and is none of them.
    """
    found = [p for p in trace.parameters.values() if p.trainable and (p.value.numel or p.order < 0)]
    if zeros:
        return [p for p in found if p.gradient is not None and p.gradient.is_zero and p.role in ("weight", "embedding")]
    return [p for p in found if p.gradient is None]


def needs(trace: Trace, *, zeros: bool) -> list[Need]:
    """The facts that an explanation still lacks: most zeros wake up after one step, or a few, and need no other."""
    asleep = suspects(trace, zeros=zeros)
    cheapest = "woken" if "woken" in trace.facts else "stirred"
    for fact in (cheapest, "after_steps") if zeros else ("after_steps",):
        if not asleep:
            return []
        if fact not in trace.facts:
            return [Need(fact)]
        asleep = [p for p in asleep if not any(_awake(one, p.name) for one in trace.facts[fact])]
    if not asleep:
        return []
    if "detailed" not in trace.facts:
        return [Need("detailed")]
    # what float64 could hold and float32 cannot: everything but a true zero on the way
    unsure = zeros and any(_how(trace, p) in _UNSURE and cut_of(trace, p) is None for p in asleep)
    wanted = [*(["float64"] if unsure else []), *(["supplied"] if trace.inputs.left_out else [])]
    if any(_sizes_may_tell(trace, p) for p in asleep):
        wanted.append("resized")
    return [Need(fact) for fact in wanted if fact not in trace.facts]


def starts_at_zero(trace: Trace) -> bool:
    """Something that is multiplied with is zero and about to move: `stirred` and `woken` show what that changes."""
    return any(
        p.trainable and p.role != "bias" and p.value.numel and p.value.is_zero and _awake(trace, name)
        for name, p in trace.parameters.items()
    )


def why(trace: Trace, parameter: ParameterTrace) -> Why:
    """The reason for a suspect, once the facts of `needs` are there."""
    name = parameter.name
    if awake := [k for k, one in enumerate(trace.facts.get("after_steps", ())) if _awake(one, name)]:
        if trace.objective == "the model's own loss" and min(awake) > 3:
            return Why.NOT_IN_LOSS
        return Why.GATED if parameter.gradient is not None and len(awake) > 1 else Why.ROUTED
    stirred = (*trace.facts.get("stirred", ()), *trace.facts.get("woken", ()))
    if parameter.gradient is not None and any(_awake(one, name) for one in stirred):
        return Why.GATED
    for fact, reason in (("supplied", Why.LEFT_OUT), ("resized", Why.SMALL)):
        if any(_awake(one, name) for one in trace.facts.get(fact, ())):
            return reason
    if cut_of(trace, parameter) is not None:
        return Why.CUT
    if parameter.gradient is not None:
        found, unknown = _why_zero(trace, parameter), _UNEXPLAINED
    else:
        found, unknown = _why_none(trace, parameter), (Why.NOT_RETURNED,)
    if found in unknown and _siblings_are_routed(trace, name):
        return Why.ROUTED
    return Why.LEFT_OUT if found in unknown and left_out(trace) else found


def _siblings_are_routed(trace: Trace, name: str) -> bool:
    """Its like in the same list (`experts.3.weight`) are reached by some batches only: so many experts, and so few batches."""
    like = re.compile(re.sub(r"(?<=\.)\d+(?=\\\.)", r"\\d+", re.escape(name)))
    steps = (trace, *trace.facts.get("after_steps", ()))
    awake = [sum(_awake(one, other) for one in steps) for other in trace.parameters if other != name and like.fullmatch(other)]
    return any(0 < count < len(steps) for count in awake)


def left_out(trace: Trace) -> tuple[str, ...]:
    """Optional arguments of which nobody knows what they would reach, because they could not be made up."""
    return min((one.inputs.left_out for one in (trace, *trace.facts.get("supplied", ()))), key=len)


def supply(trace: Trace, reason: Why) -> tuple[tuple[str, str], ...]:
    """The detail of a finding that names the arguments, or the size of inputs, which would reach the parameters."""
    if reason is Why.SMALL:
        return (("help", "nothing to do if you feed it more than was made up; give a batch of yours to be sure"),)
    names = trace.inputs.left_out
    if reason not in (Why.LEFT_OUT, Why.BYPASSED) or not names:
        return ()
    return (
        ("left out", f"{listed(names)} (optional)"),
        ("help", f"pass the argument that reaches them: inputs={{{names[0]!r}: ...}}"),
    )


def _sizes_may_tell(trace: Trace, parameter: ParameterTrace) -> bool:
    """Larger inputs may reach it: more entries of a softmax, or more of a made-up text than its first patch."""
    if parameter.gradient is None:
        return trace.inputs.made_up and _why_none(trace, parameter) is Why.NOT_RETURNED
    found = _why_zero(trace, parameter)
    return found is Why.SINGLE or trace.inputs.made_up and found in (*_UNEXPLAINED, Why.SATURATED)


def _why_none(trace: Trace, parameter: ParameterTrace) -> Why:
    detailed = trace.facts.get("detailed", ())
    parameter = detailed[0].parameters[parameter.name] if detailed else dataclasses.replace(parameter, referenced=False)
    never = trace.idle_layer(parameter.layer) is not None or not parameter.followed
    if never:
        if _is_replaced(trace, parameter):
            return Why.REPLACED
        return Why.BYPASSED if parameter.referenced else Why.UNUSED
    beside = [p.gradient for p in trace.parameters.values() if p.layer == parameter.layer and p.role != "bias"]
    if parameter.role == "bias" and any(gradient is not None and not gradient.is_zero for gradient in beside):
        return Why.ADDITIVE  # the last bias of an energy of which the forces are returned
    return Why.NOT_RETURNED


def _is_replaced(trace: Trace, parameter: ParameterTrace) -> bool:
    """A layer without layers in it runs, and computes with another weight than any that it owns."""
    seen = trace.closest
    layer = seen.layers.get(parameter.layer)
    if layer is None or not layer.calls or not layer.name or any(name.startswith(f"{layer.name}.") for name in seen.layers):
        return False
    own = [p for p in seen.parameters.values() if p.layer == layer.name]
    return parameter.role == "weight" and all(p.trainable and p.gradient is None and not p.followed for p in own)


def _why_zero(trace: Trace, parameter: ParameterTrace) -> Why:
    how = _how(trace, parameter)
    if "weight_hh" in parameter.name and how in ("input", "stopped", ""):
        return Why.HIDDEN_STATE
    dead = any(a.off > WHOLE * a.units for a in trace.activations if a.units and not a.by_rows)
    if how == "off" or (how == "input" and dead):
        return Why.DEAD
    if how == "single" or (how not in _HOW or how == "stopped") and _singles(trace, parameter):
        return Why.SHORT if _grows(trace, parameter) else Why.SINGLE
    if how in _HOW and how not in _UNSURE:
        return _HOW[how]
    if any(_awake(one, parameter.name) for one in trace.facts.get("float64", ())):
        return Why.SATURATED if how == "flat" else Why.UNDERFLOW
    return Why.SATURATED if how == "flat" else _HOW.get(how, Why.UNKNOWN)


def why_all(trace: Trace, lost: Sequence[ParameterTrace]) -> list[Why]:
    """The reason for each suspect. Zeros that come forward, and weights of zeros, excuse one another nowhere."""
    reasons = [why(trace, parameter) for parameter in lost]
    if {Why.INPUT, Why.WEIGHTS} <= set(reasons) <= {Why.INPUT, Why.WEIGHTS, *SOUND}:
        return [Why.STUCK if reason in (Why.INPUT, Why.WEIGHTS) else reason for reason in reasons]
    return reasons


def cut_of(trace: Trace, parameter: ParameterTrace) -> Cut | None:
    """The cut behind which the output still depends on the parameter.

    A gradient of zeros came back some way: a detach() elsewhere does not explain it, an operation with a flat derivative does.
    """
    for one in trace.facts.get("detailed", ()):
        for cut in one.cuts:
            explains = cut.flat or parameter.gradient is None
            if explains and cut.reaches_output and parameter.name in cut.parameters:
                return cut
    return None


def zeroed_of(trace: Trace, name: str) -> Zeroed | None:
    """Where the gradient of a parameter becomes zero on its way back."""
    found = (zeroed for one in trace.facts.get("detailed", ()) for zeroed in one.zeroed if name in zeroed.parameters)
    return next(found, None)


def may_underflow(trace: Trace) -> bool:
    """Some gradient became zero, or all of them did unseen, where float64 may hold what float32 could not."""
    found = [zeroed.how for one in trace.facts.get("detailed", ()) for zeroed in one.zeroed]
    return not found or any(how in _UNSURE for how in found)


def may_be_rounding(trace: Trace, name: str) -> bool:
    """A small movement of all weights (the `jittered` fact) made another gradient of it, as far as that was measured."""
    moved = [difference for one in trace.facts.get("jittered", ()) for difference in one.differences]
    return not moved or any(name in difference.names for difference in moved)


def _how(trace: Trace, parameter: ParameterTrace) -> str:
    return "" if (zeroed := zeroed_of(trace, parameter.name)) is None else zeroed.how


def _singles(trace: Trace, parameter: ParameterTrace) -> set[tuple[str, str]]:
    """Where, and of what, a single entry is all that is seen, near the parameter."""
    return {(a.layer, a.function) for a in trace.activations if a.single and _beside(parameter.layer, a.layer)}


def _grows(trace: Trace, parameter: ParameterTrace) -> bool:
    """How many entries there are depends on the size of the inputs (the `resized` fact), and on no weight."""
    grown = {(a.layer, a.function) for one in trace.facts.get("resized", ()) for a in one.activations}
    singles = _singles(trace, parameter) or {(a.layer, a.function) for a in trace.activations if a.single}
    return bool(singles) and singles <= grown


def _beside(layer: str, softmax: str) -> bool:
    """In the module that applies the softmax, or whose softmax module it is."""
    return any(not home or layer == home or layer.startswith(f"{home}.") for home in (softmax, softmax.rpartition(".")[0]))


def _awake(trace: Trace, name: str) -> bool:
    entry = trace.parameters.get(name)
    return entry is not None and entry.gradient is not None and not entry.gradient.is_zero
