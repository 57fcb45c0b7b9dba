"""What each promise of docs/safety.md has reached: one entry a gate in results/gates.json, written by the command that measures it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch

GATES = Path(__file__).parents[1] / "results" / "gates.json"


def record(gate: str, *, promise: str, allowed: str, reached: str, command: str, details: Any = None) -> None:
    """Note a measurement; the other gates stay as they are.

    Args:
        gate: its key, "third-party-traces"; the table is in the order of the keys.
        promise: what is counted, in words.
        allowed: the bound that a release has to keep.
        reached: what was measured, in the same words as the bound.
        command: repeats the measurement.
        details: rows below the number, for a table of its own.
    """
    gates = json.loads(GATES.read_text()) if GATES.exists() else {}
    entry = {"promise": promise, "allowed": allowed, "reached": reached, "command": command, "torch": torch.__version__}
    gates[gate] = entry if details is None else {**entry, "details": details}
    with tempfile.NamedTemporaryFile("w", dir=GATES.parent, delete=False) as file:
        file.write(json.dumps(gates, indent=1, sort_keys=True) + "\n")
    os.replace(file.name, GATES)
