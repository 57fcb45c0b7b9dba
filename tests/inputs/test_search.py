"""Making up inputs: each idea of the method by what it does."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.language.values import materialise
from gradcheck_health.inputs.observation.reach import reached, trainable
from gradcheck_health.inputs.plan import Leaf, Plan
from gradcheck_health.inputs.search import trial
from gradcheck_health.inputs.search.batch_size import STEPS
from gradcheck_health.inputs.search.make_up import infer
from gradcheck_health.inputs.static.argument_roles import first_plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.model.nest import tensors
from gradcheck_health.records.errors import InputInferenceError
from tests.inputs.user_models import EXPECTED, MODELS


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans that were tried."""
    tried: list[Plan] = []
    original = trial.TrialRunner.run

    def run(self: trial.TrialRunner, plan: Plan) -> trial.Outcome:
        tried.append(plan)
        return original(self, plan)

    monkeypatch.setattr(trial.TrialRunner, "run", run)
    return tried


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_user_model_runs_forward_and_backward_on_what_its_author_would_feed(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    inputs = synthesize(model)
    given = list(tensors((list(inputs.args), dict(inputs.kwargs))))
    got = [(tensor.dim(), str(tensor.dtype).removeprefix("torch.")) for tensor in given]
    expected = EXPECTED[name]
    assert len(got) >= len(expected)
    for (rank, dtype), (wanted, dtypes) in zip(got, expected, strict=False):
        assert rank == wanted and dtype in dtypes
    loss = sum(
        (t.abs() if t.is_complex() else t).sum() for t in tensors(model(*inputs.args, **inputs.kwargs)) if t.requires_grad
    )
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "small"),
    [
        (nn.Sequential(nn.Linear(20, 8), nn.ReLU(), nn.Linear(8, 2)), 1),
        (MODELS["LeNet"](), 1),
        (MODELS["MiniUnet"](), 1),
        (MODELS["NanoGpt"](), 3),  # with its targets, and with as many samples as the probe takes
    ],
    ids=["mlp", "cnn", "unet", "transformer"],
)
def test_simple_model_costs_one_small_forward_pass(model: nn.Module, small: int, trials: list[Plan]) -> None:
    synthesize(model)
    assert len([plan for plan in trials if plan.size("T") not in STEPS]) == small
    assert trials[0].size("B") == 3


class Steps(nn.Module):
    def __init__(self, most: int, width: int) -> None:
        super().__init__()
        self.enter, self.rnn = nn.Linear(5, width), nn.GRU(width, width, batch_first=True)
        self.places = nn.Parameter(torch.zeros(most, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(self.enter(x) + self.places[: x.shape[1]])[0]


@pytest.mark.parametrize(("most", "width", "steps"), [(64, 10, 24), (64, 8, 26), (20, 8, 7), (64, 512, 7)])
def test_sequence_is_long_where_that_is_free_and_cheap(most: int, width: int, steps: int) -> None:
    assert synthesize(Steps(most, width)).args[0].shape[1] == steps


def test_model_and_random_state_come_back_untouched() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 10 * 10, 2))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = torch.get_rng_state()
    inputs = synthesize(model)
    assert inputs.args[0].shape[2:] == (12, 12)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert all(p.grad is None for p in model.parameters())


def test_lazy_modules_stay_lazy() -> None:
    model = MODELS["Lazy"]()
    synthesize(model)
    assert isinstance(model.conv, nn.LazyConv2d) and nn.parameter.is_lazy(model.conv.weight)


def test_same_seed_same_values_another_seed_others() -> None:
    model = MODELS["Vqa"]()
    first, again, other = synthesize(model, seed=1), synthesize(model, seed=1), synthesize(model, seed=2)
    for a, b, c in zip(first.args, again.args, other.args, strict=True):
        assert torch.equal(a, b)
        assert a.shape == c.shape and not torch.equal(a, c)
    assert torch.equal(first.another(2).args[0], other.args[0])


class Solved(nn.Module):
    """A flattening head that only one side length fits."""

    def __init__(self, side: int, view: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 5, stride=2)
        self.view = view
        self.fc = nn.Linear(4 * ((side - 5) // 2 + 1) ** 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x).relu()
        return self.fc(x.view(-1, self.fc.in_features) if self.view else x.flatten(1))


@pytest.mark.parametrize("view", [True, False])
@pytest.mark.parametrize("side", [9, 28, 51, 84, 130])
def test_solver_finds_the_side_behind_a_flatten(side: int, view: bool, trials: list[Plan]) -> None:
    inputs = synthesize(Solved(side, view))
    found = inputs.args[0].shape[-1]
    assert (found - 5) // 2 == (side - 5) // 2
    assert len(trials) <= 12


def test_batch_mixing_view_is_not_taken_for_success() -> None:
    # 28 x 28 fits; 32 x 32 would run as well, with 4 * 14 * 14 features cut out of other samples
    inputs = synthesize(Solved(31, view=True), batch_size=5)
    assert Solved(31, view=True)(inputs.args[0]).shape[0] == 5


class HeightOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4 * 48, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = self.conv(x).shape
        return self.fc(self.conv(x).permute(0, 3, 1, 2).reshape(b, w, c * h))


def test_height_is_found() -> None:
    assert synthesize(HeightOnly()).args[0].shape[2] == 48


def test_ids_fill_the_range_of_the_embedding() -> None:
    inputs = synthesize(MODELS["TwoTower"]())
    users, items = inputs.args
    assert users.max() < 100 and items.max() < 300 and items.max() > 100


def test_id_zero_is_drawn_only_where_it_is_no_padding() -> None:
    padded, plain = nn.Embedding(5, 2, padding_idx=0), nn.Embedding(5, 2)
    assert synthesize(padded).args[0].min() > 0
    assert synthesize(plain).args[0].min() == 0


def test_optional_arguments_are_supplied_until_all_parameters_are_reached() -> None:
    inputs = synthesize(MODELS["OptionalModality"]())
    assert inputs.args[1].shape == (inputs.batch, 20)
    assert inputs.left_out == ()


def test_what_no_parameter_needs_is_left_out_and_said() -> None:
    assert synthesize(MODELS["OptionalLabels"]()).left_out == ("attention_mask",)


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        hidden = self.fc(states)
        raise RuntimeError("the simulator is not connected")
        return hidden


@pytest.mark.slow
def test_error_says_how_far_where_and_what_to_give() -> None:
    with pytest.raises(InputInferenceError) as caught:
        synthesize(Broken())
    text = str(caught.value)
    assert text.startswith("could not make up inputs for Broken.forward(states)\n")
    assert "(1 call inside forward succeeded): states=f32[3,3]" in text
    assert "test_search.py:" in text and "the simulator is not connected" in text
    assert "the same on every input that got there: the fault may be in the model" in text
    assert "f32[B" not in text, "what just failed is not proposed"
    assert 'inputs={"states": states}' in text and "gradhealth_inputs" in text
    assert "--input states=states.pt" in caught.value.on_command_line()
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_search_stops_after_its_budget(trials: list[Plan]) -> None:
    with pytest.raises(InputInferenceError):
        infer(ModelInfo(Broken()), 0, None, trials=9)
    assert len(trials) <= 9


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def test_exception_whose_text_raises_is_reported() -> None:
    class Bad(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise Unprintable

    with pytest.raises(InputInferenceError, match="could not be read"):
        synthesize(Bad())


def test_keyboard_interrupt_passes_through() -> None:
    class Interrupted(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(Interrupted())


def test_a_compiled_model_is_not_compiled_to_find_its_inputs() -> None:
    """Under the tracer each trial would compile anew: half a minute where the trials take milliseconds."""

    def backend(graph: Any, _: Any) -> Any:
        raise AssertionError("compiled")

    model: Any = torch.compile(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), backend=backend)
    inputs = synthesize(model)
    assert [tuple(value.shape) for value in inputs.args] == [(32, 4)]
    assert synthesize(model, {"input": "f32[5,4]"}).batch == 5


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (nn.Linear(4, 2), 32),
        (nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)), 64),
        (nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)).eval(), 32),
    ],
)
def test_batch_of_the_probe(model: nn.Module, batch: int) -> None:
    inputs = synthesize(model)
    assert inputs.batch == batch == inputs.args[0].shape[0]


@pytest.mark.slow
def test_batch_shrinks_with_cost_but_keeps_eight_for_batch_norm() -> None:
    wide = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.Conv2d(256, 512, 7, padding=3))
    # 2 * 512 * 256 * 49 * 1024 = 13 GFLOP a sample
    assert synthesize(wide).batch == 2
    assert synthesize(wide).origin == "made up from 0 (Conv2d), 2 samples instead of 32 because one is costly"
    assert "instead of" not in synthesize(nn.Linear(3, 2)).origin
    assert synthesize(nn.Sequential(*wide, nn.BatchNorm2d(512))).batch in (2, 8)


def test_batch_size_is_honoured() -> None:
    assert synthesize(MODELS["Classifier"](), batch_size=6).args[0].shape[0] == 6


class Declares(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, flag: bool = False) -> torch.Tensor:
        return self.fc(x) * (1 if flag else 2)


@pytest.mark.parametrize("name", ["gradhealth_inputs", "example_input_array", "example_inputs", "dummy_inputs"])
def test_declared_inputs_come_first(name: str) -> None:
    value = torch.full((5, 4), 0.5)
    cls = type("Declaring", (Declares,), {name: (lambda self: value) if name == "gradhealth_inputs" else value})
    inputs = synthesize(cls())
    assert inputs.origin == f"declared by {name}" and inputs.batch == 5 and torch.equal(inputs.args[0], value)


def test_declared_inputs_that_do_not_run_are_not_used() -> None:
    model = Declares()
    model.example_input_array = torch.zeros(5, 7)
    assert synthesize(model).args[0].shape == (32, 4)


def test_declared_sizes_are_used() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.img_size, self.conv = (40, 56), nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    assert synthesize(Sized()).args[0].shape[1:] == (3, 40, 56)


def test_pretrained_configuration_is_used() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    model.pretrained_cfg = {"input_size": (1, 48, 40)}
    inputs = synthesize(model)
    assert inputs.args[0].shape[1:] == (1, 48, 40) and "pretrained_cfg" in inputs.origin


def test_transposed_and_unsqueezed_arguments_are_read_from_the_source(trials: list[Plan]) -> None:
    class Swaps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.lift = nn.Conv1d(6, 4, 3), nn.Conv2d(1, 2, 3)

        def forward(self, series: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
            return self.conv(series.transpose(1, 2)).mean() + self.lift(picture.unsqueeze(1)).mean()

    series, picture = synthesize(Swaps()).args
    assert series.dim() == 3 and series.shape[2] == 6
    assert picture.dim() == 3
    assert len(trials) <= 2


def test_float_width_and_device_follow_the_parameters() -> None:
    assert synthesize(nn.Linear(3, 2).double()).args[0].dtype is torch.float64
    assert synthesize(nn.Linear(3, 2).to(torch.bfloat16)).args[0].dtype is torch.bfloat16


def test_values_depend_on_their_own_path_alone() -> None:
    plan = first_plan(ModelInfo(MODELS["TwoTower"]()))
    alone = materialise(plan.drop("item_ids"), 0, torch.device("cpu"), torch.float32)
    both = materialise(plan, 0, torch.device("cpu"), torch.float32)
    assert torch.equal(alone["user_ids"], both["user_ids"])


@pytest.mark.parametrize(
    ("fill", "check"),
    [
        ("mask", lambda t: t[0].all() and (t.float().diff(dim=-1) <= 0).all() and t.float().mean() > 0.7),
        ("padding", lambda t: not t[0].any() and (t.float().diff(dim=-1) >= 0).all()),
        ("causal", lambda t: not t.tril().any() and t[0, 1:].all()),
        ("adjacency", lambda t: torch.equal(t, t.T) and t.diagonal().all()),
    ],
)
def test_masks_mean_what_they_say(fill: str, check: object) -> None:
    plan = Plan((("m", Leaf((8, 8), "bool", fill)),))
    assert check(materialise(plan, 0, torch.device("cpu"), torch.float32)["m"])  # type: ignore[operator]


@pytest.mark.parametrize(
    ("fill", "check"),
    [
        ("lengths", lambda t: t[0] == 7 and (t.diff() <= 0).all() and t.min() >= 1),
        ("offsets", lambda t: t[0] == 0 and (t.diff() >= 0).all() and t.max() < 7),
        ("boundaries", lambda t: t[0] == 0 and t[-1] == 7 and (t.diff() >= 0).all()),
        ("segments", lambda t: set(t.tolist()) == set(range(7)) and (t.diff() >= 0).all()),
        ("positions", lambda t: t.tolist() == list(range(12))),
    ],
)
def test_relations_hold(fill: str, check: object) -> None:
    plan = Plan((("m", Leaf((12,), "int", fill, high=7)),))
    assert check(materialise(plan, 3, torch.device("cpu"), torch.float32)["m"])  # type: ignore[operator]


def test_reached_parameters_are_those_that_backward_reaches() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused, self.cut = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"a": self.used(x), "b": self.cut(x).detach()}

    model = Half()
    out = model(torch.ones(2, 3))
    names, differentiable = reached(model, out)
    sum(t.sum() for t in out.values() if t.requires_grad).backward()
    assert names == {name for name, p in model.named_parameters() if p.grad is not None} and differentiable
    assert trainable(model) > names


def test_argument_named_like_a_branch_is_fed_for_that_branch() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.audio_net, self.price_net = nn.Linear(16, 4), nn.Linear(9, 4)

        def forward(self, price: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
            pair = {"audio": audio, "price": price}
            return sum(getattr(self, f"{key}_net")(value) for key, value in pair.items())

    price, audio = synthesize(Named()).args
    assert price.shape[-1] == 9 and audio.shape[-1] == 16


@pytest.mark.parametrize("cell", [nn.RNNCell(4, 6), nn.GRUCell(4, 6), nn.LSTMCell(4, 6)])
def test_cell_gets_a_state_so_that_its_recurrent_weights_learn(cell: nn.Module) -> None:
    out = cell(*synthesize(cell).args)
    (out[0] if isinstance(out, tuple) else out).sum().backward()
    assert bool(cell.weight_hh.grad.any())


def test_loss_layers_of_torch_have_recipes() -> None:
    inputs = synthesize(nn.CTCLoss())
    assert torch.isfinite(F.ctc_loss(*inputs.args))


class Scan(nn.Module):
    """Walks along axis 1 and hands what it meets to a linear layer: a vector of samples would fit, were there 8 of them."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(())
        for t in range(x.shape[1]):
            h = 0.9 * h + self.read(x[:, t])
        return h


def test_steps_of_a_sequence_have_features_of_their_own() -> None:
    inputs = synthesize(Scan())
    (x,) = inputs.args or tuple(inputs.kwargs.values())
    assert (x.dim(), x.shape[0], x.shape[2]) == (3, inputs.batch, 8)


def test_two_halves_of_the_features_are_put_together() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(8, 1), nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.a(x[:, :8]), self.b(x[:, 8:])

    inputs = synthesize(Halves())
    (x,) = inputs.args or tuple(inputs.kwargs.values())
    assert x.shape[1] == 16


class Captioner(nn.Module):
    """Its author calls `self` something else."""

    def __init__(this) -> None:
        super().__init__()
        this.tokens = nn.Embedding(50, 16)
        this.decoder = nn.TransformerDecoderLayer(16, 2, 32, batch_first=True)

    def forward(this, caption: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = this.decoder(this.tokens(caption), picture)
        return found


def test_source_is_read_whatever_a_method_calls_its_object(trials: list[Plan]) -> None:
    synthesize(Captioner())
    picture = dict(trials[0].arguments)["picture"]
    assert isinstance(picture, Leaf) and (picture.kind, picture.dims[-1]) == ("float", 16)


def test_attention_wants_keys_of_the_rank_of_its_query(trials: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradcheck_health.inputs.static.first_use.function_of", lambda forward: None)
    _, picture = synthesize(Captioner()).args
    assert len(trials) > 1
    assert (picture.dtype, picture.dim(), picture.shape[-1]) == (torch.float32, 3, 16)


class Padded(nn.Module):
    """Which branch it takes its values say; with a zero among the ids it fails, as some do that were never fed one."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(100, 16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if (ids == 0).any():
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        out: torch.Tensor = self.out(self.embed(ids))
        return out


def test_batch_on_whose_values_a_branch_hangs_was_seen_to_run() -> None:
    inputs = synthesize(Padded())
    assert inputs.batch == 2
    Padded()(*inputs.args)


class TwoPrecisions(nn.Module):
    """It computes in a half precision that its last layer does not have."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.out = nn.Conv1d(4, 8, 3), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.out(self.near(x).mean(-1).to(torch.bfloat16))
        return out


def test_two_precisions_in_one_operation_are_the_models_own() -> None:
    with pytest.raises(InputInferenceError, match="the fault may be in the model") as failed:
        synthesize(TwoPrecisions())
    assert int(re.search(r"closest of (\d+) tries", str(failed.value))[1]) < 20  # type: ignore[index]
