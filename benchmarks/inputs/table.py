"""Turn results of `measure` into the table of docs/inputs.md, between its two markers.

python -m benchmarks.inputs.table results.jsonl docs/inputs.md
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
_COUNTED = ("ran", "too slow", "failed", "does not run", "killed")


def table(results: Iterable[dict[str, Any]]) -> str:
    """Markdown: one row a collection, then every model that did not run, and why."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(result["collection"], []).append(result)
    lines = [
        "| collection | models | ran | first guess right | median CPU s | all parameters reached | ranks and dtypes as known |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, group in groups.items():
        lines.append(_row(name, [result for result in group if result["outcome"] in _COUNTED]))
    lines += ["", "Not counted: " + "; ".join(_left_out(name, group) for name, group in groups.items()) + ".", ""]
    bad = [result for group in groups.values() for result in group if result["outcome"] in _COUNTED[1:]]
    lines += ["| model | outcome | why |", "|---|---|---|"] if bad else ["No model failed."]
    lines += [f"| {r['collection']}: {r['name']} | {r['outcome']} | {_why(r)} |" for r in bad]
    return "\n".join(lines)


def _row(name: str, group: list[dict[str, Any]]) -> str:
    ran = [result for result in group if result["outcome"] == "ran"]
    first = sum(result["trials"] <= 2 for result in ran)
    known = [result for result in ran if "agrees" in result]
    whole = sum(result["reached"] > 0.999 for result in ran)
    median = statistics.median(result["cpu"] for result in ran) if ran else 0.0
    agrees = f"{sum(result['agrees'] for result in known)} of {len(known)}" if known else "-"
    return f"| {name} | {len(group)} | {len(ran)} | {first} | {median:.2f} | {whole} | {agrees} |"


def _left_out(name: str, group: list[dict[str, Any]]) -> str:
    reasons: dict[str, int] = {}
    for result in group:
        if result["outcome"] not in _COUNTED:
            reasons[result["outcome"]] = reasons.get(result["outcome"], 0) + 1
    return f"{name}: " + (", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items())) or "none")


def _why(result: dict[str, Any]) -> str:
    if result["outcome"] == "too slow":
        return f"{result['cpu']:.0f} CPU s, {result['trials']} trials"
    text = str(result.get("error", ""))
    place = next(
        (line.strip() for line in text.splitlines() if line.strip().startswith("failed at")),
        text.splitlines()[0] if text else "",
    )
    return place[:160].replace("|", "\\|")


def main() -> None:
    source, page = Path(sys.argv[1]), Path(sys.argv[2])
    results = [json.loads(line) for line in source.read_text().splitlines()]
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
