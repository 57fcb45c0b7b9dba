"""Settings of Python, the operating system and numpy that the code of a model can change: (read, put back)."""

from __future__ import annotations

import builtins
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
from operator import is_
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
    return {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) is not None}


_SIGNALS = sorted(signal.valid_signals() - {getattr(signal, name, None) for name in ("SIGKILL", "SIGSTOP")})


def _alarm() -> bool:
    """Whether one was set; its time has gone on, and is no setting."""
    return hasattr(signal, "getitimer") and signal.getitimer(signal.ITIMER_REAL)[0] > 0


def _set_alarm(was_set: bool) -> None:
    if not was_set:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _set_handlers(saved: Mapping[int, Any]) -> None:
    for number, handler in saved.items():
        signal.signal(number, handler)


def _filters_changed(put: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Python keeps for every module which filter applied to a line; that has to be reset."""

    def told(saved: Any) -> None:
        put(saved)
        getattr(warnings, "_filters_mutated", lambda: None)()

    return told


def _loggers() -> list[logging.Logger]:
    known = [one for one in list(logging.root.manager.loggerDict.values()) if isinstance(one, logging.Logger)]
    return [logging.root, *known]


def _logging() -> Any:
    rows = [(one, one.level, one.disabled, one.propagate, [*one.handlers], [*one.filters]) for one in _loggers()]
    return logging.root.manager.disable, rows


def _set_logging(saved: Any) -> None:
    """Of loggers that are new nothing is known; they keep what they have."""
    disabled, rows = saved
    logging.disable(disabled)
    for logger, level, off, propagate, handlers, filters in rows:
        if logger.level != level:
            logger.setLevel(level)
        logger.disabled, logger.propagate = off, propagate
        logger.handlers[:], logger.filters[:] = handlers, filters


def _numpy_errors() -> Any:
    numpy = sys.modules.get("numpy")
    return None if numpy is None else numpy.geterr()


def _set_numpy_errors(saved: Any) -> None:
    if saved is not None:
        sys.modules["numpy"].seterr(**saved)


def _numpy_printing() -> Any:
    numpy = sys.modules.get("numpy")
    return None if numpy is None else numpy.get_printoptions()


def _set_numpy_printing(saved: Any) -> None:
    if saved is not None:
        sys.modules["numpy"].set_printoptions(**saved)


def _decimals() -> Any:
    decimal = sys.modules.get("decimal")
    return None if decimal is None else _Context(decimal.getcontext().copy())


def _set_decimals(saved: Any) -> None:
    if saved is not None:
        sys.modules["decimal"].setcontext(saved.context.copy())


class _Context:
    """A context of `decimal`, which knows no equality."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Context) and repr(self.context) == repr(other.context)

    __hash__ = None  # type: ignore[assignment]


def namespace(owner: Any) -> Setting:
    """What stands in a module or class under any name: code that replaces functions of others (`F.relu = mine`)."""

    def put(saved: dict[str, Any]) -> None:
        now = dict(vars(owner))
        for name in now.keys() - saved.keys() if isinstance(owner, type) else ():
            delattr(owner, name)  # it stood in front of one that is inherited
        for name, held in saved.items():
            if now.get(name, saved) is not held:
                setattr(owner, name, held)

    return lambda: Names(vars(owner), owner), put


class Names(dict[str, Any]):
    """Equal to another where all names of both lead to the same objects; a new one in a module is an import, and stays."""

    def __init__(self, names: Mapping[str, Any], owner: Any) -> None:
        super().__init__(names)
        self._closed = isinstance(owner, type)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, dict):
            return False
        same = len(self) == len(other) and all(map(is_, self.values(), other.values()))
        return same or not self._closed and all(self.get(name, other) is held for name, held in other.items())

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None


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
    *(holder(sys, name) for name in ("meta_path", "path_hooks")),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (sys.getswitchinterval, sys.setswitchinterval),
    (_umask, os.umask),
    (_alarm, _set_alarm),
    (_handlers, _set_handlers),
    (lambda: locale.setlocale(locale.LC_ALL), lambda saved: locale.setlocale(locale.LC_ALL, saved)),
    (gc.isenabled, lambda enabled: gc.enable() if enabled else gc.disable()),
    holder(gc, "callbacks"),
    (gc.get_threshold, lambda saved: gc.set_threshold(*saved)),
    (_numpy_errors, _set_numpy_errors),
    (_numpy_printing, _set_numpy_printing),
    (_decimals, _set_decimals),
)
PYTHON_ONCE: tuple[Setting, ...] = (namespace(builtins), (_logging, _set_logging))
"""What takes longer to read: put back at the end of a check, not after each of its passes."""
