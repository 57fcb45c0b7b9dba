"""Do the proofs that samples stay apart, and steps in order, agree with the measurement that they spare?

    python -m benchmarks.proofs [--modules 10000] [--seed 0]

Random modules of one to six operations, chosen evenly among all that `tests/probe/samples/programs.py` has; of each the proof and the
measurement. Every second one of the modules for steps is made of what decoders are made of. A proof of what is measured to move is
printed with the module.
"""

from __future__ import annotations

import argparse
import random
import warnings
from collections import Counter
from collections.abc import Callable
from itertools import count

import torch

from tests.probe.samples.programs import SHAPES, STEPS, USUAL, Program
from tests.probe.samples.verdicts import noise, of_samples, of_steps

SEQUENCES = (4, 6, 8)
"""Samples, steps, features."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for what, judged in (("samples apart", samples), ("steps in order", steps)):
        chooser, numbers = random.Random(options.seed), count()
        seen: Counter[tuple[bool, bool]] = Counter()
        while seen.total() < options.modules:
            if (verdict := judged(chooser, next(numbers))) is not None:
                seen[verdict] += 1
        stay = seen[True, False] + seen[False, False]
        print(
            f"{what}: {seen.total()} modules, {seen[True, True]} proven and measured to move; "
            f"of {stay} that stay {seen[True, False]} are proven, {seen[False, True]} move",
            flush=True,
        )


def samples(chooser: random.Random, number: int) -> tuple[bool, bool] | None:
    shape = chooser.choice(SHAPES)
    return compared(chosen(chooser, sorted(STEPS)), shape, lambda module: of_samples(module, shape))


def steps(chooser: random.Random, number: int) -> tuple[bool, bool] | None:
    names = USUAL if number % 2 else sorted(STEPS)
    return compared(chosen(chooser, names), SEQUENCES, lambda module: of_steps(module, noise(SEQUENCES)))


def chosen(chooser: random.Random, names: list[str] | tuple[str, ...]) -> list[tuple[str, int]]:
    return [(chooser.choice(names), chooser.randrange(48)) for _ in range(chooser.randint(1, 6))]


def compared(
    program: list[tuple[str, int]], shape: tuple[int, ...], judge: Callable[[Program], tuple[bool, bool]]
) -> tuple[bool, bool] | None:
    """(proven, moves); None where nothing of it fits the shape."""
    module = Program(program, shape)
    if not module.steps:
        return None
    verdict = judge(module)
    if verdict == (True, True):
        print(f"proven, and moves: Program({module.steps}, {shape})", flush=True)
    return verdict


if __name__ == "__main__":
    main()
