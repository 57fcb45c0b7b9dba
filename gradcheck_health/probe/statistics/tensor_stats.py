"""One-pass statistics of tensors.

On the CPU a dot product is bound by memory and gives the norm and exact answers to "all zero?" and "all finite?"; what float32
cannot hold is measured again in float64, there and then. A second pass, `aminmax`, gives the extremes of gradients of weights,
and of what else has a norm that half precision may not hold. On an accelerator nothing waits: the results stay 0-d tensors
until `Gather.collect` moves all of them to the host at once.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch

from gradcheck_health.model.sandbox.dense import is_dense
from gradcheck_health.model.sandbox.garbage import collector_paused
from gradcheck_health.records.measurements import TensorStats

LARGE = 2.0**15
"""Norm from which on the largest value is always measured: half precision ends soon after."""
SMALL = 1024
"""Entries of tensors that are measured side by side, and how many of them at once: a call for each costs more than they do."""
_WIDE = frozenset((torch.float32, torch.float64))
"""Kinds whose dot product neither overflows nor rounds away what `measure` asks of it."""
_FLOATING = frozenset((torch.float16, torch.bfloat16, torch.float32, torch.float64))


def plain(tensor: torch.Tensor) -> torch.Tensor | None:
    """The dense, real, floating values of a tensor, detached; None if it has none (integers, quantised, on meta)."""
    tensor = tensor.detach()
    if tensor.dtype in _FLOATING and is_dense(tensor):
        return tensor
    if hasattr(tensor, "to_local"):  # DTensor: the local shard; of a sum that nobody has taken yet, nothing
        if any(placement.is_partial() for placement in getattr(tensor, "placements", ())):
            return None
        tensor = tensor.to_local()
    if tensor.layout in (torch.sparse_coo, torch.jagged) or tensor.is_nested:
        tensor = (tensor.coalesce() if tensor.layout == torch.sparse_coo else tensor).values()
    elif tensor.layout != torch.strided:
        tensor = tensor.values()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor.resolve_conj())
    if not tensor.is_floating_point() or tensor.is_meta:
        return None
    return tensor if tensor.element_size() > 1 else tensor.float()  # float8 has no arithmetic


def exact(tensor: torch.Tensor) -> TensorStats:
    """Statistics in float64, non-finite entries counted. Several passes: for the suspicious few."""
    wide = tensor.double()
    finite = wide[torch.isfinite(wide)]
    largest = float(finite.abs().max()) if finite.numel() else 0.0
    # scaled by the largest: squares of values below 1e-160 would vanish even in float64
    norm = largest * float(torch.linalg.vector_norm(finite / largest)) if largest else 0.0
    return TensorStats(
        numel=tensor.numel(),
        rms=norm / math.sqrt(finite.numel()) if finite.numel() else 0.0,
        max=largest,
        nan=int(torch.isnan(wide).sum()),
        inf=int(torch.isinf(wide).sum()),
    )


def measure(tensor: torch.Tensor, *, extremes: bool = True) -> TensorStats:
    """Statistics of a dense real tensor on the CPU: `exact` wherever one float32 pass would lie.

    Args:
        extremes: also the largest absolute value where the norm is below `LARGE`.
    """
    numel = tensor.numel()
    if numel == 0:
        return TensorStats(0, 0.0, 0.0)
    square = _square_norm(tensor).item()
    if not extremes and 1e-30 < square < LARGE**2:
        return _from_square(numel, square)
    low, high = torch.aminmax(tensor)
    largest = max(-low.item(), high.item())
    if largest == 0.0 and not math.isnan(square):
        return TensorStats(numel, 0.0, 0.0)
    # squares of what lies below 1e-15 are denormal or gone in float32, their sum above 1e38 is infinite
    if not (1e-30 < square < 1e38) or not math.isfinite(largest):
        return exact(tensor)
    return TensorStats(numel, math.sqrt(square / numel), largest)


def _square_norm(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype in _WIDE and tensor.is_contiguous():
        flat = tensor.view(-1)
        return torch.dot(flat, flat)
    norm: torch.Tensor = torch.linalg.vector_norm(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))
    return norm.square()


def nonfinite_kind(tensor: object) -> str | None:
    """nan, inf, or None."""
    if not isinstance(tensor, torch.Tensor) or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return None
    values = plain(tensor)
    if values is None or values.numel() == 0 or math.isfinite(values.sum().item()):
        return None
    if bool(torch.isnan(values).any()):
        return "nan"
    return "inf" if bool(torch.isinf(values).any()) else None


def is_small(tensor: torch.Tensor, entries: int) -> bool:
    """It can be laid in a row with others: dense floating numbers in the memory of this process, at most so many of them."""
    return tensor.dtype in _FLOATING and is_dense(tensor) and 0 < tensor.numel() <= entries


def in_a_row(tensors: list[torch.Tensor]) -> torch.Tensor:
    """The entries of tensors of one dtype, one tensor after another, in float64."""
    with torch.no_grad():
        vectors = all(tensor.dim() == 1 for tensor in tensors)  # nothing to flatten: half the time
        row: torch.Tensor = torch.cat(tensors) if vectors else torch._C._nn.flatten_dense_tensors(tensors)
        return row.double()


def _side_by_side(tensors: list[torch.Tensor]) -> Iterator[TensorStats]:
    """Statistics of small tensors of one dtype on the CPU: laid in a row, measured in float64, segment by segment."""
    numels = [tensor.numel() for tensor in tensors]
    row, lengths = in_a_row(tensors), torch.tensor(numels, device="cpu")
    largest = torch.segment_reduce(row.abs(), "max", lengths=lengths).tolist()
    squares = torch.segment_reduce(row.square(), "sum", lengths=lengths).tolist()
    for tensor, numel, high, square in zip(tensors, numels, largest, squares, strict=True):
        if square == 0.0 == high:
            yield TensorStats(numel, 0.0, 0.0)
        elif 1e-290 < square < math.inf:
            yield TensorStats(numel, math.sqrt(square / numel), high)
        else:
            yield exact(tensor.detach())


class Gather:
    """Statistics of many tensors; `collect` gives them all, in the order of `add`, with one move to the host."""

    def __init__(self) -> None:
        self._known: list[TensorStats | tuple[int, float] | None] = []
        """Statistics, or the number of entries and the sum of their squares, or None: those that wait on an accelerator."""
        self._numels: list[int] = []
        self._waiting: list[torch.Tensor] = []

    def add(self, tensor: torch.Tensor) -> int | None:
        """Measure what flows through the network; returns its index in `collect()`, or None if it holds no floating values."""
        flat = tensor.detach()
        if flat.dtype in _WIDE and is_dense(flat) and flat.is_contiguous():  # most are, and there are many
            flat = flat.view(-1)
            square = torch.dot(flat, flat).item()
            if 1e-30 < square < LARGE**2:
                self._known.append((flat.numel(), square))
                return len(self._known) - 1
        values = plain(tensor)
        return None if values is None else self._add(values, extremes=False)

    @collector_paused()
    def add_all(self, tensors: Iterable[torch.Tensor | None], *, extremes: bool) -> list[int | None]:
        """The same for weights or their gradients: models have thousands of small ones. None stays None.

        Args:
            extremes: see `measure`; small ones are measured with theirs anyway.
        """
        indices: list[int | None] = []
        small: dict[tuple[torch.dtype, bool], list[tuple[int, torch.Tensor]]] = defaultdict(list)
        for tensor in tensors:
            if tensor is None:
                indices.append(None)
            elif is_small(tensor, SMALL):
                indices.append(len(self._known))
                small[tensor.dtype, tensor.dim() == 1].append((len(self._known), tensor))
                self._known.append(None)
            else:
                values = plain(tensor)
                indices.append(None if values is None else self._add(values, extremes=extremes))
        for members in small.values():
            for k in range(0, len(members), SMALL):
                part = members[k : k + SMALL]
                for (index, _), stats in zip(part, _side_by_side([values for _, values in part]), strict=True):
                    self._known[index] = stats
        return indices

    def _add(self, values: torch.Tensor, *, extremes: bool) -> int:
        if values.is_cpu or values.numel() == 0:
            self._known.append(measure(values, extremes=extremes))
        else:
            low, high = torch.aminmax(values)
            norm = torch.linalg.vector_norm(
                values, dtype=torch.float64
            )  # bound by memory there, and neither under- nor overflows
            self._waiting.append(torch.stack((norm, low.double(), high.double())))
            self._numels.append(values.numel())
            self._known.append(None)
        return len(self._known) - 1

    def collect(self) -> list[TensorStats]:
        rows = iter(zip(self._numels, torch.stack(self._waiting).tolist(), strict=True)) if self._waiting else iter(())
        return [
            _from_square(*stats) if type(stats) is tuple else stats or _from_row(*next(rows))  # type: ignore[misc]
            for stats in self._known
        ]


def _from_square(numel: int, square: float) -> TensorStats:
    return TensorStats(numel, math.sqrt(square / numel), None)


def _from_row(numel: int, row: list[float]) -> TensorStats:
    norm, low, high = row
    nan, inf = int(math.isnan(low) or math.isnan(high)), int(math.isinf(low) or math.isinf(high))
    largest = 0.0 if nan or inf else max(-low, high)
    return TensorStats(numel, 0.0 if nan or inf else norm / math.sqrt(numel), largest, nan, inf)
