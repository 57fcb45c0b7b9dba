"""Sound models with a part that gets no gradient by design, and asks for one: teachers, targets, averages, last biases."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


def encoder(out: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, out))


class Twin(nn.Module):
    """A momentum target that still asks for gradients (BYOL)."""

    def __init__(self) -> None:
        super().__init__()
        self.online, self.predictor = encoder(), nn.Linear(8, 8)
        self.target = copy.deepcopy(self.online)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return -F.cosine_similarity(self.predictor(self.online(a)), self.target(b).detach()).mean()


@sound
def target_network_that_requires_grad() -> Built:
    return Twin(), (torch.randn(32, 8), torch.randn(32, 8))


class Values(nn.Module):
    """Q-learning with a target network of its own; returns its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.later = encoder(4), encoder(4)

    def forward(self, state: Tensor, reward: Tensor, after: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = reward + 0.9 * self.later(after).max(1).values
        return F.smooth_l1_loss(self.q(state).max(1).values, wanted)


@sound
def values_under_a_target_network() -> Built:
    return Values(), (torch.randn(32, 8), torch.randn(32), torch.randn(32, 8))


class Distilled(nn.Module):
    """A larger teacher in eval mode, or only called one."""

    def __init__(self, evaluates: bool) -> None:
        super().__init__()
        self.teacher = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
        self.student = nn.Linear(8, 4)
        if evaluates:
            self.teacher.eval()

    @torch.no_grad()
    def wanted(self, x: Tensor) -> Tensor:
        return torch.softmax(self.teacher(x), -1)

    def forward(self, x: Tensor) -> Tensor:
        return F.kl_div(torch.log_softmax(self.student(x), -1), self.wanted(x), reduction="batchmean")


@sound
def student_of_a_teacher_in_eval_mode() -> Built:
    return Distilled(evaluates=True), torch.randn(32, 8)


@sound
def student_of_a_teacher_by_name() -> Built:
    return Distilled(evaluates=False), torch.randn(32, 8)


class Averaged(nn.Module):
    """A student and the moving average of its weights in one dictionary (mean teacher)."""

    def __init__(self) -> None:
        super().__init__()
        self.nets = nn.ModuleDict({"student": encoder(4), "average": encoder(4)})

    def forward(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            wanted = self.nets["average"](x + 0.1)
        return (self.nets["student"](x) - wanted).square().mean()


@sound
def moving_average_of_the_student() -> Built:
    return Averaged(), torch.randn(32, 8)


class Forces(nn.Module):
    """Returns the derivative of an energy: the bias that is added last is in no force."""

    def __init__(self) -> None:
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(6, 16), nn.Softplus(), nn.Linear(16, 16), nn.Softplus(), nn.Linear(16, 1))

    def forward(self, places: Tensor) -> Tensor:
        places = places.requires_grad_()
        energy = self.energy(places).sum()
        return -torch.autograd.grad(energy, places, create_graph=True)[0]


@sound
def forces_of_an_energy() -> Built:
    return Forces(), torch.randn(16, 6)


class Sorted(nn.Module):
    """Experts, each called on the samples that the gate sends it, if none at all."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.head = nn.Linear(8, 6), nn.Linear(8, 3)
        self.experts = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))

    def forward(self, x: Tensor) -> Tensor:
        weight, choice = torch.softmax(self.gate(x), -1).max(-1)
        y = torch.zeros_like(x)
        for k, expert in enumerate(self.experts):
            (rows,) = torch.nonzero(choice == k, as_tuple=True)
            y = y.index_put((rows,), expert(x[rows]))
        out: Tensor = self.head(y * weight.unsqueeze(1))
        return out


@sound
def experts_on_a_batch_of_like_samples() -> Built:
    return Sorted(), torch.randn(1, 8).expand(32, 8) + 0.05 * torch.randn(32, 8)
