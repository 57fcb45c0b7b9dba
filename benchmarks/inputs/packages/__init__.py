"""Models of further third-party packages, built small; a package that is not installed is left out.

pip install segmentation-models-pytorch monai vit-pytorch kornia efficientnet-pytorch mlp-mixer-pytorch diffusers \
    denoising-diffusion-pytorch nflows normflows torch_geometric egnn-pytorch e3nn tsai pytorch-tabnet tab-transformer-pytorch \
    conformer performer-pytorch perceiver-pytorch vector-quantize-pytorch lightning timesformer-pytorch pytorchvideo \
    neuraloperator x-transformers snntorch spikingjelly stable-baselines3 open_clip_torch
"""

from __future__ import annotations

import contextlib
import importlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.inputs.packages import assemblies, generators, images, others, wholes

Subject = tuple[str, Callable[[], tuple[nn.Module, Any]]]


def fed(text: str) -> tuple[tuple[torch.Tensor, ...], dict[str, torch.Tensor]] | None:
    """A known-good input: "f2,3,32,32; i2<100; mask=b2,7" is two positional tensors and one by name; None for ""."""
    args: list[torch.Tensor] = []
    kwargs: dict[str, torch.Tensor] = {}
    for part in filter(None, text.split("; ")):
        name, _, spec = part.rpartition("=")
        found = re.fullmatch(r"([fib])([\d,]*)(?:<(\d+))?", spec)
        assert found is not None, spec
        shape = [int(size) for size in found[2].split(",") if size]
        value = (
            torch.randint(int(found[3] or 2), shape)
            if found[1] == "i"
            else torch.ones(shape, dtype=torch.bool)
            if found[1] == "b"
            else torch.randn(shape)
        )
        if name:
            kwargs[name] = value
        else:
            args.append(value)
    return (tuple(args), kwargs) if text else None


def _constructed(path: str, arguments: dict[str, Any], known: str) -> tuple[nn.Module, Any]:
    parts = path.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for name in parts[split:]:
            found = getattr(found, name)
        if "group_attention_matrix" in arguments:
            arguments = {**arguments, "group_attention_matrix": torch.eye(12)}
        return found(**arguments), fed(known)
    raise ModuleNotFoundError(path)


def subjects() -> Iterator[Subject]:
    """Everything above, in the order of the files."""
    importlib.import_module("tests.zoo.torchvision_ops").declare_torchvision_ops()
    before = ""
    for table in (images, generators, others):
        for path, arguments, known in table.MODELS:
            package = path.split(".")[0]
            if package != before:
                with contextlib.suppress(Exception):  # imported once, before the processes are forked
                    importlib.import_module(package)
                before = package
            yield path, partial(_constructed, path, arguments, known)
    for build, known in (*wholes.MODELS, *assemblies.MODELS):
        yield build.__name__, partial(_whole, build, known)


def _whole(build: Callable[[], nn.Module], known: str) -> tuple[nn.Module, Any]:
    return build(), fed(known)
