"""Set-ups of several processes: what only distribution breaks, and sound ones that look like it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.nn.parallel import DistributedDataParallel as Ddp

from gradcheck_health import Report, check_gradients
from gradcheck_health.model.distributed.ranks import in_step
from tests.check.distributed.nets import Residual, Transformer, Unused, batch_norms, convolutions, dropout, mlp
from tests.check.distributed.spread import fsdp, verdict


class Branch(nn.Module):
    """Ranks from `first` on go around the middle."""

    def __init__(self, first: int = 1) -> None:
        super().__init__()
        self.enter, self.middle, self.leave, self.first = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4), first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.enter(x))
        return self.leave(torch.relu(self.middle(h)) if dist.get_rank() < self.first else h)


class Table(nn.Module):
    """A fixed random table, which no seed makes equal."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(8, 16), nn.Linear(16, 4)
        self.register_buffer("table", torch.randn(16, generator=torch.Generator().manual_seed(seed)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.layer(x) + self.table))


def hooked(make: Callable[[], nn.Module], hook: Callable[..., Any]) -> nn.Module:
    model = Ddp(make())
    model.register_comm_hook(None, hook)  # type: ignore[arg-type]
    return model


def reduce_by(scale: float) -> Callable[..., Any]:
    def hook(state, bucket):
        work = dist.all_reduce(bucket.buffer(), async_op=True)
        return work.get_future().then(lambda done: done.value()[0] * scale)

    return hook


def keep(state, bucket):
    """Hands back the rank's own."""
    future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def changed(model: nn.Module, change: Callable[[nn.Module], Any], rank: int = 1) -> nn.Module:
    if dist.get_rank() == rank:
        with torch.no_grad():
            change(model)
    return model


def drawn_again(model: nn.Module) -> None:
    nn.init.normal_(model.module[0].weight)  # type: ignore[index,arg-type]


def loaded(model: nn.Module) -> None:
    model.module.load_state_dict(Residual().state_dict())  # type: ignore[operator]


def statistics(model: nn.Module) -> None:
    model.module[1].running_mean.add_(0.3)  # type: ignore[index,union-attr]


def of_rank(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(dist.get_rank())
    return make()


_LEFT_ON = contextlib.ExitStack()


def left_no_sync() -> nn.Module:
    model = Ddp(mlp())
    _LEFT_ON.enter_context(model.no_sync())
    return model


def no_gradient_sync() -> nn.Module:
    model: Any = fsdp(mlp())
    model.set_requires_gradient_sync(False)
    return model


def divided(factor: float) -> nn.Module:
    model: Any = fsdp(mlp())
    for module in model.modules():
        if hasattr(module, "set_gradient_divide_factor"):
            module.set_gradient_divide_factor(factor)
            module.set_force_sum_reduction_for_comms(True)  # gloo knows no other
    return model


def bfloat16() -> nn.Module:
    model = Transformer(depth=1)
    sharded: nn.Module = fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    return sharded


def seeded(make: Callable[[], nn.Module], seed: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    model = make()
    torch.manual_seed(7 if seed is None else seed + dist.get_rank())
    return model


SICK: dict[str, tuple[str, Callable[[], Any]]] = {
    "weights of rank 1 drawn again": ("ranks-disagree", lambda: changed(Ddp(mlp()), drawn_again)),
    "weights of rank 1 shifted": ("ranks-disagree", lambda: changed(Ddp(mlp()), lambda m: m.module[2].weight.add_(1e-2))),
    "checkpoint on rank 0 only": ("ranks-disagree", lambda: changed(Ddp(Residual()), loaded, 0)),
    "bias of rank 0": ("ranks-disagree", lambda: changed(Ddp(mlp()), lambda m: m.module[0].bias.fill_(0.5), 0)),
    "replicas of other seeds": ("ranks-disagree", lambda: of_rank(mlp)),
    "transformers of other seeds": ("ranks-disagree", lambda: of_rank(Transformer)),
    "half trained": ("ranks-disagree", lambda: changed(Ddp(batch_norms()), lambda m: m.module[3].weight.mul_(1.1))),
    "table of other seeds": ("ranks-disagree", lambda: Ddp(Table(dist.get_rank()), init_sync=False)),
    "table of other seeds, sharded": ("ranks-disagree", lambda: changed(fsdp(Table(0)), lambda m: m.table.mul_(2))),
    "no_sync left on": ("ranks-disagree", left_no_sync),
    "no gradient sync in fully_shard": ("ranks-disagree", no_gradient_sync),
    "hook that keeps its own": ("ranks-disagree", lambda: hooked(mlp, keep)),
    "hook that keeps its own, convolutions": ("ranks-disagree", lambda: hooked(convolutions, keep)),
    "hook that adds": ("rank-scaled-gradient", lambda: hooked(mlp, reduce_by(1.0))),
    "hook that divides twice": ("rank-scaled-gradient", lambda: hooked(mlp, reduce_by(1 / dist.get_world_size() ** 2))),
    "hook that divides by 8": ("rank-scaled-gradient", lambda: hooked(Residual, reduce_by(1 / 8))),
    "hook that adds, residual": ("rank-scaled-gradient", lambda: hooked(Residual, reduce_by(1.0))),
    "divide factor 1": ("rank-scaled-gradient", lambda: divided(1.0)),
    "divide factor squared": ("rank-scaled-gradient", lambda: divided(float(dist.get_world_size() ** 2))),
    "branch of rank 0": ("uneven-gradient", lambda: Ddp(Branch())),
    "branch of rank 0, small buckets": ("uneven-gradient", lambda: Ddp(Branch(), bucket_cap_mb=0.0001)),
    "parameter that no rank uses": ("missing-gradient", lambda: Ddp(Unused())),
    "one batch for all": ("ranks-alike", lambda: (Ddp(mlp()), torch.randn(32, 16, generator=torch.Generator().manual_seed(3)))),
    "one seed for all": ("ranks-alike", lambda: seeded(lambda: Ddp(dropout()))),
}  # fmt: skip
SOUND: dict[str, Callable[[], Any]] = {
    "ddp": lambda: Ddp(mlp()),
    "ddp of other seeds": lambda: Ddp(of_rank(mlp)),  # the wrapper makes them equal
    "ddp residual": lambda: Ddp(Residual()),
    "ddp transformer": lambda: Ddp(Transformer()),
    "ddp convolutions": lambda: Ddp(convolutions()),
    "ddp batch norms": lambda: Ddp(batch_norms()),
    "ddp batch norms of each rank": lambda: changed(Ddp(batch_norms(), forward_sync_buffers=False), statistics),
    "ddp unused found": lambda: Ddp(Branch(), find_unused_parameters=True),
    "ddp bucket views": lambda: Ddp(mlp(), gradient_as_bucket_view=True),
    "ddp small buckets": lambda: Ddp(mlp(), bucket_cap_mb=0.001),
    "ddp static graph": lambda: Ddp(mlp(), static_graph=True),
    "ddp hook of torch": lambda: hooked(mlp, default_hooks.allreduce_hook),
    "ddp hook in half precision": lambda: hooked(Residual, default_hooks.fp16_compress_hook),
    "ddp own hook that averages": lambda: hooked(mlp, reduce_by(1 / dist.get_world_size())),
    "ddp frozen part": lambda: Ddp(frozen()),
    "ddp seeds of each rank": lambda: seeded(lambda: Ddp(dropout()), seed=1),
    "ddp a batch for each": lambda: (Ddp(mlp()), torch.randn(32, 16, generator=torch.Generator().manual_seed(dist.get_rank()))),
    "replicas": lambda: seeded(mlp),
    "fully_shard": lambda: fsdp(mlp()),
    "fully_shard transformer": lambda: fsdp(Transformer()),
    "fully_shard of one group": lambda: fully_shard(Residual()),
    "fully_shard in bfloat16": bfloat16,
    "fully_shard keeps them whole": lambda: fully_shard(Residual(), reshard_after_forward=False),
    "fully_shard convolutions": lambda: fsdp(convolutions()),
    "fully_shard frozen part": lambda: fsdp(frozen()),
}  # fmt: skip


def frozen() -> nn.Module:
    model = mlp(4)
    model[0].requires_grad_(False)  # type: ignore[index]
    return model


def verdicts() -> dict[str, Any]:
    """Per set-up (rule, severity, names...) of the findings, or the error."""
    found: dict[str, Any] = {}
    for name, made in {**SICK, **SOUND}.items():
        torch.manual_seed(0)
        setup = made[1] if isinstance(made, tuple) else made
        handed = setup()
        model, *inputs = handed if isinstance(handed, tuple) else (handed,)
        with together():
            report: Report = check_gradients(model, *inputs, optimizer="sgd")
        found[name] = {
            "verdict": verdict(report),
            "texts": [[f.rule, f.message, *map(str, f.details)] for f in report.findings],
        }
    return found


@contextlib.contextmanager
def together() -> Iterator[None]:
    """As the command line does it: also plain modules are checked by all ranks."""
    with in_step(60.0):
        yield
