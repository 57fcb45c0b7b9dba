"""Measure what a check costs, print it, and write it down.

    python -m benchmarks.speed [--turns 9] [--rivals FOLDER] [sound third sick rivals doors jobs many growth gpu]

Sections that are not asked for keep what an earlier run wrote. CPU time on one thread, medians of ratios taken within a turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import warnings
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "speed.json"
SECTIONS = ("sound", "third", "sick", "rivals", "doors", "jobs", "many", "growth", "gpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], help="all where none is named")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--rivals", help="folder with the packages of benchmarks/comparison/requirements.txt")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.rivals:
        sys.path.append(options.rivals)
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    document = json.loads(options.out.read_text()) if options.out.exists() else {}
    document |= {"command": f"python -m benchmarks.speed --turns {options.turns}", "torch": torch.__version__.partition("+")[0]}
    for section in options.sections or SECTIONS:
        print(f"-- {section}", flush=True)
        document[section] = rounded(measured(section, options.turns))
        options.out.write_text(json.dumps(document, indent=1) + "\n")


def measured(section: str, turns: int) -> Any:
    from benchmarks.speed import accelerator, doors, ratios, rivals, scale, third_party

    if section == "sound":
        rows = ratios.sound(turns)
        return {"rows": rows, "geometric": ratios.summary(rows, ("probe", "whole"), ratios.geometric)}
    if section == "third":
        rows = third_party.third_party(turns)
        large = [row for row in rows if row["bare_ms"] >= 20]
        geometric = ratios.summary(rows, ("whole",), ratios.geometric)
        return {"rows": rows, "geometric": geometric, "facts": third_party.by_fact(large)}
    if section == "sick":
        rows = ratios.sick(max(turns // 2, 2))
        return {"rows": rows, "median": ratios.summary(rows, ("whole",), statistics.median)}
    if section == "doors":
        return doors.commands(turns)
    if section == "jobs":
        return doors.jobs()
    if section == "many":
        return scale.many(max(turns // 4, 1))
    return {"rivals": rivals.rivals, "growth": scale.growth, "gpu": accelerator.gpu}[section](turns)


def rounded(value: Any) -> Any:
    """Three digits are more than the machine is good for."""
    if isinstance(value, float):
        return float(f"{value:.3g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
