"""Other tools' published rules on the same trace, for teams that move from them: one file a tool, its rules in `RULES`.

They judge absolute numbers, so their verdicts change with the scale of the loss, the width and the size of the batch; the page
on presets says how often each was measured to raise a false alarm.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradcheck_health.records.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from gradcheck_health.records.finding import Finding, Need


def names() -> tuple[str, ...]:
    """The presets, sorted, by their file names: none is imported."""
    stems = (path.stem for path in Path(__file__).parent.glob("*.py"))
    return tuple(sorted(stem for stem in stems if not stem.startswith("_")))


def load(name: str) -> dict[str, Callable[..., Iterator[Finding | Need]]]:
    """The rules of a preset by their names, "sagemaker-dead-relu".

    Raises:
        UsageError: no preset is called so.
    """
    if name not in names():
        raise UsageError(f"no preset {name!r}{did_you_mean(name, names())}: known are {', '.join(names())}")
    module: Any = importlib.import_module(f"{__name__}.{name}")
    return {f"{name}-{rule.__name__.replace('_', '-')}": rule for rule in module.RULES}


def every() -> dict[str, Callable[..., Iterator[Finding | Need]]]:
    """The rules of all presets by their names."""
    return {rule: function for name in names() for rule, function in load(name).items()}
