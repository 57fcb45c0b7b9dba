"""Reading and writing the files of others: regular files only, replaced in one step, through links, with their mode."""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradcheck_health.records.errors import UsageError

PATIENCE = 60.0
"""Seconds to wait for another process that writes into the same folder."""
_PIECE = 2**16
"""Bytes that are read at once."""


def read_regular(path: Path, limit: int) -> bytes:
    """All of a file. What is no regular file would hang or never end, and what is too large is not read.

    Raises:
        FileNotFoundError: it is not there.
        UsageError: it is no regular file, is larger than `limit` bytes, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        os.close(descriptor)
        raise UsageError(f"{path}: got something that is no regular file; allowed: a file")
    contents, size = bytearray(), facts.st_size
    with open(descriptor, "rb") as file:
        try:
            while size <= limit and (piece := file.read(_PIECE)):  # in pieces: memory for the limit is not there everywhere
                contents += piece
                size = max(size, len(contents))
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from None
    if size > limit:
        raise UsageError(f"{path}: larger than {limit / 2**20:g} MiB, which no such file is")
    return bytes(contents)


def write(path: Path, text: str, tell: Callable[[str], None]) -> bool:
    """Replace the file; False, and reported, where that fails."""
    try:
        replace(path, text)
    except OSError as error:
        tell(f"error: {path} cannot be written: {error.strerror or error}\n")
        return False
    return True


def replace(path: Path, text: str) -> None:
    """Write a file so that a reader never meets half of it, whatever happens; what a link leads to, with the mode that it has.

    A pipe or a device is written to. Surrogates, which are no text, are written as escapes.

    Raises:
        OSError: the file is as it was.
    """
    contents = text.encode("utf-8", "backslashreplace")
    if os.path.exists(path) and not os.path.isfile(path):
        _write_into(path, contents)  # what /dev/stdout leads to may have no path of its own
        return
    real = Path(os.path.realpath(path))
    mode = stat.S_IMODE(real.stat().st_mode) if real.exists() else 0o666 & ~_umask()
    with _uninterrupted():
        descriptor, temporary = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name[:100]}.", suffix=".tmp")
        try:
            with open(descriptor, "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, real)
            _sync_folder(real.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def sweep(path: Path) -> None:
    """Remove what a writer left that was killed; under the lock, so that no other is at work."""
    real = Path(os.path.realpath(path))
    for leftover in real.parent.glob(f".{glob.escape(real.name[:100])}.*.tmp"):
        leftover.unlink(missing_ok=True)


def append(path: Path, text: str) -> None:
    """Add to the end of a file, or write into a pipe that somebody reads.

    Raises:
        OSError: it cannot be written; a pipe without a reader is an error, and nothing to wait for.
    """
    _write_into(path, text.encode("utf-8", "backslashreplace"), os.O_APPEND | os.O_CREAT)


def _write_into(path: Path, contents: bytes, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | flags, 0o666)
    with open(descriptor, "wb") as file:
        os.set_blocking(descriptor, True)
        file.write(contents)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One writer of a folder at a time, in all processes: the lock is on the folder itself, and leaves nothing in it.

    Raises:
        UsageError: another process has held it for a minute.
    """
    folder = Path(os.path.realpath(path)).parent
    busy = UsageError(f"{path}: another process has been writing there for {PATIENCE:g} s: end it, and try again")
    try:
        import fcntl
    except ImportError:  # Windows locks no folders
        from filelock import FileLock, Timeout

        try:
            with FileLock(str(folder / ".gradhealth.lock"), timeout=PATIENCE):
                yield
        except Timeout:
            raise busy from None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + PATIENCE
        while not _flocked(fcntl, descriptor):
            if time.monotonic() > end:
                raise busy
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _flocked(fcntl: Any, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and termination wait until the block is done: a temporary file is never left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before: dict[int, Any] = {}
    for signum in (signal.SIGINT, signal.SIGTERM):
        if callable(handler := signal.getsignal(signum)):
            before[signum] = handler
            signal.signal(signum, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            before[came[0]](came[0], None)


def _sync_folder(folder: Path) -> None:
    """The rename itself reaches the disk, where the system lets a folder be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
