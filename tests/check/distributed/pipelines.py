"""Runs on every rank: pipelines are checked as a whole, and compared with the same net in one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe, ScheduleInterleaved1F1B

from gradcheck_health import UsageError, check_gradients
from tests.check.distributed import nets
from tests.check.distributed.spread import differences, verdict


class Staged(nets.Transformer):
    """A transformer of which a rank may lack some parts, as for a pipeline by hand."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__(depth)
        self.blocks: Any = nn.ModuleDict({str(k): block for k, block in enumerate(self.blocks)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x) if self.embed is not None else x
        for block in self.blocks.values():
            x = block(x)
        return x if self.head is None else self.head(self.norm(x))

    def part(self, place: int, count: int) -> nn.Module:
        blocks = list(self.blocks)
        mine = blocks[place * len(blocks) // count : (place + 1) * len(blocks) // count]
        self.blocks = nn.ModuleDict({name: block for name, block in self.blocks.items() if name in mine})
        if place:
            self.embed = None  # type: ignore[assignment]
        if place < count - 1:
            self.norm = self.head = None  # type: ignore[assignment]
        return self


class Detached(nn.Module):
    """Hands on its input without what made it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.detach()


def cut() -> nn.Module:
    net = list(nets.mlp(6).children())
    return nn.Sequential(*net[:9], Detached(), *net[9:])


def out_of_names() -> Any:
    """Each stage an `nn.Sequential` of its own, so that both have a `0.weight`; the second one dies."""
    torch.manual_seed(0)
    stage = nets.mlp(3) if dist.get_rank() else nn.Sequential(*list(nets.mlp(3).children())[:-1])
    if dist.get_rank():
        nn.init.constant_(stage[2].bias, -100.0)  # type: ignore[index,arg-type]
    return ScheduleGPipe(PipelineStage(stage, dist.get_rank(), 2, torch.device("cpu")), 2)


def found_in() -> dict[str, Any]:
    """What is said of a sick stage, of a pipeline that a factory builds, and of one without a batch."""
    x = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    zeros = torch.zeros(16, 4)
    report = check_gradients(out_of_names(), x, rounds=1)
    told: dict[str, Any] = {
        "sick": [[one.rule, list(one.names), [list(pair) for pair in one.details]] for one in report.findings],
        "names": list(report.trace.parameters),
        "factory": verdict(check_gradients(lambda: (schedule("mlp", "gpipe"), batch("mlp")), rounds=2)),
        "loss": check_gradients(schedule("mlp", "gpipe"), batch("mlp"), targets=zeros).trace.loss,
        "alone": check_gradients(whole("mlp"), batch("mlp"), targets=zeros, loss=nn.functional.mse_loss).trace.loss,
    }
    try:
        check_gradients(schedule("mlp", "gpipe"))
    except UsageError as error:
        told["no batch"] = str(error)
    return told


NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (nets.mlp, (16, 16)), "deep mlp": (lambda: nets.mlp(10), (16, 16)), "gelu": (lambda: nets.mlp(4, nn.GELU), (16, 16)),
    "convolutions": (nets.convolutions, (16, 3, 8, 8)), "batch norms": (nets.batch_norms, (16, 10)),
    "transformer": (Staged, (8, 6)), "vanishing": (nets.vanishing, (16, 16)), "exploding": (nets.large_weights, (16, 16)),
    "dead": (nets.dead, (16, 16)), "constant": (nets.constant, (16, 16)), "cut": (cut, (16, 16)),
}  # fmt: skip
SICK = ("vanishing", "exploding", "dead", "constant", "cut")


def whole(name: str) -> nn.Module:
    torch.manual_seed(1)
    return NETS[name][0]()


def part(net: nn.Module, place: int, count: int) -> nn.Module:
    """A stage with the names that its layers have in the whole."""
    if isinstance(net, Staged):
        return net.part(place, count)
    layers = list(net.named_children())
    mine = layers[place * len(layers) // count : (place + 1) * len(layers) // count]
    return nn.Sequential(OrderedDict(mine))


def batch(name: str) -> torch.Tensor:
    shape, generator = NETS[name][1], torch.Generator().manual_seed(0)
    return (
        torch.randint(0, 32, shape, generator=generator) if name == "transformer" else torch.randn(shape, generator=generator)
    )


def schedule(name: str, kind: str) -> Any:
    rank, size = dist.get_rank(), dist.get_world_size()
    places = [rank, rank + size] if kind == "interleaved" else [rank]
    count = len(places) * size
    stages = [PipelineStage(part(whole(name), place, count), place, count, torch.device("cpu")) for place in places]
    if kind == "interleaved":
        return ScheduleInterleaved1F1B(stages, 4, nn.functional.mse_loss)
    return {"gpipe": ScheduleGPipe, "1f1b": Schedule1F1B}[kind](stages[0], 4, nn.functional.mse_loss)


def compared(kinds: dict[str, list[str]]) -> dict[str, Any]:
    """`kind name` -> both verdicts, and the differences of the traces."""
    found = {}
    for kind, name in [(one, name) for one in kinds for name in kinds[one]]:
        report = check_gradients(schedule(name, kind), batch(name), optimizer="sgd")
        alone = check_gradients(whole(name), batch(name), optimizer="sgd")
        found[f"{kind} {name}"] = {
            "verdict": verdict(report),
            "alone": verdict(alone),
            "differences": list(differences(alone.trace, report.trace)),
        }
    return found
