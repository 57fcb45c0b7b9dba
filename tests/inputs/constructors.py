"""Models whose constructors take arguments, as people write them; nobody gives any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn


class ConvBlock(nn.Module):
    def __init__(self, in_ch, out_ch, kernel_size=3):
        super().__init__()
        self.c = nn.Conv2d(in_ch, out_ch, kernel_size, padding=1)
        self.b = nn.BatchNorm2d(out_ch)

    def forward(self, x):
        return self.b(self.c(x)).relu()


class Residual(nn.Module):
    def __init__(self, dim, mult):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, dim * mult), nn.GELU(), nn.Linear(dim * mult, dim))

    def forward(self, x):
        return x + self.net(x)


class Attention(nn.Module):
    def __init__(self, dim, num_heads, qkv_bias=False):
        super().__init__()
        assert dim % num_heads == 0
        self.h = num_heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.p = nn.Linear(dim, dim)

    def forward(self, x):
        B, N, C = x.shape
        q, k, v = self.qkv(x).reshape(B, N, 3, self.h, C // self.h).permute(2, 0, 3, 1, 4)
        return (
            self.p(((q @ k.transpose(-2, -1)) * (C // self.h) ** -0.5).softmax(-1) @ v).reshape(B, N, C)
            if False
            else self.p((((q @ k.transpose(-2, -1)) * (C // self.h) ** -0.5).softmax(-1) @ v).transpose(1, 2).reshape(B, N, C))
        )


class PreNorm(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.n = nn.LayerNorm(dim)
        self.fn = fn

    def forward(self, x):
        return self.fn(self.n(x))


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.c = nn.Conv2d(in_planes, planes, 3, stride, 1)
        self.b = nn.BatchNorm2d(planes)
        self.s = nn.Sequential() if stride == 1 and in_planes == planes else nn.Conv2d(in_planes, planes, 1, stride)

    def forward(self, x):
        return F.relu(self.b(self.c(x)) + self.s(x))


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=10):
        super().__init__()
        self.in_planes = 16
        self.stem = nn.Conv2d(3, 16, 3, 1, 1)
        self.l1 = self._make(block, 16, layers[0], 1)
        self.l2 = self._make(block, 32, layers[1], 2)
        self.l3 = self._make(block, 64, layers[2], 2)
        self.fc = nn.Linear(64, num_classes)

    def _make(self, block, planes, n, stride):
        out = []
        for i in range(n):
            out.append(block(self.in_planes, planes, stride if i == 0 else 1))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*out)

    def forward(self, x):
        return self.fc(self.l3(self.l2(self.l1(self.stem(x)))).mean((2, 3)))


@dataclass
class GPTConfig:
    vocab_size: int
    block_size: int = 32
    n_layer: int = 2
    n_head: int = 4
    n_embd: int = 32


class GPT(nn.Module):
    def __init__(self, config: GPTConfig):
        super().__init__()
        self.e = nn.Embedding(config.vocab_size, config.n_embd)
        self.p = nn.Embedding(config.block_size, config.n_embd)
        self.b = nn.ModuleList(
            [nn.TransformerEncoderLayer(config.n_embd, config.n_head, 64, batch_first=True) for _ in range(config.n_layer)]
        )
        self.o = nn.Linear(config.n_embd, config.vocab_size)

    def forward(self, idx):
        h = self.e(idx) + self.p(torch.arange(idx.shape[1]))
        for b in self.b:
            h = b(h)
        return self.o(h)


class Plain(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.a = args
        self.enc = nn.LSTM(args.input_dim, args.hidden_dim, args.num_layers, dropout=args.dropout, batch_first=True)
        self.o = nn.Linear(args.hidden_dim, args.num_classes)

    def forward(self, x):
        return self.o(self.enc(x)[0][:, -1])


class CfgDict(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.l = nn.Linear(cfg["in_features"], cfg["hidden_size"])
        self.o = nn.Linear(cfg["hidden_size"], cfg.get("num_classes", 5))

    def forward(self, x):
        return self.o(self.l(x).relu())


class Mlp(nn.Module):
    def __init__(self, input_size: int, hidden_sizes: list[int], output_size: int, activation: str, dropout: float):
        super().__init__()
        act = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        d = [input_size, *hidden_sizes]
        ls = []
        for a, b in zip(d, d[1:], strict=False):
            ls += [nn.Linear(a, b), act(), nn.Dropout(dropout)]
        self.n = nn.Sequential(*ls, nn.Linear(d[-1], output_size))

    def forward(self, x):
        return self.n(x)


class ViT(nn.Module):
    def __init__(self, image_size, patch_size, num_classes, dim, depth, heads, mlp_dim):
        super().__init__()
        assert image_size % patch_size == 0
        n = (image_size // patch_size) ** 2
        self.p = nn.Conv2d(3, dim, patch_size, patch_size)
        self.pos = nn.Parameter(torch.randn(1, n, dim) * 0.02)
        self.t = nn.TransformerEncoder(nn.TransformerEncoderLayer(dim, heads, mlp_dim, batch_first=True), depth)
        self.h = nn.Linear(dim, num_classes)

    def forward(self, img):
        return self.h(self.t(self.p(img).flatten(2).transpose(1, 2) + self.pos).mean(1))


class NCF(nn.Module):
    def __init__(self, num_users, num_items, embedding_dim, layers):
        super().__init__()
        self.u = nn.Embedding(num_users, embedding_dim)
        self.i = nn.Embedding(num_items, embedding_dim)
        s = [2 * embedding_dim, *layers]
        self.m = nn.Sequential(*[m for a, b in zip(s, s[1:], strict=False) for m in (nn.Linear(a, b), nn.ReLU())])
        self.o = nn.Linear(s[-1], 1)

    def forward(self, user, item):
        return self.o(self.m(torch.cat([self.u(user), self.i(item)], -1)))


class UNet(nn.Module):
    def __init__(self, n_channels, n_classes, bilinear):
        super().__init__()
        self.a = ConvBlock(n_channels, 16)
        self.d = ConvBlock(16, 32)
        self.u = nn.Upsample(scale_factor=2, mode="bilinear") if bilinear else nn.ConvTranspose2d(32, 32, 2, 2)
        self.o = nn.Conv2d(48, n_classes, 1)

    def forward(self, x):
        a = self.a(x)
        return self.o(torch.cat([a, self.u(self.d(F.max_pool2d(a, 2)))], 1))


class Mode(Enum):
    A = "a"
    B = "b"


class Typed(nn.Module):
    def __init__(
        self,
        dim: int,
        mode: Mode,
        kind: Literal["x", "y"],
        size: tuple[int, int],
        norm_layer: type[nn.Module],
        act: Callable[..., nn.Module],
        bias: bool | None,
        ratio: float,
    ):
        super().__init__()
        self.c = nn.Conv2d(3, dim, 1, bias=bool(bias))
        self.n = norm_layer(dim)
        self.a = act()

    def forward(self, x):
        return self.a(self.n(self.c(x)))


class GroupedConv(nn.Module):
    def __init__(self, inplanes, planes, groups, stride):
        super().__init__()
        self.c = nn.Conv2d(inplanes, planes, 3, stride, 1, groups=groups)
        self.n = nn.GroupNorm(groups, planes)

    def forward(self, x):
        return self.n(self.c(x))


class Seq2Seq(nn.Module):
    def __init__(self, encoder, decoder, device):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.device = device

    def forward(self, src):
        return self.decoder(self.encoder(src))


class Diffusion(nn.Module):
    def __init__(self, timesteps, in_channels, base_channels, time_emb_dim):
        super().__init__()
        self.t = nn.Embedding(timesteps, time_emb_dim)
        self.c = nn.Conv2d(in_channels, base_channels, 3, padding=1)
        self.m = nn.Linear(time_emb_dim, base_channels)
        self.o = nn.Conv2d(base_channels, in_channels, 3, padding=1)

    def forward(self, x, t):
        return self.o((self.c(x) + self.m(self.t(t))[:, :, None, None]).relu())


class Critic(nn.Module):
    def __init__(self, state_dim, action_dim, max_action):
        super().__init__()
        self.l = nn.Linear(state_dim + action_dim, 32)
        self.o = nn.Linear(32, 1)
        self.m = max_action

    def forward(self, state, action):
        return self.o(self.l(torch.cat([state, action / self.m], 1)).relu())


class SE(nn.Module):
    def __init__(self, channel, reduction):
        super().__init__()
        self.f = nn.Sequential(
            nn.Linear(channel, channel // reduction), nn.ReLU(), nn.Linear(channel // reduction, channel), nn.Sigmoid()
        )

    def forward(self, x):
        return x * self.f(x.mean((2, 3)))[:, :, None, None]


class GRUNet(nn.Module):
    def __init__(self, input_dim, hidden_dim, output_dim, n_layers, drop_prob):
        super().__init__()
        self.g = nn.GRU(input_dim, hidden_dim, n_layers, batch_first=True, dropout=drop_prob)
        self.f = nn.Linear(hidden_dim, output_dim)

    def forward(self, x, h):
        o, h = self.g(x, h)
        return self.f(o[:, -1]), h


class TCN(nn.Module):
    def __init__(self, num_inputs, num_channels, kernel_size):
        super().__init__()
        ls = []
        for i, c in enumerate(num_channels):
            ls += [
                nn.Conv1d(
                    num_inputs if i == 0 else num_channels[i - 1],
                    c,
                    kernel_size,
                    padding=(kernel_size - 1) * 2**i,
                    dilation=2**i,
                ),
                nn.ReLU(),
            ]
        self.n = nn.Sequential(*ls)

    def forward(self, x):
        return self.n(x)


class WGANGen(nn.Module):
    def __init__(self, nz, ngf, nc):
        super().__init__()
        self.m = nn.Sequential(
            nn.ConvTranspose2d(nz, ngf, 4, 1, 0),
            nn.BatchNorm2d(ngf),
            nn.ReLU(),
            nn.ConvTranspose2d(ngf, nc, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, x):
        return self.m(x)


class LoRA(nn.Module):
    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.randn(r, base.in_features))
        self.b = nn.Parameter(torch.zeros(base.out_features, r))
        self.s = alpha / r

    def forward(self, x):
        return self.base(x) + self.s * (x @ self.a.T @ self.b.T)
