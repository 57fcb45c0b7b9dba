"""Rules of saved weights: what a file alone, or beside an earlier one, says of a training run. One file each, as for models.

They are asked about files of weights and about nothing else: a file has no forward pass, and a model has better witnesses.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradcheck_health.records.finding import Finding, Need


def every() -> dict[str, Callable[..., Iterator[Finding | Need]]]:
    """By their names."""
    stems = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    modules: dict[str, Any] = {stem: importlib.import_module(f"{__name__}.{stem}") for stem in stems}
    return {stem.replace("_", "-"): getattr(module, stem) for stem, module in modules.items()}
