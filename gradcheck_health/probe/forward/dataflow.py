"""The second, slower pass over forward: which line ran each operation, where NaN began, and where the graph lost a parameter.

Values are followed from the parameters in question through every operation, whether autograd follows or not. A parameter is
*live* in a tensor if a gradient can flow back from there. An operation whose inputs are live and whose output is not, is a cut.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.model.distributed.kinds import is_communication
from gradcheck_health.model.nest import leaves, operand_tensors
from gradcheck_health.model.source.lines import torch_helper, unlinked_function, user_line
from gradcheck_health.probe.forward.activations import function_name
from gradcheck_health.probe.forward.saved_values import SavedValues
from gradcheck_health.probe.statistics.tensor_stats import nonfinite_kind
from gradcheck_health.records.evidence import UNLINKED, Cut, Nonfinite

_PIECEWISE = ("round", "sign", "sgn", "floor", "ceil", "trunc", "fix")
_DRAWS = ("bernoulli", "normal", "poisson", "binomial", "uniform", "exponential", "log_normal", "cauchy", "geometric", "random")
FLAT = frozenset((*_PIECEWISE, *_DRAWS, *(f"{name}_" for name in (*_PIECEWISE, *_DRAWS)), "heaviside", "floor_divide"))
"""Differentiable in name, with a derivative that is zero everywhere."""
_ONE_BY_ONE = frozenset({"broadcast_tensors", "atleast_1d", "atleast_2d", "atleast_3d", "meshgrid"})
"""Every result belongs to one argument."""
_VIEWS = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})
"""Attributes that hand out a tensor; the others are sizes and flags."""
_EXITS = frozenset({"numpy", "tolist", "item", "__array__", "__float__", "__int__", "__bool__", "__index__"})
_FILLS = frozenset(
    ("full", "full_like", "masked_fill", "masked_fill_", "fill_", "new_full", "tensor", "where", "__setitem__", "triu", "tril")
)


@dataclass(frozen=True, slots=True)
class _Descent:
    """What a tensor came from, as bit sets: parameters that it depends on, those still live in it, cuts that it lies behind."""

    influence: int = 0
    live: int = 0
    cuts: int = 0

    def __or__(self, other: _Descent) -> _Descent:
        return _Descent(self.influence | other.influence, self.live | other.live, self.cuts | other.cuts)


_NOTHING = _Descent()
_Spot = tuple[str, str, str | None]
"""Operation, layer, `file:line`."""


class Dataflow:
    """Told of every operation by the instrument; knows lines, origins of NaN and cuts afterwards."""

    def __init__(
        self,
        followed: Mapping[str, torch.Tensor],
        *,
        look_for_nonfinite: bool = True,
        saved: SavedValues | None = None,
    ) -> None:
        self.saved = saved
        self.sources: dict[Any, str] = {}
        """Autograd node -> `file:line`."""
        self.applied: dict[tuple[str, str], str] = {}
        """(layer, activation function) -> `file:line` of its first call there."""
        self.nonfinite: list[Nonfinite] = []
        self.look_for_nonfinite = look_for_nonfinite
        self.followed = followed
        self._names = list(followed)
        self._descent = WeakIdKeyDictionary()
        self._aliases: dict[int, _Descent] = {}
        """Address of the first element -> descent: a Parameter made of an activation, or numpy, shares its memory."""
        self._written: dict[int, _Descent] = {}
        """Address of a storage -> what was written there in place, through whatever view."""
        self._held: list[Any] = []
        """Storages, so that no other tensor gets their address."""
        for bit, tensor in enumerate(followed.values()):
            self._note(tensor, _Descent(1 << bit, 1 << bit))
        self._used = 0
        self._cuts: list[tuple[_Spot, int]] = []
        self._exits: list[tuple[_Spot, int]] = []
        self._fed: dict[str, int] = {}
        """Layer -> the cuts that values which it takes lie behind."""
        self._off: _Spot | None = None
        """Where gradients were turned off, while they are."""

    def observe(self, func: Any, args: Any, kwargs: Any, out: Any, layer: str) -> None:
        """One call of a torch function in forward."""
        if self.saved is not None:
            self.saved.observe(func, args, kwargs, out, layer)
        name = func.__name__
        if name == "__get__":
            name = getattr(func.__self__, "__name__", "")
            if name not in _VIEWS:
                return
        elif name == "_set_grad_enabled":
            self._off = None if args[0] else self._off or (torch_helper() or "no_grad", layer, user_line())
            return
        elif name == "__set__" or name.endswith("_like") or name.startswith("new_"):
            return  # takes a shape and no values
        inputs = [*operand_tensors(args), *operand_tensors(tuple(kwargs.values()))]
        outputs = operand_tensors((out,))
        source = user_line()
        if torch.is_grad_enabled():
            self._off = None  # inference_mode ends without a word
        for tensor in outputs:
            if tensor.grad_fn is not None and source is not None:
                self.sources.setdefault(tensor.grad_fn, source)
        function = function_name(func, args, kwargs)
        if function and source is not None:
            self.applied.setdefault((layer, function), source)
        spot = (name, layer, source)
        if self.look_for_nonfinite:
            self._look_for_nonfinite(spot, inputs, outputs)
        came = _NOTHING
        for tensor in inputs:
            came = came | self._of(tensor, layer, source)
        if came.influence == 0:
            return
        if came.cuts:
            self._fed[layer] = self._fed.get(layer, 0) | came.cuts
        if outputs or name in _EXITS:  # asking for a dtype is no use
            self._used |= came.influence
        if name in _EXITS:
            self._exits.append((spot, came.influence))
        changed = [args[0]] if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) else []
        several = len(outputs) > 1 and any(tensor.requires_grad for tensor in outputs)
        apart = name in _ONE_BY_ONE and len(outputs) == len(inputs)
        for k, tensor in enumerate(outputs or changed):
            if apart:
                came = self._of(inputs[k], layer, source)
            chosen = several and not tensor.is_floating_point() and not tensor.is_complex()
            self._follow((f"{name} indices" if chosen else name, layer, source), came, tensor)
        for tensor in changed:
            if isinstance(tensor, torch.Tensor) and (storage := _storage(tensor)):
                self._written[storage] = self._written.get(storage, _NOTHING) | self._of(tensor, layer, source)

    def _follow(self, spot: _Spot, came: _Descent, tensor: torch.Tensor) -> None:
        live = came.live if tensor.requires_grad and spot[0] not in FLAT else 0
        lost, cuts = came.live & ~live, came.cuts
        if lost:
            cuts |= self._cut(spot, lost)
        self._note(tensor, _Descent(came.influence, live, cuts))

    def _cut(self, spot: _Spot, lost: int) -> int:
        """Takes a cut down; returns its bit."""
        if not torch.is_grad_enabled() and (applied := unlinked_function())[0]:
            spot = (f"{UNLINKED} {applied[0]}", spot[1], applied[1])
        elif not torch.is_grad_enabled() and spot[0] not in ("detach", "data"):
            if torch.is_inference_mode_enabled() and self._off is None:
                self._off = ("inference_mode", *spot[1:])
            spot = self._off or ("no_grad", *spot[1:])
        elif helper := torch_helper():
            spot = (helper, *spot[1:])
        self._cuts.append((spot, lost))
        return 1 << (len(self._cuts) - 1)

    def _note(self, tensor: torch.Tensor, descent: _Descent) -> None:
        self._descent[tensor] = descent
        if address := _address(tensor):
            if descent.live or not self._aliases.get(address, _NOTHING).live:  # x.detach() shares the memory of x
                self._aliases[address] = descent
            self._held.append(tensor.untyped_storage())

    def _of(self, tensor: torch.Tensor, layer: str, source: str | None) -> _Descent:
        """From which parameters a tensor comes, and where the gradient was cut on the way."""
        # Most tensors were noted when the operation that made them ran. Three kinds were not: those that share memory with
        # a noted one (`.data`, numpy, a new nn.Parameter), found by their address; those that were written into since,
        # found by their storage; and results of a custom autograd.Function, which get their place in the graph only when it
        # returns.
        found: _Descent = self._descent.get(tensor, _NOTHING)  # type: ignore[no-untyped-call]
        if found is _NOTHING and (address := _address(tensor)) in self._aliases:
            found = self._aliases[address]
            if any(spot[0] in ("numpy", "__array__") and influence & found.influence for spot, influence in self._exits):
                return _NOTHING  # the way out into numpy is the cause, and known
            if not tensor.requires_grad or tensor.is_leaf:
                kind = "nn.Parameter" if isinstance(tensor, nn.Parameter) else "a copy of its values"
                cuts = found.cuts | (self._cut((kind, layer, source), found.live) if found.live else 0)
                found = _Descent(found.influence, 0, cuts)
            self._descent[tensor] = found
        if self._written and (storage := _storage(tensor)) in self._written:
            written = self._written[storage]
            found = found | (written if tensor.requires_grad else dataclasses.replace(written, live=0))
        custom = hasattr(type(tensor.grad_fn), "_forward_cls") and not is_communication(tensor.grad_fn)
        if found.influence and not found.live and tensor.requires_grad and custom:
            # a custom autograd.Function computes without a graph inside, and is joined to the graph when it returns
            found = self._descent[tensor] = dataclasses.replace(found, live=found.influence, cuts=0)
        return found

    def _look_for_nonfinite(self, spot: _Spot, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        if self.nonfinite:
            return
        kinds = [kind for tensor in outputs if (kind := nonfinite_kind(tensor)) is not None]
        if not kinds:
            return
        given = [kind for tensor in inputs if (kind := nonfinite_kind(tensor)) is not None]
        half = any(tensor.dtype in (torch.float16, torch.bfloat16) for tensor in outputs)
        what = "overflow" if kinds[0] == "inf" and half else kinds[0]
        # masks are filled with -inf on purpose: Inf counts once something is computed from it, unless it came out of arithmetic
        if kinds[0] == "inf" and (spot[0] in _FILLS or given):
            return
        if not given or kinds[0] == "nan" and "nan" not in given:
            self.nonfinite.append(Nonfinite("forward", *spot, what))

    def cuts(self, output: Any) -> tuple[Cut, ...]:
        """The cuts behind which values arrive in the output, or the loss; those that nothing behind arrives from come last."""
        arrived = _NOTHING
        for leaf in leaves(output):
            arrived = arrived | self._of(leaf.tensor, "", None)
        found = []
        for bit, (spot, lost) in enumerate(self._cuts):
            if arrived.cuts >> bit & 1:
                feeds = tuple(layer for layer, cuts in self._fed.items() if cuts >> bit & 1)
                found.append(Cut(*spot, self._parameters(lost), True, spot[0] in FLAT, feeds))
        explained = {name for cut in found for name in cut.parameters}
        # numbers of Python and numpy cannot be followed: believed where nothing else explains
        for spot, influence in self._exits:
            names = tuple(name for name in self._parameters(influence & ~arrived.influence) if name not in explained)
            if names:
                found.append(Cut(*spot, names, True))
        return tuple(found)

    @property
    def used(self) -> frozenset[str]:
        """The followed parameters that some operation took."""
        return frozenset(self._parameters(self._used))

    def _parameters(self, bits: int) -> tuple[str, ...]:
        return tuple(name for bit, name in enumerate(self._names) if bits >> bit & 1)


def _address(tensor: torch.Tensor) -> int:
    """Of the first element; 0 where there is none."""
    if tensor.layout != torch.strided or tensor.is_meta or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return 0
    try:
        return tensor.data_ptr()
    except (RuntimeError, NotImplementedError, ValueError):  # subclasses that only describe a tensor, uninitialised parameters
        return 0


def _storage(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if _address(tensor) else 0
