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
AT_REST = {
    "energy-net": "net.4.bias",
    "forces-of-an-energy": "energy.4.bias",
    "siamese-of-elus": "encoder.24.bias",
    "attention-pooling-of-one-step": "score.",
    "attention-to-the-only-key-of-the-batch": ("query.", "key."),
    "experts-on-a-batch-of-like-samples": "experts.",
    "target-network-that-requires-grad": "target.",
    "values-under-a-target-network": "later.",
    "student-of-a-teacher-in-eval-mode": "teacher.",
    "student-of-a-teacher-by-name": "teacher.",
    "moving-average-of-the-student": "nets.average.",
    "codebook-that-forward-moves": "codes",
}
"""What gets no gradient by construction: constants that cancel, one key of a batch, experts that are not chosen, teachers."""
LATE = (
    "constant-weights-behind-random-biases",
    "constant-weights-of-smooth-activations",
    "constant-convolutions-behind-random-biases",
    "hidden-layers-of-zeros",
    "convolutions-and-a-head-of-zeros",
    "adapter-of-zeros-under-a-head-of-zeros",
)
"""What learns in the end: biases that were drawn at random wake it, or tell its units apart."""
LIMIT = 120
"""Steps in which a net of the zoo learns to tell two sides of a plane, at least with weights of both signs."""
FORGETS = ("normal-in-place",)
"""A draw into a result: nothing of what it was before is left in it."""


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


def objective(entry: Sound | Sick, output: Any, step: int) -> Tensor:
    """The loss that the entry is checked with, if there is one."""
    given = entry.settings.get("loss")
    if not callable(given):
        return loss(output, step)
    return given(output, entry.settings["targets"]) if "targets" in entry.settings else given(output)


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
        value = objective(entry, output, step)
        if value.requires_grad:
            value.backward()
        gradients = {name: p.grad.to_dense() for name, p in named.items() if p.grad is not None}
        reached |= gradients.keys()
        moved |= {name for name, gradient in gradients.items() if not gradient.numel() or gradient.abs().max() > 0}
        finite &= all(bool(torch.isfinite(t).all()) for t in (*gradients.values(), *tensors(output), value.detach()))
        optimizer.step()
    return model, named.keys() - reached, reached - moved, finite


def of_rule(*rules: str) -> list[Any]:
    return [pytest.param(entry, id=entry.name) for entry in SICK if entry.rule in rules]


@pytest.mark.slow
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in SOUND + TORCH])
def test_sound_models_train_everywhere(entry: Sound) -> None:
    _, missing, zero, finite = trained(entry)
    assert finite
    assert all(name.startswith(AT_REST.get(entry.name, ("nothing",))) for name in missing | zero)


@pytest.mark.parametrize("entry", of_rule("nonfinite-gradient"))
def test_something_is_not_finite(entry: Sick) -> None:
    *_, finite = trained(entry, steps=1)
    assert not finite or "masked_nan" in entry.make.__module__ and gives_nan_to_a_layer(entry)


def gives_nan_to_a_layer(entry: Sick) -> bool:
    """The gradient of what some layer returns holds NaN, though none of its parameters does."""
    model, inputs = entry.build()
    found: list[bool] = []

    def watch(_module: nn.Module, _args: Any, output: Tensor) -> None:
        output.register_hook(lambda gradient: found.append(bool(gradient.isnan().any())))

    for module in model.modules():
        module.register_forward_hook(watch)
    loss(call(model, inputs), 0).backward()
    return any(found)


@pytest.mark.parametrize("entry", of_rule("missing-gradient"))
def test_missing_ones_are_exactly_those(entry: Sick) -> None:
    _, missing, _, finite = trained(entry)
    assert finite
    assert missing
    assert all(entry.placed((name,)) for name in missing)


UNSEEN = [one for one in of_rule("cut-gradient") if "behind_autograd" in one.values[0].make.__module__]
PARTIAL = [one for one in of_rule("cut-gradient") if one.values[0].make.__module__.endswith(".fused")]
"""A part of a weight is cut off: the rest of it learns."""
CUT = [one for one in of_rule("cut-gradient") if one not in (*UNSEEN, *PARTIAL)]


@pytest.mark.parametrize("entry", PARTIAL)
def test_a_part_of_a_weight_never_learns_and_counts(entry: Sick) -> None:
    model, inputs = entry.build()
    named = {name: p for name, p in model.named_parameters() if entry.placed((name,))}
    still = {name: torch.ones_like(p, dtype=torch.bool) for name, p in named.items()}
    for step in range(STEPS):
        model.zero_grad()
        loss(call(model, inputs), step).backward()
        for name, p in named.items():
            still[name] &= p.grad == 0
    assert any(0.05 < float(part.float().mean()) < 0.95 for part in still.values())
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        outputs.append(next(tensors(call(model, inputs))).detach())
        for name, p in named.items():
            p.data[still[name]] = p.data[still[name]] * 1.5 + torch.randn(int(still[name].sum()))
    assert not torch.equal(*outputs)


@pytest.mark.parametrize("entry", [one for one in UNSEEN if "weights" in one.id])
def test_forward_undoes_the_step(entry: Sick) -> None:
    model, inputs = entry.build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss(call(model, inputs), 0).backward()
    before = {name: p.detach().clone() for name, p in model.named_parameters() if p.dim() > 1}
    optimizer.step()
    stepped = {name: p.detach().clone() for name, p in model.named_parameters()}
    call(model, inputs)
    now = dict(model.named_parameters())
    back = [((now[name] - old).abs() < (now[name] - stepped[name]).abs()).float().mean() for name, old in before.items()]
    assert float(min(back)) > 0.5


@pytest.mark.parametrize("entry", [one for one in UNSEEN if "features" in one.id])
def test_gradient_is_not_that_of_the_function(entry: Sick) -> None:
    """Against central differences along the gradient of the first weight, in float64."""
    model, inputs = entry.build()
    model, inputs = model.double(), inputs.double()
    loss(call(model, inputs), 0).backward()
    weight = next(model.parameters())
    direction = weight.grad / weight.grad.norm()
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * 1e-6 * direction
            values.append(float(loss(call(model, inputs).requires_grad_(), 0)))
            weight -= sign * 1e-6 * direction
    slope = (values[0] - values[1]) / 2e-6
    assert abs(slope - float(weight.grad.norm())) > 0.01 * abs(slope)


@pytest.mark.parametrize("entry", [*CUT, *of_rule("zero-gradient")])
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
        value = objective(entry, call(model.to(dtype), tuple(one.to(dtype) for one in given)), 0)
        if value.requires_grad:
            value.backward()
        norms.append({name: float(p.grad.norm()) for name, p in model.named_parameters() if p.grad is not None})
    return {name for name, norm in norms[0].items() if norm > 0 and norms[1][name] < 1e-6 * norm}


@pytest.mark.parametrize("entry", [one for one in CUT if one.id not in FORGETS])
def test_output_depends_on_what_is_cut_off(entry: Sick) -> None:
    model, missing, zero, _ = trained(entry, steps=1)
    _, inputs = entry.build()
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        output = call(model, inputs)
        seen = objective(entry, output, 0) if callable(entry.settings.get("loss")) else next(tensors(output))
        outputs.append(seen.detach())
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


STALE = [one for one in of_rule("unregistered-parameter") if "behind_autograd" in one.values[0].make.__module__]


@pytest.mark.parametrize("entry", STALE)
def test_output_knows_nothing_of_what_the_product_was_made_of(entry: Sick) -> None:
    model, inputs = entry.build()
    before = call(model, inputs).detach()
    (product,) = (value for value in vars(model).values() if isinstance(value, Tensor))
    made_of = {id(leaf) for leaf in leaves_below(product.grad_fn)}
    assert made_of & {id(p) for p in model.parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) in made_of:
                parameter.mul_(2.0).add_(1.0)
    assert torch.equal(before, call(model, inputs))


def leaves_below(node: Any) -> Iterator[Tensor]:
    if hasattr(node, "variable"):
        yield node.variable
    for following, _ in node.next_functions:
        if following is not None:
            yield from leaves_below(following)


@pytest.mark.parametrize("entry", [one for one in of_rule("unregistered-parameter") if one not in STALE])
def test_a_gradient_reaches_what_no_optimizer_is_given(entry: Sick) -> None:
    with Leaves() as leaves:  # a leaf may be taken in the constructor alone
        model, inputs = entry.build()
        output = call(model, inputs)
    loss(output, 0).backward()
    known = {id(parameter) for parameter in model.parameters()}
    assert any(id(leaf) not in known and leaf.grad is not None for leaf in leaves.seen)


@pytest.mark.parametrize("entry", [one for one in of_rule("identical-units") if one.values[0].name not in LATE])
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


def drawn(model: nn.Module) -> nn.Module:
    """Its constant weights anew, at random."""
    for parameter in model.parameters():
        if parameter.dim() > 1 and parameter.min() == parameter.max():
            nn.init.kaiming_normal_(parameter)
    return model


def steps_to_half(model: nn.Module, inputs: Any) -> int:
    """Adam steps until half of the first loss is left, of one batch learnt by heart."""
    torch.manual_seed(1)
    target = torch.randn_like(call(model, inputs))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    first = math.inf
    for step in range(400):
        optimizer.zero_grad()
        value = (call(model, inputs) - target).square().mean()
        value.backward()
        optimizer.step()
        if step == 0:
            first = value.item()
        if value.item() < first / 2:
            return step
    return 400


@pytest.mark.slow
@pytest.mark.parametrize("name", LATE)
def test_constant_weights_learn_far_later_than_random_ones(name: str) -> None:
    (entry,) = (one for one in SICK if one.name == name)
    assert steps_to_half(*entry.build()) > 2 * steps_to_half(drawn(entry.build()[0]), entry.build()[1])


@pytest.mark.slow
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
    """In float64, where rounding cannot hide how little moves."""
    model, _ = entry.build()
    wide = tuple(wider(one) for one in inputs) if isinstance(inputs, tuple) else wider(inputs)
    with torch.no_grad():
        return next(tensors(call(model.eval().double(), wide)))


def wider(value: Any) -> Any:
    return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value


@pytest.mark.parametrize("entry", of_rule("mixed-samples"))
def test_first_or_last_sample_moves_with_the_others(entry: Sick) -> None:
    _, inputs = entry.build()
    samples = len(inputs)
    y = in_eval(entry, inputs)
    first, last = (in_eval(entry, other_than(inputs, 0, *span)) for span in ((1, samples), (0, samples - 1)))
    assert not torch.allclose(y[0], first[0], rtol=1e-7) or not torch.allclose(y[-1], last[-1], rtol=1e-7)


@pytest.mark.parametrize("entry", of_rule("future-leak"))
def test_earlier_steps_move_with_later_ones(entry: Sick) -> None:
    _, inputs = entry.build()
    axis = 2 if inputs.dim() == 3 and inputs.shape[1] == 1 else 1
    steps = inputs.shape[axis]
    y, changed = in_eval(entry, inputs), in_eval(entry, other_than(inputs, axis, steps - 3, steps))
    half = [one.narrow(axis, 0, steps - 3) for one in (y, changed)]
    assert not torch.allclose(*half, rtol=1e-4)


@pytest.mark.parametrize("entry", [one for one in of_rule("constant-output") if one.values[0].name not in LATE])
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


ONE_SIDED = [entry for entry in (*SICK, *SOUND) if entry.make.__module__.endswith(".one_sided")]


@pytest.mark.slow
@pytest.mark.parametrize("entry", [pytest.param(entry, id=entry.name) for entry in ONE_SIDED])
def test_weights_of_one_sign_make_sgd_slow_or_they_do_not(entry: Sick | Sound) -> None:
    """Beside the same model with those weights drawn from both sides of zero, with a variance of 1 / fan_in."""
    first, other = steps_until_it_learns(entry, drawn_anew=False), steps_until_it_learns(entry, drawn_anew=True)
    assert other < LIMIT
    assert first >= 2 * other if isinstance(entry, Sick) else first <= 1.5 * other


def steps_until_it_learns(entry: Sick | Sound, drawn_anew: bool) -> int:
    """To tell the signs of a random projection of its inputs, by SGD with momentum at the best of five rates."""
    fewest = LIMIT
    for rate in (0.3, 0.1, 0.03, 0.01, 0.003):
        model, inputs = entry.build()
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters() if drawn_anew else ():
            if parameter.dim() > 1 and bool((parameter >= 0).all() | (parameter <= 0).all()):
                parameter.data.normal_(0.0, parameter[0].numel() ** -0.5, generator=generator)
        x = torch.randn(256, *inputs.shape[1:], generator=generator)
        features = x.flatten(2).sum(2) if x.dim() > 2 else x
        wanted = (features @ torch.randn(features.shape[1], generator=generator) > 0).float()
        optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
        for step in range(fewest):
            part = torch.randint(len(x), (32,), generator=generator)
            score = model(x[part]).flatten(1)[:, 0]
            error = nn.functional.binary_cross_entropy_with_logits(score, wanted[part])
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            if step % 5 == 4:
                with torch.no_grad():
                    now = nn.functional.binary_cross_entropy_with_logits(model(x).flatten(1)[:, 0], wanted)
                if float(now) < 0.45:
                    fewest = step + 1
                    break
    return fewest
