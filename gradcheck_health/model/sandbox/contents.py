"""How objects that lead nowhere are remembered: generators, arrays, bytes, streams, iterators, weak containers.

Each row says how an object of these kinds is put back by its own protocol: (how, what, the contents it had).
"""

from __future__ import annotations

import random
import sys
import weakref
from array import array
from collections.abc import Callable
from io import BufferedReader, BytesIO, StringIO
from typing import Any

import torch

from gradcheck_health.model.sandbox import put_back as put

ITERATORS: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter(range(0))), type(iter("")))
"""Those that can be told how far they have come."""
Remembered = tuple[Callable[[Any, Any], Any], Any, Any]


def _generator(value: torch.Generator) -> Remembered:
    return torch.Generator.set_state, value, value.get_state()


def _python_generator(value: random.Random) -> Remembered | None:
    return None if isinstance(value, random.SystemRandom) else (random.Random.setstate, value, value.getstate())


def _weak(value: Any) -> Remembered:
    return put.weak_back, value.data, value.data.copy()


def _bytes(value: Any) -> Remembered | None:
    fixed = isinstance(value, memoryview) and (value.readonly or not value.c_contiguous)
    return None if fixed else (put.bytes_back, value, bytes(value))


def _stream(value: Any) -> Remembered | None:
    try:
        content = None if isinstance(value, BufferedReader) else value.getvalue()
        return put.stream_back, value, (value.tell(), content)
    except (OSError, ValueError):  # a pipe, or closed
        return None


def _iterator(value: Any) -> Remembered | None:
    state = value.__reduce__()  # one that is at its end has none
    return (put.iterator_back, value, state[2]) if len(state) > 2 else None


def _numpy_array(value: Any) -> Remembered:
    return put.array_back, value, value.copy()


def _numpy_generator(value: Any) -> Remembered:
    bits = getattr(value, "bit_generator", None) or value._bit_generator
    return put.bits_back, bits, bits.state


_KINDS: tuple[tuple[Any, Callable[[Any], Remembered | None]], ...] = (
    (torch.Generator, _generator),
    (random.Random, _python_generator),
    (weakref.WeakSet | weakref.WeakKeyDictionary | weakref.WeakValueDictionary, _weak),
    (bytearray | array | memoryview, _bytes),
    (BytesIO | StringIO | BufferedReader, _stream),
    (ITERATORS, _iterator),
)


def protocol(value: Any) -> Callable[[Any], Remembered | None] | None:
    """How an object of this type is remembered; None for those of other kinds."""
    for kinds, remember in _KINDS:
        if isinstance(value, kinds):
            return remember
    if (numpy := sys.modules.get("numpy")) is None:
        return None
    if isinstance(value, numpy.ndarray):
        return _numpy_array
    return _numpy_generator if isinstance(value, numpy.random.Generator | numpy.random.RandomState) else None
