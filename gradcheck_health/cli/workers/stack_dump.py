"""Where a process stood when it was stopped or died: what `faulthandler` wrote, read back."""

from __future__ import annotations

import linecache
import re
import stat
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health.records.errors import format_frame
from gradcheck_health.records.frames import is_user_file, user_frames

_HEAD = re.compile(r"(?P<current>Current thread|Thread) 0x(?P<number>[0-9a-f]+)")
_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d{1,9}) in (?P<name>.*)')
_PACKAGE = Path(__file__).parents[2]
IMPORTING, BACKWARD = "while importing it", "in backward"
SILENT = "Timeout ("
"""Heads the stack of a process that has said nothing for long."""
_PHASES = (
    ("/torch/autograd/", "_engine_run_backward", BACKWARD),
    ("/torch/nn/modules/module.py", "_call_impl", "in forward"),
    (f"{_PACKAGE}/check/prepare.py", "_build", "while building it"),
    (f"{_PACKAGE}/targets/arguments/", "", "while building it"),
    (f"{_PACKAGE}/targets/importing.py", "", IMPORTING),
    (f"{_PACKAGE}/model/checkpoint/", "", "while reading its checkpoint"),
    (f"{_PACKAGE}/inputs/", "", "while making up inputs"),
    (f"{_PACKAGE}/rules/", "", "while judging it"),
)
"""Part of a file's name, the name of a function ("" is any), and what is going on where the innermost such frame is."""
MAX_BYTES = 1 << 20
"""Of a source file that is read for the line to show."""


@dataclass(frozen=True, slots=True)
class StackPosition:
    """What a process was doing."""

    phase: str | None
    """ "in forward", "while importing it", ...; None where no frame tells."""
    lines: tuple[str, ...]
    """Frames of the user's own code, the innermost last."""


def read(dump: str, main_thread: int) -> StackPosition | None:
    """The last stack that was written: that of the thread that crashed, else of the main thread; None where there is none.

    Args:
        dump: what `faulthandler` wrote.
        main_thread: its `threading.get_ident()`.
    """
    blocks: list[tuple[bool, list[traceback.FrameSummary]]] = []
    for line in dump.splitlines():
        if head := _HEAD.match(line):
            blocks.append((bool(head["current"] == "Current thread") or int(head["number"], 16) == main_thread, []))
        elif blocks and (frame := _FRAME.fullmatch(line)):
            blocks[-1][1].insert(0, _frame(frame["file"], int(frame["line"]), frame["name"]))
    frames = next((frames for wanted, frames in reversed(blocks) if wanted and frames), None)
    return None if frames is None else StackPosition(_phase(frames), tuple(map(format_frame, user_frames(frames))))


def _frame(file: str, number: int, name: str) -> traceback.FrameSummary:
    return traceback.FrameSummary(file, number, name, lookup_line=False, line=_line(file, number))


def _line(file: str, number: int) -> str:
    """The line of source; a file may be a pipe by now, and reading that would never end."""
    try:
        status = Path(file).stat()
    except (OSError, ValueError):
        return ""
    return linecache.getline(file, number).strip() if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES else ""


def _phase(frames: Sequence[traceback.FrameSummary]) -> str | None:
    if any(frame.name == "<module>" and is_user_file(frame.filename) for frame in frames):
        return IMPORTING  # whatever the file does meanwhile: it may train
    for frame in reversed(frames):
        for file, name, phase in _PHASES:
            if file in frame.filename and name in ("", frame.name):
                return phase
    return None
