"""What a person leaves open is found: values for given shapes, the number of samples; and what no input mends is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import check_gradients, make_inputs
from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.observation.tracer import TooLargeError
from gradcheck_health.inputs.plan import Leaf, Plan
from gradcheck_health.inputs.search import trial
from gradcheck_health.inputs.search.search import Search
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.errors import InputInferenceError, InputsError, ModelError


@pytest.mark.parametrize(
    ("model", "given", "low", "high"),
    [
        (nn.BCELoss(), ["f32[15,10]", "f32[15,10]"], 0.0, 1.0),
        (nn.GaussianNLLLoss(), ["f32[4,3]", "f32[4,3]", "f32[4,1]"], 0.0, float("inf")),
    ],
)
def test_shapes_that_were_given_are_filled_with_values_that_run(
    model: nn.Module, given: list[str], low: float, high: float
) -> None:
    inputs = synthesize(model, given)
    assert inputs.describe() == ", ".join(text.replace("f32", "float32").replace(",", ", ") for text in given)
    assert low <= float(inputs.args[-1].min()) and float(inputs.args[-1].max()) <= high
    assert torch.isfinite(model(*inputs.args))


def test_ids_without_a_bound_use_the_whole_table_and_those_with_one_do_not() -> None:
    table = nn.Embedding(50, 4)
    assert int(synthesize(table, "i64[9,9]").args[0].max()) > 40
    assert int(synthesize(table, "i64[9,9]<5").args[0].max()) < 5


@pytest.mark.parametrize("value", ["f32[4,10]=normal", "f32[4,10]=1"])
def test_values_that_were_given_are_kept(value: str) -> None:
    class Positive(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            assert bool((input >= 0).all() and (input < 1).all())
            return super().forward(input)

    assert float(synthesize(Positive(10, 2), "f32[4,10]").args[0].min()) >= 0
    with pytest.raises(InputsError, match=r"this runs: .*=uniform"):
        check_gradients(Positive(10, 2), value)


class Conditioned(nn.Module):
    """Images with a word sequence and a time for each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.words, self.time = nn.Conv2d(4, 8, 1), nn.Linear(12, 8), nn.Embedding(100, 8)

    def forward(self, x: torch.Tensor, words: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        return self.conv(x) + (self.words(words).mean(1) + self.time(timestep))[..., None, None]


@pytest.mark.parametrize("given", [{"words": "f32[2,5,12]"}, {"words": "f32[2,5,12]", "timestep": torch.tensor([3, 4])}])
def test_as_many_samples_are_made_up_as_were_given(given: dict[str, Any]) -> None:
    inputs = synthesize(Conditioned(), given)
    assert [argument.shape[0] for argument in inputs.args] == [2, 2, 2] and inputs.batch == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("given", [["f32[3,3,31]"], ["f32[B,5,31]", "f32[B,5,32]"], ["f32[7,31]"]])
def test_the_remedy_gives_each_axis_a_size_of_its_own(given: list[str]) -> None:
    """The features were wrong; the number of samples is no other size by chance."""
    model = nn.Transformer(32, 2, 1, 1, 16)
    with pytest.raises(InputsError) as caught:
        synthesize(model, given)
    for text in caught.value.specs.values():
        assert text.count("B") == 1 and text.endswith("32]")
    inputs = synthesize(model, dict(caught.value.specs))
    assert torch.isfinite(model(*inputs.args)).all()


class Broken(nn.Linear):
    seen = 0

    def __init__(self, error: BaseException) -> None:
        super().__init__(4, 2)
        self.error = error

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        Broken.seen += 1
        super().forward(input)
        raise self.error


@pytest.mark.parametrize(("error", "most"), [(MemoryError(), 12), (OSError("no disk"), 12), (RuntimeError("on fire"), 60)])
def test_a_model_that_raises_whatever_it_is_fed_is_not_tried_for_ever(error: BaseException, most: int) -> None:
    Broken.seen = 0
    with pytest.raises(InputInferenceError, match="the same on every input that got there: the fault may be in the model"):
        synthesize(Broken(error))
    assert Broken.seen <= most


@pytest.mark.slow
@pytest.mark.parametrize("given", [torch.ones(3, 4), "f32[3,4]", {"input": "f32[3,4]"}])
def test_right_inputs_are_not_blamed_for_what_the_model_raises(given: Any) -> None:
    with pytest.raises(ModelError, match=r"Broken\.forward raised OSError: no disk") as caught:
        check_gradients(Broken(OSError("no disk")), given)
    assert caught.value.exit_code == 3
    with pytest.raises(InputsError):
        check_gradients(Broken(OSError("no disk")), "f32[3,5]")


class Growing(nn.Linear):
    """Compares every two of its numbers."""

    steps = 0

    def __init__(self) -> None:
        super().__init__(1, 1)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        pairs = input.flatten()[:, None] - input.flatten()
        for _ in range(4):
            Growing.steps, pairs = Growing.steps + 1, pairs + 1
        return super().forward(pairs.mean(1, keepdim=True))


def test_a_trial_ends_where_its_results_hold_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "ENTRIES", 1e5)
    bench, plan = trial.TrialRunner(ModelInfo(Growing()), 0), Plan((("input", Leaf(("B", "T"))),))
    assert bench.run(plan).ok and bench.run(plan.resize(T=20)).ok
    Growing.steps = 0
    outcome = bench.run(plan.resize(T=100))
    assert isinstance(outcome.error, TooLargeError) and Growing.steps == 0
    assert [edit.plan.size("B") * edit.plan.size("T") for edit in outcome.edits] == [200, 150], "less of the same"
    assert trial.TrialRunner(ModelInfo(Growing()), 0).run(plan.resize(T=100)).ok, "the first guess may cost what it does"


def test_tensors_that_no_machine_holds_are_not_drawn() -> None:
    """Whatever the search asks for, the solver's tries among it."""
    search = Search(ModelInfo(nn.Linear(4, 2)), 0)
    outcome = search.run(Plan((("input", Leaf((1 << 20, 1 << 20))),)))
    assert not outcome.ok and search.bench.trials == 0


class Frames(nn.Module):
    """Sound in frames, of which every eighth goes on; true marks what is padding, and is zero afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.embed(x)[:, ::8].masked_fill(mask[:, ::8].bool().unsqueeze(-1), 0.0)


class Kept(Frames):
    """The same, with a mask of what is kept."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().forward(x, ~mask.bool())


class Started(Frames):
    """Zero until it has learnt something, whatever the mask says."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.zeros_(self.embed.weight)
        nn.init.zeros_(self.embed.bias)


@pytest.mark.parametrize(("model", "true"), [(Frames, False), (Kept, True), (Started, True)])
def test_a_made_up_mask_hides_no_output_as_a_whole(model: type[nn.Module], true: bool) -> None:
    mask = make_inputs(model()).args[1]
    assert (mask.float().mean() > 0.5) == true
