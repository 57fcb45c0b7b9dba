"""Units of activations: the layer that produces them and the module that applies the function."""

from __future__ import annotations

from gradcheck_health.records.finding import Place
from gradcheck_health.records.measurements import ActivationTrace
from gradcheck_health.records.trace import Trace

LARGE = 100.0
"""rms of inputs that nobody normalised: pixels of 0 to 255, prices, times in seconds."""
SAMPLES = 256
"""Of a made-up batch: as many are seen before units are called dead or saturated."""


def unit_places(trace: Trace, a: ActivationTrace, note: str) -> list[Place]:
    """The layer whose units they are, and the module that applies the function if it does nothing else."""
    names = [name for name in (a.producer, a.layer) if name] or [""]
    if len(names) == 2 and (names[0] == names[1] or names[0].startswith(f"{names[1]}.")):
        names = names[:1]
    applied = next((b.source for b in trace.activations if (b.layer, b.function) == (a.layer, a.function)), None)
    found = []
    for i, name in enumerate(names):
        layer = trace.layers.get(name)
        source = applied if name == a.layer else layer.source if layer else None
        found.append(Place(name, layer.kind if layer else "", source, "" if i else note))
    return found


def scale_of_inputs(trace: Trace) -> tuple[tuple[str, str], ...]:
    """The detail on inputs that are so large that they drive any unit to its end; none where they are not."""
    rms = trace.inputs.rms
    if rms is None or rms < LARGE or trace.inputs.made_up:
        return ()
    return (("inputs", f"their rms is {rms:.3g}: normalise them to about 1 before anything else"),)


def may_wake(trace: Trace, a: ActivationTrace) -> bool:
    """Few samples of a made-up batch have been seen, and more are to be had: the fact `more_samples` again."""
    return a.samples < SAMPLES and trace.inputs.made_up and (trace.inputs.batch or SAMPLES) < SAMPLES
