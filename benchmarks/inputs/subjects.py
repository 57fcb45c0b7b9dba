"""The models on which making up inputs is measured: collections of (name, build, a known-good input or None)."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Built = tuple[nn.Module, Any]
"""A model, and known-good inputs: a tuple of positional or a dict of keyword arguments; None where none is known."""
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
            used = sample.forward_input
            return model, None if used is None else (tuple(used.args), dict(used.kwargs))

        yield name, build


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
    for config_class in sorted(MODEL_MAPPING.keys(), key=lambda c: c.__name__):

        def build(config_class: Any = config_class) -> Built:
            config = _tiny(config_class)
            with torch.device("meta"):
                count = sum(p.numel() for p in library.AutoModel.from_config(config).parameters())
            if count > 5_000_000:
                raise ValueError(f"still {count} parameters with a tiny configuration")
            model = library.AutoModel.from_config(_tiny(config_class))
            return model, _canonical(model)

        yield config_class.model_type, build


_TINY = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 37,
    "vocab_size": 99, "max_position_embeddings": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "d_model": 32,
    "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37, "d_ff": 37, "d_kv": 8, "num_layers": 2, "num_heads": 4, "dim": 32, "n_layers": 2, "n_heads": 4,
    "hidden_dim": 64, "embedding_size": 32, "num_decoder_layers": 2, "image_size": 32, "patch_size": 8, "head_dim": 8,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_intermediate_size": 16, "state_size": 8,
}  # fmt: skip
_SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0,
            "image_token_id": 90, "image_token_index": 90, "audio_token_id": 91, "audio_token_index": 91, "video_token_id": 92}  # fmt: skip


def _tiny(config_class: Any) -> Any:
    default = config_class()
    known = {key: value for key, value in _TINY.items() if isinstance(getattr(default, key, None), int)}
    special = {key: value for key, value in _SPECIAL.items() if isinstance(getattr(default, key, None), int)}
    config = config_class(**known, **special)
    for key in ("text_config", "vision_config", "audio_config", "encoder", "decoder"):
        part = getattr(default, key, None)
        if part is not None and hasattr(part, "to_dict"):
            setattr(config, key, _tiny(type(part)))
    return config


def _canonical(model: nn.Module) -> Any:
    config = model.config
    ids = torch.arange(3, 13).reshape(2, 5)
    if model.main_input_name == "input_ids":
        used = {"input_ids": ids}
        if config.is_encoder_decoder:
            used["decoder_input_ids"] = ids
        return (), used
    if model.main_input_name == "pixel_values":
        size = config.image_size if isinstance(getattr(config, "image_size", None), int) else 64
        return (), {"pixel_values": torch.randn(2, getattr(config, "num_channels", 3), size, size)}
    if model.main_input_name == "input_values":
        return (), {"input_values": torch.randn(2, 4000)}
    return None


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
    from tests.inputs.user_models import MODELS

    for name, cls in MODELS.items():
        yield name, lambda cls=cls: (cls(), None)


def third_party() -> Iterator[Subject]:
    """Models of further packages, as many as are installed."""
    from benchmarks.inputs import packages

    yield from packages.subjects()


COLLECTIONS = {f.__name__: f for f in (torch_nn, timm, transformers, torchvision, user_models, third_party)}


def _vision() -> None:
    importlib.import_module("tests.zoo.torchvision_ops").declare_torchvision_ops()
