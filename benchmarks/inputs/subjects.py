"""The models on which making up inputs is measured: collections of (name, build, a known-good input or None)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.inputs.tiny import built

Built = tuple[nn.Module, Any]
"""A model, and a known-good input: positional arguments and keyword arguments; None where none is known,
a list where several are, or a function that tells whether tensors are such as the author would feed."""
Subject = tuple[str, Callable[[], Built]]


def torch_nn() -> Iterator[Subject]:
    """Every entry of torch's own module database, each of its constructions that takes a plain forward."""
    from torch.testing._internal.common_modules import module_db

    # torch's test code forbids setting backend flags, which restoring the process state has to do
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
    for info in module_db:
        name = info.formatted_name

        def build(info: Any = info) -> Built:
            samples = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=False, training=True)
            sample = samples[0]
            made = sample.constructor_input
            model = info.module_cls(*made.args, **made.kwargs)
            used = [s.forward_input for s in samples if s.forward_input is not None]
            forms = [(tuple(one.args), dict(one.kwargs)) for one in used]
            return model, [*forms, *(_batched(form) for form in forms if isinstance(model, _UNBATCHED))] or None

        yield name, build


_UNBATCHED = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
"""Layers of which the database holds samples without a batch axis only; their documentation gives both forms."""


def _batched(value: Any) -> Any:
    """The same arguments, every tensor with one more axis."""
    if isinstance(value, torch.Tensor):
        return value.unsqueeze(0)
    if isinstance(value, tuple):
        return tuple(_batched(item) for item in value)
    return {key: _batched(item) for key, item in value.items()} if isinstance(value, dict) else value


def timm() -> Iterator[Subject]:
    """One small architecture of every family, with everything that declares an input size erased."""
    _vision()
    import timm as library

    for family in library.list_modules():
        names = library.list_models(module=family)
        if not names:
            continue
        chosen = [min(names, key=lambda n: (_size(n), len(n), n))]
        for name in chosen + [name for name in _MORE if name in names]:

            def build(name: str = name) -> Built:
                model = library.create_model(name, pretrained=False)
                size = model.pretrained_cfg["input_size"]
                for module in model.modules():
                    for attribute in ("pretrained_cfg", "default_cfg"):
                        if attribute in vars(module):
                            delattr(module, attribute)
                return model, ((torch.zeros(2, *size),), {})

            yield name, build


_MORE = (
    *("resnet26d", "regnety_002", "vit_small_patch32_224", "mixer_s32_224", "swinv2_cr_tiny_ns_224", "efficientnet_lite0"),
    *(
        "poolformer_s12",
        "xcit_nano_12_p8_224",
        "maxvit_rmlp_nano_rw_256",
        "coatnet_nano_rw_224",
        "hardcorenas_a",
        "resmlp_12_224",
    ),
)
"""Second architectures of families with several kinds."""


def _size(name: str) -> int:
    order = (
        "atto",
        "femto",
        "pico",
        "nano",
        "xxxs",
        "xxs",
        "xxtiny",
        "xtiny",
        "tiny",
        "_xs",
        "mini",
        "small",
        "_s",
        "18",
        "base",
    )
    return next((i for i, word in enumerate(order) if word in name), len(order))


def transformers() -> Iterator[Subject]:
    """Every architecture of the library that can be built from a tiny configuration."""
    _vision()
    import transformers as library
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    library.logging.set_verbosity_error()
    built(library.BertConfig)  # imports what every architecture needs, before the first process is forked
    for config_class in sorted(MODEL_MAPPING.keys(), key=lambda c: c.__name__):
        yield config_class.model_type, partial(built, config_class)


def torchvision() -> Iterator[Subject]:
    """Classification, segmentation and video models."""
    _vision()
    from torchvision import models

    for name in models.list_models():
        if re.search(
            r"quantized|_(l|x|h|b|huge|large)$|rcnn|retina|fcos|ssd|raft|vit_(h|l)|_(50|101|152|161|201|169)|wide|(16|32)gf|efficientnet_b[4-7]",
            name,
        ):
            continue
        yield name, lambda name=name: (models.get_model(name, weights=None), None)


def user_models() -> Iterator[Subject]:
    """Hand-written models as people write them."""
    from tests.inputs.user_models import EXPECTED, MODELS

    for name, cls in MODELS.items():
        yield name, lambda cls=cls, right=EXPECTED[name]: (cls(), partial(_as_expected, right))


def _as_expected(right: Any, tensors: list[torch.Tensor]) -> bool:
    """Ranks and allowed dtypes in order; further arguments are free."""
    got = [(tensor.dim(), str(tensor.dtype).removeprefix("torch.")) for tensor in tensors]
    pairs = zip(got, right, strict=False)
    return len(got) >= len(right) and all(rank == wanted and dtype in dtypes for (rank, dtype), (wanted, dtypes) in pairs)


def third_party() -> Iterator[Subject]:
    """Models of further packages, as many as are installed."""
    from benchmarks.inputs import packages

    yield from packages.subjects()


def unseen() -> Iterator[Subject]:
    """Classes of packages that a rule chooses, built without a hint; no input of theirs is known."""
    from benchmarks.inputs import unseen as packages

    yield from packages.subjects()


def second_census() -> Iterator[Subject]:
    """Classes of packages that another rule chooses, after what the first one showed was put right."""
    from benchmarks.inputs import second_census as census
    from benchmarks.inputs import unseen as packages

    yield from packages.subjects(census.PACKAGES, census.MOST)


def third_census() -> Iterator[Subject]:
    """Classes of packages that another rule chooses, after what the first one showed was put right."""
    from benchmarks.inputs import third_census as census
    from benchmarks.inputs import unseen as packages

    yield from packages.subjects(census.PACKAGES, census.MOST)


def fourth_census() -> Iterator[Subject]:
    """Classes of packages by authors of all kinds: a rule on what a package says of itself, not on its name."""
    from benchmarks.inputs import fourth_census as census
    from benchmarks.inputs import unseen as packages

    yield from packages.subjects(census.PACKAGES, census.MOST)


def fifth_census() -> Iterator[Subject]:
    """Classes of packages whose authors wrote where they run: another rule on what a package says of itself."""
    from benchmarks.inputs import fifth_census as census
    from benchmarks.inputs import unseen as packages

    yield from packages.subjects(census.PACKAGES, census.MOST)


_CENSUSES = (unseen, second_census, third_census, fourth_census, fifth_census)
COLLECTIONS = {f.__name__: f for f in (torch_nn, timm, transformers, torchvision, user_models, third_party, *_CENSUSES)}


def _vision() -> None:
    importlib.import_module("tests.zoo.torchvision_ops").declare_torchvision_ops()
