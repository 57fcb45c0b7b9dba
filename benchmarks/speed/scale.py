"""Very many modules, very many tensors, and how the cost grows with depth, width and batch."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.clock import median_ms, ratio, turns
from benchmarks.speed.ratios import step, subject_of
from benchmarks.speed.sound import mlp
from gradcheck_health import check_gradients
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import probe

Row = dict[str, Any]


class Scales(nn.Module):
    """Very many small parameters: x times each, in groups of a thousand."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.scales = nn.ParameterList(nn.Parameter(torch.randn(8)) for _ in range(count))
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        scales = torch.stack(list(self.scales))
        return self.head(x * torch.tanh(scales).mean(0) * math.sqrt(len(scales)))


class Block(nn.Module):
    """Three modules: the block, a normalisation and a linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.linear(torch.relu(self.norm(x)))


def blocks(count: int, width: int = 64) -> nn.Module:
    return nn.Sequential(*(Block(width) for _ in range(count)), nn.LayerNorm(width), nn.Linear(width, 4))


def many(turns_each: int) -> list[Row]:
    """Whole call over bare step, and how it grows from a tenth of the size."""
    cases = {
        "1000 modules": (lambda size: blocks(size // 3, 256), 256, 256, 1000),
        "100 000 parameter tensors": (Scales, 8, 32, 100_000),
    }
    rows = []
    for name, (build, width, samples, size) in cases.items():
        seconds = {}
        for part in (size // 10, size):
            torch.manual_seed(0)
            model, x = build(part), torch.randn(samples, width)
            subject = subject_of(model, x)
            with sandbox(model):
                runs = {"bare": lambda s=subject: step(s), "probe": lambda s=subject: probe(s)}
                timed = turns(
                    {**runs, "whole": lambda m=model, x=x: check_gradients(m, x)}, turns_each, warm=1 if part < size else 0
                )
            seconds[part] = median_ms(timed, "whole")
        exponent = math.log10(seconds[size] / seconds[size // 10])
        row = {"model": name, "bare_ms": median_ms(timed, "bare"), "probe": ratio(timed, "probe")}
        rows.append({**row, "whole": ratio(timed, "whole"), "exponent": exponent})
        print(rows[-1], flush=True)
    return rows


def growth(turns_each: int) -> list[Row]:
    """Exponents of the bare step and of what the whole call adds to it, fitted over four sizes: log time against log size."""
    axes = {
        "depth": ([4, 8, 16, 32], lambda n: (blocks(n, 128), torch.randn(64, 128))),
        "width": ([128, 256, 512, 1024], lambda n: mlp(n, 4, 64)),
        "batch": ([32, 64, 128, 256], lambda n: mlp(256, 4, n)),
    }
    rows = []
    for axis, (sizes, build) in axes.items():
        points = []
        for size in sizes:
            torch.manual_seed(0)
            model, x = build(size)
            subject = subject_of(model, x)
            with sandbox(model):
                runs = {"bare": lambda s=subject: step(s), "whole": lambda m=model, x=x: check_gradients(m, x)}
                timed = turns(runs, turns_each)
            points.append((size, median_ms(timed, "bare"), median_ms(timed, "whole")))
        bare = slope([(size, b) for size, b, _ in points])
        rows.append({"axis": axis, "sizes": sizes, "bare": bare, "whole": slope([(size, w) for size, _, w in points])})
        print(rows[-1], flush=True)
    return rows


def slope(points: list[tuple[int, float]]) -> float:
    """Least squares on logarithms."""
    xs, ys = [math.log(x) for x, _ in points], [math.log(y) for _, y in points]
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True)) / sum((x - x0) ** 2 for x in xs)
