"""Losses that pair wrongly, are handed the wrong thing, or have a summand that trains nothing."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.training.entry import Handed, pair


def _net(inputs: int, outputs: int, width: int = 24) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def _x(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


# predictions and targets that broadcast


@pair("broadcast-loss", r"\(32, 1\)")
def rents_of_flats(sick: bool) -> Handed:
    y = _x(32)
    return {"model": _net(9, 1), "inputs": _x(32, 9), "loss": nn.MSELoss(), "targets": y if sick else y[:, None]}


@pair("broadcast-loss", r"l1_loss")
def absolute_error_of_ages(sick: bool) -> Handed:
    y = _x(20)
    return {"model": _net(5, 1), "inputs": _x(20, 5), "loss": nn.L1Loss(), "targets": y if sick else y.unsqueeze(1)}


@pair("broadcast-loss", r"smooth_l1_loss")
def q_values_of_one_action(sick: bool) -> Handed:
    reward, action = _x(24), torch.randint(3, (24, 1))

    def loss(q: torch.Tensor) -> torch.Tensor:
        chosen = q.gather(1, action)
        return F.smooth_l1_loss(chosen if sick else chosen.squeeze(1), reward)

    return {"model": _net(4, 3), "inputs": _x(24, 4), "loss": loss}


@pair("broadcast-loss", r"\(18,\)")
def squeezed_predictions_and_columns(sick: bool) -> Handed:
    y = _x(18, 1)
    return {"model": _net(6, 1), "inputs": _x(18, 6), "loss": lambda out: F.mse_loss(out.squeeze() if sick else out, y)}


@pair("broadcast-loss", r"sub")
def squared_by_hand(sick: bool) -> Handed:
    y = _x(16)
    return {
        "model": _net(7, 1),
        "inputs": _x(16, 7),
        "loss": lambda out: ((out if sick else out[:, 0]) - y).pow(2).mean(),
    }


@pair("broadcast-loss", r"sub")
def targets_come_first(sick: bool) -> Handed:
    y = _x(16)
    return {"model": _net(7, 1), "inputs": _x(16, 7), "loss": lambda out: (y - (out if sick else out.flatten())).abs().mean()}


@pair("broadcast-loss", r"\(12, 12, 6, 6\)")
def depth_map_with_a_channel(sick: bool) -> Handed:
    depth = torch.rand(12, 6, 6)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 3, padding=1))
    return {"model": model, "inputs": _x(12, 3, 6, 6), "loss": nn.MSELoss(), "targets": depth if sick else depth[:, None]}


class _OwnLoss(nn.Module):
    def __init__(self, sick: bool) -> None:
        super().__init__()
        self.sick = sick
        self.body = _net(5, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        out = self.body(x)
        return F.mse_loss(out if self.sick else out.view(-1), y)


@pair("broadcast-loss", r"mse_loss")
def a_model_with_its_own_loss(sick: bool) -> Handed:
    return {"model": _OwnLoss(sick), "inputs": (_x(30, 5), _x(30))}


@pair("broadcast-loss", r"huber_loss")
def huber_of_a_series(sick: bool) -> Handed:
    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.GRU(2, 12, batch_first=True), nn.Linear(12, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.rnn(x)[0][:, -1])

    y = _x(14)
    return {"model": Forecast(), "inputs": _x(14, 8, 2), "loss": nn.HuberLoss(), "targets": y if sick else y.view(-1, 1)}


@pair("broadcast-loss", r"mul")
def weights_of_samples(sick: bool) -> Handed:
    y, weight = _x(16, 1), torch.rand(16)
    return {
        "model": _net(4, 1),
        "inputs": _x(16, 4),
        "loss": lambda out: ((out - y).square() * (weight if sick else weight[:, None])).mean(),
    }


@pair("broadcast-loss", r"sub")
def critic_and_returns(sick: bool) -> Handed:
    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.value, self.policy = nn.Linear(4, 16), nn.Linear(16, 1), nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = torch.tanh(self.body(x))
            return self.policy(h), self.value(h)

    returns, action = _x(25), torch.randint(2, (25,))

    def loss(out: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        logits, value = out
        value = value if sick else value.squeeze(-1)
        chosen = logits.log_softmax(-1).gather(1, action[:, None]).squeeze(1)
        return (returns - value).square().mean() - (chosen * returns).mean()

    return {"model": Agent(), "inputs": _x(25, 4), "loss": loss}


# what a loss is handed


@pair("misread-loss|double-softmax", r"nll_loss")
def likelihood_of_probabilities(sick: bool) -> Handed:
    model = nn.Sequential(_net(8, 5), nn.Softmax(-1) if sick else nn.LogSoftmax(-1))
    return {"model": model, "inputs": _x(32, 8), "loss": nn.NLLLoss(), "targets": torch.randint(5, (32,))}


@pair("misread-loss|double-softmax", r"nll_loss")
def likelihood_of_scores(sick: bool) -> Handed:
    y = torch.randint(5, (32,))
    return {"model": _net(8, 5), "inputs": _x(32, 8), "loss": lambda out: F.nll_loss(out if sick else out.log_softmax(1), y)}


@pair("misread-loss|double-softmax", r"kl_div")
def student_of_probabilities(sick: bool) -> Handed:
    teacher = torch.softmax(_x(32, 6), -1)

    def loss(out: torch.Tensor) -> torch.Tensor:
        return F.kl_div(out.softmax(-1) if sick else out.log_softmax(-1), teacher, reduction="batchmean")

    return {"model": _net(8, 6), "inputs": _x(32, 8), "loss": loss}


@pair("misread-loss|double-softmax", r"kl_div")
def teacher_of_logarithms(sick: bool) -> Handed:
    teacher = _x(32, 6).log_softmax(-1)

    def loss(out: torch.Tensor) -> torch.Tensor:
        return F.kl_div(out.log_softmax(-1), teacher, reduction="batchmean", log_target=not sick)

    return {"model": _net(8, 6), "inputs": _x(32, 8), "loss": loss}


@pair("misread-loss|double-softmax", r"kl_div")
def teacher_of_scores(sick: bool) -> Handed:
    teacher = _x(24, 6)

    def loss(out: torch.Tensor) -> torch.Tensor:
        return F.kl_div(out.log_softmax(-1), teacher if sick else teacher.softmax(-1), reduction="batchmean")

    return {"model": _net(8, 6), "inputs": _x(24, 8), "loss": loss}


@pair("misread-loss|double-softmax", r"ctc_loss")
def alignment_of_probabilities(sick: bool) -> Handed:
    targets, lengths = torch.randint(1, 6, (4, 3)), torch.full((4,), 10)

    def loss(out: torch.Tensor) -> torch.Tensor:
        steps = out.transpose(0, 1)
        steps = steps.softmax(-1) if sick else steps.log_softmax(-1)
        return F.ctc_loss(steps, targets, lengths, torch.full((4,), 3))

    return {"model": _net(8, 6), "inputs": _x(4, 10, 8), "loss": loss}


@pair("misread-loss|double-softmax", r"cross_entropy|softmax")
def normalised_by_hand(sick: bool) -> Handed:
    class Shares(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = _net(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.body(x)
            return y.exp() / y.exp().sum(-1, keepdim=True) if sick else y

    return {"model": Shares(), "inputs": _x(32, 8), "loss": nn.CrossEntropyLoss(), "targets": torch.randint(4, (32,))}


@pair("misread-loss|double-softmax", r"cross_entropy|softmax")
def softmax_before_cross_entropy(sick: bool) -> Handed:
    model = nn.Sequential(_net(8, 4), nn.Softmax(1)) if sick else _net(8, 4)
    return {"model": model, "inputs": _x(32, 8), "loss": nn.CrossEntropyLoss(), "targets": torch.randint(4, (32,))}


@pair("misread-loss|double-softmax", r"with_logits|sigmoid")
def sigmoid_before_logits(sick: bool) -> Handed:
    model = nn.Sequential(_net(8, 1), nn.Sigmoid()) if sick else _net(8, 1)
    y = torch.randint(2, (32, 1)).float()
    return {"model": model, "inputs": _x(32, 8), "loss": nn.BCEWithLogitsLoss(), "targets": y}


@pair("misread-loss", r"binary_cross_entropy_with_logits")
def labels_of_minus_one_and_one(sick: bool) -> Handed:
    y = torch.randint(2, (32, 1)).float()
    return {"model": _net(8, 1), "inputs": _x(32, 8), "loss": nn.BCEWithLogitsLoss(), "targets": y * 2 - 1 if sick else y}


@pair("misread-loss", r"binary_cross_entropy_with_logits")
def class_numbers_as_probabilities(sick: bool) -> Handed:
    y = torch.randint(5, (32,))
    given = y.float()[:, None].expand(32, 5) if sick else F.one_hot(y, 5).float()
    return {"model": _net(8, 5), "inputs": _x(32, 8), "loss": nn.BCEWithLogitsLoss(), "targets": given}


@pair("misread-loss", r"binary_cross_entropy_with_logits")
def masks_of_0_and_255(sick: bool) -> Handed:
    mask = torch.randint(2, (6, 1, 8, 8)).float()
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    return {
        "model": model,
        "inputs": _x(6, 3, 8, 8),
        "loss": nn.BCEWithLogitsLoss(),
        "targets": mask * 255 if sick else mask,
    }


@pair("misread-loss", r"one class")
def cross_entropy_of_one_logit(sick: bool) -> Handed:
    y = torch.randint(2, (32, 1))
    loss: nn.Module = nn.CrossEntropyLoss() if sick else nn.BCEWithLogitsLoss()
    return {"model": _net(8, 1), "inputs": _x(32, 8), "loss": loss, "targets": y.float()}


@pair("misread-loss", r"ignore_index")
def batch_of_padding_only(sick: bool) -> Handed:
    y = torch.full((6, 12), 0)
    y[:, 0] = 0 if sick else 3
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 5))
    loss = lambda out: F.cross_entropy(out.transpose(1, 2), y, ignore_index=0)  # noqa: E731
    return {"model": model, "inputs": _x(6, 12, 8), "loss": loss}


@pair("misread-loss", r"hinge_embedding_loss")
def hinge_of_zeros_and_ones(sick: bool) -> Handed:
    y = torch.randint(2, (32,))

    def loss(out: torch.Tensor) -> torch.Tensor:
        return F.hinge_embedding_loss(out.square().sum(-1), y if sick else y * 2 - 1)

    return {"model": _net(8, 4), "inputs": _x(32, 8), "loss": loss}


@pair("misread-loss", r"soft_margin_loss")
def margin_of_zeros_and_ones(sick: bool) -> Handed:
    y = torch.randint(2, (32, 1)).float()
    return {"model": _net(8, 1), "inputs": _x(32, 8), "loss": nn.SoftMarginLoss(), "targets": y if sick else y * 2 - 1}


# summands without a gradient


@pair("dead-loss-term", r"argmax")
def one_minus_accuracy(sick: bool) -> Handed:
    y = torch.randint(4, (32,))

    def loss(out: torch.Tensor) -> torch.Tensor:
        found = F.cross_entropy(out, y)
        return found + (out.argmax(1) != y).float().mean() if sick else found

    return {"model": _net(8, 4), "inputs": _x(32, 8), "loss": loss}


@pair("dead-loss-term", r"item")
def a_penalty_as_a_number(sick: bool) -> Handed:
    y = _x(32, 2)

    def loss(out: torch.Tensor) -> torch.Tensor:
        penalty = out.square().mean()
        return F.mse_loss(out, y) + 0.1 * (penalty.item() if sick else penalty)

    return {"model": _net(8, 2), "inputs": _x(32, 8), "loss": loss}


@pair("dead-loss-term", r"no_grad")
def entropy_without_gradients(sick: bool) -> Handed:
    y = torch.randint(4, (32,))

    def loss(out: torch.Tensor) -> torch.Tensor:
        with torch.set_grad_enabled(not sick):
            p = out.softmax(-1)
            entropy = -(p * (p + 1e-8).log()).sum(-1).mean()
        return F.cross_entropy(out, y) - 0.1 * entropy

    return {"model": _net(8, 4), "inputs": _x(32, 8), "loss": loss}


@pair("dead-loss-term", r"gt|ge|__gt__")
def counted_pixels(sick: bool) -> Handed:
    mask = torch.randint(2, (6, 1, 8, 8)).float()

    def loss(out: torch.Tensor) -> torch.Tensor:
        found = F.binary_cross_entropy_with_logits(out, mask)
        area = (out > 0).float().mean() if sick else out.sigmoid().mean()
        return found + (area - 0.5).abs()

    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))
    return {"model": model, "inputs": _x(6, 3, 8, 8), "loss": loss}


@pair("dead-loss-term", r"round|detach")
def sparsity_of_rounded_gates(sick: bool) -> Handed:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.gate, self.head = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            gate = self.gate(x).sigmoid()
            return self.head(self.body(x).relu() * gate), gate

    y = _x(32, 2)

    def loss(out: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        y_hat, gate = out
        open_gates = (gate.detach().round() if sick else gate).mean()
        return F.mse_loss(y_hat, y) + 0.5 * open_gates

    return {"model": Gated(), "inputs": _x(32, 8), "loss": loss}


@pair("dead-loss-term", r"detach")
def attention_map_that_was_detached(sick: bool) -> Handed:
    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score, self.value, self.head = nn.Linear(6, 1), nn.Linear(6, 8), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            attention = self.score(x).softmax(1)
            out = self.head((attention * self.value(x)).sum(1))
            return out, attention.detach() if sick else attention

    y = _x(16, 2)

    def loss(out: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        found, attention = out
        return F.mse_loss(found, y) + 0.01 * (attention * (attention + 1e-6).log()).sum(1).mean()

    return {"model": Attending(), "inputs": _x(16, 10, 6), "loss": loss}


@pair("dead-loss-term", r"item|float")
def summed_as_floats(sick: bool) -> Handed:
    y = _x(32, 3)

    def loss(out: torch.Tensor) -> torch.Tensor:
        first, second = F.mse_loss(out[:, :2], y[:, :2]), F.l1_loss(out[:, 2], y[:, 2])
        return first + (float(second) if sick else second)

    return {"model": _net(8, 3), "inputs": _x(32, 8), "loss": loss}


class _Codebook(nn.Module):
    def __init__(self, sick: bool) -> None:
        super().__init__()
        self.sick = sick
        self.encode, self.decode = nn.Linear(8, 4), nn.Linear(4, 8)
        self.codes = nn.Parameter(torch.randn(12, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encode(x)
        distance = torch.cdist(z, self.codes)
        nearest = distance.argmin(-1)
        q = self.codes[nearest]
        commit = F.mse_loss(z, q.detach()) + F.mse_loss(q, z.detach())
        use = F.one_hot(nearest, 12).float().mean(0) if self.sick else (-distance).softmax(-1).mean(0)
        spread = (use * (use + 1e-8).log()).sum()
        return F.mse_loss(self.decode(z + (q - z).detach()), x) + commit + 0.1 * spread


@pair("dead-loss-term", r"argmin|one_hot")
def usage_of_a_codebook(sick: bool) -> Handed:
    return {"model": _Codebook(sick), "inputs": _x(32, 8)}
