"""Sound: what stands among the parameters and is not trained, what a crop leaves, and what only scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class WindowMask(nn.Module):
    """Attention within shifted windows, whose mask of -inf is a frozen parameter so that it moves with the model."""

    def __init__(self) -> None:
        super().__init__()
        mask = torch.zeros(8, 8)
        mask[:4, 4:] = mask[4:, :4] = float("-inf")
        self.mask = nn.Parameter(mask, requires_grad=False)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        weights = (q @ k.transpose(1, 2) / 4 + self.mask).softmax(-1)
        return self.out(weights @ v)


@sound
def mask_of_infinities_among_the_parameters() -> Built:
    return WindowMask(), torch.randn(16, 8, 16)


class MovingCodes(nn.Module):
    """A codebook that follows the mean of what it was chosen for, kept as a parameter (van den Oord et al. 2017)."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(12, 8), nn.Linear(8, 12)
        self.codes = nn.Parameter(torch.randn(16, 8))

    def forward(self, x: Tensor) -> Tensor:
        z = self.encode(x)
        nearest = torch.cdist(z, self.codes).argmin(1)
        chosen = F.one_hot(nearest, 16).float()
        if self.training:
            with torch.no_grad():
                mean = chosen.T @ z / chosen.sum(0).clamp(min=1).unsqueeze(1)
                self.codes.copy_(torch.where(chosen.sum(0).unsqueeze(1) > 0, 0.9 * self.codes + 0.1 * mean, self.codes))
        quantised = chosen @ self.codes.detach()
        return self.decode(z + (quantised - z).detach())


@sound
def codebook_that_forward_moves() -> Built:
    return MovingCodes(), torch.randn(64, 12)


class Cropped(nn.Module):
    """Convolutions over a long sequence, of which the outer parts are context and are cut away at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(4, 16, 9, padding=4), nn.ReLU(), nn.Conv1d(16, 16, 9, padding=4), nn.ReLU())
        self.head = nn.Conv1d(16, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))[..., 200:5200].transpose(1, 2)


@sound
def context_that_is_cut_away() -> Built:
    return Cropped(), torch.randn(4, 4, 600)


class Margins(Cropped):
    """The same with a margin at both ends."""

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))[:, :, 90:-90]


@sound
def margins_that_are_cut_away() -> Built:
    return Margins(), torch.randn(4, 4, 400)


class PositiveFeatures(nn.Module):
    """Linear attention by random features of the softmax, with the largest of the batch taken out of the exponent.

    Choromanski et al. 2021; some heads could look at their neighbourhood only: here none does.
    """

    def __init__(self, near: int = 0) -> None:
        super().__init__()
        self.near, self.qkv, self.out = near, nn.Linear(32, 96), nn.Linear(32, 32)
        self.register_buffer("projection", torch.linalg.qr(torch.randn(8, 8))[0] * 8**0.5)

    def forward(self, x: Tensor) -> Tensor:
        heads = [part.unflatten(2, (4, 8)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1)]
        q, k, v = (part[:, self.near :] for part in heads)
        rest = [part[:, : self.near] for part in heads]
        q, k = self.features(q, q.shape[-1]), self.features(k, 0)
        far = (q @ (k.transpose(2, 3) @ v)) / (q @ k.sum(2).unsqueeze(-1))
        parts = torch.cat([far, rest[2]], dim=1)
        return self.out(parts.transpose(1, 2).flatten(2))

    def features(self, x: Tensor, own: int) -> Tensor:
        scores = x * 8**-0.25 @ self.projection.T
        largest = scores.amax(-1, keepdim=True) if own else scores.max()
        return (scores - (x**2).sum(-1, keepdim=True) / (2 * 8**0.5) - largest).exp() + 1e-4


@sound
def largest_of_the_batch_in_an_exponent() -> Built:
    return PositiveFeatures(), torch.randn(32, 7, 32)


@sound
def bottleneck_of_no_features() -> Built:
    """A reduction larger than the width leaves nothing of it, and a weight that is empty is not kicked either."""
    squeeze = nn.Sequential(nn.Linear(3, 0), nn.ReLU(), nn.Linear(0, 3), nn.Sigmoid())

    class Weighed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.squeeze = squeeze

        def forward(self, x: Tensor) -> Tensor:
            return self.squeeze(x) * x

    return Weighed(), torch.randn(32, 3)
