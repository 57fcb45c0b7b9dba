"""Optional targets and masks: the path that is trained is the one with the loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Gpt(nn.Module):
    """The usual file: logits of the last position only, unless targets are given."""

    FED = ("i B T <40", "i B T <40")

    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(40, 16), nn.Embedding(32, 16)
        self.attn, self.head = nn.Linear(16, 48), nn.Linear(16, 40)

    def forward(self, idx, targets=None):
        t = idx.shape[1]
        x = self.wte(idx) + self.wpe(torch.arange(t))
        q, k, v = self.attn(x).chunk(3, -1)
        x = x + F.scaled_dot_product_attention(q, k, v, is_causal=True)
        if targets is not None:
            logits = self.head(x)
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        else:
            logits, loss = self.head(x[:, [-1], :]), None
        return logits, loss


class Labelled(nn.Module):
    """A classifier that returns its loss where labels are given, and is read where they are not."""

    FED = ("f B 6", "i B <3")

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x, labels=None):
        logits = self.net(x)
        return logits if labels is None else (F.cross_entropy(logits, labels), logits)


class Regression(nn.Module):
    """The same with numbers."""

    FED = ("f B 6", "f B 1 | f B")

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x, target=None):
        y = self.net(x)
        return {"prediction": y, "loss": None if target is None else F.mse_loss(y, target)}


class FloatMask(nn.Module):
    """A mask that is multiplied and summed up: floats."""

    FED = ("f B T 6", "f B T")

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 4)

    def forward(self, x, mask):
        weighted = self.fc(x) * mask.unsqueeze(-1)
        return weighted.sum(1) / mask.sum(1, keepdim=True)


class OneMinusMask(nn.Module):
    """One minus the mask, which booleans do not have."""

    FED = ("f B 3 H W", "f B 1 H W | f B 3 H W")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image, mask):
        return image * mask + self.conv(image) * (1 - mask)


class SoftMask(nn.Module):
    """A mask in the logarithm of a softmax."""

    FED = ("f B T 6", "f B T | i B T")

    def __init__(self):
        super().__init__()
        self.score, self.out = nn.Linear(6, 1), nn.Linear(6, 2)

    def forward(self, x, attention_mask):
        scores = self.score(x).squeeze(-1) + (1.0 - attention_mask) * -10000.0
        return self.out((scores.softmax(-1).unsqueeze(-1) * x).sum(1))
