"""How often does a verdict depend on the seed? Sound, borderline and sick models under many seeds.

    python benchmarks/verdicts.py [--seeds 200] [--out benchmarks/results/verdicts.json] [name ...]

A factory is built anew under each seed; a fixed model (built once, seed 0) gets other batches and projections. A verdict is the set
of rules that report an error. Its flip rate is the share of seeds whose verdict differs from the most frequent one.
"""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from gradcheck_health import Severity, check_gradients


def chain(depth: int, width: int, activation: Callable[[], nn.Module], gain: float | None = None) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(width, width)
        if gain is not None:
            nn.init.normal_(linear.weight, std=gain / math.sqrt(width))
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def normed(depth: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    blocks = [layer for _ in range(depth) for layer in (nn.Linear(32, 32), norm(32), nn.ReLU())]
    return nn.Sequential(*blocks, nn.Linear(32, 4))


def convolutions() -> nn.Module:
    body = [
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
    ]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def transformer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
    return nn.Sequential(nn.Linear(8, 32), nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), nn.Linear(32, 4))


def sequence() -> torch.Tensor:
    return torch.zeros(32, 6, 8)


HE = math.sqrt(2)
MODELS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "He ReLU, 10 x 64": ("sound", lambda: chain(10, 64, nn.ReLU, HE)),
    "He ReLU, 50 x 32": ("sound", lambda: chain(50, 32, nn.ReLU, HE)),
    "He ReLU, 12 x 8": ("sound", lambda: chain(12, 8, nn.ReLU, HE)),
    "default ReLU, 6 x 32": ("sound", lambda: chain(6, 32, nn.ReLU)),
    "Xavier tanh, 20 x 32": ("sound", lambda: chain(20, 32, nn.Tanh, 1.0)),
    "LayerNorm ReLU, 12 x 32": ("sound", lambda: normed(12, nn.LayerNorm)),
    "BatchNorm ReLU, 20 x 32": ("sound", lambda: normed(20, nn.BatchNorm1d)),
    "BatchNorm convolutions": ("sound", convolutions),
    "pre-norm transformer, 3": ("sound", transformer),
    "default ReLU, 9 x 32": ("borderline", lambda: chain(9, 32, nn.ReLU)),
    "default ReLU, 10 x 32": ("borderline", lambda: chain(10, 32, nn.ReLU)),
    "default ReLU, 12 x 32": ("borderline", lambda: chain(12, 32, nn.ReLU)),
    "Xavier sigmoid, 7 x 32": ("borderline", lambda: chain(7, 32, nn.Sigmoid, 1.0)),
    "tanh of gain 0.5, 14 x 32": ("borderline", lambda: chain(14, 32, nn.Tanh, 0.5)),
    "ReLU of gain 3, 12 x 32": ("borderline", lambda: chain(12, 32, nn.ReLU, 3.0)),
    "Xavier sigmoid, 12 x 32": ("sick", lambda: chain(12, 32, nn.Sigmoid, 1.0)),
    "default ReLU, 30 x 32": ("sick", lambda: chain(30, 32, nn.ReLU)),
    "ReLU of gain 6, 12 x 32": ("sick", lambda: chain(12, 32, nn.ReLU, 6.0)),
}


def shape_of(name: str) -> dict[str, str]:
    if "convolutions" in name:
        return {"input": "f32[B,3,8,8]"}
    return {"input": "f32[B,6,8]"} if "transformer" in name else {}


def verdicts(name: str, build: Callable[[], nn.Module], seeds: int, fixed: bool) -> dict[str, object]:
    """Counts of the verdicts, their flip rate, the mean number of rounds, and how many seeds gave a warning."""
    torch.manual_seed(0)
    model: nn.Module | Callable[[], nn.Module] = build() if fixed else build
    counts: Counter[str] = Counter()
    rounds = warned = 0
    for seed in range(seeds):
        report = check_gradients(model, shape_of(name) or None, seed=seed)
        counts[", ".join(sorted({f.rule for f in report.findings if f.severity is Severity.ERROR})) or "sound"] += 1
        warned += any(f.severity is Severity.WARNING for f in report.findings)
        rounds += report.rounds
    common = counts.most_common(1)[0][1]
    return {
        "verdicts": dict(counts.most_common()),
        "flips": round(1 - common / seeds, 4),
        "rounds": round(rounds / seeds, 2),
        "warned": warned,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="of the models; all where none is given")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "verdicts.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    document: dict[str, object] = {
        "command": f"python benchmarks/verdicts.py --seeds {options.seeds}",
        "torch": torch.__version__.partition("+")[0],
        "seeds": options.seeds,
    }
    rows = []
    for fixed in (False, True):
        for name in options.names or MODELS:
            label, build = MODELS[name]
            found = verdicts(name, build, options.seeds, fixed)
            rows.append({"model": name, "label": label, "given": "fixed model" if fixed else "factory", **found})
            print(rows[-1], flush=True)
            options.out.write_text(json.dumps({**document, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
