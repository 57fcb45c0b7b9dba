"""Frames of a forward pass: where it ends, and whose method a frame runs."""

from __future__ import annotations

from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = Path(__file__).parents[2]
_OUTER = ("model/call.py", "probe/objective.py", "probe/training/step_call.py")
CALLERS = tuple(str(_PACKAGE / file) for file in _OUTER)
"""The files of `call`, of the loss and of a given step: what lies further out on the stack is not part of what they call."""


def receiver(frame: FrameType) -> Any:
    """The object whose method this frame runs, however the method calls it (`self`, most of the time)."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
