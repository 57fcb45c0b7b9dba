"""`model.tree` against torch's own walk."""

from __future__ import annotations

import pytest
from torch import nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from gradcheck_health.model.names import named_parameters
from gradcheck_health.model.tree import is_wrapper, modules, named_modules


def shared() -> nn.Module:
    """One layer under two names, a child that is None, a container without children."""
    layer = nn.Linear(2, 2)
    model = nn.Sequential(nn.Sequential(layer, nn.ReLU()), layer, nn.ModuleList())
    model.register_module("none", None)
    return model


def cyclic() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].parent = model
    return model


@pytest.mark.parametrize(
    "build", [shared, cyclic, lambda: nn.Transformer(8, 2, 2, 2, 8, batch_first=True), lambda: nn.Identity()]
)
def test_same_modules_under_the_same_names_in_the_same_order(build: object) -> None:
    model = build()  # type: ignore[operator]
    assert named_modules(model) == list(model.named_modules())
    assert modules(model) == list(model.modules())


@pytest.mark.parametrize("build", [shared, lambda: nn.Transformer(8, 2, 2, 2, 8, batch_first=True)])
def test_shared_modules_under_all_their_names(build: object) -> None:
    model = build()  # type: ignore[operator]
    assert named_modules(model, remove_duplicate=False) == list(model.named_modules(remove_duplicate=False))


def test_module_inside_itself_ends() -> None:
    """Where torch's own walk does not."""
    model = cyclic()
    assert [name for name, _ in named_modules(model, remove_duplicate=False)] == ["", "0"]
    with pytest.raises(RecursionError):
        list(model.named_modules(remove_duplicate=False))


def test_names_are_without_wrappers_wherever_they_stand() -> None:
    """`module` is a wrapper's own name only where a wrapper says it."""
    plain = nn.ModuleDict({"net": nn.Linear(2, 2), "module": nn.Linear(2, 2)})
    wrapped = nn.ModuleDict({"net": checkpoint_wrapper(nn.DataParallel(plain["net"])), "module": plain["module"]})
    assert [entry.name for entry in named_parameters(wrapped)] == [entry.name for entry in named_parameters(plain)]
    layers = [module for _, module in named_modules(wrapped) if not is_wrapper(module)]
    assert layers == [wrapped, plain["net"], plain["module"]]
