"""Tiny configurations of Hugging Face's architectures, and the inputs that their documentation gives them."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

_SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64,
    "vocab_size": 128, "max_position_embeddings": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "d_model": 32,
    "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "d_ff": 64, "d_kv": 8, "num_layers": 2, "num_heads": 4, "dim": 32, "n_layers": 2, "n_heads": 4,
    "embedding_size": 32, "num_decoder_layers": 2, "image_size": 32, "patch_size": 8, "head_dim": 8, "depth": 2,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_intermediate_size": 32, "num_experts_per_tok": 2,
    "num_experts_per_token": 2, "moe_k": 2, "moe_topk": 2, "moe_num_experts": 4, "top_k_experts": 2, "n_group": 1, "topk_group": 1,
    "shared_expert_intermediate_size": 32, "state_size": 8, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "index_head_dim": 16, "index_n_heads": 2, "index_topk": 4, "rotary_dim": 4,
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_num_heads": 8, "mamba_head_dim": 8,
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "linear_num_heads": 4, "linear_head_dim": 8, "embed_dim": 32, "out_hidden_size": 32, "decoder_hidden_size": 32,
    "encoder_hidden_size": 32, "projection_dim": 16, "num_conv_pos_embeddings": 16, "num_queries": 10, "ffn_dim": 64,
    "projector_hidden_size": 32, "output_hidden_size": 32, "dim_feedforward": 64, "encoder_hidden_dim": 32, "mlp_dim": 64,
    "num_query_tokens": 4, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 128, "max_2d_position_embeddings": 64,
    "upsample_initial_channel": 32, "upsample_groups": 4, "model_dim": 32, "ffn_hidden_size": 64, "d_inner": 64, "d_head": 8,
    "max_source_positions": 64, "max_target_positions": 64, "classifier_proj_size": 16, "first_k_dense_replace": 1,
    "time_step_rank": 4, "mamba_dt_rank": 4, "num_position_embeddings": 64, "shared_intermediate_size": 32, "codebook_size": 64,
}  # fmt: skip
"""Ceilings: an integer of a configuration that is larger is brought down to this."""
_SPECIAL = {
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 0, "image_token_id": 120,
    "image_token_index": 120, "audio_token_id": 121, "audio_token_index": 121, "video_token_id": 122, "video_token_index": 122,
    "vision_start_token_id": 123, "vision_end_token_id": 124, "boi_token_id": 125, "eoi_token_id": 126, "boa_token_id": 117,
    "eoa_token_id": 118, "eoa_token_index": 118, "boi_token_index": 125, "eoi_token_index": 126, "image_start_token_id": 125,
    "image_end_token_id": 126, "video_start_token_id": 115, "video_end_token_id": 116, "audio_bos_token_id": 117,
    "audio_eos_token_id": 118, "cls_token_id": 3, "sep_token_id": 4, "mask_token_id": 5, "image_token": 120,
}  # fmt: skip
_VARIANTS: tuple[dict[str, int | None], ...] = (
    {},
    {"head_dim": None},
    {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4},
    {"head_dim": None, "num_key_value_heads": 4, "num_hidden_layers": 4},
    {"hidden_size": 64, "image_size": 64, "head_dim": 16, "num_hidden_layers": 4},
    {"image_size": None, "patch_size": None, "head_dim": None, "hidden_size": 64, "num_conv_pos_embeddings": None},
    {"only": 1},
    {"head_dim": None, "num_hidden_layers": 4, "cached": 0},
)
"""Other ceilings, or none, for architectures whose sizes depend on each other: the first variant that runs is taken. "only"
shrinks nothing but the vocabulary, the depth and the number of experts, "cached" turns the cache of keys and values off."""
_DEPTH = (
    "vocab_size", "num_hidden_layers", "n_layer", "encoder_layers", "decoder_layers", "num_layers", "n_layers", "depth",
    "num_decoder_layers", "num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "n_group", "topk_group",
)  # fmt: skip
LARGEST = 30_000_000
"""Parameters; what is larger with a tiny configuration is no subject of its own."""


def tiny(kind: type, variant: dict[str, int | None]) -> Any:
    """A configuration of this class with its sizes brought down, its parts too."""
    default = kind()
    ceilings = {key: value for key, value in {**_SMALL, **variant}.items() if value is not None}
    if "only" in ceilings:
        ceilings = {key: _SMALL[key] for key in _DEPTH}
    changed: dict[str, Any] = {}
    for key, ceiling in ceilings.items():
        value = _number(default, key)
        if value is not None and value > ceiling:
            changed[key] = ceiling
    rows = changed.get("vocab_size", _number(default, "vocab_size"))
    vocabulary = rows is None or rows >= 128
    for key, token in _SPECIAL.items():
        if _number(default, key) is not None and vocabulary:
            changed[key] = token
    if "cached" in variant and isinstance(getattr(default, "use_cache", None), bool):
        changed["use_cache"] = False
    for key, part in list(vars(default).items()):
        if hasattr(part, "to_dict") and hasattr(type(part), "model_type") and not type(part).model_type.startswith("timm"):
            changed[key] = tiny(type(part), variant)
    for drop in range(4):
        try:
            return kind(**changed)
        except (AttributeError, TypeError, ValueError) as error:
            # a property that cannot be set, or one that differs from layer to layer
            name = re.search(r"'(\w+)'", str(error))
            if drop == 3 or name is None or name.group(1) not in changed:
                raise
            del changed[name.group(1)]
    raise AssertionError


def _number(config: Any, key: str) -> int | None:
    try:
        value = getattr(config, key, None)
    except Exception:  # noqa: BLE001 - a property that differs from layer to layer raises
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def built(kind: type) -> tuple[nn.Module, Any]:
    """The first variant of the model that runs on some canonical input, and that input."""
    import transformers as library

    first: Exception | None = None
    for variant in _VARIANTS:
        try:
            torch.manual_seed(0)
            config = tiny(kind, variant)
            with torch.device("meta"):
                count = sum(p.numel() for p in library.AutoModel.from_config(config).parameters())
            if count > LARGEST:
                raise ValueError(f"{count} parameters with a tiny configuration")
            torch.manual_seed(0)
            model = library.AutoModel.from_config(tiny(kind, variant))
            return model, known(model)
        except Exception as error:  # noqa: BLE001 - the next variant may do
            first = first or error
    assert first is not None
    raise first


def known(model: nn.Module) -> tuple[tuple[()], dict[str, torch.Tensor]]:
    """The first canonical input that the model runs on, the richest first."""
    first: Exception | None = None
    for candidate in _candidates(model):
        try:
            for attempt in range(3):
                state = {name: buffer.clone() for name, buffer in model.named_buffers()}
                try:
                    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
                        model(**candidate)
                    return (), candidate
                except Exception as error:
                    repaired = _with_tokens(candidate, str(error), model.config, attempt)
                    if repaired is None:
                        raise
                    candidate = repaired
                finally:
                    for name, buffer in model.named_buffers():
                        if name in state and buffer.shape == state[name].shape:
                            buffer.copy_(state[name])
        except Exception as error:  # noqa: BLE001 - the next candidate may do
            first = first or error
    assert first is not None
    raise first


def _candidates(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    import inspect

    config = model.config
    names = inspect.signature(model.forward).parameters
    made = {name: value for name in names if (value := _argument(name, config)) is not None}
    main = [model.main_input_name] if isinstance(model.main_input_name, str) else list(model.main_input_name)
    required = [name for name, p in names.items() if p.default is inspect.Parameter.empty and p.kind.name != "VAR_KEYWORD"]
    texts = ["input_ids", *(["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else [])]
    images = ["pixel_values", "image_grid_thw"]
    sounds = ["input_features", "input_values", "input_features_mask", "audio_values"]
    both = hasattr(config, "vision_config") or hasattr(config, "text_config")
    for wanted in (
        [*texts, *images, "bbox"] if both else [],
        [*texts, "pixel_values"] if both else [],
        [*texts, *sounds] if hasattr(config, "audio_config") or hasattr(config, "encoder_config") else [],
        [*main, *(["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else [])],
        [*main, "grid_thw", "image_grid_thw", "bbox", "past_values", "past_time_features", "past_observed_mask"],
        main,
    ):
        chosen = {name: made[name] for name in [*wanted, *required] if name in made}
        if chosen:
            yield chosen
    yield made


def _argument(name: str, config: Any) -> torch.Tensor | None:
    text = getattr(config, "text_config", None) or config
    vision = getattr(config, "vision_config", None) or getattr(config, "backbone_config", None) or config
    if name in ("input_ids", "decoder_input_ids"):
        return torch.arange(6, 20).reshape(2, 7) % (_number(text, "vocab_size") or _number(config, "vocab_size") or 100)
    if name == "pixel_values":
        side = _number(vision, "image_size") or _number(config, "image_size") or getattr(vision, "image_size", None) or 64
        high, wide = (side, side) if isinstance(side, int) else tuple(side)[-2:]
        if "temporal_patch_size" in vars(vision) and isinstance(_number(vision, "patch_size"), int):
            patch = 3 * vision.temporal_patch_size * vision.patch_size**2
            return torch.randn(16, patch)
        channels = _number(vision, "num_channels") or _number(vision, "in_channels") or 3
        frames = _number(config, "num_frames")
        return torch.randn(2, *([frames] if frames else []), channels, high, wide)
    if name in ("image_grid_thw", "grid_thw"):
        return torch.tensor([[1, 4, 4]])
    if name == "hidden_states" and _number(vision, "temporal_patch_size"):
        return torch.randn(16, 3 * vision.temporal_patch_size * vision.patch_size**2)
    if name == "input_values" and config.model_type in ("dac", "encodec", "mimi", "xcodec"):
        return torch.randn(2, 1, 4000)
    if name == "input_values":
        bins = _number(config, "num_mel_bins")
        length = _number(config, "max_length")
        return torch.randn(2, length, bins) if bins and length else torch.randn(2, 4000)
    if name == "input_features":
        audio = getattr(config, "audio_config", None) or getattr(config, "encoder_config", None) or config
        bins = (
            _number(audio, "num_mel_bins")
            or _number(audio, "input_feat_per_channel")
            or _number(audio, "feature_projection_input_dim")
            or 80
        )
        positions = _number(audio, "max_source_positions")
        return torch.randn(2, bins, 2 * positions) if positions else torch.randn(2, 64, bins)
    if name == "bbox":
        if config.model_type == "bros":
            return torch.rand(2, 7, 8)
        corners = torch.tensor([2, 3, 20, 30])
        return corners.expand(2, 7, 4).clone()
    if config.model_type == "decision_transformer":
        widths = {"states": config.state_dim, "actions": config.act_dim, "rewards": 1, "returns_to_go": 1}
        return (
            torch.arange(14).reshape(2, 7)
            if name == "timesteps"
            else torch.randn(2, 7, widths[name])
            if name in widths
            else None
        )
    return None


def _with_tokens(candidate: dict[str, torch.Tensor], message: str, config: Any, attempt: int) -> dict[str, torch.Tensor] | None:
    """Ids with as many placeholder tokens as the model says that it has features, or, at a second attempt, entries of features."""
    found = re.search(r"(\w+) features and \w+ tokens do not match.*?features:? *(?:torch.Size\(\[)?(\d+)", message, re.S)
    if found is None or "input_ids" not in candidate:
        return None
    kind, total = found.group(1).lower(), int(found.group(2))
    token = _number(config, f"{kind}_token_id") or _number(config, f"{kind}_token_index")
    if attempt:
        total //= _number(getattr(config, "text_config", None) or config, "hidden_size") or 1
    if token is None or total % 2:
        return None
    ids = torch.full((2, total // 2 + 5), 9)
    ids[:, 2 : 2 + total // 2] = token
    return {**candidate, "input_ids": ids}
