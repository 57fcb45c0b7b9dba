"""Does the measure of vanishing-gradient tell plain nets that train from those that do not?

    python -m benchmarks.borderline [--draws 5] [--out benchmarks/results/borderline.json]

Plain nets of several depths, gains and activations. The label is an experiment that knows nothing of the package: does SGD with
momentum halve the loss of a teacher's regression within 400 steps, at the best of four learning rates? The score is the rule's
own: the largest of the ratio at the given weights, at the kicked point and after three steps. Both are taken of several
initialisations of every net: one net's label is what most of them do and its score their mean on a log scale, which is what the
rule judges in a factory. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject, probe, take
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.rules.analysis import flow

WIDTH, ROWS, STEPS = 32, 256, 400
RATES = (0.3, 0.1, 0.03, 0.01)
ACTIVATIONS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "relu": (nn.ReLU, math.sqrt(2)),
    "tanh": (nn.Tanh, 1.0),
    "linear": (nn.Identity, 1.0),
}
"""Module, and the gain at which the norm of the gradient is kept."""
SIGMOID_GAINS = (1.0, 2.0, 3.0)
DEPTHS = (4, 8, 12, 16, 24)
SHARES = (0.4, 0.55, 0.7, 0.8, 0.9, 1.0)
"""Gains, as shares of the one that keeps the norm."""


def build(activation: Callable[[], nn.Module], depth: int, gain: float, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for _ in range(depth):
        linear = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(linear.weight, std=gain / math.sqrt(WIDTH))
        nn.init.zeros_(linear.bias)
        layers += [linear, activation()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 1))


def task() -> tuple[torch.Tensor, torch.Tensor]:
    """A teacher of two layers, its output standardised: a constant predictor's loss is 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, WIDTH, generator=generator)
    hidden = torch.tanh(x @ torch.randn(WIDTH, WIDTH, generator=generator) / math.sqrt(WIDTH))
    y = hidden @ torch.randn(WIDTH, 1, generator=generator)
    return x, (y - y.mean()) / y.std()


def trains(model: nn.Sequential) -> bool:
    x, y = task()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        return any(_falls(model, start, x, y, rate) for rate in RATES)
    finally:
        model.load_state_dict(start)


def _falls(model: nn.Module, start: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor, rate: float) -> bool:
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(STEPS):
        loss = nn.functional.mse_loss(model(x), y)
        if not math.isfinite(loss.item()):
            return False
        if loss.item() < 0.5:
            return True
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return False


def score(model: nn.Module) -> float:
    """log10 of the largest of the three ratios."""

    def drawn(seed: int) -> Inputs:
        x = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(seed))
        return Inputs((x,), batch=64, resample=drawn)

    subject = Subject(model, drawn(0))
    with sandbox(model):
        trace = probe(subject)
    ratios = [
        flow.ratio(trace),
        flow.ratio(take("kicked", subject, trace)[0]),
        flow.ratio(take("after_steps", subject, trace)[3]),
    ]
    return flow.log10(max(value for value in ratios if value is not None))


Row = dict[str, Any]


def auc(pairs: list[tuple[float, bool]]) -> float | None:
    """Share of pairs (one that trains, one that does not) which the score puts in the right order; of (score, trains)."""
    good = [score for score, trains in pairs if trains]
    bad = [score for score, trains in pairs if not trains]
    if not good or not bad:
        return None
    return round(sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / (len(good) * len(bad)), 4)


def cases() -> list[tuple[str, Callable[[], nn.Module], int, float]]:
    found = [
        (name, activation, depth, share * gain)
        for (name, (activation, gain)), depth, share in itertools.product(ACTIVATIONS.items(), DEPTHS, SHARES)
    ]
    found += [("sigmoid", nn.Sigmoid, depth, gain) for depth, gain in itertools.product((2, 3, 4, 6, 8), SIGMOID_GAINS)]
    random.Random(0).shuffle(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5, help="initialisations of each net")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results" / "borderline.json")
    options = parser.parse_args()
    rows: list[Row] = json.loads(options.out.read_text())["rows"] if options.out.exists() else []
    for index, (name, activation, depth, gain) in enumerate(cases()):
        if index < len(rows):
            continue
        row: Row = {"activation": name, "depth": depth, "gain": round(gain, 3), "scores": [], "train": []}
        for draw in range(options.draws):
            model = build(activation, depth, gain, seed=index + 1000 * draw)
            row["scores"].append(round(score(model), 2))
            row["train"].append(trains(model))
        row["score"] = round(sum(row["scores"]) / options.draws, 2)
        row["trains"] = 2 * sum(row["train"]) > options.draws
        rows.append(row)
        print(row, flush=True)
        options.out.write_text(json.dumps(summary(rows, options.draws), indent=1) + "\n")


def summary(rows: list[Row], draws: int) -> Row:
    """What the page shows: also of a sweep that is still running, because the cases come in random order."""
    nets = [(row["score"], row["trains"]) for row in rows]
    single = [pair for row in rows for pair in zip(row["scores"], row["train"], strict=True)]
    first = [(row["scores"][0], row["train"][0]) for row in rows]
    return {
        "command": f"python -m benchmarks.borderline --draws {draws}",
        "torch": torch.__version__.partition("+")[0],
        "steps": STEPS,
        "draws": draws,
        "of": len(cases()),
        "rates": RATES,
        "auc": auc(nets),
        "auc_of_single_draws": auc(single),
        "auc_of_the_first_draw": auc(first),
        "divided": sum(0 < sum(row["train"]) < draws for row in rows),
        "highest_failing": max((value for value, trains in nets if not trains), default=None),
        "lowest_training": min((value for value, trains in nets if trains), default=None),
        "rows": rows,
    }


if __name__ == "__main__":
    main()
