"""What a check costs, in multiples of a bare forward + backward of the same model on the same batch.

    python benchmarks/probe.py [--repeats 9] [name ...]

Bare step, probe and whole call run in turn, again and again, and each ratio is taken within a turn: a machine whose speed drifts
changes all three alike. Printed are the medians. The whole call has its inputs given, so that no batch has to be made up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from gradcheck_health import check_gradients
from gradcheck_health.batch import Inputs
from gradcheck_health.probe import Subject, probe, sandbox
from gradcheck_health.probe.objective import objective
from gradcheck_health.probe.passes import backward, call


def mlp(width: int, depth: int, rows: int) -> tuple[nn.Module, torch.Tensor]:
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(*layers, nn.Linear(width, 10)), torch.randn(rows, width)


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.branch(x))


def resnet() -> tuple[nn.Module, torch.Tensor]:
    """ResNet of 17 convolutions on 32 x 32 images."""
    stem = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    blocks = [Residual(64) for _ in range(8)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)), torch.randn(16, 3, 32, 32)


class Transformer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


def gpt() -> tuple[nn.Module, torch.Tensor]:
    """GPT of 6 blocks, 256 wide, 8 sequences of 128 tokens."""
    blocks = [Transformer(256, 8) for _ in range(6)]
    model = nn.Sequential(nn.Embedding(5000, 256), *blocks, nn.LayerNorm(256), nn.Linear(256, 5000))
    return model, torch.randint(0, 5000, (8, 128))


CASES: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "mlp, 1 ms": lambda: mlp(128, 4, 64),
    "mlp, 200 ms": lambda: mlp(2048, 6, 512),
    "resnet": resnet,
    "gpt": gpt,
}


def forward_backward(subject: Subject) -> None:
    """The bare step: afterwards the parameters hold their gradients."""
    for parameter in subject.model.parameters():
        parameter.grad = None
    output = call(subject.model, subject.inputs, subject.seed)
    backward(objective(output, loss=subject.loss, batch=subject.inputs.batch, seed=subject.seed), subject.model)


def measure(model: nn.Module, x: torch.Tensor, repeats: int) -> tuple[float, float, float, float]:
    """Median bare step in milliseconds, probe / bare, whole call / bare, and what the whole call adds in milliseconds."""
    subject = Subject(model, Inputs((x,), batch=len(x)))

    def whole() -> None:
        assert check_gradients(model, x).ok

    def one(run: Callable[[], object]) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    rows = []
    with sandbox(model):
        for turn in range(repeats + 2):
            times = (one(lambda: forward_backward(subject)), one(lambda: probe(subject)), one(whole))
            if turn >= 2:
                rows.append(times)
    bare = statistics.median(row[0] for row in rows)
    ratios = [statistics.median(row[k] / row[0] for row in rows) for k in (1, 2)]
    return bare * 1e3, *ratios, statistics.median(row[2] - row[0] for row in rows) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(CASES)}")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(f"{'model':14} {'bare ms':>9} {'probe/bare':>11} {'whole/bare':>11} {'whole adds ms':>14}")
    for name in options.names or CASES:
        torch.manual_seed(0)
        model, x = CASES[name]()
        bare, probed, whole, added = measure(model, x, options.repeats)
        print(f"{name:14} {bare:9.2f} {probed:11.2f} {whole:11.2f} {added:14.2f}", flush=True)


if __name__ == "__main__":
    main()
