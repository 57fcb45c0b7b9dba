"""Which line of the user's code is running."""

from __future__ import annotations

import inspect
import linecache
import os
import re
import sys
from types import FrameType
from typing import Any

from gradcheck_health.model.source.frames import CALLERS
from gradcheck_health.records.frames import cell_name, is_user_file

_SAMPLERS = frozenset({"sample", "sample_n"})


def user_line() -> str | None:
    """`file:line` of the innermost frame inside forward that is not torch's; the path is relative where it lies below here."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in CALLERS:
        if is_user_file(frame.f_code.co_filename):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def torch_helper() -> str:
    """What of torch's own, between the operation and the user's line, turned gradients off: "Normal.sample", or ""."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in CALLERS and not is_user_file(frame.f_code.co_filename):
        folder, _, file = frame.f_code.co_filename.replace(os.sep, "/").rpartition("/")
        if folder.endswith("torch/distributions") and frame.f_code.co_name in _SAMPLERS:
            return f"{type(frame.f_locals.get('self')).__name__}.{frame.f_code.co_name}"
        if folder.endswith("torch/utils") and file == "checkpoint.py":
            return "reentrant checkpoint"
        frame = frame.f_back
    return ""


def unlinked_function() -> tuple[str, str | None]:
    """The autograd.Function in whose forward this runs and the line that applies it, where none of its inputs has a gradient.

    Such a call is no part of the graph, whatever its backward does. ("", None) elsewhere.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename not in CALLERS:
        first = frame.f_code.co_varnames[:1] if frame.f_code.co_name == "forward" else ()
        context: Any = frame.f_locals.get(*first) if first else None
        function = getattr(type(context), "_forward_cls", None)
        if function is not None and is_user_file(frame.f_code.co_filename) and not any(context.needs_input_grad):
            above = frame.f_back
            while above is not None and not is_user_file(above.f_code.co_filename):
                above = above.f_back
            return function.__name__, place(above.f_code.co_filename, above.f_lineno) if above else None
        frame = frame.f_back
    return "", None


def class_lines(cls: type) -> tuple[list[str], int]:
    """As `inspect.getsourcelines`, which parses the whole file: a class at the left margin is found by its first line.

    Raises:
        OSError, TypeError: there is no source.
    """
    file = inspect.getsourcefile(cls) if cls.__qualname__ == cls.__name__ else None
    linecache.checkcache(file or "")
    lines = linecache.getlines(file, vars(sys.modules[cls.__module__])) if file and cls.__module__ in sys.modules else []
    begins = re.compile(rf"class {re.escape(cls.__name__)}\b")
    found = [i for i, line in enumerate(lines) if begins.match(line)]
    if len(found) != 1:
        return inspect.getsourcelines(cls)
    first = found[0]
    while first > 0 and lines[first - 1].startswith("@"):
        first -= 1
    if first > 0 and lines[first - 1].strip() and not lines[first - 1].startswith(("#", " ", "import ", "from ")):
        return inspect.getsourcelines(cls)  # a decorator of several lines
    return inspect.getblock(lines[first:]), first + 1


def place(filename: str, line: int) -> str:
    """`file:line`; `In[3]:2` for the cell of a notebook, as IPython counts it."""
    if (cell := cell_name(filename)) is not None:
        return f"{cell}:{line}"
    try:
        here = os.path.relpath(filename) if os.path.isabs(filename) else filename
    except OSError:  # there is no working directory any more
        here = ".."
    return f"{filename if here.startswith('..') else here}:{line}"
