"""Whose code a stack frame runs: the user's, or that of torch, of Python and of this package."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import traceback

_PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
_EXAMPLES = f"{_PACKAGE}rules{os.sep}"
"""The example models of rules are written as a user writes them, and count as the user's."""
_STANDARD_LIBRARY = (sysconfig.get_path("stdlib"), sys.base_prefix + "/lib/python")
_TORCH = os.path.join(sysconfig.get_path("purelib"), "torch", "")
_TORCH_ANYWHERE = "-packages/torch/"
_SHOWN = 4
"""Frames of a traceback that a message shows."""


def is_user_file(filename: str) -> bool:
    """Not a file of torch's, of Python's or of this package, and not without a file at all."""
    if cell_name(filename) is not None:
        return True
    if filename.startswith(("<", *_folders_of_torch())) or is_package_file(filename):
        return False
    if _TORCH_ANYWHERE in filename.replace(os.sep, "/"):  # where it is not imported, as in the parent of a worker
        return False
    # packages of others are installed below the standard library
    return "site-packages" in filename or not filename.startswith(_STANDARD_LIBRARY)


def cell_name(filename: str) -> str | None:
    """`In[3]` for the code of a cell; None for anything else."""
    if found := re.fullmatch(r"<ipython-input-(\d+)-\w+>", filename):
        return f"In[{found[1]}]"
    if (shell := getattr(sys.modules.get("IPython"), "get_ipython", None)) is None or (shell := shell()) is None:
        return None
    formatted = getattr(getattr(shell, "compile", None), "format_code_name", lambda _: None)(filename)
    return str(formatted[1]) if isinstance(formatted, tuple) and formatted[0] == "Cell" else None


def is_package_file(filename: str) -> bool:
    """A file of this package, apart from the example models of its rules."""
    return filename.startswith(_PACKAGE) and not filename.startswith(_EXAMPLES)


def _folders_of_torch() -> tuple[str, ...]:
    """Where it would be installed, and where it came from."""
    loaded = getattr(sys.modules.get("torch"), "__file__", None)
    return (_TORCH,) if loaded is None else (_TORCH, loaded.rpartition("__init__")[0])


def user_frames(frames: Sequence[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    """The last frames that run the user's code; the very last one if there are none; innermost last."""
    kept = [frame for frame in frames if is_user_file(frame.filename)]
    last = [frame for frame in frames[-1:] if not frame.filename.startswith("<")]
    return (kept or last)[-_SHOWN:]
