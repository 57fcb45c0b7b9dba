"""A short run orders the best cures, clipping and weight decay are judged by it, and a teacher stands in for a loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradcheck_health import check_gradients
from gradcheck_health.check.remedies.clipping import adaptive, by_norm, by_value
from gradcheck_health.check.remedies.short_run import short_run, teacher
from gradcheck_health.formats import _remedies
from gradcheck_health.model.sandbox import sandbox
from gradcheck_health.probe import Subject
from gradcheck_health.records.inputs import Inputs
from gradcheck_health.records.remedies import GONE, NO_HELP, SOUND
from tests.check.remedies.test_trial import BATCH, NAMED, chain, tried


def subject(model: nn.Module, x: Tensor = BATCH) -> Subject:
    return Subject(model, Inputs((x,), {}, "given", False, len(x)))


@pytest.mark.slow
def test_sick_model_stands_still_where_the_cured_one_learns() -> None:
    report = tried(chain(), only_remedies=["selu-and-lecun", "tanh-and-he"], remedy_steps=30)
    assert report.run is not None and report.run.steps == 30 and report.run.towards == "a smooth teacher"
    assert report.run.share > 0.9
    runs = [trial.run for trial in report.remedies if trial.helps]
    assert len(runs) == 2 and all(run is not None and run.share < 0.3 for run in runs)
    assert [run.last for run in runs if run] == sorted(run.last for run in runs if run), "the one that learns most stands first"
    assert "30 steps of adam at 0.003 towards a smooth teacher" in "\n".join(_remedies.lines(report, 120))


def test_run_leaves_the_model_as_it_was() -> None:
    model = chain(3, nn.Tanh)
    before = [p.detach().clone() for p in model.parameters()]
    with sandbox(model):
        assert short_run(subject(model), 5) is not None
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.slow
def test_given_loss_is_what_a_run_goes_down() -> None:
    report = check_gradients(
        chain(), BATCH, loss=nn.MSELoss(), targets=torch.zeros(64, 3), remedies=True, only_remedies=["he-init"], remedy_steps=2
    )
    assert report.run is not None and report.run.towards == "the given loss"


@pytest.mark.slow
def test_clip_that_touches_every_step_is_a_learning_rate_in_disguise() -> None:
    entry = NAMED["relu-weights-of-one"]
    report = tried(*entry.build(), select=["exploding-gradient"], remedy_steps=4)
    clips = {trial.remedy: trial for trial in report.remedies if trial.remedy.startswith("clip-")}
    assert set(clips) == {"clip-norm", "clip-value", "clip-adaptive"}
    for trial in clips.values():
        assert trial.outcome == NO_HELP and "100% of the steps" in trial.why and "a learning rate in disguise" in trial.why
        assert trial.run is not None and trial.run.clipping is not None and trial.run.clipping.steps == 1.0


def gradient(*values: float) -> nn.Parameter:
    parameter = nn.Parameter(torch.ones(1, len(values)))
    parameter.grad = torch.tensor([values])
    return parameter


def test_clips_by_hand() -> None:
    p = gradient(3.0, 4.0)
    assert by_norm(1.0)([p], 0.1).share == 1.0
    torch.testing.assert_close(p.grad, torch.tensor([[0.6, 0.8]]))
    assert by_norm(1.1)([p], 0.1).share == 0.0
    p = gradient(0.3, -0.05)
    assert by_value(0.1)([p], 0.1).share == 0.5
    torch.testing.assert_close(p.grad, torch.tensor([[0.1, -0.05]]))
    p = gradient(3.0, 4.0)
    assert adaptive(0.5)([p], 0.1).share == 1.0
    torch.testing.assert_close(p.grad, torch.tensor([[3.0, 4.0]]) / 5 * 0.5 * 2**0.5)


def test_teacher_depends_on_the_input_and_has_variance_one() -> None:
    made = teacher(subject(chain()), (64, 3))
    assert made is not None and made.std(0) == pytest.approx([1.0] * 3, rel=1e-3)
    other = teacher(subject(chain(), BATCH.flip(0)), (64, 3))
    assert other is not None and torch.allclose(other.flip(0), made, atol=1e-5)


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.RNN(8, 24, batch_first=True), nn.Linear(24, 3)
        nn.init.normal_(self.rnn.weight_hh_l0, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(x)[0][:, -1])
        return out


@pytest.mark.slow
@pytest.mark.parametrize("remedy", ["lstm-for-rnn", "gru-for-rnn", "orthogonal-recurrent"])
def test_recurrence_is_cured_by_another_cell_or_other_weights(remedy: str) -> None:
    (trial,) = tried(Reader(), torch.randn(16, 24, 8), only_remedies=[remedy]).remedies
    assert (trial.rule, trial.outcome) == ("vanishing-through-time", SOUND)
    if remedy == "lstm-for-rnn":
        assert trial.parameters == 3 * (24 * 8 + 24 * 24 + 2 * 24)


class Rounded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.head = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(torch.round(3 * self.first(x)))
        return out


@pytest.mark.slow
def test_step_function_is_passed_straight_through() -> None:
    (trial,) = tried(Rounded(), only_remedies=["straight-through"]).remedies
    assert trial.outcome == SOUND and trial.rule in ("cut-gradient", "zero-gradient")


class Listed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = [nn.Linear(16, 16), nn.Linear(16, 16)]
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        out: Tensor = self.head(x)
        return out


def test_list_of_layers_is_registered() -> None:
    model = Listed()
    (trial,) = tried(model, only_remedies=["register"]).remedies
    assert trial.outcome == SOUND and isinstance(model.layers, list)


@pytest.mark.slow
def test_cured_nan_names_what_comes_to_light() -> None:
    entry = NAMED["standard-deviation-of-a-constant-column"]
    first = tried(*entry.build(), **entry.settings).remedies[0]
    assert (first.outcome, first.remedy) == (GONE, "guard") and first.revealed == ("mixed-samples",)
