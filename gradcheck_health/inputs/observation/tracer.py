"""Watch every torch operation of a trial: where each tensor comes from, what ran, and the operands of the one that failed."""

from __future__ import annotations

import math
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.inputs.observation.batch_axis import grouping, works_along
from gradcheck_health.inputs.observation.ctc import CtcLoss
from gradcheck_health.inputs.observation.dimension_flow import ELEMENTWISE, layout_after
from gradcheck_health.inputs.observation.failed_operation import FailedOperation, Site, emptied, site_of
from gradcheck_health.inputs.observation.joined_dimensions import PRODUCTS, Sum, concatenated, crossed, merged, multiplied
from gradcheck_health.inputs.observation.work import work
from gradcheck_health.inputs.plan import Path
from gradcheck_health.model.nest import operand_tensors

Layout = tuple["tuple[Path, int] | Sum | None", ...]


@dataclass(frozen=True, slots=True)
class ArgumentPaths:
    """Which arguments a tensor was computed from."""

    paths: frozenset[Path]
    layout: Layout | None = None
    """For each dimension the input dimension that it is, or a sum of some; None for the whole where nothing is known."""


@dataclass(frozen=True, slots=True)
class Merge:
    """A view of (-1, K) that changed the size of the batch: it ran, but it mixed samples."""

    per_sample: int
    wanted: int
    site: Site
    tensor: torch.Tensor


class TooLargeError(Exception):
    """A trial made more entries than it may: its inputs are far larger than they need to be."""


class Tracer(TorchFunctionMode):
    """Active during one trial.

    Args:
        batch: samples in it.
        most: entries that all results together may have; `TooLargeError` beyond.
    """

    def __init__(self, leaves: dict[Path, torch.Tensor], batch: int, most: float = math.inf) -> None:
        super().__init__()
        self.most = most
        # weak: what the model lets go of is let go of here, too, and no later tensor takes over its place
        self.origins: MutableMapping[torch.Tensor, ArgumentPaths] = WeakIdKeyDictionary()
        self.failure: FailedOperation | None = None
        self.merges: list[Merge] = []
        self.across: list[tuple[torch.Tensor, str]] = []
        """Tensors along whose batch axis an operation worked that runs along a sequence, and its name."""
        self.outside: list[tuple[torch.Tensor, str]] = []
        """Arguments of which an operation made NaN, and its name."""
        self.crossings: list[tuple[torch.Tensor, torch.Tensor, str]] = []
        """Operands of which every sample met every sample of the other, because their batches stood at different axes."""
        self.products: dict[str, None] = {}
        """Products of arguments that ran over the batch."""
        self.counted: dict[Path, None] = {}
        """Arguments of true and false that were taken for numbers."""
        self.emptied: FailedOperation | None = None
        """The first slice that began behind the end of what it was taken from."""
        self.misaligned: CtcLoss | None = None
        """An alignment loss to which no path between the targets and the steps is possible."""
        self.unbatched: torch.Tensor | None = None
        """What a convolution took for one sample alone."""
        self.grouped: dict[Path, None] = {}
        """Arguments from which it was taken which rows belong together."""
        self.branched = False
        """A number was taken out of what was computed from the arguments: other values may take another branch."""
        self.covered: set[Any] = set()
        self.ranges: dict[Path, int] = {}
        self.apart: dict[Path, None] = {}
        """Arguments that the model iterates or takes an integer item of: it may want a list."""
        self.calls = 0
        self.flops = 0.0
        self.elements = 0
        self.batch = batch
        self.images = any(tensor.dim() >= 4 for tensor in leaves.values())
        for path, tensor in leaves.items():
            self._mark(tensor, ArgumentPaths(frozenset([path]), tuple((path, d) for d in range(tensor.dim()))))

    def origin(self, tensor: object) -> ArgumentPaths | None:
        return self.origins.get(tensor) if isinstance(tensor, torch.Tensor) else None

    def _mark(self, tensor: torch.Tensor, origin: ArgumentPaths) -> None:
        self.origins[tensor] = origin

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "__get__":
            name = getattr(getattr(func, "__self__", None), "__name__", "")
            if name not in _TENSOR_PROPERTIES:
                return func(*args, **kwargs)
        try:
            out = func(*args, **kwargs)
        except Exception as error:
            if self.failure is None or self.failure.error is not error:
                self.failure = FailedOperation(name, func, args, kwargs, error, site_of(name, sys._getframe(1)))
            raise
        self._record(name, args, kwargs, out)
        if name == "__getitem__" and self.emptied is None:
            self.emptied = emptied(name, func, args, kwargs, out, sys._getframe(1))
        return out

    def _record(self, name: str, args: Any, kwargs: Any, out: Any) -> None:
        self.calls += 1
        frame = sys._getframe(2)
        operands = operand_tensors((args, kwargs))
        weights = tuple(id(t) for t in operands if isinstance(t, torch.nn.Parameter))
        self.covered.add((name, frame.f_code, frame.f_lineno, weights))
        found = [(t, origin) for t in operands if (origin := self.origins.get(t)) is not None]
        outs = operand_tensors(out)
        self.elements += sum(t.numel() for t in outs)
        if self.elements > self.most:
            raise TooLargeError(f"{self.elements} entries in the results of {self.calls} operations")
        self.flops += work(name, operands, outs)
        if not found:
            return
        self.branched = self.branched or name in _NUMBERS
        paths = found[0][1].paths if len(found) == 1 else frozenset().union(*(origin.paths for _, origin in found))
        for tensor in outs:
            if tensor in self.origins and any(tensor is t for t, _ in found):
                continue
            layout = self._layout(name, args, kwargs, found, tensor)
            self._mark(tensor, ArgumentPaths(paths, layout))
        if (name in ELEMENTWISE or name in _LOSSES) and crossed([(t, origin.layout) for t, origin in found], self.batch):
            self.crossings.append((found[0][0], found[1][0], name))
        if name in PRODUCTS and multiplied([(t, origin.layout) for t, origin in found], self.batch):
            self.products[name] = None
        if name in _COUNTING:
            for tensor, origin in found:
                if tensor.dtype is torch.bool and len(origin.paths) == 1:
                    self.counted.update(dict.fromkeys(origin.paths))
        if found[0][0].dim() == _UNBATCHED.get(name):
            self.unbatched = found[0][0]
        if not self.across and works_along(name, args, kwargs, found[0][0], found[0][1].layout):
            self.across.append((found[0][0], name))
        if (index := grouping(name, args, kwargs)) is not None and (origin := self.origins.get(index)) is not None:
            self.grouped.update(dict.fromkeys(sorted(origin.paths, key=repr)))
        if name in ("unbind", "__getitem__") and args and found[0][1].layout is not None and args[0] is found[0][0]:
            self._taken_apart(name, args, found[0][1], frame)
        if name in _DOMAINS and found[0][1].layout is not None and outs and not bool(outs[0].isfinite().all()):
            self.outside.append((found[0][0], name))
        if name == "ctc_loss" and (alignment := CtcLoss.of(args, kwargs)).impossible:
            self.misaligned = alignment
        if name == "__getitem__" and len(args) > 1 and args[0] not in self.origins:
            # a table of the model's own
            for place, index in enumerate(args[1] if isinstance(args[1], tuple) else args[1:]):
                if isinstance(index, torch.Tensor) and index.dtype is torch.int64 and place < args[0].dim():
                    self._range(index, args[0].shape[place])
        if name == "embedding" and len(operands) > 1:
            self._narrow(operands)
        elif name in ("cross_entropy", "nll_loss") and len(operands) > 1 and not operands[1].is_floating_point():
            self._range(operands[1], operands[0].shape[1] if operands[0].dim() > 1 else operands[0].numel())
        elif name in ("view", "reshape") and outs:
            self._merged(args, found[0][0], outs[0], frame)

    def _layout(
        self, name: str, args: Any, kwargs: Any, found: list[tuple[torch.Tensor, ArgumentPaths]], out: torch.Tensor
    ) -> Any:
        if name in ("cat", "concat", "concatenate"):
            origins = [self.origins.get(part) for part in operand_tensors(args[:1] or kwargs.get("tensors"))]
            return concatenated(args, kwargs, [origin.layout if origin is not None else None for origin in origins], out)
        if name in ELEMENTWISE and len(found) > 1:
            return merged([(tensor, origin.layout) for tensor, origin in found], out)
        return layout_after(name, args, kwargs, found[0][0], found[0][1].layout, out)

    def _narrow(self, operands: list[torch.Tensor]) -> None:
        ids, table = (operands[0], operands[1]) if not operands[0].is_floating_point() else (operands[1], operands[0])
        self._range(ids, table.shape[0])

    def _range(self, ids: torch.Tensor, rows: int) -> None:
        origin = self.origins.get(ids)
        if origin is not None and origin.layout is not None and len(origin.paths) == 1:
            (path,) = origin.paths
            self.ranges[path] = min(self.ranges.get(path, rows), rows)

    def _taken_apart(self, name: str, args: Any, origin: ArgumentPaths, frame: Any) -> None:
        first = origin.layout[0] if origin.layout else None
        if (
            isinstance(first, tuple)
            and first[1] == 0
            and len(origin.paths) == 1
            and (frame.f_code.co_name == "__iter__" if name == "unbind" else isinstance(args[1], int))
        ):
            self.apart[first[0]] = None

    def _merged(self, args: Any, before: torch.Tensor, after: torch.Tensor, frame: Any) -> None:
        sizes = args[1] if len(args) == 2 and isinstance(args[1], tuple | list) else args[1:]
        if (
            len(sizes) != 2
            or sizes[0] != -1
            or before.dim() < 2
            or before.shape[0] != self.batch
            or after.shape[0] == self.batch
        ):
            return
        wanted = after.numel() // max(after.shape[0], 1)
        # merging leading axes is sound: rows stay rows. On a feature map that leaves the channels as they are, no more.
        suffix = [math.prod(before.shape[-n:]) for n in range(1, 2 if before.dim() == 4 and self.images else before.dim())]
        if wanted not in suffix:
            self.merges.append(Merge(before.numel() // max(self.batch, 1), wanted, site_of("view", frame), before))


_UNBATCHED = {"conv1d": 2, "conv2d": 3, "conv3d": 4}
"""Axes of what a convolution takes for one sample alone."""
_DOMAINS = {"log", "log2", "log10", "sqrt", "rsqrt", "pow", "__pow__", "asin", "acos", "atanh", "logit", "xlogy"}
"""Elementwise operations that are not defined for every number."""
_LOSSES = {"mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "gaussian_nll_loss", "poisson_nll_loss"}
_COUNTING = {"__add__", "__mul__", "__radd__", "__rmul__", "add", "cumsum", "einsum", "mean", "mul", "sum"}
_NUMBERS = {"__bool__", "__float__", "__index__", "__int__", "item", "tolist"}
_TENSOR_PROPERTIES = {"T", "mT", "H", "mH", "data", "real", "imag", "grad"}
