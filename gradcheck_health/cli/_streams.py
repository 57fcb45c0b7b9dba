"""The standard streams of the command, also where they are closed, and ending it on SIGTERM as on Ctrl-C."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from gradcheck_health.records.errors import UsageError


class OutputError(UsageError):
    """Standard output cannot be written: the findings cannot be reported."""


class ReaderGoneError(Exception):
    """Standard output is a pipe whose reader, `| head`, has seen enough."""


def internal_error(error: Exception) -> int:
    """Say that this program is at fault, where, and how to report it; or that its surroundings are.

    Returns:
        The exit code: it is never that of a finding.
    """
    import traceback

    from gradcheck_health.formats._text import safe_lines
    from gradcheck_health.records.errors import GradhealthError, describe_error
    from gradcheck_health.records.version import __version__

    if os.environ.get("GRADHEALTH_DEBUG"):
        traceback.print_exception(error)
    first = describe_error(error).partition("\n")[0]
    if isinstance(error, OSError):
        named = error.filename if error.filename is not None else _place_of(error)
        text, code = f"error: {named}: {error.strerror or first}", UsageError.exit_code
    else:
        where = "".join(
            f"\n  at {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-1:]
        )
        text = (
            f"internal error of gradhealth {__version__}: {first}{where}\n  nothing was concluded; please report it with the"
            " command, what `gradhealth doctor` says, and the traceback that GRADHEALTH_DEBUG=1 shows"
        )
        code = GradhealthError.exit_code
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{safe_lines(text)}\n")
        sys.stderr.flush()
    return code


def _place_of(error: OSError) -> str:
    """What failed where the error does not say it."""
    if error.errno == errno.ENOENT:
        return "the working directory"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too few descriptors (ulimit -n)"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return "no further process can be started (ulimit -u, memory)"
    return "the system"


def open_streams() -> None:
    """Where a standard stream was closed (`>&-`), the null device: what is opened later must not take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115


def give_up_output() -> None:
    """What is still in a buffer would fail again when Python ends, and that would be the exit code."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM is Ctrl-C: what was checked is kept and reported, and workers end."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
