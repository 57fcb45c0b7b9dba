"""A residual network in any depth and width, in the usual parametrisation and in muP.

gradhealth scale examples/scaling.py:standard --depth 2,4,8 --width 32,64,128,256   finds that steps grow with the width
gradhealth scale examples/scaling.py:mup --depth 2,4,8 --width 32,64,128,256        is quiet: one learning rate holds for all
"""

import torch
from torch import Tensor, nn

from gradcheck_health import Training


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.mix(self.norm(x)))


class Net(nn.Module):
    def __init__(self, depth: int, width: int, output_scale: float = 1.0) -> None:
        super().__init__()
        self.stem = nn.Linear(16, width)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.head = nn.Linear(width, 10, bias=False)
        self.output_scale = output_scale

    def forward(self, x: Tensor) -> Tensor:
        return self.output_scale * self.head(self.blocks(self.stem(x)))


def standard(depth: int = 2, width: int = 32) -> Training:
    model = Net(depth, width)
    return Training(model, optimizer=torch.optim.Adam(model.parameters(), lr=1e-3))


def mup(depth: int = 2, width: int = 32) -> Training:
    """Hidden weights learn at 1 / width, and the output is scaled by 1 / width."""
    model = Net(depth, width, output_scale=1 / width)
    nn.init.normal_(model.head.weight)
    hidden = [block.mix.weight for block in model.blocks]
    rest = [p for p in model.parameters() if all(p is not one for one in hidden)]
    groups = [{"params": hidden, "lr": 1e-3 * 32 / width}, {"params": rest, "lr": 1e-3}]
    return Training(model, optimizer=torch.optim.Adam(groups))
