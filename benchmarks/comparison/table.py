"""Turn results of `measure` into the tables of docs/comparison.md, between its two markers.

python -m benchmarks.comparison.table results.jsonl docs/comparison.md
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.comparison.__main__ import read
from benchmarks.comparison.tools import TOOLS

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
TITLES = {"gradcheck_health": "gradcheck_health", "gradcheck_health_alone": "the same, no inputs given"}

Line = dict[str, Any]


def tables(lines: list[Line]) -> str:
    """Markdown: all tools over all models, then by fault, then by fault for the others."""
    tools = [name for name in TOOLS if any(line["tool"] == name for line in lines)]
    sick = [line for line in lines if line["group"] == "sick"]
    rules = sorted({line["rule"] for line in sick})
    parts = [
        _row("", "found", "named right", "named and placed right", "false alarms on sound models", "of these errors"),
        _rule(6),
    ]
    for tool in tools:
        mine = [line for line in sick if line["tool"] == tool]
        sound = [line for line in lines if line["tool"] == tool and line["group"] != "sick"]
        parts.append(_row(TITLES.get(tool, tool), *_shares(mine), _share(sound, _found), _share(sound, _erring)))
        if tool == "gradcheck_health_alone":
            inside = [line for line in mine if not line.get("data")]
            parts.append(_row("of these, faults of the model and not of its data", *_shares(inside), "", ""))
    parts += ["", _costs(lines, tools), "", "Named and placed right, by fault:", "", _row("fault", "models", *_titles(tools))]
    parts.append(_rule(2 + len(tools)))
    for rule in rules:
        group = [line for line in sick if line["rule"] == rule]
        counts = [str(sum(line["placed"] for line in group if line["tool"] == tool)) for tool in tools]
        parts.append(_row(f"`{rule}`", str(len({line["model"] for line in group})), *counts))
    return "\n".join(parts)


def _costs(lines: list[Line], tools: list[str]) -> str:
    said = []
    for tool in tools:
        mine = [line for line in lines if line["tool"] == tool]
        failed = sum(bool(line["failed"]) for line in mine)
        seconds = statistics.median(line["seconds"] for line in mine)
        said.append(f"{TITLES.get(tool, tool)} {seconds:.2g} s, raised on {failed} of {len(mine)}")
    return (
        "Median CPU seconds a model, building it included, and models on which the tool itself raised: " + "; ".join(said) + "."
    )


def _titles(tools: list[str]) -> list[str]:
    return [TITLES.get(tool, tool) for tool in tools]


def _found(line: Line) -> bool:
    return bool(line["alarms"])


def _erring(line: Line) -> bool:
    return any(error for _, error in line["alarms"])


def _named(line: Line) -> bool:
    return bool(line["named"])


def _placed(line: Line) -> bool:
    return bool(line["placed"])


def _shares(lines: list[Line]) -> list[str]:
    return [_share(lines, key) for key in (_found, _named, _placed)]


def _share(lines: list[Line], holds: Callable[[Line], bool]) -> str:
    count = sum(holds(line) for line in lines)
    return f"{count} of {len(lines)} ({100 * count / max(len(lines), 1):.0f} %)"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


if __name__ == "__main__":
    page = Path(sys.argv[2])
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n\n{tables(read(Path(sys.argv[1])))}\n\n{END}{rest.partition(END)[2]}")
