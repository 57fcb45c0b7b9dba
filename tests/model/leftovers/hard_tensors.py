"""Hard models that hold tensors of uncommon kinds, and models that are not written in Python any more."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from tests.model.leftovers.hard import Lined, hard, hard_if


@hard
class InferenceTensors(Lined):
    def setup(self) -> None:
        with torch.inference_mode():
            self.register_buffer("table", torch.ones(4))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            self.table.add_(1)
        return x + self.table.clone()


@hard
class SharedStorage(Lined):
    def setup(self) -> None:
        whole = torch.zeros(2, 6)
        self.register_buffer("whole", whole)
        self.register_buffer("part", whole[0, 1:5])
        self.register_buffer("column", whole.t()[2])

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.part += x.detach().mean(0)
        self.column.mul_(2).add_(3)
        return x + self.part


@hard
class ViewOfAParameter(Lined):
    def setup(self) -> None:
        self.register_buffer("row", self.fc.weight.detach()[1])

    def act(self, x: torch.Tensor) -> None:
        self.row += 1


@hard
class Expanded(Lined):
    def setup(self) -> None:
        self.register_buffer("one", torch.zeros(1).expand(4))
        self.register_buffer("turned", torch.zeros(4, 3).t())

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.one[:1] += 1
        self.turned.add_(2)
        return x + self.one


@hard
class Windows(Lined):
    """A buffer whose entries lie over each other in memory."""

    def setup(self) -> None:
        self.register_buffer("line", torch.arange(6.0))
        self.register_buffer("windows", self.line.unfold(0, 3, 1))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.line += 1
        return x + self.windows.sum()


@hard_if(beyond="the address of a storage that was resized; its values come back")
class Resized(Lined):
    def setup(self) -> None:
        self.register_buffer("store", torch.ones(3))
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("swapped", torch.ones(3))

    def act(self, x: torch.Tensor) -> None:
        self.store.resize_(50).fill_(7)
        self.empty.resize_(5).fill_(1)
        self.swapped.set_(torch.zeros(2))


@hard
class Sparse(Lined):
    def setup(self) -> None:
        self.register_buffer("graph", torch.eye(4).to_sparse().coalesce())
        self.register_buffer("other", torch.eye(4).to_sparse())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CSR is in beta, it says
            self.register_buffer("rows", torch.eye(4).to_sparse_csr())

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.graph.mul_(0.5)
        self.other.add_(torch.ones(4, 4).to_sparse())
        self.rows.values().add_(1)
        return x @ self.graph.to_dense()


@hard
class ComplexNumbers(Lined):
    def setup(self) -> None:
        self.phase = nn.Parameter(torch.ones(4, dtype=torch.complex64))
        self.register_buffer("table", torch.zeros(4, dtype=torch.complex128))
        self.register_buffer("mirrored", torch.zeros(4, dtype=torch.complex64).conj())
        self.register_buffer("negative", torch.zeros(4, dtype=torch.complex64).conj().imag)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.table += 1j
        self.mirrored.add_(1j)
        self.negative.add_(1)
        return (x * self.phase).real


@hard
class Quantised(Lined):
    def setup(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecated in favour of another package
            self.register_buffer("table", torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.table.copy_(torch.zeros(4))
        return x + self.table.dequantize()


@hard
class Nested(Lined):
    def setup(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a prototype, it says
            self.register_buffer("ragged", torch.nested.nested_tensor([torch.zeros(2), torch.ones(3)]))

    def act(self, x: torch.Tensor) -> None:
        self.ragged.mul_(0).add_(self.ragged)
        self.ragged.unbind()[0].add_(1)


class Marked(torch.Tensor):
    """A subclass with an attribute of its own."""

    mark: Any = None


@hard
class SubclassTensors(Lined):
    def setup(self) -> None:
        marked = torch.zeros(4).as_subclass(Marked)
        marked.mark = ["first"]
        self.register_buffer("marked", marked)
        self.own = nn.Parameter(torch.ones(4).as_subclass(Marked))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.marked.add_(1)
        self.marked.mark.append("more")
        out = x + self.marked + self.own
        return out.as_subclass(torch.Tensor)


class Pair(torch.Tensor):
    """A tensor that has no memory of its own and keeps two others."""

    @staticmethod
    def __new__(cls, a: torch.Tensor, b: torch.Tensor) -> Any:
        return torch.Tensor._make_wrapper_subclass(cls, a.shape, dtype=a.dtype, strides=a.stride())  # type: ignore[attr-defined]

    def __init__(self, a: torch.Tensor, b: torch.Tensor) -> None:
        self.a, self.b = a, b

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        first, second = (
            function(*(getattr(arg, name) if isinstance(arg, Pair) else arg for arg in args), **(kwargs or {}))
            for name in ("a", "b")
        )
        if function is torch.ops.aten.copy_.default or function.__name__.partition(".")[0].endswith("_"):
            return args[0]
        return Pair(first, second) if isinstance(first, torch.Tensor) else first


@hard
class WrapperSubclass(Lined):
    def setup(self) -> None:
        self.register_buffer("pair", Pair(torch.zeros(4), torch.ones(4)))

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.pair.add_(1)
        self.pair.b.mul_(3)  # type: ignore[operator]
        return x + self.pair.a


@hard
class ManyDtypes(Lined):
    def setup(self) -> None:
        for name in ("bfloat16", "float16", "float64", "int8", "int64", "bool", "uint16", "float8_e4m3fn"):
            self.register_buffer(f"of_{name}", torch.zeros(3).to(getattr(torch, name)))
        self.register_buffer("scalar", torch.tensor(float("nan")))

    def act(self, x: torch.Tensor) -> None:
        for buffer in self.buffers():
            buffer.copy_(torch.ones(()))


@hard
class NoValues(Lined):
    def setup(self) -> None:
        self.register_buffer("shape_only", torch.zeros(3, device="meta"))
        self.register_buffer("nothing", None)

    def act(self, x: torch.Tensor) -> None:
        self.shape_only = torch.zeros(4)
        self.nothing = torch.zeros(1)


@hard
class KeepsTheGraph(Lined):
    """A hidden state that is carried from call to call, with its history."""

    def setup(self) -> None:
        self.start = nn.Parameter(torch.zeros(4))
        self.state = self.start * 2
        self.state.retain_grad()

    def act(self, x: torch.Tensor) -> torch.Tensor:
        self.state = self.state.detach() * 0.5 + self.start + x.mean(0)
        return x + self.state


_OUTSIDE = torch.ones(4, requires_grad=True)
_WITH_GRADIENT = torch.ones(4, requires_grad=True)
_WITH_GRADIENT.grad = torch.full((4,), 3.0)


@hard_if(watched=(_OUTSIDE, _WITH_GRADIENT))
class GradientOfAGlobalTensor(Lined):
    def act(self, x: torch.Tensor) -> torch.Tensor:
        return x * _OUTSIDE + _WITH_GRADIENT


@hard
def traced_inside() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inner = torch.jit.trace(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), torch.randn(3, 4))
    return nn.Sequential(nn.Linear(4, 4), inner, nn.ReLU())


@hard
def compiled() -> nn.Module:
    return torch.compile(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()), backend="eager")  # type: ignore[return-value]


@hard
def two_hundred_deep() -> nn.Module:
    model: nn.Module = nn.BatchNorm1d(4)
    for _ in range(200):
        model = nn.Sequential(model)
    return nn.Sequential(nn.Linear(4, 4), model)
