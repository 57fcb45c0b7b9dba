"""Random modules from a seed: the source text of a module, so that a failing seed can be read, and shortened.

A program is a list of blocks. Each is a piece of a constructor and a piece of forward that turns `x`, float32[5, 6], into
another such tensor; `D` is its number. All arithmetic is smooth enough for float64 to agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

FEATURES, ROWS = 6, 5

BLOCKS: dict[str, tuple[str, str]] = {
    "linear": ("self.fc_D = nn.Linear(6, 6)", "x = self.fc_D(x)"),
    "bare parameter": ("self.scale_D = nn.Parameter(torch.ones(6))", "x = x * self.scale_D"),
    "relu in place": ("self.fc_D = nn.Linear(6, 6); self.act_D = nn.ReLU(inplace=True)", "x = self.act_D(self.fc_D(x))"),
    "activations": ("", "x = torch.tanh(x) + nn.functional.gelu(x)"),
    "residual": ("self.res_D = nn.Sequential(nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 6))", "x = x + self.res_D(x)"),
    "in-place sum": ("self.add_D = nn.Linear(6, 6)", "x = self.add_D(x); x += 1; x.mul_(0.5)"),
    "branches": (
        "self.a_D = nn.Linear(6, 3); self.b_D = nn.Linear(6, 3)",
        "x = torch.cat([self.a_D(x).tanh(), torch.sigmoid(self.b_D(x))], dim=1)",
    ),
    "gate": ("self.gate_D = nn.Linear(6, 12)", "p, q = self.gate_D(x).chunk(2, dim=1); x = p * torch.sigmoid(q)"),
    "checkpoint": (
        "self.again_D = nn.Sequential(nn.Linear(6, 6), nn.Tanh())",
        "x = torch.utils.checkpoint.checkpoint(self.again_D, x, use_reentrant=False)",
    ),
    "tied": (
        "self.one_D = nn.Linear(6, 6); self.two_D = nn.Linear(6, 6); self.two_D.weight = self.one_D.weight",
        "x = self.two_D(torch.tanh(self.one_D(x)))",
    ),
    "shared": ("self.twice_D = nn.Linear(6, 6)", "x = self.twice_D(torch.tanh(self.twice_D(x)))"),
    "recurrent": (
        "self.cell_D = nn.GRUCell(6, 6)",
        "h = x\n        for _ in range(3):\n            h = self.cell_D(x, h)\n        x = h",
    ),
    "lstm": ("self.lstm_D = nn.LSTM(2, 3, batch_first=True)", "x = self.lstm_D(x.reshape(5, 3, 2))[0][:, :2].reshape(5, 6)"),
    "layer norm": ("self.ln_D = nn.LayerNorm(6)", "x = self.ln_D(x)"),
    "batch norm": ("self.bn_D = nn.BatchNorm1d(6)", "x = self.bn_D(x)"),
    "group norm": ("self.gn_D = nn.GroupNorm(2, 6)", "x = self.gn_D(x)"),
    "dropout": ("self.drop_D = nn.Dropout(0.3)", "x = self.drop_D(x)"),
    "noise": ("", "x = x + 0.1 * torch.rand_like(x, dtype=torch.float32)"),
    "moving mean": (
        "self.register_buffer('mean_D', torch.zeros(6))",
        "self.mean_D = 0.9 * self.mean_D + 0.1 * x.detach().mean(0); x = x - self.mean_D",
    ),
    "moving mean in place": (
        "self.register_buffer('ema_D', torch.zeros(6))",
        "self.ema_D.mul_(0.9).add_(x.detach().mean(0), alpha=0.1); x = x - self.ema_D.clone()",
    ),
    "counter": (
        "self.count_D, self.log_D = 0, [0]",
        "self.count_D += 1; self.log_D.append(self.count_D); self.last_D = x.detach()",
    ),
    "attention": (
        "self.qkv_D = nn.Linear(6, 18)",
        "q, k, v = self.qkv_D(x)[None].chunk(3, dim=2); x = x + nn.functional.scaled_dot_product_attention(q, k, v)[0]",
    ),
    "convolution": ("self.conv_D = nn.Conv1d(2, 2, 3, padding=1)", "x = self.conv_D(x.reshape(5, 2, 3)).reshape(5, 6)"),
    "embedding": ("self.emb_D = nn.Embedding(7, 6)", "x = x + self.emb_D(torch.arange(5))"),
    "spectral norm": ("self.sn_D = parametrizations.spectral_norm(nn.Linear(6, 6))", "x = self.sn_D(x)"),
    "weight norm": ("self.wn_D = parametrizations.weight_norm(nn.Linear(6, 6))", "x = self.wn_D(x)"),
    "frozen": ("self.frozen_D = nn.Linear(6, 6).requires_grad_(False)", "x = x + self.frozen_D(x)"),
    "modules in a list": ("self.list_D = [nn.BatchNorm1d(6)]", "x = self.list_D[0](x)"),
    "lazy": ("self.lazy_D = nn.LazyLinear(6)", "x = self.lazy_D(x)"),
    "views": ("", "x = x.t().reshape(6, 5).t().contiguous() * torch.linspace(0.5, 1.5, 6, dtype=x.dtype)"),
    "cut": ("", "x = x + x.detach() * 0.5"),
}
HEADS: dict[str, str] = {
    "tensor": "return self.head(x)",
    "tuple": "return self.head(x), x",
    "dict": "return {'logits': self.head(x), 'hidden': [x]}",
    "loss inside": "out = self.head(x); return {'loss': out.square().mean(), 'logits': out}",
    "in place at the end": "out = self.head(x); out += 1; return out",
}


@dataclass(frozen=True)
class Program:
    """Which blocks, in which order, under which head."""

    blocks: tuple[str, ...]
    head: str
    seed: int

    @classmethod
    def drawn(cls, seed: int) -> Program:
        draw = random.Random(seed)
        return cls(tuple(draw.choices(list(BLOCKS), k=draw.randint(1, 6))), draw.choice(list(HEADS)), seed)

    def source(self) -> str:
        """The class `Net`, ready to be pasted into a file."""
        built = [BLOCKS[name][0].replace("_D", f"_{i}") for i, name in enumerate(self.blocks)]
        run = [BLOCKS[name][1].replace("_D", f"_{i}") for i, name in enumerate(self.blocks)]
        lines = [
            "import torch",
            "import torch.utils.checkpoint",
            "from torch import nn",
            "from torch.nn.utils import parametrizations",
            "",
            "",
            "class Net(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
            *(f"        {line}" for line in built if line),
            "        self.stem, self.head = nn.Linear(6, 6), nn.Linear(6, 2)",
            "",
            "    def forward(self, x):",
            "        x = self.stem(x)",
            *(f"        {line}" for line in run),
            f"        {HEADS[self.head]}",
        ]
        return "\n".join(lines) + "\n"

    def build(self) -> tuple[nn.Module, torch.Tensor]:
        """The same module and batch at every call."""
        space: dict[str, Any] = {"__name__": f"drawn_{self.seed}"}
        exec(compile(self.source(), f"<seed {self.seed}>", "exec"), space)
        torch.manual_seed(self.seed)
        model: nn.Module = space["Net"]()
        return model, torch.randn(ROWS, FEATURES)

    def shrunken(self, fails: Callable[[Program], bool]) -> Program:
        """The shortest program that still fails, by leaving out one block after the other."""
        smallest = self
        shorter = True
        while shorter:
            shorter = False
            for candidate in smallest._shorter():
                if fails(candidate):
                    smallest, shorter = candidate, True
                    break
        return smallest

    def _shorter(self) -> list[Program]:
        without = [Program(self.blocks[:i] + self.blocks[i + 1 :], self.head, self.seed) for i in range(len(self.blocks))]
        return without + ([Program(self.blocks, "tensor", self.seed)] if self.head != "tensor" else [])
