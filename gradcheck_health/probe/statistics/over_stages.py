"""The trace of a whole pipeline from those of its stages: every rank hears what the others measured, and has one trace.

O(layers) numbers go through the store of the process group, as JSON.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from gradcheck_health.model.distributed.pipeline import stage_of
from gradcheck_health.model.distributed.ranks import current
from gradcheck_health.records.codec import decode, encode
from gradcheck_health.records.measurements import ActivationTrace, LayerTrace, ParameterTrace, TensorStats
from gradcheck_health.records.trace import Trace

_LOCAL = (
    "clobbered",
    "compiled",
    "custom_backward",
    "foreign_leaves",
    "loss_terms",
    "reparametrised",
    "severed",
    "time_profile",
)
"""Facts that take as many passes as a stage has of something, while the other ranks would wait."""
_FROM_FIRST = ("inputs", "leaves")
"""What the batch shows is seen where it is used."""


def can_be_taken(fact: str, model: nn.Module) -> bool:
    return stage_of(model) is None or fact not in _LOCAL


def of_all_stages(trace: Trace, model: nn.Module) -> Trace:
    """The trace with the layers, parameters and cut points of all stages, the same on all ranks; of another model as it is."""
    own, ranks = stage_of(model), current()
    if own is None or ranks is None:
        return trace
    told = ranks.exchange("what the stages show", {"stage": own, "trace": encode(trace)})
    parts = [_Part(one["stage"], decode(Trace, one["trace"], "trace")) for one in told]
    parts.sort(key=lambda part: min(part.stage.values()))
    home: dict[str, int] = {}
    for part in parts:  # a name of several, such as that of the model itself, belongs to the last
        home.update(part.stage)
    return _joined(parts, home)


@dataclasses.dataclass(frozen=True, slots=True)
class _Part:
    """What one rank measured."""

    stage: Mapping[str, int]
    """Path of a module that lies there -> the number of its stage."""
    trace: Trace


def _joined(parts: Sequence[_Part], home: Mapping[str, int]) -> Trace:
    first, last = parts[0].trace, max(parts, key=lambda part: max(part.stage.values())).trace
    layers = _layers(parts, home)
    evidence = {field.name: _field(field.name, parts, home, last) for field in dataclasses.fields(Trace)}
    evidence |= {name: getattr(first, name) for name in _FROM_FIRST}
    parameters = _parameters(parts, home, layers)
    makers = [one for one in layers.values() if any(p.layer == one.name and p.role == "weight" for p in parameters.values())]
    units = tuple(
        dataclasses.replace(one, order=place, producer=_producer(one, layers, makers, home))
        for place, one in enumerate(evidence["activations"])
    )
    evidence |= {"activations": units, "layers": layers, "parameters": parameters}
    return dataclasses.replace(last, **evidence)


def _field(name: str, parts: Sequence[_Part], home: Mapping[str, int], last: Trace) -> Any:
    values = [getattr(part.trace, name) for part in parts]
    kind = getattr(last, name)
    if name == "outputs" or not isinstance(kind, str | tuple | bool):
        return kind
    if isinstance(kind, str):
        return next((value for value in values if value), kind)
    if isinstance(kind, bool):
        return any(values) if name == "half" else all(values)
    found = [(entry, part) for part in parts for entry in getattr(part.trace, name) if _is_from(entry, part, home)]
    once = {repr(entry): entry for entry, _ in found}
    return tuple(sorted(once.values(), key=lambda entry: home.get(getattr(entry, "layer", ""), 0)))  # each rank's own order


def _is_from(entry: Any, part: _Part, home: Mapping[str, int]) -> bool:
    """It is about what lies on that rank, or about no layer."""
    layer: str | None = getattr(entry, "layer", None)
    return layer is None or layer not in home or part.stage.get(layer) == home[layer]


def _producer(
    unit: ActivationTrace, layers: Mapping[str, LayerTrace], makers: Sequence[LayerTrace], home: Mapping[str, int]
) -> str:
    """The layer whose units an activation gets: of an earlier stage, if it stands in front of all layers of its own."""
    place, layer = home.get(unit.layer, 0), layers.get(unit.layer)
    if not place or layer is None or (unit.producer and home.get(unit.producer, place) == place):
        return unit.producer
    around = any(one.name.startswith(f"{unit.layer}.") for one in makers)
    if around or any(home.get(one.name, 0) == place and one.order < layer.order for one in makers):
        return unit.producer
    return next((one.name for one in reversed(makers) if home.get(one.name, 0) < place and one.calls), "")


def _layers(parts: Sequence[_Part], home: Mapping[str, int]) -> dict[str, LayerTrace]:
    """In the order in which the batch goes through them, then those that are never called."""
    found = {
        name: layer for part in parts for name, layer in part.trace.layers.items() if part.stage.get(name) == home.get(name)
    }
    if len(set(parts[0].stage.values())) > 1 and "" in found:  # each of the stages there went by the name of the whole
        output = [one.stats for one in parts[0].trace.outputs if one.stats is not None]
        whole = TensorStats.merge(output) if output else None
        found[""] = dataclasses.replace(found[""], calls=1, output=whole, output_gradient=None)
    called = sorted(
        (one for one in found.values() if one.calls), key=lambda one: (home.get(one.name, 0) if one.name else -1, one.order)
    )
    ordered = [dataclasses.replace(one, order=place) for place, one in enumerate(called)]
    return {one.name: one for one in [*ordered, *(one for one in found.values() if not one.calls)]}


def _parameters(parts: Sequence[_Part], home: Mapping[str, int], layers: Mapping[str, LayerTrace]) -> dict[str, ParameterTrace]:
    found = {
        name: dataclasses.replace(one, order=layers[one.layer].order if one.layer in layers else -1)
        for part in parts
        for name, one in part.trace.parameters.items()
        if part.stage.get(one.layer) == home.get(one.layer)
    }
    return dict(sorted(found.items(), key=lambda pair: pair[1].order if pair[1].order >= 0 else len(layers)))
