"""What a profile over the steps of a recurrence says: gain a step, memory length, shape."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gradcheck_health.records.evidence import TimeProfile
from gradcheck_health.records.finding import Need, Place
from gradcheck_health.records.trace import Trace

LAYERS = ("RNN", "LSTM", "GRU")
HORIZON = 20
"""Steps back in time that are judged where no horizon is given."""
LEAST = 6
"""Steps below which a profile tells nothing."""


def needs(trace: Trace) -> Iterator[Need]:
    """The profile, where the model holds a recurrent layer or uses a weight again and again."""
    if "time_profile" not in trace.facts and (trace.repeats or any(layer.kind in LAYERS for layer in trace.layers.values())):
        yield Need("time_profile")


def recurrent_places(trace: Trace, profile: TimeProfile) -> tuple[Place, ...]:
    """The recurrent layer; of a recurrence that is written out the operation that takes the state, and its weight."""
    found = [] if profile.layer else list(trace.closest.recurring[:1])
    if not found:
        return (Place(profile.layer, profile.kind),)
    weight = trace.parameters[found[0].parameter]
    layer = trace.layers.get(found[0].layer)
    named = (found[0].layer, layer.kind if layer else profile.kind)
    places = (Place(*named, found[0].source, "the state is taken up again"), Place(weight.name, weight.kind))
    return places if found[0].layer != weight.layer or not weight.layer else places[:1]


def profiles(trace: Trace) -> list[TimeProfile]:
    """Those that are long enough to be judged."""
    found = [profile for seen in trace.facts.get("time_profile", ()) for profile in seen.times]
    long = [p for p in found if len(p.norms) >= LEAST and all(map(math.isfinite, p.norms))]
    # where no earlier step reaches the last one, a shared layer was taken for a recurrence
    return [p for p in long if p.norms[-1] > 0.0 and max(p.norms[:-1]) > 0.0]


def ratio(profile: TimeProfile, steps: int) -> float:
    """|dL/dx_(T-steps)| / |dL/dx_T|; carried on by the gain where the profile is shorter."""
    have = len(profile.norms) - 1
    if steps <= have:
        return profile.norms[have - steps] / profile.norms[-1]
    return gain(profile, have) ** steps


def gain(profile: TimeProfile, steps: int) -> float:
    """Norm of a step over that of the step behind it, the geometric mean over the last `steps`."""
    steps = min(steps, len(profile.norms) - 1)
    kept = ratio(profile, steps)
    return math.exp(math.log(kept) / steps) if kept > 0.0 else 0.0


def memory(factor: float) -> str:
    """The steps after which 1/e of a gradient is left."""
    return f"{-1 / math.log(factor):.2g} steps" if 0.0 < factor < 1.0 else "no step" if factor == 0.0 else "all steps"


def exponential(profile: TimeProfile) -> bool:
    """The rates of the earlier and the later half have the same sign, and the smaller is more than half of the larger."""
    if min(profile.norms) <= 0.0:
        return False
    logs = [math.log(norm) for norm in profile.norms]
    half = len(logs) // 2
    rates = (logs[half] - logs[0]) / half, (logs[-1] - logs[half]) / (len(logs) - 1 - half)
    low, high = sorted(map(abs, rates))
    return rates[0] * rates[1] > 0 and low / high > 0.5
