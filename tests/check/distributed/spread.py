"""Runs on every rank: nets are checked alone and spread over the ranks, and what both checks say is compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

from gradcheck_health import Report, Trace, check_gradients
from tests.check.distributed import nets

SAME = ("leaves", "twins", "gaps", "repeats", "custom_functions", "starved", "flow_note", "objective", "activations")
SAME_OF_EACH = ("shape", "trainable", "order", "role", "uses", "aliases", "calls", "kind")


def fsdp(model: nn.Module) -> nn.Module:
    for module in list(model.modules())[:0:-1]:
        if any(True for _ in module.parameters(recurse=False)):
            fully_shard(module)
    sharded: nn.Module = fully_shard(model)
    return sharded


def hsdp(model: nn.Module) -> nn.Module:
    """Copies of shards: the mesh has an axis for each."""
    mesh = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("copies", "shards"))
    sharded: nn.Module = fully_shard(model, mesh=mesh)
    return sharded


def tensor_parallel(model: nn.Module, mesh: DeviceMesh | None = None) -> nn.Module:
    """Linear layers by columns and by rows in turn, and those of a transformer's blocks by their place."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),)) if mesh is None else mesh
    plan: dict[str, Any] = {}
    if isinstance(model, nets.Transformer):
        for name, _ in model.named_modules():
            if (own := name.rpartition(".")[2]) in ("q", "k", "v", "up", "out", "down"):
                plan[name] = RowwiseParallel() if own in ("out", "down") else ColwiseParallel()
    else:
        linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
        for k, name in enumerate(linear[: len(linear) // 2 * 2]):
            plan[name] = RowwiseParallel() if k % 2 else ColwiseParallel()
    return parallelize_module(model, mesh, plan)


def inside(model: nn.Module) -> nn.Module:
    """DistributedDataParallel around parts of the model, and not around the whole."""
    for parent in [model, *(one for one in model.modules() if isinstance(one, nn.ModuleList))]:
        for name, part in list(parent.named_children()):
            if any(p.requires_grad for p in part.parameters()) and not isinstance(part, nn.ModuleList):
                parent._modules[name] = DistributedDataParallel(part)
    return model


def both(model: nn.Module) -> nn.Module:
    mesh = init_device_mesh("cpu", (2, dist.get_world_size() // 2), mesh_dim_names=("data", "tensor"))
    sharded: nn.Module = fully_shard(tensor_parallel(model, mesh["tensor"]), mesh=mesh["data"])
    return sharded


WAYS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "ddp": DistributedDataParallel, "fsdp": fsdp, "hsdp": hsdp, "tensor": tensor_parallel, "fsdp and tensor": both,
    "ddp inside": inside,
}  # fmt: skip


def compared(ways: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """`way name` -> the verdicts, and the differences of the traces, of the names of each way.

    A rank tells of every net the verdict; each net is checked alone by one rank, which tells the rest of it.
    """
    names = list(dict.fromkeys(name for own in ways.values() for name in own))
    mine = names[dist.get_rank() :: dist.get_world_size()]
    alone = {name: check_gradients(made(name), optimizer="sgd") for name in mine}
    found: dict[str, Any] = {}
    for way, name in [(one, name) for one in ways for name in ways[one]]:
        spread = check_gradients(WAYS[way](made(name)), optimizer="sgd")
        # that all ranks draw the same, as a note says, is this test's doing
        found[f"{way} {name}"] = told = {"verdict": [one for one in verdict(spread) if one[0] != "ranks-alike"]}
        if name in alone:
            told["alone"] = verdict(alone[name])
            told["differences"] = list(differences(alone[name].trace, spread.trace, partial="tensor" in way))
    return found


def verdict(report: Report) -> list[list[str]]:
    return sorted([finding.rule, str(finding.severity), *sorted(finding.names)] for finding in report.findings)


def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    net: nn.Module = {**nets.SOUND, **nets.SICK}[name]()
    return net


def differences(a: Trace, b: Trace, *, partial: bool = False) -> Iterator[str]:
    """What is not equal, or of numbers not within the rounding of float32 sums in another order.

    Args:
        partial: layers split by rows return summands, which nobody has added up when they are seen.
    """
    for table in ("parameters", "layers"):
        x, y = getattr(a, table), getattr(b, table)
        if list(x) != list(y):
            yield f"{table}: {list(x)} {list(y)}"
        for name in x.keys() & y.keys():
            for field in SAME_OF_EACH:
                if getattr(x[name], field, None) != getattr(y[name], field, None):
                    yield f"{name}.{field}: {getattr(x[name], field)} {getattr(y[name], field)}"
            for field in ("value", "gradient", "output", "output_gradient"):
                if not (partial and table == "layers" and getattr(y[name], field, None) is None):
                    yield from _statistics(f"{name}.{field}", getattr(x[name], field, None), getattr(y[name], field, None))
    if [(p.layer, p.op) for p in a.flow] != [(p.layer, p.op) for p in b.flow]:
        yield "the cut points of the flow"
    for p, q in zip(a.flow, b.flow, strict=False):
        if not _near(p.gradient, q.gradient) or not (_near(p.output, q.output) or (partial and q.output is None)):
            yield f"flow at {p.layer}: {p} {q}"
    for field in SAME:
        if getattr(a, field) != getattr(b, field):
            yield f"{field}: {getattr(a, field)} {getattr(b, field)}"


def _statistics(what: str, x: Any, y: Any) -> Iterator[str]:
    if x is None or y is None:
        if x is not y:
            yield f"{what}: {x} {y}"
        return
    for field in ("numel", "rms", "nan", "inf", "max"):
        if not _near(getattr(x, field), getattr(y, field)) and not (field == "max" and None in (x.max, y.max)):
            yield f"{what}.{field}: {getattr(x, field)} {getattr(y, field)}"


def _near(x: float | None, y: float | None) -> bool:
    if x is None or y is None:
        return x is y
    return math.isclose(x, y, rel_tol=1e-4, abs_tol=1e-7) or (math.isnan(x) and math.isnan(y))
