"""Random modules that keep samples apart, or join them, in all the ways that torch has: what a proof is compared on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLES = 4
SHAPES = ((4, 6), (4, 4), (4, 3, 8), (4, 4, 4), (4, 2, 4, 4), (4, 6, 2, 8))


class Summed(torch.autograd.Function):
    """What no function mode sees."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] - gradients[0].mean(0, keepdim=True)


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x / 2

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] / 2


class Program(nn.Module):
    """Some steps, one after another: each a name, and a number that chooses axes and sizes. What does not fit is left out."""

    weight: Tensor
    mean: Tensor
    kept: Tensor

    def __init__(self, steps: Sequence[tuple[str, int]], shape: Sequence[int]) -> None:
        super().__init__()
        torch.manual_seed(len(steps))
        self.weight = nn.Parameter(torch.randn(64, 64) / 4)
        self.register_buffer("mean", torch.zeros(64))
        self.register_buffer("kept", torch.zeros(()))
        self.steps: list[tuple[str, int]] = []
        x = torch.randn(*shape)
        for name, number in steps:
            with torch.no_grad():
                try:
                    y = STEPS[name](self, x.clone(), number)
                except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError):
                    continue
            if isinstance(y, Tensor) and y.is_floating_point() and 0 < y.numel() < 4096:
                x = y
                self.steps.append((name, number))
        self.mean.zero_()
        self.kept.zero_()

    def forward(self, x: Tensor) -> Tensor:
        for name, number in self.steps:
            x = STEPS[name](self, x, number)
        return x


def _linear(self: Program, x: Tensor, n: int) -> Tensor:
    return F.linear(x, self.weight[: 1 + n % 8, : x.shape[-1]])


def _reshaped(self: Program, x: Tensor, n: int) -> Tensor:
    i = n % (x.dim() - 1)
    return x.reshape(*x.shape[:i], -1, *x.shape[i + 2 :])


def _split_axis(self: Program, x: Tensor, n: int) -> Tensor:
    i, parts = n % x.dim(), 2 + n % 2
    return x.reshape(*x.shape[:i], parts, x.shape[i] // parts, *x.shape[i + 1 :])


def _heads(self: Program, x: Tensor, n: int) -> Tensor:
    q = x.unflatten(-1, (2, -1)).transpose(1, 2) if n % 2 else x.unflatten(-1, (2, -1)).transpose(0, 2)
    return F.scaled_dot_product_attention(q, q, q).flatten(-2)


def _masked(self: Program, x: Tensor, n: int) -> Tensor:
    """Under a triangle that is right, off by a step, upside down, has a row that is shut, or shuts not quite."""
    steps = x.shape[-2]
    seen = torch.ones(steps, steps, dtype=torch.bool)
    mask = (seen.tril(), seen.tril(1), seen.triu(), seen.tril(-1), seen.tril() & (torch.arange(steps) > 1))[n % 5]
    if n % 2:
        return F.scaled_dot_product_attention(x, x, x, mask)
    shut = (float("-inf"), torch.finfo(x.dtype).min, -3.0)[n % 3]
    return F.scaled_dot_product_attention(x, x, x, torch.zeros(steps, steps).masked_fill(~mask, shut))


def _written_view(self: Program, x: Tensor, n: int) -> Tensor:
    y = (x * 1.0).contiguous()
    view = y.view(-1)
    view.mul_(1 + (y.mean() if n % 2 else self.mean[0]))
    return y


def _written_behind(self: Program, x: Tensor, n: int) -> Tensor:
    y = x * 1.0
    y.data.add_(y.mean(0))
    return y


def _set_rows(self: Program, x: Tensor, n: int) -> Tensor:
    y = torch.zeros_like(x)
    y[(n % 4) :] = x[: x.shape[0] - n % 4]
    return y


def _set_part(self: Program, x: Tensor, n: int) -> Tensor:
    """Of what is known, of a constant, shifted along an axis, from an axis less, or by a mask."""
    y = x * 1.0 if n % 2 else torch.zeros_like(x)
    axis, kind = n % x.dim(), n // 2 % 4
    before = (slice(None),) * axis
    if kind == 0:
        y[(*before, slice(1, None))] = x.narrow(axis, 0, x.shape[axis] - 1)
    elif kind == 1:
        y[(*before, 0)] = x.select(axis, -1)
    elif kind == 2:
        y[..., 0] = self.mean[0]
    else:
        y[y > y.mean(_at(x, n), keepdim=True)] = 1.0
    return y


def _gathered(self: Program, x: Tensor, n: int) -> Tensor:
    chosen = x.argsort(_at(x, n)) if n % 2 else torch.zeros(x.shape, dtype=torch.long)
    return x.gather(_at(x, n), chosen) if n % 3 else torch.ones_like(x).cumsum(-1).gather(_at(x, n), chosen)


def _one_of_each(self: Program, x: Tensor, n: int) -> Tensor:
    rows = torch.arange(len(x)) if n % 3 else torch.arange(len(x)).flip(0)
    places = x.flatten(2).sum(-1).argmax(-1) if x.dim() > 2 and n % 2 else torch.zeros(len(x), dtype=torch.long)
    return x[rows, places]


def _added_product(self: Program, x: Tensor, n: int) -> Tensor:
    other = x.transpose(-1, -2) if n % 2 else self.weight[: x.shape[-1], : x.shape[-1]].expand(*x.shape[:-2], -1, -1)
    added = (x if n % 3 else x.transpose(0, 1)) if n % 5 else self.mean[:1]
    return added.baddbmm(batch1=x, batch2=other) if x.dim() == 3 else added.addmm(mat1=x, mat2=other)


def _early(self: Program, x: Tensor, n: int) -> Tensor:
    if n % 48 == 47 or not self.training:
        return x
    return x * 2 if n % 2 else x.relu()


def _by_number(self: Program, x: Tensor, n: int) -> Tensor:
    return x * (float(x.detach().mean()) if n % 2 else 2.0)


def _by_numpy(self: Program, x: Tensor, n: int) -> Tensor:
    return x + torch.from_numpy(x.detach().numpy().mean(0)).to(x.dtype)


def _by_buffer(self: Program, x: Tensor, n: int) -> Tensor:
    if n % 2:
        self.kept.copy_(x.detach().mean())
    return x + self.kept


def _in_eval(self: Program, x: Tensor, n: int) -> Tensor:
    return x if self.training else x - x.mean(0)


def _branch(self: Program, x: Tensor, n: int) -> Tensor:
    return x * 2 if bool((x.mean(0) > 0).all()) else x


def _batch_norm(self: Program, x: Tensor, n: int) -> Tensor:
    size = x.shape[1]
    stats = (self.mean[:size], self.mean[:size] + 1) if n % 2 else (None, None)
    return F.batch_norm(x, *stats, training=n % 2 == 0)


def _at(x: Tensor, n: int) -> int:
    return n % x.dim() - (x.dim() if n % 3 == 0 else 0)


STEPS: dict[str, Callable[[Program, Tensor, int], Tensor]] = {
    "linear": _linear,
    "relu": lambda self, x, n: torch.relu(x),
    "relu in place": lambda self, x, n: F.relu(x * 1.0, inplace=True),
    "added in place": lambda self, x, n: (x * 1.0).add_(x.mean(_at(x, n), keepdim=True)),
    "dropout": lambda self, x, n: F.dropout(x, 0.2, training=self.training),
    "softmax": lambda self, x, n: x.softmax(_at(x, n)),
    "mean": lambda self, x, n: x.mean(_at(x, n)),
    "centred": lambda self, x, n: x - x.mean(_at(x, n), keepdim=True),
    "largest": lambda self, x, n: x / (1 + x.abs().amax(_at(x, n), keepdim=True)),
    "summed over all": lambda self, x, n: x + 0.1 * x.sum(),
    "running sum": lambda self, x, n: x.cumsum(_at(x, n)),
    "sorted": lambda self, x, n: x.sort(_at(x, n)).values,
    "two axes turned": lambda self, x, n: x.flip(_at(x, n), _at(x, n // 4)) if x.dim() > 1 else x,
    "flipped": lambda self, x, n: x.flip(_at(x, n)),
    "rolled": lambda self, x, n: torch.roll(x, 1, _at(x, n)),
    "rolled by name": lambda self, x, n: torch.roll(x, shifts=(1,), dims=(_at(x, n),)),
    "transposed": lambda self, x, n: x.transpose(_at(x, n), _at(x, n // 4)),
    "permuted": lambda self, x, n: x.permute(*(torch.randperm(x.dim(), generator=torch.Generator().manual_seed(n)).tolist())),
    "reshaped": _reshaped,
    "axis split": _split_axis,
    "flattened": lambda self, x, n: x.flatten(n % x.dim()),
    "unsqueezed": lambda self, x, n: x.unsqueeze(n % (x.dim() + 1)),
    "squeezed": lambda self, x, n: x.squeeze(),
    "part": lambda self, x, n: x.narrow(_at(x, n), 0, x.shape[_at(x, n)] // 2),
    "sliced": lambda self, x, n: x[:, : max(x.shape[1] // 2, 1)] if n % 2 else x[..., ::2],
    "rows sliced": lambda self, x, n: x[n % 3 :] if n % 2 else x[n % 3],
    "new axis": lambda self, x, n: x[:, None] if n % 2 else x[None, ..., 0],
    "joined": lambda self, x, n: torch.cat([x, 2 * x], _at(x, n)),
    "joined with a constant": lambda self, x, n: torch.cat([x, self.mean[:1].expand_as(x)], _at(x, n)),
    "stacked": lambda self, x, n: torch.stack([x, x * 2], n % (x.dim() + 1)),
    "halves": lambda self, x, n: (lambda a, b: a * b)(*x.chunk(2, _at(x, n))),
    "unbound": lambda self, x, n: x.unbind(_at(x, n))[0],
    "repeated": lambda self, x, n: x.repeat(*(2 if i == n % x.dim() else 1 for i in range(x.dim()))),
    "product": lambda self, x, n: x @ x.transpose(-1, -2),
    "added to its transpose": lambda self, x, n: x + x.transpose(_at(x, n), _at(x, n // 4)),
    "product from the left": lambda self, x, n: self.weight[: x.shape[-2], : x.shape[-2]] @ x,
    "einsum": lambda self, x, n: torch.einsum("abc,abd->acd" if n % 2 else "abc,adc->bd", x, x),
    "attention": _heads,
    "causal attention": lambda self, x, n: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "attention under a mask": _masked,
    "layer norm": lambda self, x, n: F.layer_norm(x, x.shape[n % x.dim() :]),
    "group norm": lambda self, x, n: F.group_norm(x, 1),
    "batch norm": _batch_norm,
    "convolution": lambda self, x, n: F.conv1d(x, self.weight[:4, : x.shape[1], None]),
    "pooled": lambda self, x, n: F.adaptive_avg_pool1d(x, 1 + n % 3),
    "padded": lambda self, x, n: F.pad(x, (1, 0) if n % 2 else (0, 0) * (x.dim() - 1) + (0, 1)),
    "windows": lambda self, x, n: x.unfold(_at(x, n), 2, 1),
    "normalised": lambda self, x, n: F.normalize(x, dim=_at(x, n)),
    "norm": lambda self, x, n: x / (1 + x.norm(2, _at(x, n), keepdim=True)),
    "gated": lambda self, x, n: F.glu(x, _at(x, n)),
    "best": lambda self, x, n: x.topk(2, _at(x, n)).values,
    "chosen": lambda self, x, n: x.index_select(_at(x, n), torch.tensor([0, 1, 0])),
    "where": lambda self, x, n: torch.where(x > x.mean(_at(x, n), keepdim=True), x, 2 * x),
    "a view written into": _written_view,
    "written behind autograd": _written_behind,
    "rows set": _set_rows,
    "a part set": _set_part,
    "gathered": _gathered,
    "one of each": _one_of_each,
    "added product": _added_product,
    "out early": _early,
    "one-hot": lambda self, x, n: F.one_hot((x > 0).long(), 2 if n % 2 else -1).flatten(-2).float(),
    "by a number": _by_number,
    "by numpy": _by_numpy,
    "by a buffer": _by_buffer,
    "in eval mode only": _in_eval,
    "a branch": _branch,
    "custom, joined": lambda self, x, n: Summed.apply(x),
    "custom": lambda self, x, n: Halved.apply(x),
}
USUAL = (
    "causal attention",
    "attention under a mask",
    "linear",
    "relu",
    "layer norm",
    "dropout",
    "reshaped",
    "sliced",
    "transposed",
)
"""Of which decoders are made."""
