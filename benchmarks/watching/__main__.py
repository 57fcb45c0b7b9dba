"""`python -m benchmarks.watching sound|zoo|sick|identical|cost [--steps N] [--part I/N]`: what watching finds, and what it costs."""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.watching.parts import Run
from benchmarks.watching.sick.table import SICK
from benchmarks.watching.sound.table import SOUND
from benchmarks.watching.zoo import entries, harmed, runs
from gradcheck_health import watch


def run(make: Callable[[], Run], seed: int, steps: int, *, told: bool = True) -> tuple[list[tuple[int, Any]], list[float]]:
    """What is noticed, with the step at which it was, and the losses."""
    torch.manual_seed(seed)
    model, optimizer, step = make()
    losses: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with watch(model, optimizer, on_sick=lambda _: None) as health:
            for k in range(steps):

                def tell(value: Any) -> None:
                    losses.append(float(value))
                    if told:
                        health.loss(value)

                step(k, tell)
    rules = {one.rule for one in health.report.findings}
    return [(one.step, one.finding) for one in health.history.noticed if one.finding.rule in rules], losses


def shown(losses: list[float], by: int) -> int:
    """The step from which the loss alone shows that something is wrong; `by` where it never does."""
    first = sorted(losses[:5])[2]
    for i, loss in enumerate(losses[:by], 1):
        if loss != loss or loss in (float("inf"), float("-inf")) or (first > 0 and loss > 2 * max(first, losses[0])):
            return i
    return by


def chosen(table: dict[str, Any], part: str) -> list[tuple[str, Any]]:
    index, count = map(int, part.split("/"))
    return list(table.items())[index::count]


def sound(steps: int, seeds: int, part: str) -> None:
    errors = noted = warned = total = 0
    for name, make in chosen(SOUND, part):
        for seed in range(seeds):
            found, _ = run(make, seed, steps)
            total += 1
            levels = {str(one.severity) for _, one in found}
            errors += "error" in levels
            warned += "warning" in levels and "error" not in levels
            noted += any(one.rule == "stagnant-loss" for _, one in found)
            for step, one in found:
                print(f"{name} ({seed}), step {step}: {one.severity}: {one.rule}: {one.message}")
    print(f"{total} sound runs of {steps} steps: {errors} with an error, {warned} with a warning, {noted} stagnant")


def zoo(steps: int, part: str) -> None:
    """Sound models under optimizers that nobody chose for them: the loss with other learning rates says who was right."""
    count = {(level, right): 0 for level in ("error", "warning") for right in (True, False)}
    total = 0
    for name, make in chosen(entries(), part):
        if not runs(make):
            continue
        total += 1
        found, _ = run(make, 0, steps)
        bad = [(step, one) for step, one in found if str(one.severity) != "note"]
        if bad:
            right, losses = harmed(make, (one.rule for _, one in bad), 0, steps)
            level = "error" if any(str(one.severity) == "error" for _, one in bad) else "warning"
            count[level, right] += 1
            text = ", ".join(f"{one.rule} ({step})" for step, one in bad)
            print(f"{name}: {level}, {'right' if right else 'WRONG'}: {text}; {losses}")
    parts = [f"{count[level, True]} right and {count[level, False]} wrong {level}s" for level in ("error", "warning")]
    print(f"{total} runs of the sound zoo, {steps} steps: {' and '.join(parts)}, by the loss with other rates")


def sick(steps: int, seeds: int, part: str) -> None:
    seen = early = total = 0
    for name, make in chosen(SICK, part):
        for seed in range(seeds):
            total += 1
            found, losses = run(make, seed, steps)
            bad = [(step, one) for step, one in found if str(one.severity) != "note" or one.rule == "stagnant-loss"]
            seen += bool(bad)
            blind, _ = run(make, seed, steps, told=False)
            first = min((step for step, one in blind if str(one.severity) != "note"), default=steps + 1)
            early += first <= shown(losses, steps)
            text = ", ".join(f"{one.rule} ({step})" for step, one in bad)
            print(
                f"{name} ({seed}): {text or 'NOT NOTICED'}; without the loss {first}, the loss shows it at {shown(losses, steps)}"
            )
    print(f"{total} sick runs: {seen} noticed within {steps} steps, {early} at or before the loss shows it, without the loss")


def identical(steps: int, part: str) -> None:
    """Watched and unwatched: weights, losses and random numbers."""
    same = total = 0
    for name, make in chosen({**SOUND, **SICK}, part):
        ends = [_end(make, steps, watching) for watching in (False, True)]
        (a, la, ra), (b, lb, rb) = ends
        equal = all(torch.equal(p.nan_to_num(), q.nan_to_num()) for p, q in zip(a, b, strict=True))
        equal &= repr(la) == repr(lb) and torch.equal(ra, rb)
        same, total = same + equal, total + 1
        if not equal:
            print(f"{name}: not the same")
    print(f"{total} set-ups: {same} bit-identical in weights, losses and random state")


def _end(make: Callable[[], Run], steps: int, watching: bool) -> tuple[list[torch.Tensor], list[float], torch.Tensor]:
    """Weights, losses and random state after a run."""
    torch.manual_seed(0)
    model, optimizer, step = make()
    losses: list[float] = []
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        health = stack.enter_context(watch(model, optimizer, on_sick=lambda _: None)) if watching else None
        for k in range(steps):
            step(k, lambda value: losses.append(float(value if health is None else health.loss(value))))
    models = model if isinstance(model, list) else [model]
    weights = [p.detach().clone() for one in models for p in (*one.parameters(), *one.buffers())]
    return weights, losses, torch.get_rng_state()


def cost() -> None:
    from benchmarks.watching.cost import table

    print(table())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("sound", "zoo", "sick", "identical", "cost"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--part", default="0/1", help="one of several, such as 0/4")
    given = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    if given.what == "sound":
        sound(given.steps, given.seeds, given.part)
    elif given.what == "zoo":
        zoo(given.steps, given.part)
    elif given.what == "sick":
        sick(given.steps, given.seeds, given.part)
    elif given.what == "identical":
        identical(given.steps, given.part)
    else:
        cost()
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
