"""How well does a sweep predict the depth at which the gradient is lost, and does it tell muP from the standard parametrisation?

    python -m benchmarks.scale [--draws 20] [--out benchmarks/results/scale.json]

The true limit of a design is found without a fit: the first depth at which the mean of the logarithm of the ratio over ten seeds
passes the bound, between two measured depths on a line. A run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.scale.subjects import DEPTHS, widths
from gradcheck_health import Training, check_scale
from gradcheck_health.check.scale.measure import measure
from gradcheck_health.records.scale import DepthFit
from gradcheck_health.settings.resolution import load

SEEDS = 10
"""Of the true limit."""
WIDTHS = (64, 128, 256, 512)


def true_limit(build: Callable[[int], Any], inputs: Any, fit: DepthFit) -> float:
    """The depth at which the flow meets its bound, by measuring depths around the one that was predicted."""
    import dataclasses

    config = dataclasses.replace(load(isolated=True), rounds=SEEDS, seed=1000)

    def beyond(depth: int) -> float:
        """How far the flow lies beyond its bound, in decades."""
        seen = measure(Training(partial(build, depth), inputs), config, moves=False).point.ratios
        mean = sum(map(math.log10, seen)) / len(seen) - math.log10(fit.bound)
        return -mean if fit.slope < 0 else mean

    depth = max(1, round(fit.deepest or 1.0))
    here = beyond(depth)
    step = -1 if here > 0 else 1
    while True:
        there = beyond(depth + step)
        if (there > 0) != (here > 0) or depth + step <= 1:
            return depth + step * abs(here) / (abs(here) + abs(there))
        depth, here = depth + step, there


def depth_row(name: str) -> dict[str, Any]:
    build, depths, inputs = DEPTHS[name]
    given = {} if inputs is None else {"inputs": inputs}
    scale = check_scale(lambda depth: build(depth), depth=depths, select=["depth-limited"], **given).trace.scale
    assert scale is not None and scale.fit is not None
    fit = scale.fit
    row = {"fitted": list(depths), "law": fit.law, "slope": fit.slope, "error": fit.error, "predicted": fit.deepest}
    if fit.deepest is None:
        return row
    found = true_limit(build, inputs, fit)
    held = fit.low is not None and fit.low <= found <= (fit.high or math.inf)
    return {**row, "low": fit.low, "high": fit.high, "true": found, "off": fit.deepest / found - 1, "in_interval": held}


def width_row(draw: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name, mup in (("standard", False), ("mup", True)):
        report = check_scale(widths(draw, mup), width=WIDTHS, select=["width-unstable"], rounds=4, seed=100 * draw)
        assert report.trace.scale is not None
        worst = report.trace.scale.slopes[0]
        row[name] = {"slope": worst.slope, "error": worst.error, "found": bool(report.findings)}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/scale.json"))
    options = parser.parse_args()
    done = json.loads(options.out.read_text()) if options.out.exists() else {"depths": {}, "widths": {}}
    for name in DEPTHS:
        if name not in done["depths"]:
            done["depths"][name] = depth_row(name)
            print(name, done["depths"][name], flush=True)
            options.out.write_text(json.dumps(done, indent=1) + "\n")
    for draw in range(options.draws):
        if str(draw) not in done["widths"]:
            done["widths"][str(draw)] = width_row(draw)
            print(draw, done["widths"][str(draw)], flush=True)
            options.out.write_text(json.dumps(done, indent=1) + "\n")
    offs = [abs(row["off"]) for row in done["depths"].values() if row.get("off") is not None]
    told = sum(row["standard"]["found"] and not row["mup"]["found"] for row in done["widths"].values())
    print(
        f"{sum(off <= 0.2 for off in offs)} of {len(offs)} designs within 20 %; muP told in {told} of {len(done['widths'])} draws"
    )


if __name__ == "__main__":
    main()
