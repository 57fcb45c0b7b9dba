"""What a cure costs in operations: the counts are those of the formulas by hand, and of torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from gradcheck_health import check_gradients
from gradcheck_health.check.remedies.cost import operations
from gradcheck_health.formats import _remedies, html
from gradcheck_health.probe import Subject
from gradcheck_health.records.inputs import Inputs


def counted(model: nn.Module, x: torch.Tensor) -> int | None:
    return operations(Subject(model, Inputs((x,), {}, "given", False, x.shape[0])))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 2)),
        nn.TransformerEncoderLayer(12, 2, 24, dropout=0.0, batch_first=True),
        nn.Sequential(nn.Conv1d(5, 8, 3), nn.BatchNorm1d(8), nn.ConvTranspose1d(8, 2, 3)),
    ],
    ids=["linear", "transformer", "convolutions"],
)
def test_operations_are_those_that_torch_counts(model: nn.Module) -> None:
    x = torch.randn(7, 5, 12)
    with FlopCounterMode(display=False) as known:
        model(x)
    attention = 2 * 7 * 2 * 5 * 5 * 12 if isinstance(model, nn.TransformerEncoderLayer) else 0  # which it lacks on a CPU
    assert counted(model, x) == known.get_total_flops() + attention


@pytest.mark.parametrize("cell", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}], ids=["one", "stacked"])
def test_operations_of_recurrent_layers_are_their_products(cell: type[nn.RNNBase], options: dict[str, int]) -> None:
    model = cell(12, 16, batch_first=True, **options)
    assert counted(model, torch.randn(7, 5, 12)) == 2 * 7 * 5 * sum(p.numel() for p in model.parameters() if p.dim() == 2)


def test_model_without_products_has_no_count() -> None:
    assert counted(nn.Sequential(nn.Tanh(), nn.LayerNorm(4)), torch.randn(3, 4)) is None


class Remembers(nn.Module):
    """A vanilla recurrence whose weights let everything fade."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = nn.RNN(8, 16, batch_first=True), nn.Linear(16, 2)
        with torch.no_grad():
            self.rnn.weight_hh_l0.mul_(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.rnn(x)[0][:, -1]))


@pytest.mark.slow
def test_cost_of_another_cell_is_in_report_list_and_page() -> None:
    report = check_gradients(Remembers(), torch.randn(16, 30, 8), remedies=True, only_remedies=["lstm-for-rnn"])
    (trial,) = report.remedies
    rnn, head = 30 * (8 * 16 + 16 * 16), 16 * 2
    assert trial.flops == pytest.approx((4 * rnn + head) / (rnn + head))
    assert trial.parameters == 3 * (8 * 16 + 16 * 16 + 2 * 16)
    said = f"{trial.parameters} parameters more, {trial.flops:.3g} x the FLOPs"
    assert said in "\n".join(_remedies.lines(report, 100)) and said in html.render(report)
