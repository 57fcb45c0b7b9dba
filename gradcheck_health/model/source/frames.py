"""Frames of a forward pass: where it ends, and whose method a frame runs."""

from __future__ import annotations

from pathlib import Path
from types import FrameType
from typing import Any

_PACKAGE = Path(__file__).parents[2]
CALLERS = (str(_PACKAGE / "model" / "call.py"), str(_PACKAGE / "probe" / "objective.py"))
"""The files of `call` and of the loss: what lies further out on the stack is not part of forward, or of a given loss."""


def receiver(frame: FrameType) -> Any:
    """The object whose method this frame runs, however the method calls it (`self`, most of the time)."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
