"""Short, safe wordings of what models say."""

from __future__ import annotations


def message(error: BaseException) -> str:
    """The text of any exception, also of one whose `__str__` raises."""
    try:
        return str(error)
    except BaseException as broken:  # noqa: BLE001 - user code may raise anything, SystemExit included
        return f"(its message could not be read: {type(broken).__name__})"


def said(error: BaseException, limit: int = 200) -> str:
    """`Type: message` of any exception on one line, cut after `limit` characters."""
    text = " ".join(message(error).split())
    whole = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return whole if len(whole) <= limit else whole[: limit - 3] + "..."
