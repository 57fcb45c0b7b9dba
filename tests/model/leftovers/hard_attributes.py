"""Hard models that keep things in Python attributes."""

from __future__ import annotations

import itertools
import queue
import random
import threading
import weakref
from array import array
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO, StringIO
from types import SimpleNamespace
from typing import Any

import numpy
import torch
from torch import nn

from tests.model.leftovers.hard import Lined, hard, hard_if


@hard
class Slots(Lined):
    __slots__ = ("more", "state")

    def setup(self) -> None:
        self.state = torch.zeros(4)

    def act(self, x: torch.Tensor) -> None:
        self.state += 1
        self.state = x.detach()
        self.more = [x]


@hard
class Counters(Lined):
    def setup(self) -> None:
        self.steps, self.rate, self.phase, self.on = 0, 0.5, "warm", False

    def act(self, x: torch.Tensor) -> None:
        self.steps += 1
        self.rate *= 0.9
        self.phase, self.on = "cold", True


@hard
class ListCache(Lined):
    def setup(self) -> None:
        self.cache: list[Any] = [torch.zeros(4)]

    def act(self, x: torch.Tensor) -> None:
        self.cache[0] += x.detach().mean(0)
        self.cache.insert(0, x)


@hard
class DictCache(Lined):
    def setup(self) -> None:
        self.cache: dict[Any, Any] = {"first": torch.zeros(4), "gone": 1}

    def act(self, x: torch.Tensor) -> None:
        self.cache["first"].add_(1)
        self.cache.pop("gone", None)
        self.cache[len(self.cache)] = x


@hard
class SetCache(Lined):
    def setup(self) -> None:
        self.seen = {1, 2, (3, 4)}

    def act(self, x: torch.Tensor) -> None:
        self.seen |= {len(x), 99}
        self.seen.discard(1)


@hard
class DequeCache(Lined):
    def setup(self) -> None:
        self.queue = deque([torch.zeros(4), torch.ones(4)], maxlen=2)

    def act(self, x: torch.Tensor) -> None:
        self.queue[0].mul_(2).add_(1)
        self.queue.append(x.detach().mean(0))


@hard
class TupleCache(Lined):
    def setup(self) -> None:
        self.pair: tuple[Any, ...] = (torch.zeros(4), [torch.zeros(4)])

    def act(self, x: torch.Tensor) -> None:
        self.pair[0].add_(1)
        self.pair[1].append(x)
        self.pair = (*self.pair, x)


@hard
class OddDicts(Lined):
    def setup(self) -> None:
        self.default: defaultdict[str, list[int]] = defaultdict(list)
        self.counter, self.user = Counter("abc"), UserDict(a=1)
        self.order = OrderedDict(a=1, b=2)

    def act(self, x: torch.Tensor) -> None:
        self.default["x"].append(1)
        self.counter.update("ab")
        self.user["b"] = x
        self.order.move_to_end("a")


@dataclass
class Record:
    steps: int = 0
    seen: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Settled:
    table: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Narrow:
    value: Any = None


@hard
class Records(Lined):
    def setup(self) -> None:
        self.record, self.space, self.settled = Record(), SimpleNamespace(last=None), Settled()
        self.narrow = Narrow()

    def act(self, x: torch.Tensor) -> None:
        self.record.steps += 1
        self.record.seen.append(1)
        self.space.last = x
        self.settled.table["a"] = 1
        self.narrow.value = x


class Meter:
    """A plain object, as people write them."""

    def __init__(self) -> None:
        self.sum, self.history, self.tensor = 0.0, [1.0], torch.zeros(2)

    def update(self, value: float) -> None:
        self.sum += value
        self.history.append(value)
        self.tensor.add_(1)


class Slim:
    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


@hard
class PlainObjects(Lined):
    def setup(self) -> None:
        self.meter, self.slim, self.meters = Meter(), Slim(), {"a": [Meter()]}

    def act(self, x: torch.Tensor) -> None:
        self.meter.update(float(x.detach().sum()))
        self.meters["a"][0].update(1.0)
        self.slim.count += 1


@hard
class NumpyState(Lined):
    def setup(self) -> None:
        self.table, self.generator = numpy.zeros(3), numpy.random.default_rng(0)
        self.objects = numpy.array([None, [1]], dtype=object)
        self.old = numpy.random.RandomState(0)
        self.record = numpy.zeros(2, dtype=[("a", "f4"), ("b", "i8")])

    def act(self, x: torch.Tensor) -> None:
        self.table += self.generator.random(3)
        self.objects[1].append(2)
        self.objects[0] = "set"
        self.record["a"] += 1
        self.old.rand()


@hard
class HeldGenerators(Lined):
    def setup(self) -> None:
        self.own, self.python = torch.Generator().manual_seed(1), random.Random(1)
        self.nested = {"deep": [torch.Generator().manual_seed(2)]}

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.python.random()
        torch.rand(1, generator=self.nested["deep"][0])
        return x + torch.rand(4, generator=self.own)


@hard
class WeakReferences(Lined):
    def setup(self) -> None:
        self.others: Any = weakref.WeakValueDictionary()
        self.tags: Any = weakref.WeakKeyDictionary()
        self.group: Any = weakref.WeakSet()
        self.me = weakref.ref(self)
        self.others["fc"] = self.fc

    def act(self, x: torch.Tensor) -> None:
        self.others["me"] = self
        self.tags[self.fc] = "used"
        self.group.add(self.fc)


@hard
class PropertyWithSetter(Lined):
    def setup(self) -> None:
        self._scale = 1.0
        self.log: list[float] = []

    @property
    def scale(self) -> float:
        return self._scale

    @scale.setter
    def scale(self, value: float) -> None:
        self.log.append(value)
        self._scale = value

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.scale = self.scale * 0.5 + 1
        return x * self.scale


@hard
class OwnGetattr(Lined):
    def setup(self) -> None:
        self.hidden = {"width": 4}

    def __getattr__(self, name: str) -> Any:
        hidden = self.__dict__.get("hidden", {})
        if name in hidden:
            return hidden[name]
        if name == "invented":
            hidden["asked"] = hidden.get("asked", 0) + 1
            return hidden["asked"]
        return super().__getattr__(name)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.invented / self.width


@hard
class OwnSetattr(Lined):
    def setup(self) -> None:
        self.frozen = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("frozen") and name not in ("count", "training"):
            raise AttributeError(f"{name} is read-only")
        if name == "count":
            self.__dict__["written"] = self.__dict__.get("written", 0) + 1
        super().__setattr__(name, value)

    def act(self, x: torch.Tensor) -> None:
        self.count = len(x)


@hard
def contains_itself() -> nn.Module:
    class Loop(Lined):
        def setup(self) -> None:
            self.ring: list[Any] = [self]
            self.ring.append(self.ring)

        def act(self, x: torch.Tensor) -> None:
            self.ring[0].mark = self.ring
            self.ring.append(x)

    return Loop()


@hard
def class_attributes() -> nn.Module:
    class Counted(Lined):
        calls = 0
        cache: dict[str, Any] = {}  # noqa: RUF012 - the mistake that people make
        tensor = torch.zeros(2)

        def act(self, x: torch.Tensor) -> None:
            type(self).calls += 1
            self.cache["x"] = x
            self.tensor.add_(1)
            type(self).late = x  # type: ignore[attr-defined]

    return Counted()


@hard
def closures() -> nn.Module:
    seen: list[Any] = []
    state = {"calls": 0}

    def note(x: torch.Tensor) -> None:
        seen.append(x)
        state["calls"] += 1

    class Told(Lined):
        def setup(self) -> None:
            self.note, self.table = note, {"f": note}

        def act(self, x: torch.Tensor) -> None:
            self.note(x)
            self.note.last = x  # type: ignore[attr-defined]

    return Told()


@hard
class UnregisteredModules(Lined):
    def setup(self) -> None:
        self.blocks = [nn.BatchNorm1d(4), {"deep": (nn.BatchNorm1d(4),)}]
        self.lock = threading.Lock()

    def act(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            out: torch.Tensor = self.blocks[1]["deep"][0](self.blocks[0](x))  # type: ignore[index,operator]
        return out


@hard
class OptimizerInside(Lined):
    """An inner loop: it takes steps on a part of itself while it runs forward."""

    def setup(self) -> None:
        self.inner = nn.Linear(4, 4)
        self.optimizer = torch.optim.Adam(self.inner.parameters())
        self.inner.weight.grad = torch.ones(4, 4)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            self.optimizer.zero_grad()
            self.inner(x.detach()).square().mean().backward()
            self.optimizer.step()
        out: torch.Tensor = self.inner(x)
        return out


_EVERYWHERE = {"calls": 0}


@hard_if(watched=(_EVERYWHERE,))
class GlobalCounter(Lined):
    def act(self, x: torch.Tensor) -> None:
        _EVERYWHERE["calls"] += 1


class _Counted:
    calls = 0


def _counting(function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        counted.calls += 1  # type: ignore[attr-defined]
        return function(*args)

    counted.calls = 0  # type: ignore[attr-defined]
    return counted


def _helper(calls: list[int] = []) -> None:  # noqa: B006 - that is the point
    calls.append(1)


@hard_if(watched=(_helper.__defaults__,))
class StateOfCode(Lined):
    """Attributes of functions, defaults that grow, and attributes of a helper's class."""

    def setup(self) -> None:
        self.helper = _Counted()

    @_counting
    def act(self, x: torch.Tensor) -> None:
        type(self.helper).calls += 1
        _helper()


@hard
class OddContents(Lined):
    """Bytes, arrays of numbers, queues, maps behind maps, streams."""

    def setup(self) -> None:
        self.raw, self.numbers = bytearray(b"abc"), array("i", [1, 2])
        self.waiting: queue.Queue[int] = queue.Queue()
        self.layers = ChainMap[str, int]({}, {"x": 1})
        self.stream, self.text = BytesIO(b"abc"), StringIO("x")
        self.items = iter(range(100_000))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.raw.append(1)
        self.numbers.append(3)
        self.waiting.put(1)
        self.layers["y"] = 3
        self.stream.read(1)
        self.stream.write(b"z")
        self.text.write("hello")
        return x + next(self.items)


@hard_if(beyond="how far an iterator has come")
class RunningIterator(Lined):
    def setup(self) -> None:
        self.numbers = itertools.count()

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x + next(self.numbers)
