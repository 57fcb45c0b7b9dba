"""Usual optimizers on every sound model, and the cost of a step: `python -m benchmarks.steps [--part I/N] [--cost]`.

Each sound model of the zoo takes its steps with each optimizer, in float32 and under autocast to bfloat16. What is louder than a
note is printed, with what it says. The loss is that of its declared settings, or the squared error to random targets of size
one, -log p where the output is probabilities, or the model's own. `--cost` prints the CPU time that a step adds to a check
over that of a bare one instead.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from gradcheck_health import GradhealthError, Report, Severity, Training, check_gradients
from gradcheck_health.check.prepare import prepared
from gradcheck_health.model.nest import leaves
from gradcheck_health.probe import probe
from gradcheck_health.settings.resolution import load
from tests.zoo.entry import Sound
from tests.zoo.sound import SOUND

RULES = ("unoptimized-parameter", "ineffective-step", "nonfinite-update", "huge-update", "tiny-update")
LOSSES = ("broadcast-loss", "misread-loss", "dead-loss-term")
OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD 0.1": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "SGD 0.01": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "Adam": partial(torch.optim.Adam, lr=1e-3),
    "AdamW": partial(torch.optim.AdamW, lr=3e-4),
    "Adafactor": torch.optim.Adafactor,
    "LBFGS": torch.optim.LBFGS,
}


def usual(output: Any) -> torch.Tensor:
    """Of the first output with a gradient: the squared error to random targets of size one; of probabilities, -log p of a class."""
    y = next(leaf.tensor for leaf in leaves(output) if leaf.differentiable).float()
    generator = torch.Generator().manual_seed(7)
    for rows in (y, y.flatten(1)) if y.dim() > 1 else ():
        if rows.shape[-1] > 1 and rows.min() >= 0 and torch.allclose(rows.sum(-1), torch.ones(()), atol=1e-2):
            target = torch.randint(rows.shape[-1], rows.shape[:-1], generator=generator)
            return -rows.gather(-1, target[..., None]).clamp_min(1e-30).log().mean()
    return (y - torch.randn(y.shape, generator=generator)).square().mean()


def checked(entry: Sound, optimizer: Callable[..., Any], autocast: str | None) -> Report:
    """With the usual loss, or where that does not fit its output with the model's own."""
    settings = {**entry.settings, "select": [*RULES, *LOSSES], "optimizer": optimizer, "autocast": autocast, "seed": 0}
    try:
        return check_gradients(*entry.build(), **{"loss": usual, **settings})
    except (GradhealthError, StopIteration):
        return check_gradients(*entry.build(), **settings)


def alarms(part: int, parts: int) -> None:
    count = loud = 0
    skipped: dict[str, int] = {}
    for entry in SOUND[part::parts]:
        for precision in (None, "bfloat16"):
            for name, optimizer in OPTIMIZERS.items():
                try:
                    report = checked(entry, optimizer, precision)
                except GradhealthError:  # no complex numbers in Adafactor, no index_put under autocast
                    skipped[entry.name] = skipped.get(entry.name, 0) + 1
                    continue
                found = [one for one in report.findings if one.severity is not Severity.NOTE]
                count, loud = count + 1, loud + bool(found)
                for one in found:
                    print(
                        f"{entry.name}, {name}, {precision or 'float32'}: {one.severity} {one.rule}: {one.message}", flush=True
                    )
    print(f"{count} checks, {loud} with an error or a warning; {sum(skipped.values())} do not run: {', '.join(skipped)}")


def subjects() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    dense = [
        nn.Sequential(*(layer for _ in range(depth) for layer in (nn.Linear(width, width), nn.ReLU())))
        for depth, width in ((8, 64), (4, 1024))
    ]
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(96, 4, 256, batch_first=True), 4, enable_nested_tensor=False)
    widths = (3, *(32,) * 6)
    convolutions = (
        layer for a, b in zip(widths, widths[1:], strict=False) for layer in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())
    )
    return {
        "MLP 8 x 64": (dense[0], torch.randn(64, 64)),
        "MLP 4 x 1024": (dense[1], torch.randn(64, 1024)),
        "transformer 4 x 96": (encoder, torch.randn(32, 16, 96)),
        "convolutions 6 x 32": (nn.Sequential(*convolutions), torch.randn(32, 3, 16, 16)),
    }


def timed(step: Callable[[], Any]) -> float:
    """Median CPU seconds of nine calls, after three."""
    times = []
    for _ in range(12):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return statistics.median(times[3:])


def cost() -> None:
    """What a step adds to a check; beside a first step, which makes the optimizer's state, and one that has it."""
    print("| model | optimizer | bare first step | bare step | added to the check | over a first step | over a step |")
    print("|---|---|---|---|---|---|---|")
    for name, (model, x) in subjects().items():
        y = torch.randn_like(model(x)).detach()
        for label in ("SGD 0.01", "AdamW"):
            make = OPTIMIZERS[label]
            optimizer = make(model.parameters())

            def bare(optimizer: Any = optimizer, model: nn.Module = model, x: torch.Tensor = x, y: torch.Tensor = y) -> None:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x), y).backward()
                optimizer.step()

            def first(model: nn.Module = model, bare: Callable[..., None] = bare, make: Any = make) -> None:
                bare(make(model.parameters()))

            training = Training(model, x, nn.MSELoss(), y, optimizer=make)
            with prepared(training, load(isolated=True)) as (subject, _):
                assert subject.take_steps is not None
                added = timed(partial(subject.take_steps, subject, 1, probe(subject)))
            new, alone = timed(first), timed(bare)
            times = " | ".join(f"{one * 1e3:.1f} ms" for one in (new, alone, added))
            print(f"| {name} | {label} | {times} | {added / new:.2f} | {added / alone:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="0/1", help="which share of the zoo, 0/6 is the first sixth")
    parser.add_argument("--cost", action="store_true", help="time the step instead")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    part, _, parts = given.part.partition("/")
    cost() if given.cost else alarms(int(part), int(parts))


if __name__ == "__main__":
    main()
