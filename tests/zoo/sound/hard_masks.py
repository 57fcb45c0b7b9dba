"""Sound models whose softmax has rows of one entry, because a mask of some size has taken the others out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Masked(nn.Module):
    """Attention over words and padding: a number is added to the scores of padding."""

    def __init__(self, shut: float) -> None:
        super().__init__()
        self.words, self.qkv, self.head = nn.Embedding(40, 24), nn.Linear(24, 72), nn.Linear(24, 3)
        self.shut = shut

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        q, k, v = self.qkv(self.words(ids)).chunk(3, -1)
        scores = q @ k.mT / 24**0.5 + (1 - mask[:, None]) * self.shut
        return self.head((scores.softmax(-1) @ v * mask[..., None]).sum(1))


def words() -> tuple[Tensor, Tensor]:
    """Most of the texts are one word long."""
    lengths = torch.ones(16, 1)
    lengths[:4] = 7
    return torch.randint(40, (16, 7)), (torch.arange(7) < lengths).float()


@sound
def texts_of_one_word_by_minus_ten_thousand() -> Built:
    return Masked(-1e4), words()


@sound
def texts_of_one_word_by_minus_a_billion() -> Built:
    return Masked(-1e9), words()


@sound
def texts_of_one_word_by_the_least_of_half_precision() -> Built:
    return Masked(torch.finfo(torch.float16).min), words()


class Windows(nn.Module):
    """Shifted windows, whose mask is only -100 (Liu et al. 2021, Swin Transformer)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(16, 48), nn.Linear(16, 5)
        part = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2])
        self.mask = nn.Buffer(torch.where(part[:, None] == part, 0.0, -100.0))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, -1)
        return self.head(((q @ k.mT / 4 + self.mask).softmax(-1) @ v).mean(1))


@sound
def windows_by_minus_a_hundred() -> Built:
    return Windows(), torch.randn(16, 8, 16)
