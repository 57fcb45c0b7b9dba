"""What a person wrote down is read: lengths compared with positions, docstrings, annotations, differential equations."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from gradcheck_health.inputs import synthesize
from gradcheck_health.inputs.relations import counts_steps


def keep(n: torch.Tensor, size: int) -> torch.Tensor:
    return torch.arange(size) < n.unsqueeze(1)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(5, 8), nn.Linear(8, 2)

    def attend(self, x: torch.Tensor, lost: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        return self.out((h @ h.transpose(1, 2)).masked_fill(lost[:, None], float("-inf")).softmax(-1) @ h)


class Inline(Masked):
    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        positions = torch.arange(x.shape[1], device=x.device)
        return self.attend(x, positions[None] >= n.to(x.device)[:, None])


class Helper(Masked):
    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return self.attend(x, ~keep(n, x.shape[1]))


class Method(Masked):
    def lost(self, size: int, n: torch.Tensor) -> torch.Tensor:
        return n[:, None] <= torch.arange(size)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return self.attend(x, self.lost(x.shape[1], n))


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(9, 4), nn.GRU(4, 5, batch_first=True)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.embed(x), n.cpu(), batch_first=True, enforce_sorted=False)
        return self.rnn(packed)[1]


class Wrapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Inline()

    def forward(self, batch: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return self.inner(batch, n=k)


@pytest.mark.parametrize("model", [Inline, Helper, Method, Packed, Wrapped])
def test_lengths_are_known_by_what_they_are_compared_with(model: type[nn.Module]) -> None:
    inputs = synthesize(model(), batch_size=6)
    x, n = inputs.args
    assert not n.is_floating_point() and n.shape == (6,)
    assert n.min() >= 1 and n.max() == x.shape[1]
    out = model()(*inputs.args)
    assert torch.isfinite(out).all(), "no row is masked as a whole"


class Positions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * n + torch.arange(2)


def test_an_argument_that_only_meets_positions_elsewhere_counts_nothing() -> None:
    assert counts_steps(Inline(), "n") and not counts_steps(Inline(), "x")
    assert not counts_steps(Positions(), "n")


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([y, t.expand(y.shape[0], 1)], -1))


class Bare(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rates = nn.Parameter(torch.rand(2))

    def forward(self, t: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.rates[0] * y[..., 0], -self.rates[1] * y[..., 1]], -1)


@pytest.mark.parametrize("model", [Field, Bare])
def test_differential_equation_takes_a_point_in_time_and_a_state_of_floats(model: type[nn.Module]) -> None:
    t, y = synthesize(model()).args
    assert t.shape == () and t.is_floating_point()
    assert y.dim() == 2 and y.is_floating_point() and y.shape[0] > 1


class Documented(nn.Module):
    """Attention over a memory."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 2))

    def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Attend.

        Args:
            q: queries, of shape (batch, time, 6)
            k (torch.Tensor): a memory of shape [B, S, 6].

        Returns:
            Tensor of shape (batch, 2).
        """
        if q.dim() != 3:
            return q @ self.w
        return ((q @ self.w) @ (k @ self.w).transpose(1, 2)).sum(-1)


class Annotated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(
        self,
        x: "Float[Tensor, 'batch time feat']",  # noqa: F722, F821, UP037
        m: "Bool[Tensor, 'batch time']",  # noqa: F722, F821, UP037
        c: "Int[Tensor, 'batch']",  # noqa: F821, UP037
    ) -> torch.Tensor:
        return (self.fc(x) * m[..., None]).sum(-2) * c[:, None]


def test_shapes_of_docstrings_and_annotations_are_honoured() -> None:
    q, k = synthesize(Documented(), batch_size=4).args
    assert q.shape == k.shape == (4, 7, 6)
    x, m, c = synthesize(Annotated(), batch_size=4).args
    assert (x.shape, m.shape, c.shape) == ((4, 7, 6), (4, 7), (4,))
    assert (x.dtype, m.dtype, c.dtype) == (torch.float32, torch.bool, torch.int64)


def test_generator_grows_its_image_out_of_a_point() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(20, 8, 4, 1, 0), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert synthesize(model).args[0].shape == (64, 20, 1, 1)
    assert synthesize(nn.Sequential(nn.ConvTranspose2d(20, 8, 4, 2, 1))).args[0].shape[1:] == (20, 32, 32)
