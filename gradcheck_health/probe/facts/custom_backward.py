"""Custom `autograd.Function`s and operators that forward meets: is each backward the derivative of its forward?"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gradcheck_health.model.call import call, running_modules, seed_everything
from gradcheck_health.model.nest import leaves
from gradcheck_health.model.sandbox.context import sandbox
from gradcheck_health.model.sandbox.default_dtype import use_default_dtype
from gradcheck_health.model.source.lines import place
from gradcheck_health.probe.backward import slopes
from gradcheck_health.probe.experiments.finite_differences import DerivativeCheck, compare
from gradcheck_health.probe.experiments.paired_runs import changed
from gradcheck_health.probe.experiments.subbatch import chosen
from gradcheck_health.probe.graph import graph as graphs
from gradcheck_health.probe.graph.cut_points import of_a_person
from gradcheck_health.probe.subject import Subject
from gradcheck_health.records.errors import ModelError
from gradcheck_health.records.evidence import CustomBackward
from gradcheck_health.records.trace import Trace

LEAST = 1e-4
"""Relative differences from here on count as wrong."""


@dataclasses.dataclass(frozen=True)
class _Call:
    cls: Any
    layer: str
    args: tuple[Any, ...]


def custom_backward(subject: Subject, trace: Trace) -> tuple[Trace, ...]:
    """One trace with `backwards`, one record for each function; run in float64 where the model allows it."""
    found: list[CustomBackward] = []
    for wide in (True, False):
        try:
            with sandbox(subject.model):
                found = [_judged(one, subject.seed) for one in _calls(_prepared(subject, wide))]
            break
        except (ModelError, RuntimeError, TypeError):
            continue  # a cast to float32 inside: then the functions alone are taken to float64
    return (trace.only(backwards=tuple(found)),)


def _prepared(subject: Subject, wide: bool) -> Subject:
    """A small batch, in float64 where `wide`."""
    batch = subject.inputs.batch
    inputs = (
        subject.inputs if batch is None or batch <= 4 else chosen(subject.inputs, [0, 1, 2, 3], subject.declared.batch_axis)
    )
    if wide:
        use_default_dtype(torch.float64)
        subject.model.double()
        inputs = changed(inputs, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    return dataclasses.replace(subject, inputs=inputs)


def _calls(subject: Subject) -> list[_Call]:
    """The first call of each function that the outputs depend on."""
    classes = _classes(subject)
    found: dict[Any, _Call] = {}
    with running_modules(subject.model) as stack, contextlib.ExitStack() as undo:
        for cls in classes:
            undo.enter_context(_spied(cls, stack, found))
        call(subject.model, subject.inputs, subject.seed)
    return list(found.values())


def _classes(subject: Subject) -> list[Any]:
    output = call(subject.model, subject.inputs, subject.seed)
    roots = [leaf.tensor.grad_fn for leaf in leaves(output) if leaf.tensor.grad_fn is not None]
    graph = graphs.walk(roots) if roots else None
    nodes = () if graph is None else graph.nodes[1:]
    classes = dict.fromkeys(type(node)._forward_cls for node in nodes if hasattr(type(node), "_forward_cls"))
    return [cls for cls in classes if of_a_person(cls)]


@contextlib.contextmanager
def _spied(cls: Any, stack: list[str], found: dict[Any, _Call]) -> Iterator[None]:
    """`cls.forward` notes the arguments of its first call."""
    own, forward = vars(cls).get("forward"), cls.forward
    takes_context = cls.setup_context is torch.autograd.Function.setup_context

    def noting(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if takes_context else args
        if cls not in found:
            kept = tuple(
                value.detach().clone().requires_grad_(value.requires_grad) if _floats(value) else value for value in given
            )
            found[cls] = _Call(cls, stack[-1], kept)
        return forward(*args, **kwargs)

    cls.forward = staticmethod(noting)
    try:
        yield
    finally:
        if own is None:
            del cls.forward
        else:
            cls.forward = own


def _draws_on_the_way_back(function: Any, inputs: Sequence[torch.Tensor], learning: Sequence[int], seed: int) -> bool:
    """The gradients of one and the same forward pass differ with the state of the generators."""
    values = [x.detach().clone().requires_grad_(k in learning) for k, x in enumerate(inputs)]
    outputs = function(values)
    if not outputs or not learning:
        return False
    found = []
    for draw in (1, 2):
        seed_everything(seed + draw)
        wanted = [values[k] for k in learning]
        found.append(torch.autograd.grad(outputs[0].sum(), wanted, retain_graph=True, allow_unused=True))
    return any(a is not None and b is not None and not torch.equal(a, b) for a, b in zip(*found, strict=True))


def _scales_what_arrives(function: Any, inputs: Sequence[torch.Tensor], learning: Sequence[int]) -> bool:
    """Twice the gradient that arrives does not give twice as much: it is normalised or clipped, and no derivative on purpose.

    A backward that forgets what arrives does not either; but it gives the same whatever that is.
    """
    values = [x.detach().clone().requires_grad_(k in learning) for k, x in enumerate(inputs)]
    outputs, wanted = function(values), [values[k] for k in learning]
    if not outputs or not wanted:
        return False
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(outputs[0].shape, generator=generator, dtype=torch.float64).to(outputs[0]) for _ in range(2))
    found = [
        torch.autograd.grad((outputs[0] * direction).sum(), wanted, retain_graph=True, allow_unused=True)
        for direction in (one, 2 * one, other)
    ]
    return any(
        a is not None and not torch.allclose(b, 2 * a, 1e-3) and not torch.allclose(c, a, 1e-3)
        for a, b, c in zip(*found, strict=True)
    )


def _floats(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _judged(one: _Call, seed: int) -> CustomBackward:
    name = one.cls.__name__.removeprefix("GeneratedBackwardFor_").removesuffix("_default")
    blank = CustomBackward(name, one.layer, _source(one.cls), 0, 0, 0, 0.0, None, 0, False)
    floats = [i for i, value in enumerate(one.args) if _floats(value)]
    learning = [k for k, i in enumerate(floats) if one.args[i].requires_grad]
    inputs = [one.args[i].detach().double() for i in floats]

    def function(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        args = list(one.args)
        for i, value in zip(floats, values, strict=True):
            args[i] = value.clone() if value.requires_grad else value  # some work in place
        outputs = one.cls.apply(*args)
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        return [y for y in outputs if _floats(y) and y.requires_grad]

    try:
        if _draws_on_the_way_back(function, inputs, learning, seed):
            return dataclasses.replace(blank, failed="it draws random numbers on the way back, by design (Shake-Shake)")
        if _scales_what_arrives(function, inputs, learning):
            return dataclasses.replace(
                blank, failed="it scales the gradient that arrives by its own size, by design (AdderNet)"
            )
        seen = [_record(blank, floats[k], compare(function, inputs, k, seed)) for k in learning if inputs[k].numel()]
        same = any(_hands_on(function, inputs, k) or _clamps_straight(function, inputs, k) for k in learning)
    except Exception as error:  # noqa: BLE001 - the user's code, in a precision that it may not know
        return dataclasses.replace(blank, failed=f"{type(error).__name__}: {error}"[:200])
    if not seen:
        return dataclasses.replace(blank, failed="no input of it requires a gradient")
    worst = max(seen, key=lambda record: (record.wrong > 0, record.error))
    # where one input gets a surrogate gradient, the others get what goes with it (learned step sizes)
    flat = next((record.flat for record in seen if record.flat), 0)
    return dataclasses.replace(worst, same=same, flat=flat, entries=sum(record.entries for record in seen))


def _record(blank: CustomBackward, argument: int, entries: Sequence[DerivativeCheck]) -> CustomBackward:
    scale = max((max(abs(e.measured), abs(e.claimed)) for e in entries), default=0.0)
    if scale == 0.0:
        return dataclasses.replace(blank, argument=argument, entries=len(entries))
    steep = [e for e in entries if abs(e.measured) > 1e-7 * scale]
    if not steep:  # piecewise constant: whatever backward hands on is a surrogate
        return dataclasses.replace(blank, argument=argument, entries=len(entries), flat=len(entries))
    gaps = [abs(e.measured - e.claimed) / scale for e in entries]
    factors = [e.claimed / e.measured for e in steep]
    constant = len(steep) == len(entries) and max(factors) - min(factors) <= 1e-4 * max(map(abs, factors))
    return dataclasses.replace(
        blank,
        argument=argument,
        entries=len(entries),
        wrong=sum(gap > LEAST for gap in gaps),
        error=max(gaps),
        factor=sum(factors) / len(factors) if constant else None,
    )


def _hands_on(function: Any, inputs: Sequence[torch.Tensor], which: int) -> bool:
    outputs = function([x.detach().requires_grad_(i == which) for i, x in enumerate(inputs)])
    return any(y.shape == inputs[which].shape and torch.equal(y.detach(), inputs[which]) for y in outputs)


def _clamps_straight(function: Any, inputs: Sequence[torch.Tensor], which: int) -> bool:
    """Forward is a clamp between two bounds, both of which are met, and backward hands on every gradient as it comes.

    That is how ranges of quantisers are trained. With one bound it is a rectifier, and more likely that its mask was forgotten.
    """
    x = inputs[which].detach().requires_grad_()
    outputs = function([x if i == which else value.detach() for i, value in enumerate(inputs)])
    if len(outputs) != 1 or outputs[0].shape != x.shape:
        return False
    y = outputs[0].detach()
    low, high = float(y.min()), float(y.max())
    below, above = bool((x < low).any()), bool((x > high).any())
    if not (low < high and below and above and torch.equal(y, x.detach().clamp(low, high))):
        return False
    direction = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(y)
    (gradient,) = slopes(outputs, [x], [direction])
    return gradient is not None and torch.equal(gradient, direction)


def _source(cls: Any) -> str | None:
    try:
        file = inspect.getsourcefile(cls.backward)
        return (
            None if file is None or file.startswith(torch.__path__[0]) else place(file, inspect.getsourcelines(cls.backward)[1])
        )
    except (OSError, TypeError):
        return None
