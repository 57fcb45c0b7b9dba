"""Which stack frames and files are the user's."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch

CALLER = str(Path(__file__).parents[1] / "call.py")
"""The file of `call`: what lies further out on the stack is not part of forward."""
_ROOMS = Path(__file__).parents[2]
CALLERS = (CALLER, str(_ROOMS / "probe" / "objective.py"))
"""The same with the file that computes a given loss."""
_NOT_OF_USERS = (torch.__file__.rpartition("__init__")[0], f"{_ROOMS / 'model'}{os.sep}", f"{_ROOMS / 'probe'}{os.sep}", "<")


def user_frames(error: BaseException) -> Iterator[traceback.FrameSummary]:
    """The frames of an error that lie outside torch and this package, innermost first."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_user_file(frame.filename):
            yield frame


def is_user_file(filename: str) -> bool:
    """Not a file of torch's or of the rooms that run models, and not without a file at all."""
    return not filename.startswith(_NOT_OF_USERS)


def receiver(frame: FrameType) -> Any:
    """The object whose method this frame runs, however the method calls it (`self`, most of the time)."""
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
