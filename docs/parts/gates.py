"""The tables of docs/safety.md, from benchmarks/results/gates.json."""

from __future__ import annotations

from typing import Any

from docs.parts.measured import results


def gates() -> str:
    """Promise, bound, what was reached, and the command that says so."""
    head = ["| promise | gate | reached | measured by |", "|---|---|---|---|"]
    rows = [_row(entry) for _, entry in sorted(results("gates.json").items())]
    return "\n".join([*head, *rows])


def _row(entry: dict[str, Any]) -> str:
    return f"| {entry['promise']} | {entry['allowed']} | {entry['reached']} | `{entry['command']}` |"
