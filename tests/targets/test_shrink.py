"""Smaller twins: what is cut down and what is kept, and that every report names them so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradcheck_health import cli, formats
from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.load import load
from gradcheck_health.targets.shrink import shrunk

LARGE = """
import torch
from torch import nn

class Config:
    def __init__(self, n_layer=24, n_embd=1024, n_head=16, vocab_size=50):
        self.n_layer, self.n_embd, self.n_head, self.vocab_size = n_layer, n_embd, n_head, vocab_size

class GPT(nn.Module):
    def __init__(self, config=Config()):
        super().__init__()
        self.emb = nn.Embedding(config.vocab_size, config.n_embd)
        layer = nn.TransformerEncoderLayer(config.n_embd, config.n_head, 4 * config.n_embd, batch_first=True)
        self.body = nn.TransformerEncoder(layer, config.n_layer)
        self.lost = nn.Linear(config.n_embd, 2)

    def forward(self, ids):
        return self.body(self.emb(ids))

class Fixed(nn.Module):
    def __init__(self, classes=3):
        super().__init__()
        self.head = nn.Linear(8, classes)

    def forward(self, x):
        return self.head(x)
"""


class Stages(nn.Module):
    def __init__(self, depths: tuple[int, ...] = (3, 3, 9, 3), dims: tuple[int, ...] = (96, 192, 384, 768), stem: int = 4):
        super().__init__()
        self.sizes = (depths, dims, stem)


def heads(d_model: int = 4096, num_heads: int = 32, num_layers: int = 48, dim_feedforward: int = 11008) -> Any:
    return (d_model, num_heads, num_layers, dim_feedforward)


@pytest.mark.parametrize(
    ("found", "given", "sizes"),
    [
        (Stages, {}, {"depths": (2, 2, 2, 2), "dims": (48, 96, 192, 384)}),
        (Stages, {"depths": (1, 1, 4, 1)}, {"depths": (1, 1, 2, 1), "dims": (48, 96, 192, 384)}),
        # 4096 / 16 keeps 8 features for each of 32 heads, and 11008 / 16 is whole
        (heads, {}, {"num_layers": 2, "d_model": 256, "dim_feedforward": 688}),
        (heads, {"num_heads": 512}, {"num_layers": 2}),
        (heads, {"d_model": 32, "num_layers": 2, "num_heads": 4, "dim_feedforward": 32}, {}),
    ],
)
def test_layers_are_few_and_widths_keep_what_divides_them(
    found: Callable[..., Any], given: dict[str, Any], sizes: dict[str, Any]
) -> None:
    _, changed = shrunk("x.py:x", found, given, None)
    assert {name: now for name, (_, now) in changed.items()} == sizes


def test_twin_that_cannot_be_built_is_refused_with_the_reason() -> None:
    def needs_many(depth: int = 12) -> nn.Module:
        assert depth == 12, "twelve, no less"
        return nn.Linear(2, 2)

    with pytest.raises(UsageError, match=r"cannot be shrunk \(AssertionError: twelve, no less\): .*--arg depth=2"):
        shrunk("x.py:needs_many", needs_many, {}, lambda model: True)


def test_size_with_which_it_runs_is_taken() -> None:
    def needs_four(depth: int = 12, width: int = 256) -> nn.Module:
        return nn.Sequential(*(nn.Linear(width, width) for _ in range(depth)))

    factory, changed = shrunk("x.py:x", needs_four, {}, lambda model: len(model) == 4 and model[0].in_features >= 100)
    assert len(factory()) == 4
    assert changed == {"depth": (12, 4), "width": (256, 128)}


def test_twin_of_a_configuration_is_a_model_of_its_class(tmp_path: Path) -> None:
    (tmp_path / "large.py").write_text(LARGE)
    (one,) = load(f"{tmp_path / 'large.py'}:GPT", shrink=True)
    model = one.model()
    assert (len(model.body.layers), model.emb.embedding_dim, model.body.layers[0].self_attn.num_heads) == (2, 128, 16)
    assert one.shrunk == "config.n_layer 24 -> 2, config.n_embd 1024 -> 128"
    assert model(torch.zeros(1, 3, dtype=torch.long)).shape == (1, 3, 128)


@pytest.mark.slow
def test_every_document_names_the_twin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    (tmp_path / "large.py").write_text(LARGE)
    monkeypatch.chdir(tmp_path)
    suffixes = [formats.find(name).SUFFIX for name in formats.names()]
    outputs = [word for suffix in suffixes for word in ("-o", f"out{suffix}")]
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "large.py:GPT", "--shrink", *outputs])
    said = capfd.readouterr().out
    assert caught.value.code == 1
    assert "missing-gradient in GPT, shrunk" in said
    assert "shrunk:  config.n_layer 24 -> 2, config.n_embd 1024 -> 128" in said
    assert "repeat:  gradhealth check large.py:GPT --seed 0 --shrink" in said
    silent = {suffix for suffix in suffixes if "shrunk" not in (tmp_path / f"out{suffix}").read_text()}
    assert silent == set()


@pytest.mark.slow
def test_what_has_no_size_is_not_checked_and_not_green(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    (tmp_path / "large.py").write_text(LARGE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", "large.py:Fixed", "--shrink"])
    assert caught.value.code == 2
    assert "large.py:Fixed: nothing to shrink: none of its arguments is a depth" in capfd.readouterr().err
