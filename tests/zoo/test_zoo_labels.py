"""The labels of the zoo, checked by plain training loops that know nothing of the package: a wrong one is worse than none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.zoo.entry import Sick, Sound
from tests.zoo.sick import SICK
from tests.zoo.sound import SOUND
from tests.zoo.third_party import TORCH

pytestmark = pytest.mark.filterwarnings("ignore")

STEPS = 6
FLOORS = {"focal-loss-of-probabilities": 0.02}
"""A focal loss weighs what is nearly right by little: of a probability of one it is 0.023."""
CANCELS = {"energy-net": "net.4.bias"}
"""Biases whose gradient is zero by construction, and whose model says so."""


def call(model: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif is_dataclass(output):
        yield from tensors(vars(output))
    elif isinstance(output, dict | list | tuple):
        for value in output.values() if isinstance(output, dict) else output:
            yield from tensors(value)


def loss(output: Any, step: int) -> Tensor:
    """The model's own loss, or a projection on noise, another one at every step."""
    found = [torch.view_as_real(t) if t.is_complex() else t for t in tensors(output) if t.requires_grad]
    own = [t for t in found if t.dim() == 0]
    if own:
        return own[0]
    generator = torch.Generator().manual_seed(step)
    return sum((t.double() * torch.randn(t.shape, generator=generator)).sum() for t in found) / 100


def trained(entry: Sound | Sick, steps: int = STEPS) -> tuple[nn.Module, set[str], set[str], bool]:
    """The model after some steps, what never had a gradient, what had one of zeros only, and whether all was finite."""
    model, inputs = entry.build()
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sparse = any(getattr(module, "sparse", False) for module in model.modules())
    optimizer = torch.optim.SGD(named.values(), lr=0.01) if sparse else torch.optim.Adam(named.values(), lr=1e-3)
    reached: set[str] = set()
    moved: set[str] = set()
    finite = True
    for step in range(steps):
        optimizer.zero_grad()
        output = call(model, inputs)
        loss(output, step).backward()
        gradients = {name: p.grad.to_dense() for name, p in named.items() if p.grad is not None}
        reached |= gradients.keys()
        moved |= {name for name, gradient in gradients.items() if gradient.abs().max() > 0}
        finite &= all(bool(torch.isfinite(t).all()) for t in (*gradients.values(), *tensors(output)))
        optimizer.step()
    return model, named.keys() - reached, reached - moved, finite


def of_rule(*rules: str) -> list[Any]:
    return [pytest.param(entry, id=entry.name) for entry in SICK if entry.rule in rules]


@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in SOUND + TORCH])
def test_sound_models_train_everywhere(entry: Sound) -> None:
    _, missing, zero, finite = trained(entry)
    assert finite
    assert missing == set()
    assert zero <= {CANCELS.get(entry.name, "")}


@pytest.mark.parametrize("entry", of_rule("nonfinite-gradient"))
def test_something_is_not_finite(entry: Sick) -> None:
    *_, finite = trained(entry, steps=1)
    assert not finite


@pytest.mark.parametrize("entry", of_rule("missing-gradient"))
def test_missing_ones_are_exactly_those(entry: Sick) -> None:
    _, missing, _, finite = trained(entry)
    assert finite
    assert missing
    assert all(entry.placed((name,)) for name in missing)


@pytest.mark.parametrize("entry", of_rule("cut-gradient", "zero-gradient"))
def test_a_place_never_learns(entry: Sick) -> None:
    _, missing, zero, finite = trained(entry)
    assert finite
    assert any(entry.placed((name,)) for name in missing | zero) or any(entry.placed((name,)) for name in rounding(entry))


def rounding(entry: Sick) -> set[str]:
    """Parameters whose gradient shrinks a millionfold in float64: it is zero by algebra."""
    norms = []
    for dtype in (torch.float32, torch.float64):
        model, inputs = entry.build()
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        loss(call(model.to(dtype), tuple(one.to(dtype) for one in given)), 0).backward()
        norms.append({name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None})
    return {name for name, norm in norms[0].items() if norm > 0 and norms[1][name] < 1e-6 * norm}


@pytest.mark.parametrize("entry", of_rule("cut-gradient"))
def test_output_depends_on_what_is_cut_off(entry: Sick) -> None:
    model, missing, zero, _ = trained(entry, steps=1)
    _, inputs = entry.build()
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        outputs.append(next(tensors(call(model, inputs))).detach())
        for name, parameter in model.named_parameters():
            if name in missing | zero:
                parameter.data.mul_(1.5).add_(0.3)
    assert not torch.equal(*outputs)


def gradient_norms(model: nn.Module, inputs: Any) -> list[float]:
    """Of the outputs of the innermost modules, in the order of their calls."""
    norms: list[float] = []

    def watch(_module: nn.Module, _args: Any, output: Tensor) -> None:
        norms.append(0.0)
        index = len(norms) - 1
        output.register_hook(lambda gradient: norms.__setitem__(index, float(gradient.norm())))

    handles = [module.register_forward_hook(watch) for module in model.modules() if not list(module.children())]
    loss(call(model, inputs), 0).backward()
    for handle in handles:
        handle.remove()
    return norms


@pytest.mark.parametrize("entry", of_rule("vanishing-gradient", "exploding-gradient"))
@pytest.mark.parametrize("seed", [0, 1])
def test_first_layer_gets_far_less_or_far_more_than_the_last(entry: Sick, seed: int) -> None:
    norms = gradient_norms(*entry.build(seed))
    ratio = math.log10(max(norms[0], 1e-300) / norms[-1])
    assert ratio < -5 if entry.rule == "vanishing-gradient" else ratio > 3.6


class Leaves(TorchFunctionMode):
    """Every leaf with requires_grad that some operation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.seen += [t for t in args if isinstance(t, Tensor) and t.is_leaf and t.requires_grad]
        return out


@pytest.mark.parametrize("entry", of_rule("unregistered-parameter"))
def test_a_gradient_reaches_what_no_optimizer_is_given(entry: Sick) -> None:
    with Leaves() as leaves:  # a leaf may be taken in the constructor alone
        model, inputs = entry.build()
        output = call(model, inputs)
    loss(output, 0).backward()
    known = {id(parameter) for parameter in model.parameters()}
    assert any(id(leaf) not in known and leaf.grad is not None for leaf in leaves.seen)


@pytest.mark.parametrize("entry", of_rule("identical-units"))
def test_equal_units_stay_equal(entry: Sick) -> None:
    model, *_ = trained(entry)
    learnt = {name: p for name, p in model.named_parameters() if entry.placed((name,))}
    assert learnt
    for weight in learnt.values():
        rows = [weight.detach(), weight.detach().movedim(-1, 0)]
        copied = any(other is not weight and torch.equal(weight, other) for other in learnt.values())
        assert copied or any(torch.allclose(r, r[:1].expand_as(r), rtol=1e-3, atol=1e-5) or in_classes(r) for r in rows)


def in_classes(rows: Tensor) -> bool:
    """Every row has a twin: the gates of a recurrent layer are equal only among themselves."""
    distance = torch.cdist(rows.flatten(1), rows.flatten(1)) + 1e9 * torch.eye(len(rows))
    return bool((distance.amin(1) < 1e-4 * rows.norm()).all())


@pytest.mark.parametrize("entry", of_rule("double-softmax"))
def test_loss_cannot_come_near_zero(entry: Sick) -> None:
    """One batch learnt by heart: without the second softmax the loss would fall as far as one likes."""
    model, inputs = entry.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    value = math.inf
    for _ in range(200):
        optimizer.zero_grad()
        output = call(model, inputs)
        value = next(tensors(output))
        value.backward()
        optimizer.step()
    assert float(value) > FLOORS.get(entry.name, 0.3)


def other_than(inputs: Any, axis: int, start: int, stop: int) -> Any:
    """The same inputs with the entries from `start` to `stop` along an axis replaced by others of the same tensor."""
    if isinstance(inputs, tuple):
        return tuple(other_than(value, axis, start, stop) for value in inputs)
    changed = inputs.clone()
    changed.narrow(axis, start, stop - start).copy_(inputs.flip(axis).roll(1, 0).narrow(axis, start, stop - start))
    return changed


def in_eval(entry: Sick, inputs: Any) -> Tensor:
    model, _ = entry.build()
    with torch.no_grad():
        return next(tensors(call(model.eval(), inputs)))


@pytest.mark.parametrize("entry", of_rule("mixed-samples"))
def test_first_or_last_sample_moves_with_the_others(entry: Sick) -> None:
    _, inputs = entry.build()
    samples = len(inputs)
    y = in_eval(entry, inputs)
    first, last = (in_eval(entry, other_than(inputs, 0, *span)) for span in ((1, samples), (0, samples - 1)))
    assert not torch.allclose(y[0], first[0], rtol=1e-4) or not torch.allclose(y[-1], last[-1], rtol=1e-4)


@pytest.mark.parametrize("entry", of_rule("future-leak"))
def test_earlier_steps_move_with_later_ones(entry: Sick) -> None:
    _, inputs = entry.build()
    axis = 2 if inputs.dim() == 3 and inputs.shape[1] == 1 else 1
    steps = inputs.shape[axis]
    y, changed = in_eval(entry, inputs), in_eval(entry, other_than(inputs, axis, steps - 3, steps))
    half = [one.narrow(axis, 0, steps - 3) for one in (y, changed)]
    assert not torch.allclose(*half, rtol=1e-4)


@pytest.mark.parametrize("entry", of_rule("constant-output"))
def test_every_sample_gets_the_same_answer(entry: Sick) -> None:
    """Also after some steps of training."""
    model, *_ = trained(entry)
    _, inputs = entry.build(1)
    output = next(tensors(call(model, inputs))).detach().double()
    assert float((output - output[:1]).abs().max()) <= 1e-4 * float(output.abs().max())


@pytest.mark.parametrize("entry", of_rule("unbalanced-gradient"))
def test_one_part_learns_far_less_than_its_like(entry: Sick) -> None:
    model, inputs = entry.build()
    loss(call(model, inputs), 0).backward()
    matter = [(name, p.shape, float(p.norm() * p.grad.norm())) for name, p in model.named_parameters() if p.grad is not None]
    small = [(shape, value) for name, shape, value in matter if entry.placed((name,))]
    others = [(shape, value) for name, shape, value in matter if not entry.placed((name,))]
    assert any(b > 1e4 * a > 0 for shape, a in small for like, b in others if like == shape)
