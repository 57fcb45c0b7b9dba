"""Tensor parallelism: an activation may lie in parts on several ranks; what was measured of the parts is put together."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from torch import nn

from gradcheck_health.model.distributed.shards import fsdp_groups
from gradcheck_health.probe.statistics.over_ranks import Row, gathered, merged, spread_over, stats_of, stats_row
from gradcheck_health.records.measurements import ActivationTrace, CutPoint, LayerTrace
from gradcheck_health.records.trace import Trace

_SAME = 1e-9
"""Relative difference up to which ranks have copies of one tensor: parts of one are not so alike by chance."""


def tensor_parallel_groups(model: nn.Module) -> list[Any]:
    """The groups along which parameters are split and batches are not; known by their ranks, since meshes name them anew."""
    found = {_ranks(group): group for parameter in model.parameters() for _, group in spread_over(parameter)}
    shards = {_ranks(group) for one in fsdp_groups(model) for group in _data_groups(one)} if found else set()
    return [group for ranks, group in found.items() if ranks not in shards]


def _ranks(group: Any) -> tuple[int, ...]:
    import torch.distributed as dist

    return tuple(dist.get_process_group_ranks(group))


def _data_groups(group: Any) -> list[Any]:
    """The process groups over which `fully_shard` spreads batches."""
    found = [getattr(group.mesh_info, name, None) for name in ("shard_process_group", "replicate_process_group")]
    return [one for one in found if one is not None]


def of_whole_activations(trace: Trace, groups: Sequence[Any]) -> Trace:
    """The trace with layers, cut points and activations as of one process; one collective operation for each group."""
    for group in groups:
        layers, points, units = list(trace.layers.values()), trace.flow, trace.activations
        rows: list[Row] = [row for layer in layers for row in (stats_row(layer.output), stats_row(layer.output_gradient))]
        rows += [(point.gradient, -1.0 if point.output is None else point.output, 0.0, 0.0, 0.0) for point in points]
        rows += [(one.units, one.off, one.saturated, one.on, one.lean) for one in units]
        told = iter(zip(*gathered(rows, group), strict=True))
        trace = dataclasses.replace(
            trace,
            layers={layer.name: _layer(layer, next(told), next(told)) for layer in layers},
            flow=tuple(_point(point, next(told)) for point in points),
            activations=tuple(_units(trace, one, next(told)) for one in units),
        )
    return trace


def _layer(layer: LayerTrace, outputs: Sequence[Row], gradients: Sequence[Row]) -> LayerTrace:
    return dataclasses.replace(layer, output=stats_of(_whole(outputs)), output_gradient=stats_of(_whole(gradients)))


def _whole(rows: Sequence[Row]) -> Row:
    return rows[0] if _copies(rows) else merged(rows)


def _copies(rows: Sequence[Row]) -> bool:
    first = rows[0]
    return all(math.isclose(x, y, rel_tol=_SAME) or x != x for row in rows[1:] for x, y in zip(first[:3], row[:3], strict=True))


def _point(point: CutPoint, rows: Sequence[Row]) -> CutPoint:
    if _copies(rows):
        return point
    output = None if point.output is None else math.sqrt(sum(row[1] ** 2 for row in rows) / len(rows))
    return dataclasses.replace(point, gradient=math.hypot(*(row[0] for row in rows)), output=output)


def _units(trace: Trace, one: ActivationTrace, rows: Sequence[Row]) -> ActivationTrace:
    """The units of all ranks together, where each rank has as many as its part of the layer that they come from."""
    weight = trace.parameters.get(f"{one.producer}.weight")
    whole = None if weight is None or not weight.shape else weight.shape[0]
    units, off, saturated, on = (int(sum(row[i] for row in rows)) for i in range(4))
    return dataclasses.replace(one, units=units, off=off, saturated=saturated, on=on) if units == whole else one
