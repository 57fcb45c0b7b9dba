"""A low-rank adapter that is still where it began."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.trace import Trace

_SECOND = re.compile(r"(?:^|\.)lora_(?:B|up|embedding_B)(?:\.|$)")
"""The factor that starts at zero, as peft, diffusers and kohya call it."""


def untrained_adapter(trace: Trace) -> Iterator[Finding]:
    """The second factor of a LoRA adapter is still zero, so the adapter does nothing.

    What it does: looks for LoRA weights by their names, and whether the one that starts at zero has left it.

    Why it is bad: the product of the factors is zero, and the model is the one without an adapter.

    How it is measured: exactly. An error where all are zero, a warning where some are.

    When it is legitimate: a file that was saved before the first step.

    How to fix: give the adapter's parameters to the optimizer; call the model in train mode, through the wrapper that has it.

    How to silence: ignore={"untrained-adapter": "saved before the first step"}.
    """
    seconds = [one for one in trace.saved.tensors if _SECOND.search(one.name)] if trace.saved is not None else []
    still = [one for one in seconds if one.norm == 0 and not one.nonfinite]
    if still:
        yield Finding(
            rule="untrained-adapter",
            severity=Severity.ERROR if len(still) == len(seconds) else Severity.WARNING,
            message=f"{len(still)} of {len(seconds)} adapters are still zero (0 allowed)",
            places=tuple(Place(one.name, one.dtype) for one in still),
            details=(("help", "give the adapter's parameters to the optimizer, and call the model that holds them"),),
            got=float(len(still)),
            bound=0.0,
        )
