"""How much memory a worker may use: as the user writes it, as a machine has it, and what an error says about it."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
SHARE = 0.9
"""Of the machine's memory, where nobody says how much."""
CONTAINER = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def limit(text: str | None) -> int | None:
    """Bytes; None where there is no limit.

    Args:
        text: "8G", "512 MiB" or "none": the setting `memory`; None is nine tenths of what the machine or its container has.
    """
    if text is None:
        has = available()
        return None if has is None else int(SHARE * has)
    if text == "none":
        return None
    number, unit = re.fullmatch(r"([0-9.]+)\s*([KMGT]).*", text).groups()  # type: ignore[union-attr]
    return int(float(number) * UNITS[unit])


def available() -> int | None:
    """Bytes of memory of the machine, or of the container if that has less; None where the system does not tell."""
    found = []
    with contextlib.suppress(AttributeError, ValueError, OSError):
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in CONTAINER:
        with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
            found.append(int(path.read_text()))
    return min((size for size in found if size > 0), default=None)


def restrict(size: int) -> bool:
    """Let no more than this be allocated in this process and in each of those it starts: what asks for more gets a MemoryError.

    Counted is private memory that can be written, touched or not (`RLIMIT_DATA`, as Linux counts it); not what is shared and
    not what is on a GPU.

    Returns:
        Whether the system has such a limit.
    """
    import resource
    import sys

    if not sys.platform.startswith("linux"):
        return False
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = size if hard == resource.RLIM_INFINITY else min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (wanted, wanted))
    return True


def restricted() -> int | None:
    """The bytes of `restrict`; None where nothing is restricted."""
    import resource

    size, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return None if size == resource.RLIM_INFINITY else size


def format_size(size: int) -> str:
    """`1.5 GiB`."""
    unit, power = next(((unit, power) for unit, power in reversed(UNITS.items()) if size >= power), ("", 1))
    return f"{size / power:.3g} {unit}{'i' if unit else ''}B"
