"""Parameters that hold whatever was in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gradcheck_health.records.finding import Finding, Place, Severity
from gradcheck_health.records.starts import Uninitialized
from gradcheck_health.records.trace import Trace

if TYPE_CHECKING:
    from torch import nn


def uninitialized_parameter(trace: Trace) -> Iterator[Finding]:
    """A parameter or a persistent buffer holds memory that nobody wrote.

    What it does: finds entries of parameters and of buffers in the state_dict that the constructor reserved (torch.empty,
    torch.Tensor(n, m), to_empty() after the meta device) and never wrote.

    Why it is bad: the model starts from whatever the memory held: zeros on one machine, 1e30 or NaN on the next. It trains
    here and not there, and no seed repeats it.

    How it is measured: the factory builds the model once more while torch fills such memory with NaN (integers with their
    largest value); exactly the entries that hold it then are intended. It needs a factory: a class, a function, the command
    line. What the memory held plays no part, and for everything else that is measured other values stand in for it.

    When it is legitimate: a table that is loaded from a file before its first use: load it in the constructor, or hand over
    the model that has it.

    How to fix: write it in the constructor: torch.zeros, nn.init, reset_parameters(); after to_empty() initialise every
    module.

    How to silence: ignore={"uninitialized-parameter:head.*": "the reason"}.
    """
    found = trace.uninitialized
    if not found:
        return
    places = tuple(Place(one.name, one.kind, one.source, "a buffer" if one.buffer else "") for one in found)
    entries, numel = sum(one.entries for one in found), sum(one.numel for one in found)
    parts = [f"{count} {name}{'s' * (count != 1)}" for name, count in _counted(found) if count]
    yield Finding(
        rule="uninitialized-parameter",
        severity=Severity.ERROR,
        message=f"memory that nobody wrote in {' and '.join(parts)} ({entries} of {numel} entries, 0 allowed)",
        places=places,
        details=(
            (
                "because",
                "the constructor reserves it (torch.empty, torch.Tensor(sizes), to_empty) and initialises nothing there",
            ),
            ("help", "initialise it in the constructor: torch.zeros(...), nn.init.xavier_uniform_(...), or reset_parameters()"),
        ),
        got=float(entries),
        bound=0.0,
    )


def _counted(found: Sequence[Uninitialized]) -> tuple[tuple[str, int], ...]:
    buffers = sum(one.buffer for one in found)
    return (("parameter", len(found) - buffers), ("buffer", buffers))


def healthy() -> Callable[[], nn.Module]:
    import torch
    from torch import nn

    class Written(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(4, 8))
            nn.init.kaiming_uniform_(self.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight)

    return Written


def sick() -> Callable[[], nn.Module]:
    import torch
    from torch import nn

    class Unwritten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(4, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight)

    return Unwritten
