"""Modules that end in a loss are fed targets that it can make something of, and samples are told from steps and nodes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.observation.ctc import CtcLoss
from gradcheck_health.inputs.search import trial
from gradcheck_health.records.errors import InputInferenceError
from tests.zoo.sound import future, samples


class Recogniser(nn.Module):
    """Scores of symbols at a quarter of the steps, against the symbols that were said."""

    def __init__(self, blank: int) -> None:
        super().__init__()
        self.blank, self.symbols = blank, 12
        self.listen, self.name = nn.Conv1d(6, 16, 4, stride=4), nn.Linear(16, self.symbols)

    def forward(self, signal: Tensor, symbols: Tensor, signal_lengths: Tensor, symbol_lengths: Tensor) -> Tensor:
        scores = self.name(torch.relu(self.listen(signal)).mT).log_softmax(-1)
        steps = torch.div(signal_lengths, 4, rounding_mode="floor")
        return F.ctc_loss(scores.transpose(0, 1), symbols, steps, symbol_lengths, blank=self.blank)


@pytest.mark.parametrize("blank", [0, 11])
def test_targets_of_an_alignment_fit_the_steps_and_hold_no_blank(blank: int) -> None:
    model = Recogniser(blank)
    inputs = synthesize(model)
    signal, symbols, steps, lengths = inputs.args
    assert int(steps.max()) <= signal.shape[-1] and int(lengths.max()) <= symbols.shape[1]
    assert blank not in symbols
    assert bool(torch.isfinite(model(*inputs.args)))


def test_alignment_is_impossible_where_repeated_symbols_need_more_steps() -> None:
    scores, one = torch.zeros(4, 1, 3).log_softmax(-1), torch.tensor([1])
    for symbols, steps in (([1, 2, 1], 3), ([1, 1], 3), ([1, 1], 2), ([1, 0], 4), ([1, 2, 2], 3)):
        arguments = (scores, torch.tensor([symbols]), one * steps, one * len(symbols))
        infinite = bool(torch.isinf(F.ctc_loss(*arguments)))
        assert CtcLoss.of(arguments, {}).impossible is (infinite or 0 in symbols)


class Probable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.loss, self.scale = nn.BCELoss(), nn.Parameter(torch.ones(1))

    def forward(self, probs: Tensor, targets: Tensor) -> Tensor:
        return self.scale * self.loss(probs, targets)


def test_a_loss_of_probabilities_is_fed_probabilities() -> None:
    inputs = synthesize(Probable())
    assert all(bool(((x >= 0) & (x <= 1)).all()) and x.shape == inputs.args[0].shape for x in inputs.args)


class Segmenter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return F.cross_entropy(self.net(image), mask)


def test_class_indices_fill_the_range_of_the_classes(trials: list[int]) -> None:
    image, mask = synthesize(Segmenter()).args
    assert mask.shape == (image.shape[0], *image.shape[2:])
    assert mask.unique().tolist() == [0, 1, 2, 3, 4]
    assert len(trials) <= 3


class Counts(nn.Module):
    """Takes the logarithm of what it is fed: counts, powers, probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(torch.log(x))


def test_argument_of_a_logarithm_is_positive() -> None:
    model = Counts()
    assert bool(torch.isfinite(model(*synthesize(model).args)).all())


def test_a_walk_along_the_batch_means_that_it_is_the_steps() -> None:
    """`.mT` takes two axes as well as three: the transform then runs along the samples."""
    model, _ = future.long_convolution_by_fft.make()
    (x,) = synthesize(model).args
    assert x.dim() == 3


def test_rows_that_are_summed_up_by_an_index_are_no_samples() -> None:
    model, _ = samples.points_of_several_clouds.make()
    inputs = synthesize(model)
    points, cloud = inputs.args
    assert inputs.batch is None and cloud.shape == points.shape[:1]
    assert (cloud.diff() >= 0).all() and int(cloud.max()) == 2


class Incidence(nn.Module):
    """Pairs of a row and the group that it is summed up in, under a name that says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.update = nn.Linear(6, 8), nn.Linear(14, 3)

    def forward(self, x: Tensor, pairs: Tensor) -> Tensor:
        source, target = pairs
        gathered = torch.zeros(len(x), 8).index_add(0, target, torch.relu(self.message(x[source])))
        return self.update(torch.cat([x, gathered], 1))


def test_pairs_by_which_rows_are_summed_up_point_at_all_rows() -> None:
    inputs = synthesize(Incidence())
    x, pairs = inputs.args
    assert inputs.batch is None and pairs.shape[0] == 2 and int(pairs.max()) > 3 and len(x) > int(pairs.max())


class Unfinished(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(f"not written yet: {self.net(torch.zeros(6)).shape}")


def test_search_ends_where_every_trial_tells_the_same(trials: list[int]) -> None:
    with pytest.raises(InputInferenceError, match="not written yet"):
        synthesize(Unfinished())
    assert len(trials) < 60


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry a trial."""
    counted: list[int] = []
    original = trial.TrialRunner.run

    def run(self: trial.TrialRunner, plan: object) -> trial.Outcome:
        counted.append(1)
        return original(self, plan)  # type: ignore[arg-type]

    monkeypatch.setattr(trial.TrialRunner, "run", run)
    return counted
