"""Models that nobody declares anything for: what is made up is what their authors would feed, and the check of it is quiet."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
import torch
from torch import nn

from gradcheck_health import Severity, check_gradients
from gradcheck_health.model.nest import tensors
from tests.inputs.faces import blocks, joined, pools, states, structured, tables, targets, views

KINDS = {"f": (torch.float32,), "i": (torch.int64,), "m": (torch.float32, torch.int64, torch.bool)}
GROUPS = (blocks, states, joined, views, pools, tables, structured, targets)


def faces(group: ModuleType) -> list[type[nn.Module]]:
    return [one for one in vars(group).values() if isinstance(one, type) and issubclass(one, nn.Module) and hasattr(one, "FED")]


def fits(tensor: torch.Tensor, form: str, samples: set[int], bounds: set[str]) -> bool:
    """`f B T 8`: floats of three axes, the first of which is the batch and the last has eight entries; `<5` is a bound."""
    kind, *words = form.split()
    dims = [word for word in words if not word.startswith("<")]
    if tensor.dtype not in KINDS[kind] or len(dims) != tensor.dim() or not set(words) - set(dims) <= bounds:
        return False
    samples |= {size for dim, size in zip(dims, tensor.shape, strict=True) if dim == "B"}
    return all(int(dim) == size for dim, size in zip(dims, tensor.shape, strict=True) if dim.isdigit())


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [pytest.param(one, id=f"{group.__name__.split('.')[-1]}.{one.__name__}") for group in GROUPS for one in faces(group)],
)
def test_what_is_made_up_is_what_the_author_would_feed(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    report = check_gradients(model())
    assert report.inputs is not None
    fed = list(tensors((list(report.inputs.args), dict(report.inputs.kwargs))))
    bounds = set(re.findall(r"<\d+", " ".join(str(one.spec) for one in report.inputs.provenance)))
    samples: set[int] = set()
    assert len(fed) >= len(model.FED)
    for tensor, forms in zip(fed, model.FED, strict=False):
        assert any(fits(tensor, form, samples, bounds) for form in forms.split("|")), f"{list(tensor.shape)} is not {forms}"
    assert len(samples) <= 1
    assert [finding for finding in report.active if finding.severity is not Severity.NOTE] == []
