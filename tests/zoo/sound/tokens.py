"""Sound models with embeddings: tied, sparse, rarely seen or padded rows, and tokens that begin near zero."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.zoo.entry import Built, sound


class LanguageModel(nn.Module):
    """A small causal transformer; its head is the token table."""

    def __init__(self, vocabulary: int = 50, width: int = 32, padding: int | None = None) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width, padding_idx=padding)
        self.positions = nn.Embedding(16, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        nn.init.normal_(self.tokens.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        time = ids.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(time)
        h = self.tokens(ids) + self.positions(torch.arange(time))
        return self.head(self.norm(self.blocks(h, mask=mask, is_causal=True)))


@sound
def tied_embeddings() -> Built:
    return LanguageModel(), torch.randint(0, 50, (8, 12))


class TextClassifier(nn.Module):
    """Mean of the embeddings of the real tokens; row 0 is padding and stays 0."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(40, 16, padding_idx=0)
        self.hidden = nn.Linear(16, 32)
        self.head = nn.Linear(32, 4)

    def forward(self, ids: Tensor) -> Tensor:
        real = (ids != 0).unsqueeze(-1)
        mean = (self.tokens(ids) * real).sum(1) / real.sum(1).clamp(min=1)
        return self.head(F.relu(self.hidden(mean)))


@sound
def padding_idx() -> Built:
    ids = torch.randint(1, 40, (16, 10))
    ids[:, 6:] = 0
    return TextClassifier(), ids


@sound
def sparse_embedding() -> Built:
    table = nn.EmbeddingBag(200, 16, mode="mean", sparse=True)
    return nn.Sequential(table, nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1)), torch.randint(0, 200, (16, 5))


@sound
def rarely_seen_rows() -> Built:
    """32 ids of a table of 1000: at least 96 % of the rows have a gradient of zero."""
    return nn.Sequential(nn.Embedding(1000, 16), nn.Flatten(), nn.Linear(32, 8)), torch.randint(0, 1000, (16, 2))


class Word2Vec(nn.Module):
    """Skip-gram with negative sampling, its own loss; the context table begins at 0 as in the original."""

    def __init__(self, vocabulary: int = 100, width: int = 16) -> None:
        super().__init__()
        self.center = nn.Embedding(vocabulary, width)
        self.context = nn.Embedding(vocabulary, width)
        nn.init.uniform_(self.center.weight, -0.5 / width, 0.5 / width)
        nn.init.zeros_(self.context.weight)

    def forward(self, center: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        v = self.center(center)
        good = (v * self.context(positive)).sum(-1)
        bad = torch.einsum("bd,bkd->bk", v, self.context(negative))
        return -(F.logsigmoid(good) + F.logsigmoid(-bad).sum(-1)).mean()


@sound
def word2vec() -> Built:
    return Word2Vec(), (torch.randint(0, 100, (32,)), torch.randint(0, 100, (32,)), torch.randint(0, 100, (32, 5)))


class DLRM(nn.Module):
    """Dense features and sparse categories, their dot products, and a click probability (Naumov et al. 2019)."""

    def __init__(self, width: int = 16, tables: tuple[int, ...] = (100, 50, 10)) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(rows, width, mode="sum", sparse=True) for rows in tables)
        for table, rows in zip(self.tables, tables, strict=True):
            nn.init.uniform_(table.weight, -(rows**-0.5), rows**-0.5)
        self.bottom = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, width), nn.ReLU())
        self.top = nn.Sequential(nn.Linear(width + 6, 32), nn.ReLU(), nn.Linear(32, 1))
        rows, columns = torch.tril_indices(4, 4, offset=-1)
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)

    def forward(self, dense: Tensor, categories: Tensor) -> Tensor:
        x = self.bottom(dense)
        features = torch.stack([x, *(table(ids) for table, ids in zip(self.tables, categories, strict=True))], dim=1)
        products = features @ features.transpose(1, 2)
        pairs = products[:, self.rows, self.columns]
        return torch.sigmoid(self.top(torch.cat((x, pairs), dim=1)))


@sound
def dlrm() -> Built:
    categories = torch.stack([torch.randint(0, rows, (32, 2)) for rows in (100, 50, 10)])
    return DLRM(), (torch.randn(32, 13), categories)


class ClassToken(nn.Module):
    """A vision transformer whose class token begins with a standard deviation of 1e-6, as in timm."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(1e-6 * torch.randn(1, 1, width))
        self.position = nn.Parameter(0.02 * torch.randn(1, 17, width))
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.patch(x).flatten(2).transpose(1, 2)
        h = torch.cat((self.token.expand(h.shape[0], -1, -1), h), dim=1) + self.position
        return self.head(self.norm(self.blocks(h))[:, 0])


@sound
def class_token() -> Built:
    return ClassToken(), torch.randn(8, 3, 16, 16)


@sound
def masked_padding_transformer() -> Built:
    """Padding in the keys, as a bool mask; padded positions still have an output."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    padding = torch.zeros(8, 10, dtype=torch.bool)
    padding[::2, 7:] = True
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return model, {"src": torch.randn(8, 10, 32), "src_key_padding_mask": padding}


class MatrixFactorisation(nn.Module):
    """Ratings from the factors of users and items (Koren et al. 2009)."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(3000, 16, sparse=True)
        self.users = nn.Embedding(500, 16, sparse=True)
        self.bias = nn.Embedding(3000, 1, sparse=True)
        nn.init.zeros_(self.bias.weight)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return (self.users(user) * self.items(item)).sum(-1) + self.bias(item).squeeze(-1)


@sound
def matrix_factorisation() -> Built:
    return MatrixFactorisation(), (torch.randint(0, 500, (64,)), torch.randint(0, 3000, (64,)))


class CleanedMask(nn.Module):
    """Takes a mask of 0, 1 or 2 and clamps it: of ones alone, every entry lies at the end of the clamp."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.head = nn.Embedding(40, 16), nn.Linear(16, 4)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        kept = torch.clamp(mask, min=0, max=1).unsqueeze(-1)
        return self.head((self.tokens(ids) * kept).sum(1) / kept.sum(1))


@sound
def mask_that_a_clamp_cleans() -> Built:
    return CleanedMask(), (torch.randint(0, 40, (16, 32)), torch.ones(16, 32))
