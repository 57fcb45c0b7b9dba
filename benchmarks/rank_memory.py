"""Check a model under FSDP2 whose parameters together are more than any of its ranks may allocate.

python -m benchmarks.rank_memory

Eight ranks on this machine, each with RLIMIT_DATA at nine tenths of the parameters beyond what it has before; 45 CPU seconds. Linux
only: that limit counts what is held there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from gradcheck_health import check_gradients
from gradcheck_health.model.memory import restrict
from gradcheck_health.settings.config import Config
from tests.check.distributed.spread import verdict
from tests.support.ranks import results

WIDTH = 768


def built(depth: int, width: int = WIDTH) -> nn.Module:
    """Sharded layer by layer while nothing of it is there, and filled on the shards."""
    with torch.device("meta"):
        layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
        model: nn.Module = nn.Sequential(*layers, nn.Linear(width, 4))
    for layer in model:  # type: ignore[attr-defined]
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    fully_shard(model)
    model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            nn.init.zeros_(parameter) if parameter.dim() == 1 else nn.init.normal_(parameter, std=(2 / width) ** 0.5)
    return model


def checked(depth: int, share: float) -> dict[str, Any]:
    """The verdict where a rank may allocate no more than this share of what all parameters hold, beside what it has before."""
    check_gradients(built(1, 16), torch.randn(4, 16), config=Config())  # what is allocated once
    size = 4 * sum(p.numel() for p in built(1).parameters()) * depth
    before = _allocated()
    limited = restrict(before + int(share * size))
    refused = False
    try:
        torch.empty(size, dtype=torch.uint8)
    except RuntimeError:
        refused = True
    report = check_gradients(built(depth), torch.randn(4, WIDTH), config=Config())
    parameters = sum(4 * one.value.numel for one in report.trace.parameters.values())
    return {
        "limited": limited, "refused": refused, "verdict": verdict(report), "parameters": parameters,
        "allowed": int(share * size),
    }  # fmt: skip


def _allocated() -> int:
    """Bytes that RLIMIT_DATA counts."""
    (found,) = re.findall(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(found)


AT_ONCE = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""What is freed goes back to the system at once, so that the limit counts what is held."""


def main() -> None:
    """Print what each rank was allowed, and the verdict."""
    for rank, told in enumerate(results("benchmarks.rank_memory:checked", size=8, env=AT_ONCE, depth=16, share=0.9)):
        assert told["limited"] and told["refused"], "no limit was in force"
        mib = {name: f"{told[name] / 2**20:.1f} MiB" for name in ("allowed", "parameters")}
        print(f"rank {rank}: parameters {mib['parameters']}, allowed {mib['allowed']}, findings {told['verdict']}")


if __name__ == "__main__":
    main()
