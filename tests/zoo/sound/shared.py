"""Sound encoders that are called several times side by side: siamese nets, two views, a loop over views, refinement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound

Act = type[nn.Module]


def initialised(net: nn.Sequential, act: Act) -> nn.Sequential:
    """For ReLU-like activations; sigmoids keep torch's own weights."""
    for layer in net:
        if isinstance(layer, nn.Linear | nn.Conv2d) and act is not nn.Sigmoid:
            nn.init.kaiming_normal_(layer.weight)
    return net


def stack(act: Act, depth: int, width: int, out: int = 8) -> nn.Sequential:
    """Linear layers of one width."""
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), act())]
    return initialised(nn.Sequential(*layers, nn.Linear(width, out)), act)


class Siamese(nn.Module):
    """The distance of two embeddings."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return F.pairwise_distance(self.encoder(one), self.encoder(other))


class Contrastive(nn.Module):
    """Two views that have to find each other in the batch (NT-Xent); returns its own loss."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.project = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        a, b = (F.normalize(self.project(self.encoder(view)), dim=-1) for view in (one, other))
        return F.cross_entropy(a @ b.T / 0.5, torch.arange(len(a)))


class Pooled(nn.Module):
    """Several pictures of one thing, encoded one after the other and averaged (multi-view CNN)."""

    def __init__(self, act: Act) -> None:
        super().__init__()
        convs = [layer for k in range(10) for layer in (nn.Conv2d(8 if k else 3, 8, 3, padding=1), act())]
        self.encoder = initialised(nn.Sequential(*convs), act)
        self.head = nn.Linear(8, 4)

    def forward(self, views: Tensor) -> Tensor:
        seen = torch.stack([self.encoder(view).mean((-2, -1)) for view in views.unbind(1)])
        out: Tensor = self.head(seen.mean(0))
        return out


class Refined(nn.Module):
    """Features of two pictures, compared, and an estimate that a recurrent unit refines (as in RAFT)."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features, self.context = features, nn.Linear(24, 12)
        self.update, self.step = nn.GRUCell(9, 12), nn.Linear(12, 1)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        similar = self.features(one) * self.features(other)
        state, estimate = torch.tanh(self.context(one)), torch.zeros(len(one), 1)
        for _ in range(6):
            state = self.update(torch.cat((similar, estimate), 1), state)
            estimate = estimate + self.step(state)
        return estimate


@sound
def siamese_of_elus() -> Built:
    return Siamese(stack(nn.ELU, 12, 16)), (torch.randn(32, 16), torch.randn(32, 16))


@sound
def two_views_of_elus() -> Built:
    return Contrastive(stack(nn.ELU, 12, 16)), (torch.randn(32, 16), torch.randn(32, 16))


@sound
def views_of_relus_in_a_loop() -> Built:
    return Pooled(nn.ReLU), torch.randn(16, 4, 3, 8, 8)


@sound
def refined_features_of_elus() -> Built:
    return Refined(stack(nn.ELU, 10, 24)), (torch.randn(32, 24), torch.randn(32, 24))


class Cycle(nn.Module):
    """There and back again, both ways: each net is called on data and on the other's result; returns its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.there, self.back = stack(nn.ELU, 4, 8), stack(nn.ELU, 4, 8)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.l1_loss(self.back(self.there(x)), x) + F.l1_loss(self.there(self.back(y)), y)


@sound
def cycle_of_two_nets() -> Built:
    return Cycle(), (torch.randn(32, 8), torch.randn(32, 8))


class Universal(nn.Module):
    """One layer, eight times in sequence (universal transformer, ALBERT): its own result comes back to it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(8):
            x = self.layer(x)
        return x


@sound
def one_layer_eight_times() -> Built:
    return Universal(), torch.randn(16, 6, 16)


class Looped(nn.Module):
    """One layer, again and again on its own result, and nothing else."""

    def __init__(self, function: nn.Module, times: int) -> None:
        super().__init__()
        self.layer, self.function, self.times = nn.Linear(32, 32), function, times

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.times):
            x = self.function(self.layer(x))
        return x


@sound
def one_orthogonal_layer_twelve_times() -> Built:
    model = Looped(nn.Tanh(), 12)
    nn.init.orthogonal_(model.layer.weight)
    return model, torch.randn(32, 32)


class Automaton(nn.Module):
    """A cellular automaton (Mordvintsev et al. 2020): one update rule, sixteen times, and no other layer."""

    def __init__(self) -> None:
        super().__init__()
        self.perceive, self.update = nn.Conv2d(16, 48, 3, padding=1), nn.Conv2d(48, 16, 1)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(16):
            x = x + self.update(torch.relu(self.perceive(x)))
        return x


@sound
def cellular_automaton() -> Built:
    return Automaton(), torch.randn(4, 16, 12, 12)


class Equilibrium(nn.Module):
    """A fixed point by iteration: the input comes in again at each turn."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Linear(24, 24)

    def forward(self, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        for _ in range(15):
            z = torch.tanh(self.weight(z) + x)
        return z


@sound
def fixed_point_iteration() -> Built:
    return Equilibrium(), torch.randn(16, 24)


class Spread(nn.Module):
    """What nodes know is spread over a graph and mixed, by one matrix, six times."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(24, 24)
        self.register_buffer("near", torch.softmax(torch.randn(16, 16), -1))

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(6):
            x = x + torch.relu(self.near @ self.mix(x))
        return x


@sound
def one_matrix_over_a_graph() -> Built:
    return Spread(), torch.randn(16, 24)
