"""Runs on every rank: the examples of the rules that compare ranks."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from gradcheck_health import check_gradients, rules
from gradcheck_health.model.distributed.ranks import in_step


def reports() -> dict[str, Any]:
    """`rule which` -> the report. Plain modules are checked together, as on the command line."""
    found = {}
    for name in rules.names():
        module = importlib.import_module(f"gradcheck_health.rules.{name.replace('-', '_')}")
        for which in ("healthy", "sick") if hasattr(module, "RANKS") else ():
            torch.manual_seed(0)
            model = getattr(module, which)()
            with in_step(60.0):
                report = check_gradients(model, select=[name] if which == "sick" else None)
            found[f"{name} {which}"] = report.to_dict()
    return found
