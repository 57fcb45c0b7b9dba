"""Sound: blocks that are run backwards in the backward pass, so that nothing in between is kept (Gomez et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sound


class Coupled(nn.Module):
    """One half of the features moves the other, and can be taken away again."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.move = nn.Linear(width // 2, width // 2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            moved, kept = x.chunk(2, -1)
            return torch.cat([kept, moved + self.move(kept).tanh()], -1)

    def undo(self, y: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        kept, moved = y.chunk(2, -1)
        to_kept, to_moved = gradient.chunk(2, -1)
        kept = kept.detach().requires_grad_()
        with torch.enable_grad():
            by = self.move(kept).tanh()
        by.backward(to_moved)
        assert kept.grad is not None
        return torch.cat([moved - by.detach(), kept.detach()], -1), torch.cat([to_moved, to_kept + kept.grad], -1)


class Undone(torch.autograd.Function):
    """A gradient comes back only where one is asked for: the weights of the blocks are no arguments."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, blocks: nn.ModuleList) -> Tensor:
        for block in blocks:
            x = block(x)
        ctx.blocks, ctx.y = blocks, x.detach()
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # type: ignore[override]
        y = ctx.y
        for block in reversed(ctx.blocks):
            y, gradient = block.undo(y, gradient)
        return gradient, None


class Reversible(nn.Module):
    """Several of them, and a head."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.blocks, self.head = nn.ModuleList(Coupled(width) for _ in range(3)), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Undone.apply(x, self.blocks))


@sound
def reversible_blocks_alone() -> Built:
    return Reversible(), torch.randn(32, 16).requires_grad_()


class Whole(nn.Module):
    """Behind a layer that is trained."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.rest = nn.Linear(6, 16), Reversible()

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.enter(x))


@sound
def reversible_blocks_behind_a_layer() -> Built:
    return Whole(), torch.randn(32, 6)
