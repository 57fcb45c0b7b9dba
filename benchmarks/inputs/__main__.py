"""Measure on how many models inputs can be made up: each model in its own process, with a budget of CPU seconds.

python -m benchmarks.inputs inputs torch_nn timm --output results.jsonl
python -m benchmarks.inputs inputs timm --only convnext
python -m benchmarks.inputs inputs torch_nn timm --sample 20 --hardest results.jsonl --without --output results.jsonl
python -m benchmarks.inputs verdict user_models --output verdicts.jsonl

One line of JSON a model; what `--output` holds already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.inputs.child import in_child
from benchmarks.inputs.subjects import COLLECTIONS, Subject
from benchmarks.inputs.tasks import BUDGET, examine, judge, repeat
from benchmarks.inputs.without import SWITCHES

SETUP = 80
"""CPU seconds for building a model and checking the result, besides the budget."""
VERDICT, REPEATS = 240, 900
"""CPU seconds for one check, and for twenty."""


def main() -> None:
    """Measure what was asked for and append it to the output."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # some constructors ask the network although nothing is to be downloaded
    options = _options()
    done = _done(options.output)
    judge(lambda: (torch.nn.Linear(2, 2), None))  # imports everything once, before the first process is forked
    for collection in options.collections or sorted(COLLECTIONS):
        subjects = [s for s in COLLECTIONS[collection]() if any(part in s[0] for part in options.only.split(","))]
        trials = _trials(options.hardest, collection)
        for label, build in _sample(_labelled(subjects), options.sample, trials):
            for missing in options.without:
                if (options.task, collection, label, missing, options.given) in done:
                    continue
                about = {
                    "collection": collection,
                    "name": label,
                    "task": options.task,
                    "without": missing,
                    "given": options.given,
                }
                task, cpu = _task(options, build, missing)
                _note({**about, **in_child(task, cpu), "load": round(os.getloadavg()[0], 1)}, options)


def _note(result: dict[str, Any], options: argparse.Namespace) -> None:
    if options.output:
        with open(options.output, "a") as file:
            file.write(json.dumps(result) + "\n")
    if options.only or _striking(result):
        print({key: value for key, value in result.items() if key not in ("task", "known")}, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("inputs", "verdict", "repeat"))
    parser.add_argument("collections", nargs="*", choices=[*sorted(COLLECTIONS), []], help="all where none is named")
    parser.add_argument("--output")
    parser.add_argument("--only", default="", help="models with one of these in their name, separated by commas")
    parser.add_argument("--sample", type=int, help="so many models of each collection, evenly drawn")
    parser.add_argument("--hardest", help="results: half of the sample are the models that took most trials in them")
    parser.add_argument(
        "--without", nargs="*", choices=sorted(SWITCHES), help="one after the other; every one where none is named"
    )
    parser.add_argument("--given", action="store_true", help="hand over the shapes of the known-good input")
    parser.add_argument("--batch", type=int, default=4, help="samples of the final check of inputs")
    options = parser.parse_args()
    options.without = [None] if options.without is None else options.without or list(SWITCHES)
    return options


def _task(options: argparse.Namespace, build: Any, missing: str | None) -> tuple[Any, int]:
    if options.task == "inputs":
        return partial(examine, build, options.batch, missing, options.given), BUDGET + SETUP
    return (partial(judge, build), VERDICT) if options.task == "verdict" else (partial(repeat, build), REPEATS)


def _sample(subjects: list[Subject], count: int | None, trials: dict[str, int]) -> list[Subject]:
    """So many of them: half of them those that took most trials, where that is known, the others drawn evenly."""
    if count is None or count >= len(subjects):
        return subjects
    hardest = sorted((name for name, _ in subjects if name in trials), key=lambda name: -trials[name])[: count // 2]
    others = [subject for subject in subjects if subject[0] not in hardest]
    left = count - len(hardest)
    even = {others[i * len(others) // left][0] for i in range(left)}
    return [subject for subject in subjects if subject[0] in hardest or subject[0] in even]


def _trials(results: str | None, collection: str) -> dict[str, int]:
    """How many trials the whole method took for each model of a collection."""
    lines = [json.loads(text) for text in Path(results).read_text().splitlines()] if results else []
    return {r["name"]: r["trials"] for r in lines if r["collection"] == collection and not r["without"] and r.get("trials")}


def _labelled(subjects: list[Subject]) -> list[Subject]:
    """Under names of their own, with how often one came up to then: a result is known by name."""
    seen: dict[str, int] = {}
    labelled = []
    for name, build in subjects:
        seen[name] = seen.get(name, 0) + 1
        labelled.append((name if seen[name] == 1 else f"{name} #{seen[name]}", build))
    return labelled


def _done(output: str | None) -> set[tuple[Any, ...]]:
    if output is None or not Path(output).exists():
        return set()
    results = [json.loads(text) for text in Path(output).read_text().splitlines()]
    return {(r["task"], r["collection"], r["name"], r["without"], r.get("given", False)) for r in results}


def _striking(result: dict[str, Any]) -> bool:
    """Worth a line on the screen."""
    odd = result["outcome"] not in ("ran", "judged") or result.get("agrees") is False or result.get("reached", 1) < 1
    return odd or bool(result.get("findings")) or result.get("left_as_it_was") is False or result.get("answers", 1) > 1


if __name__ == "__main__":
    main()
