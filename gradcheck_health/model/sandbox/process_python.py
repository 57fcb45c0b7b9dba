"""Settings of Python, the operating system and numpy that the code of a model can change: (read, put back)."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

Setting = tuple[Callable[[], Any], Callable[[Any], Any]]


class IdentityAndContents:
    """An object and its contents, equal to another one where both are the same."""

    def __init__(self, value: Any, contents: Any = None) -> None:
        self.value, self.contents = value, contents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IdentityAndContents) and self.value is other.value and self.contents == other.contents

    __hash__ = None  # type: ignore[assignment]


def attribute(owner: Any, name: str) -> Setting:
    """An object that stands in a module under this name."""
    return (lambda: IdentityAndContents(getattr(owner, name)), lambda kept: setattr(owner, name, kept.value))


def holder(owner: Any, name: str) -> Setting:
    """The same for a list or dict, with what is in it."""

    def get() -> IdentityAndContents:
        value = getattr(owner, name)
        return IdentityAndContents(value, dict(value) if isinstance(value, dict) else list(value))

    def put(kept: IdentityAndContents) -> None:
        setattr(owner, name, kept.value)
        if isinstance(kept.value, dict):
            kept.value.clear()
            kept.value.update(kept.contents)
        else:
            kept.value[:] = kept.contents

    return get, put


def _environ() -> Any:
    """As the system has it, where Python keeps that: to decode a hundred variables takes longer than all the rest together."""
    return dict(getattr(os.environ, "_data", os.environ))


def _set_environ(saved: dict[Any, Any]) -> None:
    decode = getattr(os.environ, "decodevalue", str)
    names = {name if isinstance(name, str) else os.fsdecode(name): decode(value) for name, value in saved.items()}
    for name in set(os.environ) - set(names):
        del os.environ[name]
    os.environ.update(names)


def _cwd() -> str | None:
    with contextlib.suppress(FileNotFoundError):
        return os.getcwd()
    return None


def _set_cwd(path: str | None) -> None:
    if path is not None:
        os.chdir(path)


def _umask() -> int:
    """It cannot be read without being set; what another thread creates meanwhile is private."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    names = ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGUSR1", "SIGUSR2")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return {number: handler for number in numbers if (handler := signal.getsignal(number)) is not None}


def _set_handlers(saved: Mapping[int, Any]) -> None:
    for number, handler in saved.items():
        signal.signal(number, handler)


def _filters_changed(put: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Python keeps for every module which filter applied to a line; that has to be reset."""

    def told(saved: Any) -> None:
        put(saved)
        getattr(warnings, "_filters_mutated", lambda: None)()

    return told


def _logging() -> Any:
    root = logging.getLogger()
    return root.level, logging.root.manager.disable, list(root.handlers)


def _set_logging(saved: Any) -> None:
    level, disabled, handlers = saved
    logging.getLogger().setLevel(level)
    logging.disable(disabled)
    logging.getLogger().handlers[:] = handlers


def _numpy_errors() -> Any:
    numpy = sys.modules.get("numpy")
    return None if numpy is None else numpy.geterr()


def _set_numpy_errors(saved: Any) -> None:
    if saved is not None:
        sys.modules["numpy"].seterr(**saved)


_FILTERS = holder(warnings, "filters")

PYTHON: tuple[Setting, ...] = (
    (_FILTERS[0], _filters_changed(_FILTERS[1])),
    attribute(warnings, "showwarning"),
    (_cwd, _set_cwd),
    (_environ, _set_environ),
    holder(sys, "path"),
    holder(sys, "argv"),
    *(attribute(sys, name) for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook")),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (_umask, os.umask),
    (_handlers, _set_handlers),
    (_logging, _set_logging),
    (lambda: locale.setlocale(locale.LC_ALL), lambda saved: locale.setlocale(locale.LC_ALL, saved)),
    (gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    (gc.get_threshold, lambda saved: gc.set_threshold(*saved)),
    (_numpy_errors, _set_numpy_errors),
)
