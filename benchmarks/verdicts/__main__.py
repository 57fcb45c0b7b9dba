"""How often does a verdict depend on the seed? Sound, borderline and sick models under many seeds.

    python -m benchmarks.verdicts [--seeds 200] [--out benchmarks/results/verdicts.json] [name ...]

A factory is built anew under each seed; a fixed model (built once, seed 0) gets other batches and projections. A verdict is the set
of rules that report an error. Its flip rate is the share of seeds whose verdict differs from the most frequent one. A run that was
stopped goes on where it was; rows of an older version have to be deleted first.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


Row = dict[str, Any]
ORDER = ("sound", "borderline", "sick")
CHUNK = 25
"""Seeds after which the file is written and another model has its turn."""
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


def verdicts(name: str, build: Callable[[], nn.Module], seeds: int, fixed: bool, row: Row) -> Iterator[Row]:
    """The row after each further seed: counts of the verdicts, their flip rate, the mean number of rounds, warnings."""
    torch.manual_seed(0)
    model: nn.Module | Callable[[], nn.Module] = build() if fixed else build
    counts: Counter[str] = Counter(row.get("verdicts", {}))
    done, warned = sum(counts.values()), row.get("warned", 0)
    rounds = round(row.get("rounds", 0.0) * done)
    for seed in range(done, seeds):
        report = check_gradients(model, shape_of(name) or None, seed=seed)
        counts[", ".join(sorted({f.rule for f in report.findings if f.severity is Severity.ERROR})) or "sound"] += 1
        warned += any(f.severity is Severity.WARNING for f in report.findings)
        rounds += report.rounds
        yield {
            "verdicts": dict(counts.most_common()),
            "flips": round(1 - counts.most_common(1)[0][1] / (seed + 1), 4),
            "rounds": rounds / (seed + 1),
            "warned": warned,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help="of the models; all where none is given")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "verdicts.json")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    before = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    rows: dict[tuple[str, str], Row] = {(row["model"], row["given"]): row for row in before}
    names = options.names or MODELS
    turns = range(CHUNK, options.seeds + CHUNK, CHUNK)  # all models get some seeds before one gets all
    order = sorted(itertools.product(names, (False, True)), key=lambda pair: ORDER.index(MODELS[pair[0]][0]))
    for upto, (name, fixed) in itertools.product(turns, order):
        (label, build), given = MODELS[name], "fixed model" if fixed else "factory"
        for found in verdicts(name, build, min(upto, options.seeds), fixed, rows.get((name, given), {})):
            rows[name, given] = {"model": name, "label": label, "given": given} | found
        save(options.out, options.seeds, rows)
        print(rows[name, given], flush=True)


def save(out: Path, seeds: int, rows: dict[tuple[str, str], Row]) -> None:
    ordered = [rows[name, given] for given in ("factory", "fixed model") for name in MODELS if (name, given) in rows]
    document = {
        "command": f"python -m benchmarks.verdicts --seeds {seeds}",
        "torch": torch.__version__.partition("+")[0],
        "seeds": seeds,
        "rows": ordered,
    }
    out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
