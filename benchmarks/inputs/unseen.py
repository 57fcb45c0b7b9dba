"""Models that no one had looked at when the method was made: all classes of packages that a rule chooses, built without a hint.

The rule: of the packages on PyPI whose name ends in "-pytorch" and whose summary ends in "PyTorch", in alphabetical order, the first
96 that no other collection has; of each the first modules, in the order of their files and lines, that have parameters of their own
and can be built from their defaults, or from numbers and words that the command line would guess.

pip install --no-deps PACKAGES
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.inputs.child import in_child
from gradcheck_health.targets.arguments.complete import arguments, complete

PACKAGES = [
    "a-transformers-pytorch",
    "abyssal-pytorch",
    "adjacent-attention-pytorch",
    "aft-pytorch",
    "agent-attention-pytorch",
    "aligner-pytorch",
    "alphafold2-pytorch",
    "alphafold3-pytorch",
    "antiberty-pytorch",
    "anymal-belief-state-encoder-decoder-pytorch",
    "aoa-pytorch",
    "audio-data-pytorch",
    "audio-diffusion-pytorch",
    "audio-encoders-pytorch",
    "audiolm-pytorch",
    "autoregressive-diffusion-pytorch",
    "best-rq-pytorch",
    "bitcodes-pytorch",
    "block-recurrent-transformer-pytorch",
    "bottleneck-transformer-pytorch",
    "bpnet-pytorch",
    "calm-pytorch",
    "charformer-pytorch",
    "classifier-free-guidance-pytorch",
    "coca-pytorch",
    "coco-lm-pytorch",
    "compositional-attention-pytorch",
    "cross-transformers-pytorch",
    "dalle-pytorch",
    "deep-ensembles-pytorch",
    "dffml-model-pytorch",
    "difformer-pytorch",
    "discrete-key-value-bottleneck-pytorch",
    "electra-pytorch",
    "emergent-pytorch",
    "emp-ssl-pytorch",
    "enformer-pytorch",
    "esbn-pytorch",
    "etsformer-pytorch",
    "eve-pytorch",
    "fast-transformer-pytorch",
    "flamingo-pytorch",
    "flash-pytorch",
    "g-mlp-pytorch",
    "gaia2-pytorch",
    "gated-state-spaces-pytorch",
    "gigagan-pytorch",
    "glom-pytorch",
    "gradnorm-pytorch",
    "graph-transformer-pytorch",
    "grouped-query-attention-pytorch",
    "gsa-pytorch",
    "halonet-pytorch",
    "hamburger-pytorch",
    "hl-gauss-pytorch",
    "htm-pytorch",
    "igfold-pytorch",
    "involution-pytorch",
    "isab-pytorch",
    "kronecker-attention-pytorch",
    "lie-transformer-pytorch",
    "lion-pytorch",
    "logavgexp-pytorch",
    "loglu-pytorch",
    "lru-pytorch",
    "lvsm-pytorch",
    "magvit2-pytorch",
    "make-a-video-pytorch",
    "mammut-pytorch",
    "marge-pytorch",
    "mc-dropout-pytorch",
    "med-seg-diff-pytorch",
    "mega-pytorch",
    "megabyte-pytorch",
    "memorizing-transformers-pytorch",
    "memory-efficient-attention-pytorch",
    "metnet3-pytorch",
    "mirasol-pytorch",
    "mlm-pytorch",
    "mlp-mixer-pytorch",
    "n-grammer-pytorch",
    "nam-pytorch",
    "naturalspeech2-pytorch",
    "nuwa-pytorch",
    "nwt-pytorch",
    "omninet-pytorch",
    "openelm-pytorch",
    "palm-pytorch",
    "palm-rlhf-pytorch",
    "parse-pytorch",
    "parti-pytorch",
    "peer-pytorch",
    "perfusion-pytorch",
    "phenaki-pytorch",
]
MOST = 12
"""Classes of one package."""


def subjects(packages: Sequence[str] = PACKAGES, most: int = MOST) -> Iterator[tuple[str, Callable[[], tuple[nn.Module, Any]]]]:
    """Everything that can be built, of those packages that are installed."""
    importlib.import_module("tests.zoo.torchvision_ops").declare_torchvision_ops()
    homes: dict[str, list[str]] = {}
    for module, names in importlib.metadata.packages_distributions().items():
        for name in names:
            homes.setdefault(re.sub(r"[-_.]+", "-", name).lower(), []).append(module)
    for package in packages:
        for home in sorted(set(homes.get(package, ())) - {"test", "tests", "docs", "scripts"}):
            found = [cls for cls in _classes(home) if _buildable(cls)]
            yield from ((f"{cls.__module__}.{cls.__qualname__}", partial(_built, cls)) for cls in found[:most])


def _classes(home: str) -> list[type[nn.Module]]:
    """Module classes that the package defines, file by file."""
    width = torch.get_default_dtype()  # some packages set another when they are imported
    with contextlib.suppress(BaseException):
        top = importlib.import_module(home)
        for part in pkgutil.iter_modules(getattr(top, "__path__", [])):
            with contextlib.suppress(BaseException):
                importlib.import_module(f"{home}.{part.name}")
    torch.set_default_dtype(width)
    files = sorted(name for name in sys.modules if name == home or name.startswith(f"{home}."))
    found = [value for name in files for value in vars(sys.modules[name]).values()]
    own = [cls for cls in found if nn.Module in _ancestors(cls) and cls.__module__.split(".")[0] == home]
    return [cls for cls in dict.fromkeys(own) if _runs(cls)]


def _runs(cls: type[nn.Module]) -> bool:
    """It has a forward of its own; a class of scripted modules raises where it is asked for one."""
    return inspect.getattr_static(cls, "forward") is not nn.Module.forward


def _ancestors(value: Any) -> Sequence[Any]:
    """Of a class; none of what only says that it is one, as the annotations of some packages do."""
    return type.mro(value) if issubclass(type(value), type) else ()


LARGEST = 30_000_000
"""Parameters."""
CONSTRUCTOR = 60
"""CPU seconds for building a model."""


def _buildable(cls: type[nn.Module]) -> bool:
    """It has parameters, and not too many; in a process of its own, for some constructors take all the memory there is."""
    return 0 < in_child(lambda: {"parameters": _size(cls)}, CONSTRUCTOR).get("parameters", 0) < LARGEST


def _size(cls: type[nn.Module]) -> int:
    try:
        model, _ = _built(cls)
        return sum(p.numel() for p in model.parameters() if not nn.parameter.is_lazy(p))
    except BaseException:  # noqa: BLE001 - constructors of strangers
        return 0


def _built(cls: type[nn.Module]) -> tuple[nn.Module, Any]:
    kinds = inspect.Parameter
    missing = [
        name
        for name, parameter in arguments(cls).items()
        if parameter.default is kinds.empty and parameter.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    if not missing:
        return cls(), None
    found = complete(cls, {}, missing)
    if found.arguments is None:
        raise ValueError(found.reason)
    if any(isinstance(value, nn.Module) or callable(value) for value in found.arguments.values()):
        raise ValueError("it wraps another model")
    return cls(**found.arguments), None
