"""Tables of docs/speed.md, from benchmarks/results/speed.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from docs.parts.measured import results

LARGE_MS = 20
"""Of a bare step, from which on a model counts in the means."""
_RIVALS = ("gradcheck_health", "torchtest2", "pytest-torch", "torch-audit", "torchlens")


def speed_sound(document: Any) -> str:
    """Sound models, and what a small one pays."""
    section = document["sound"]
    rows = [
        (
            row["model"],
            _count(row["parameters"]),
            f"{row['bare_ms']:.3g} ms",
            f"{row['probe']:.2f}",
            f"{row['whole']:.2f}",
            f"{row['adds_ms']:.3g} ms",
            f"{row['memory']:.2f}",
        )
        for row in section["rows"]
    ]
    mean = section["geometric"]
    rows.append(
        (f"geometric mean of {mean['models']} from 20 ms on", "", "", f"{mean['probe']:.2f}", f"{mean['whole']:.2f}", "", "")
    )
    head = (
        "model",
        "parameters",
        "bare step",
        "probe / bare",
        "whole call / bare",
        "whole call adds",
        "extra memory / snapshot",
    )
    return _table(head, rows)


def speed_third(document: Any) -> str:
    """Models of timm, torchvision and transformers, and what the passes beyond the first cost."""
    section = document["third"]
    large = sorted((row for row in section["rows"] if row["bare_ms"] >= LARGE_MS), key=lambda row: row["whole"])
    rows = [(row["model"], f"{row['bare_ms']:.3g} ms", f"{row['whole']:.2f}", _dearest(row["facts"])) for row in large]
    most = [row["whole"] for row in large]
    rows.append((f"geometric mean of {len(large)} from {LARGE_MS} ms on", "", f"{section['geometric']['whole']:.2f}", ""))
    rows.append(("nine of ten at most", "", f"{most[-len(most) // 10 - 1]:.2f}", ""))
    facts = [
        (f"`{name}`", cost["models"], f"{cost['mean']:.2f}", f"{cost['largest']:.2f}")
        for name, cost in section["facts"].items()
    ]
    head = ("model", "bare step", "whole call / bare", "of which, in bare steps")
    return "\n".join([_table(head, rows), "", _table(("fact", "models", "bare steps, mean", "largest"), facts)])


def _dearest(facts: Mapping[str, float]) -> str:
    return ", ".join(f"`{name}` {cost:.1f}" for name, cost in facts.items() if cost >= 0.05)


def speed_sick(document: Any) -> str:
    """Sick models of every kind."""
    section = document["sick"]
    rows = [
        (row["model"], f"`{row['rule']}`", f"{row['bare_ms']:.3g} ms", f"{row['whole']:.1f}", row["looks"])
        for row in sorted(section["rows"], key=lambda row: row["whole"])
    ]
    median = section["median"]
    rows.append((f"median of {median['models']} from 20 ms on", "", "", f"{median['whole']:.1f}", ""))
    return _table(("model", "verdict", "bare step", "whole call / bare", "passes"), rows)


def speed_rivals(document: Any) -> str:
    """Other tools in the same turns."""
    rows = [
        (row["model"], *("" if row.get(tool) is None else f"{row[tool]:.2f}" for tool in _RIVALS)) for row in document["rivals"]
    ]
    return _table(("multiples of a bare step", *_RIVALS), rows)


def speed_doors(document: Any) -> str:
    """Cold starts, and many models in one run."""
    rows = [
        (name if " " in name and not name.startswith("-") else f"`{name}`", f"{ms:.3g} ms")
        for name, ms in document["doors"].items()
    ]
    jobs = document["jobs"]
    said = (
        f"{jobs['models']} small models: one `check --jobs 2` takes {jobs['together_s']:.3g} s, a process for each "
        f"{jobs['apart_s']:.3g} s: {jobs['times']:.1f} times as long."
    )
    return "\n".join([_table(("command", "median"), rows), "", said])


def speed_sizes(document: Any) -> str:
    """Very large models, and how the cost grows."""
    many = [
        (row["model"], f"{row['bare_ms']:.3g} ms", f"{row['probe']:.2f}", f"{row['whole']:.2f}", f"{row['exponent']:.2f}")
        for row in document["many"]
    ]
    growth = [
        (row["axis"], ", ".join(map(str, row["sizes"])), f"{row['bare']:.2f}", f"{row['whole']:.2f}")
        for row in document["growth"]
    ]
    head = ("model", "bare step", "probe / bare", "whole call / bare", "exponent from a tenth of the size")
    return "\n".join(
        [_table(head, many), "", _table(("sizes", "of", "exponent of the bare step", "of the whole call"), growth)]
    )


def speed_gpu(document: Any) -> str:
    """On a GPU, where one was there."""
    rows = document["gpu"]
    cells = [
        (row["model"], f"{row['bare_ms']:.3g} ms", f"{row['probe']:.2f}", f"{row['whole']:.2f}", row["waits"]) for row in rows
    ]
    return _table(("model", "bare step", "probe / bare", "whole call / bare", "synchronisations of a probe"), cells)


def _made(make: Callable[[Any], str], *sections: str) -> str:
    document = results("speed.json")
    if any(document.get(section) is None for section in sections):
        return "Not measured."
    return make(document)


PARTS: Mapping[str, Callable[[], str]] = {
    "speed-sound": partial(_made, speed_sound, "sound"),
    "speed-third": partial(_made, speed_third, "third"),
    "speed-sick": partial(_made, speed_sick, "sick"),
    "speed-rivals": partial(_made, speed_rivals, "rivals"),
    "speed-doors": partial(_made, speed_doors, "doors", "jobs"),
    "speed-sizes": partial(_made, speed_sizes, "many", "growth"),
    "speed-gpu": partial(_made, speed_gpu, "gpu"),
}


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _count(number: int) -> str:
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"
