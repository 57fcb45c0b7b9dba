"""Inputs that a person gives: every form is accepted, every fault is one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradcheck_health.check.api import check_gradients
from gradcheck_health.inputs import blame, synthesize
from gradcheck_health.records.errors import InputInferenceError, InputsError, ModelError
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.settings.config import Config


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(50, 8), nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        return self.head(self.embedding(ids) * mask[..., None])


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, xs: list[torch.Tensor]) -> torch.Tensor:
        return sum(self.fc(x) for x in xs)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2))


X = torch.ones(4, 10)
IDS, MASK = torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 3)


@pytest.mark.parametrize(
    ("model", "given", "shapes"),
    [
        (mlp(), X, [(4, 10)]),
        (mlp(), (X,), [(4, 10)]),
        (mlp(), lambda: X, [(4, 10)]),
        (mlp(), Inputs((X,)), [(4, 10)]),
        (mlp(), {"input": X}, [(4, 10)]),
        (mlp(), DataLoader(TensorDataset(torch.ones(8, 10), torch.zeros(8)), batch_size=4), [(4, 10)]),
        (mlp(), "f32[6,10]", [(6, 10)]),
        (Tagger(), (IDS, MASK), [(2, 3), (2, 3)]),
        (Tagger(), [IDS, MASK], [(2, 3), (2, 3)]),
        (Tagger(), lambda: {"ids": IDS, "mask": MASK}, [(2, 3), (2, 3)]),
        (Tagger(), {"ids": "i64[B,12]<50", "mask": "f32[B,12]=1"}, [(32, 12), (32, 12)]),
        (Several(), [torch.ones(2, 4), torch.ones(2, 4)], [(2, 4), (2, 4)]),
        (Several(), {"xs": ["f32[5,4]", "f32[5,4]"]}, [(5, 4), (5, 4)]),
        (nn.Conv2d(3, 4, 3), "f32[2,3,S,S]", [(2, 3, 32, 32)]),
    ],
)
def test_every_form_is_accepted(model: nn.Module, given: Any, shapes: list[tuple[int, ...]]) -> None:
    inputs = synthesize(model, given)
    flat = [v for value in (*inputs.args, *inputs.kwargs.values()) for v in (value if isinstance(value, list) else [value])]
    assert [tuple(tensor.shape) for tensor in flat] == shapes
    assert not inputs.made_up and inputs.origin == "given" and inputs.batch == shapes[0][0]
    model(*inputs.args, **inputs.kwargs)


@pytest.mark.parametrize("given", [{"mask": MASK}, {"mask": "f32[2,3]=1"}, {"ids": IDS}, IDS, {"ids": "i64[2,3]<50"}])
def test_partial_inputs_are_completed_around_what_was_given(given: Any) -> None:
    inputs = synthesize(Tagger(), given)
    ids, mask = inputs.args
    assert ids.shape == mask.shape == (2, 3) and inputs.made_up
    assert inputs.origin in ("given, ids made up", "given, mask made up")
    if isinstance(given, dict) and isinstance(given.get("mask"), torch.Tensor):
        assert torch.equal(mask, MASK)


def test_factory_is_called_again_for_another_batch() -> None:
    inputs = synthesize(mlp(), lambda: torch.randn(4, 10))
    assert inputs.another(1).args[0].shape == (4, 10)
    assert not torch.equal(inputs.another(1).args[0], inputs.another(2).args[0])
    assert torch.equal(inputs.another(1).args[0], inputs.another(1).args[0])


def test_given_tensor_is_not_changed_by_an_in_place_model() -> None:
    model, x = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(10, 2)), torch.full((4, 10), -1.0)
    inputs = synthesize(model, x)
    assert blame(model, inputs, 0) is None
    assert (x == -1).all()


def _fault(model: nn.Module, given: Any) -> str | None:
    """What is said of the inputs, before they are run or after forward failed on them."""
    try:
        inputs = synthesize(model, given)
    except InputsError as error:
        return str(error)
    fault = blame(model, inputs, 0)
    return None if fault is None else str(fault)


def _raises() -> torch.Tensor:
    raise OSError("disk on fire")


@pytest.mark.parametrize(
    ("model", "given", "parts"),
    [
        (mlp(), torch.ones(4, 11), ["0.linear", "10 in dimension 1", "got [4, 11]", "nearest: [4, 10]"]),
        (mlp(), torch.ones(4, 10, dtype=torch.long), ["wanted: float", "got int64"]),
        (mlp(), torch.ones(4, 10, dtype=torch.double), ["wanted: float32", ".to(torch.float32)"]),
        (nn.Conv2d(3, 4, 3), torch.ones(2, 3, 8, 8, dtype=torch.double), ["wanted: float32", ".to(torch.float32)"]),
        (mlp(), numpy.ones((4, 10), dtype="float32"), ["input is a NumPy array, float32[4, 10]", "torch.from_numpy(input)"]),
        (mlp(), torch.full((4, 10), float("nan")), ["input holds NaN", "40 of 40"]),
        (mlp(), torch.ones(0, 10), ["input is empty", "[0, 10]"]),
        (mlp(), _raises, ["_raises() raised OSError: disk on fire"]),
        (mlp(), lambda: None, ["returned None"]),
        (mlp(), DataLoader([]), ["the loader gave no batch"]),
        (mlp(), (X, 3), ["got 2 positional values", "at most 1: input"]),
        (Tagger(), {"idss": IDS, "mask": MASK}, ["inputs['idss']", "did you mean 'ids'?"]),
        (Tagger(), {"ids": "i46[B,T]"}, ["inputs['ids']", "unknown dtype 'i46'", "did you mean 'i64'?"]),
        (Tagger(), {"ids": "i64(B,T)"}, ["'i64(B,T)' is no spec", "did you mean 'i64[B,T]'?"]),
        (Tagger(), {"ids": "i64[B,T]=oens"}, ["did you mean 'ones'?"]),
        (Tagger(), {"ids": "f32[B,T]<50"}, ["a bound '<50' is for integers"]),
        (Tagger(), {"ids": "i64[0,T]"}, ["size 0"]),
        (nn.Conv2d(3, 4, 3), {"input": "f32[B,4,S,S]"}, ["conv2d", "3 channels"]),
        (nn.Embedding(10, 3), torch.tensor([3, 20]), ["ids below 10", "got up to 20"]),
        (nn.Conv2d(3, 4, 3), torch.ones(4, 10), ["wanted: 4 dimensions"]),
    ],
)
def test_every_fault_is_one_error_that_names_the_place(model: nn.Module, given: Any, parts: list[str]) -> None:
    text = _fault(model, given)
    assert text is not None and text.startswith("inputs")
    for part in parts:
        assert part in text


@pytest.mark.slow
def test_a_pinned_argument_is_never_edited() -> None:
    with pytest.raises((InputInferenceError, InputsError)) as caught:
        synthesize(Tagger(), {"ids": "i64[B,T]<50", "mask": "f32[B,9]", "scale": None})
    assert "mask=f32[3,9]" in str(caught.value) or "mask" in str(caught.value)


@pytest.mark.parametrize("call", [lambda loader: loader, lambda loader: iter(loader)])
def test_labels_of_a_loader_are_left_to_the_loss(call: Callable[[Any], Any]) -> None:
    loader = DataLoader(TensorDataset(torch.ones(8, 10), torch.zeros(8)), batch_size=4)
    assert synthesize(mlp(), call(loader)).args[0].shape == (4, 10)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4 * 26 * 26, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).flatten(1))


@pytest.mark.parametrize(
    ("model", "given", "specs"),
    [
        (mlp(), torch.ones(4, 11), {"input": "f32[B,10]"}),
        (mlp(), "i64[B,10]", {"input": "f32[B,10]"}),
        (Flat(), torch.ones(4, 1, 32, 32), {"x": "f32[B,1,28,28]"}),
        (Flat(), "f32[B,3,30,30]", {"x": "f32[B,1,28,28]"}),
        (Flat(), {"x": "f32[B,3,30]"}, {"x": "f32[B,1,28,28]"}),
        (Tagger(), (torch.full((2, 3), 70), MASK), {"ids": "i64[B,3]<50", "mask": "f32[B,3]"}),
        (Tagger(), {"ids": torch.full((2, 3), 70)}, {"ids": "i64[B,3]<50"}),
        (Tagger(), {"ids": "i64[B,T]<50", "mask": "f32[B,9]"}, None),
    ],
)
def test_nearest_inputs_that_run_are_shown_as_python_and_as_options(
    model: nn.Module, given: Any, specs: dict[str, str] | None
) -> None:
    with pytest.raises(InputsError) as caught:
        check_gradients(model, given, config=Config())
    error = caught.value
    shown = dict(error.specs)
    if specs is not None:
        assert specs.items() <= shown.items()
    assert "this runs: assert_gradients_healthy(model, inputs={" in str(error)
    text = error.on_command_line()
    assert "assert_gradients_healthy" not in text
    for name, spec in shown.items():
        assert f"--input '{name}={spec}'" in text
    assert synthesize(model, shown).args[0].shape[0] > 1, "what is shown runs"


@pytest.mark.slow
def test_a_fault_of_the_model_is_not_blamed_on_the_inputs() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("my own mistake")

    with pytest.raises(ModelError, match="my own mistake") as caught:
        check_gradients(Broken(), torch.ones(4, 3), config=Config())
    assert not isinstance(caught.value, InputsError)
