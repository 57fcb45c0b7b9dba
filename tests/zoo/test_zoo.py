"""Every rule on the zoo: nothing to say about sound models, the one fault at its place in sick ones, nothing touched."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import Report, Severity, check_gradients
from tests.zoo.entry import Sick, Sound
from tests.zoo.sick import FIRST, SICK, SICK_INSIDE
from tests.zoo.sound import SOUND
from tests.zoo.third_party import TIMM, TORCH, TORCHVISION, TRANSFORMERS, WITHOUT_AN_ARGUMENT

PACKAGES = ("torchvision", "timm", "transformers")
MISSING = [package for package in PACKAGES if importlib.util.find_spec(package) is None]

pytestmark = pytest.mark.filterwarnings("ignore")
"""Other people's models warn as they please."""

needs_packages = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (the extra `zoo` brings them)")


def parameters(entries: tuple[Any, ...], *, quick: tuple[Any, ...] | None = None) -> list[Any]:
    """Args: quick: those that stand for the others while one works; all of them by default."""
    slow = {entry.name for entry in entries if quick is not None and entry not in quick}
    return [pytest.param(entry, id=entry.name, marks=[pytest.mark.slow] * (entry.name in slow)) for entry in entries]


def state(model: nn.Module) -> dict[str, Any]:
    """Whatever a check could leave behind: values, gradients, modes, hooks, attributes."""
    kept: dict[str, Any] = {name: value.detach().clone() for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        kept[f"{name}.grad"] = None if parameter.grad is None else parameter.grad.clone()
        kept[f"{name}.requires_grad"] = parameter.requires_grad
    for name, module in model.named_modules():
        kept[f"{name}.training"] = module.training
        kept[f"{name}.hooks"] = len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for key, value in vars(module).items():
            if isinstance(value, torch.Tensor | list | int | float | str | None):
                kept[f"{name}.{key}"] = copy.copy(value)
        kept[f"{name}.attributes"] = sorted(vars(module))
    return kept


def same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor):
        return isinstance(after, torch.Tensor) and torch.equal(before.nan_to_num(7.0), after.nan_to_num(7.0))
    return bool(before == after)


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        key for key in sorted(before.keys() | after.keys()) if not same(before.get(key, "absent"), after.get(key, "absent"))
    ]


def said(report: Report) -> list[str]:
    """What was found, without the notes."""
    return [
        f"{finding.severity} {finding.rule} at {', '.join(finding.names) or 'no place'}: {finding.message}"
        for finding in report.findings
        if finding.severity is not Severity.NOTE
    ]


def is_quiet(entry: Sound) -> None:
    model, inputs = entry.build()
    before = state(model)
    report = check_gradients(model, inputs, seed=0, **entry.settings)
    assert said(report) == []
    assert changed(before, state(model)) == []


def is_found(entry: Sick) -> None:
    model, inputs = entry.build()
    before = state(model)
    report = check_gradients(model, inputs, seed=0, **entry.settings)
    expected = [finding for finding in report.findings if finding.rule in (entry.rule, *entry.synonyms)]
    assert any(finding.severity is not Severity.NOTE for finding in expected), said(report)
    assert any(entry.placed(finding.names) for finding in expected), said(report)
    allowed = {entry.rule, *entry.synonyms, *entry.also}
    others = [finding for finding in report.findings if finding.rule not in allowed]
    assert not [finding for finding in others if finding.severity is Severity.ERROR], said(report)
    errors = [finding for finding in report.findings if finding.severity is Severity.ERROR and finding.rule not in entry.also]
    assert len(errors) <= 1, said(report)
    assert changed(before, state(model)) == []


@pytest.mark.parametrize("entry", parameters(SOUND + TORCH))
def test_sound(entry: Sound) -> None:
    is_quiet(entry)


@pytest.mark.zoo
@needs_packages
@pytest.mark.parametrize("entry", parameters(TORCHVISION + TIMM + TRANSFORMERS))
def test_sound_of_other_people(entry: Sound) -> None:
    is_quiet(entry)


@pytest.mark.zoo
@needs_packages
@pytest.mark.parametrize("entry", parameters(WITHOUT_AN_ARGUMENT))
def test_optional_argument_not_given_is_no_error(entry: Sound) -> None:
    is_quiet(entry)


@pytest.mark.parametrize("entry", parameters(SICK, quick=FIRST))
def test_sick(entry: Sick) -> None:
    is_found(entry)


@pytest.mark.zoo
@needs_packages
@pytest.mark.parametrize("entry", parameters(SICK_INSIDE))
def test_sick_inside_of_other_people(entry: Sick) -> None:
    is_found(entry)


def test_names_are_unique() -> None:
    names = [entry.name for entry in (*SOUND, *TORCH, *TORCHVISION, *TIMM, *TRANSFORMERS, *SICK, *SICK_INSIDE)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model[0].weight.data.add_(1),
        lambda model: model[1].eval(),
        lambda model: model[0].register_forward_hook(lambda *_: None),
        lambda model: model(torch.randn(4, 3)).sum().backward(),
        lambda model: setattr(model, "left", 1),
        lambda model: setattr(model[1], "momentum", 0.5),
        lambda model: model.requires_grad_(False),
    ],
    ids=["value", "mode", "hook", "gradient", "attribute", "attribute-value", "requires-grad"],
)
def test_a_touched_model_is_seen(change: Callable[[nn.Module], Any]) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    before = state(model)
    change(model)
    assert changed(before, state(model))


@needs_packages
@pytest.mark.zoo
def test_small_images_through_many_batch_norms_are_no_explosion() -> None:
    """With a made-up batch the forward signal grows, too, and batch norms have their known rate there as anywhere."""
    (entry,) = (entry for entry in TORCHVISION if entry.name == "torchvision-mnasnet0_5")
    model, _ = entry.build()
    assert check_gradients(model).ok
