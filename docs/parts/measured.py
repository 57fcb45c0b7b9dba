"""Tables of what benchmarks have measured."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from docs.parts import ROOT

LABELS = ("sound", "borderline", "sick")


def verdict_flips() -> str:
    """Which verdicts the models of benchmarks/verdicts.py got under many seeds."""
    measured = results("verdicts.json")
    rows = []
    for row in measured["rows"]:
        counts = "; ".join(f"{count} {verdict}" for verdict, count in row["verdicts"].items())
        about = f"{row['model']} | {row['label']} | {row['given']}"
        rows.append(f"| {about} | {counts} | {row['flips']:.1%} | {row['rounds']:.2f} |")
    head = ["| model | built to be | given as | verdicts | flips | seeds a verdict |", "|---|---|---|---|---|---|"]
    counts = [sum(row["verdicts"].values()) for row in measured["rows"]]
    seen = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    worst = {label: max(row["flips"] for row in measured["rows"] if row["label"] == label) for label in LABELS}
    most = ", ".join(f"{worst[label]:.1%} of {label} ones" for label in LABELS)
    total = sum(count for row, count in zip(measured["rows"], counts, strict=True) if row["label"] == "sound")
    said = f"{seen} seeds a model, {total} checks of sound ones. At most {most} flip."
    return "\n".join([*head, *rows, "", f"{said} {by(measured)}"])


def borderline() -> str:
    """How well the measure of vanishing-gradient orders the nets of benchmarks/borderline.py."""
    measured = results("borderline.json")
    rows = measured["rows"]
    head = ["| log10 of the ratio | nets | of them train |", "|---|---|---|"]
    edges = [-100.0, -8.0, -6.0, -5.0, -4.1, -3.5, -3.0, -2.5, -2.0, 1.0]
    lines = []
    for low, high in pairwise(edges):
        inside = [row["trains"] for row in rows if low <= row["score"] < high]
        if inside:
            span = f"below {high:g}" if low == edges[0] else f"above {low:g}" if high == edges[-1] else f"{low:g} to {high:g}"
            lines.append(f"| {span} | {len(inside)} | {sum(inside)} |")
    said = (
        f"{len(rows)} nets of the sweep's {measured['of']}, {measured['draws']} initialisations each: area under the curve "
        f"{measured['auc']:.4f}; the highest score that does not train is {measured['highest_failing']:g}, the lowest that "
        f"does {measured['lowest_training']:g}. Of {measured['divided']} nets some initialisations train and some do not; each "
        f"taken for a net of its own, the area is {measured['auc_of_single_draws']:.4f}, and with the first initialisation "
        f"alone {measured['auc_of_the_first_draw']:.4f}."
    )
    return "\n".join([*head, *lines, "", f"{said} {by(measured)}"])


KINDS = {
    "flow": "vanishing, exploding",
    "time": "vanishing, exploding through time",
    "units": "dead, saturated",
    "identical": "identical units",
    "double-softmax": "double softmax",
    "nan": "NaN, Inf",
    "others": "high initial loss, unbalanced, half precision",
    "all": "all",
}


def remedies() -> str:
    """What the first suggestion did for the models of benchmarks/remedies, beside the recipe of AUTOTRAINER."""
    measured = results("remedies.json")
    tables = [f"{SETS[name]}\n\n{_by_kind(kinds)}" for name, kinds in measured["sets"].items()]
    checks = measured["checks"]
    without = ", ".join(name.rpartition("/")[2] for name in measured["without"])
    said = (
        f"The first suggestion. *Learn*: of those that did not before, the loss falls below half of the constant predictor's "
        f"within {measured['steps']} steps on one batch, towards the model's own loss or a smooth teacher, with the better of "
        f"Adam at 3e-3 and SGD at 0.05. All cures of a model take {checks['median']:.2g} checks' time in the median, "
        f"{checks['largest']:.2g} at most. No suggestion: {without}. "
    )
    return "\n\n".join([*tables, f"{said}{by(measured)}"])


SETS = {
    "further": "Faulty programs that no definition was tuned on (`benchmarks/remedies/further`):",
    "zoo": "The zoo of sick models, on which the definitions were made (`tests/zoo/sick`):",
}


def _by_kind(kinds: Any) -> str:
    rows = []
    for kind, row in kinds.items():
        of = row["models"]
        learnt = [row[name] for name in ("first_learns", "of_three_learns", "autotrainer_learns")]
        still = row["did_not_learn"]
        told = [f"{one} of {still}" if still else "" for one in learnt]
        rows.append(
            f"| {KINDS[kind]} | {of} | {row['gone']} | {row['sound']} | {row['autotrainer_sound']} | {' | '.join(told)} |"
        )
    head = [
        "| kind | models | finding gone | sound | AUTOTRAINER: sound | first learns | one of three learns | AUTOTRAINER |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows])


def results(name: str) -> Any:
    return json.loads((ROOT / "benchmarks" / "results" / name).read_text())


def by(measured: Any) -> str:
    return f"`{measured['command']}`, torch {measured['torch']}."
