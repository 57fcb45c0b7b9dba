"""What a person wrote down is read: lengths compared with positions, docstrings, annotations, differential equations."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from gradcheck_health.check.api import check_gradients
from gradcheck_health.inputs import recipes, synthesize
from gradcheck_health.inputs.recipes import detection
from gradcheck_health.inputs.static.step_counts import counts_steps
from gradcheck_health.settings.config import Config
from tests.zoo.torchvision_ops import declare_torchvision_ops


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
    assert q.shape == k.shape == (4, 24, 6)
    x, m, c = synthesize(Annotated(), batch_size=4).args
    assert (x.shape, m.shape, c.shape) == ((4, 24, 6), (4, 24), (4,))
    assert (x.dtype, m.dtype, c.dtype) == (torch.float32, torch.bool, torch.int64)


class Pictured(nn.Module):
    """Its layers see neither how wide a region is, nor that a step is one number a sample."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size, self.around = 16, 5
        self.conv, self.fc, self.steps = nn.Conv2d(3, 8, 4, 4), nn.Linear(128, 6), nn.Embedding(9, 6)

    def forward(self, x: torch.Tensor, t: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        """One step.

        Args:
            x: pictures of shape (batch_size, 3, image_size, image_size).
            t: steps, of shape (batch_size,).
            region: what lies around, of shape (batch_size, around).
        """
        assert region.shape == (len(x), 5)
        return self.fc(self.conv(x).flatten(1)) + self.steps(t) * region.mean(1, keepdim=True)


def test_words_of_a_docstring_are_what_the_module_holds() -> None:
    x, t, region = synthesize(Pictured(), batch_size=4).args
    assert (x.shape, t.shape, region.shape) == ((4, 3, 16, 16), (4,), (4, 5))


def test_generator_grows_its_image_out_of_a_point() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(20, 8, 4, 1, 0), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 3, 4, 2, 1))
    assert synthesize(model).args[0].shape == (64, 20, 1, 1)
    assert synthesize(nn.Sequential(nn.ConvTranspose2d(20, 8, 4, 2, 1))).args[0].shape[1:] == (20, 32, 32)


class Edges(nn.Module):
    """A graph whose edges are handed to a helper that compares them with node numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, data: Any) -> torch.Tensor:
        x, edges = data.x, data.edge_index
        out = self.fc(x)
        return torch.zeros_like(out).index_add(0, edges[1], out[edges[0]])


def test_nodes_of_a_graph_object_are_no_batch() -> None:
    inputs = synthesize(Edges())
    data = inputs.args[0]
    assert inputs.batch is None
    assert data.edge_index.shape[0] == 2 and int(data.edge_index.max()) < data.x.shape[0]
    assert not any(finding.rule == "mixed-samples" for finding in check_gradients(Edges(), config=Config()).findings)
    assert not counts_steps(Inline(), "edge_index")


class Detector(nn.Module):
    """torchvision's interface: losses in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.box = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        pooled = torch.stack([self.conv(image[None]).mean((0, 2, 3)) for image in images])
        wanted = torch.stack([target["boxes"].mean(0) for target in targets])
        return {"loss": (self.box(pooled) - wanted).abs().mean()}


def test_recipe_of_a_class_is_used_for_it_and_its_subclasses() -> None:
    class Own(Detector):
        pass

    recipes.register(f"{Detector.__module__}.{Detector.__qualname__}", detection)
    try:
        images, targets = synthesize(Own()).args
    finally:
        del recipes.RECIPES[f"{Detector.__module__}.{Detector.__qualname__}"]
    assert [image.shape for image in images] == [(3, 96, 96)] * 2
    for target in targets:
        low, high = target["boxes"][:, :2], target["boxes"][:, 2:]
        assert (low < high).all() and high.max() <= 96 and target["labels"].min() >= 1


@pytest.mark.zoo
def test_detector_of_torchvision_gets_images_and_targets() -> None:
    if importlib.util.find_spec("torchvision") is None:  # not importorskip: its operators have to be declared before the import
        pytest.skip("torchvision is not installed")
    declare_torchvision_ops()
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large as ssd

    images, targets = synthesize(ssd(weights=None, weights_backbone=None, num_classes=3)).args
    assert len(images) == len(targets) == 2 and set(targets[0]) == {"boxes", "labels"}


class KerasTensor:
    def __init__(self, *shape: int | None, dtype: str = "float32") -> None:
        self.shape, self.dtype, self.name = shape, dtype, "input_1"


def test_keras_model_gets_what_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Functional(nn.Module):
        def __init__(self, inputs: Any) -> None:
            super().__init__()
            self.inputs, self.fc = inputs, nn.Linear(12, 2)

        def forward(self, *args: Any, **kwargs: Any) -> Any:
            first = args[0][0] if isinstance(args[0], list) else args[0]
            return self.fc(first)

    monkeypatch.setattr(Functional, "__module__", "keras.src.models.functional")
    assert synthesize(Functional([KerasTensor(None, 12)])).args[0].shape == (32, 12)
    pair = synthesize(Functional([KerasTensor(None, 12), KerasTensor(None, 5, dtype="int64")])).args[0]
    assert isinstance(pair, list) and pair[1].shape == (32, 5) and pair[1].dtype == torch.int64


FOLLOWED = """
import torch
from torch import nn

def before(function):
    return function

class Followed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 3)

    @before
    @before
    def forward(
        self,
        batch,
    ):
# a comment at the margin
        return self.fc(batch.x)
def behind():
    return 3
"""


def test_statement_is_found_whatever_stands_around_the_method(tmp_path: Path) -> None:
    (tmp_path / "followed_net.py").write_text(FOLLOWED)
    spec = importlib.util.spec_from_file_location("followed_net", tmp_path / "followed_net.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert synthesize(module.Followed()).args[0].x.shape == (32, 4)


class Patches(nn.Module):
    """Cuts the image itself, so that its first layer takes flattened patches."""

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(3 * 8 * 8, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: images of shape [B, C, H, W]."""
        batch, channels, height, width = x.shape
        cut = x.view(batch, channels, height // 8, 8, width // 8, 8).permute(0, 2, 4, 3, 5, 1)
        return self.project(cut.reshape(batch, -1, channels * 64))


def test_features_of_patches_are_not_taken_for_channels() -> None:
    assert synthesize(Patches()).args[0].shape[1] == 3
