"""Tiny configurations of Hugging Face's architectures."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import nn

from benchmarks.inputs.canonical import known, number

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
    "mm_tokens_per_image": 4, "context_size": 16, "conv_kernel_size": 7,
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
_SHAPED: dict[str, Any] = {"projector_patch_to_query_dict": {16: 4}, "prediction_length": 4}
"""Values of parts whose sizes follow from the ceilings."""
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
    if isinstance(getattr(default, "num_heads", None), list):  # one number a stage: the width has to stay a multiple of each
        ceilings = {key: value for key, value in ceilings.items() if key not in ("embed_dim", "hidden_size")}
    for key, ceiling in ceilings.items():
        value = number(default, key)
        if value is not None and value > ceiling:
            changed[key] = ceiling
    rows = changed.get("vocab_size", number(default, "vocab_size"))
    vocabulary = rows is None or rows >= 128
    for key, token in _SPECIAL.items():
        if number(default, key) is not None and vocabulary:
            changed[key] = token
    changed |= {key: value for key, value in _SHAPED.items() if hasattr(default, key) and "only" not in ceilings}
    if getattr(default, "use_timm_backbone", False):
        changed |= {"use_timm_backbone": False, "backbone": None, "backbone_config": _backbone()}
    if "cached" in variant and isinstance(getattr(default, "use_cache", None), bool):
        changed["use_cache"] = False
    for key, part in list(vars(default).items()):
        if hasattr(part, "to_dict") and hasattr(type(part), "model_type") and not type(part).model_type.startswith("timm"):
            changed[key] = tiny(type(part), variant)
    for drop in range(4):
        try:
            return _mixed(_sectioned(kind(**changed)), default)
        except (AttributeError, TypeError, ValueError) as error:
            # a property that cannot be set, or one that differs from layer to layer
            name = re.search(r"'(\w+)'", str(error))
            if drop == 3 or name is None or name.group(1) not in changed:
                raise
            del changed[name.group(1)]
    raise AssertionError


def _backbone() -> Any:
    import transformers as library

    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    return library.ResNetConfig(**sizes, out_features=["stage2", "stage3", "stage4"])


def _sectioned(config: Any) -> Any:
    """Positions in time, height and width share the rotated part of a head: their shares have to add up."""
    rope = getattr(config, "rope_parameters", None)
    if not isinstance(rope, dict):
        return config
    width = number(config, "head_dim") or (number(config, "hidden_size") or 32) // (number(config, "num_attention_heads") or 4)
    half = int(width * (rope.get("partial_rotary_factor") or getattr(config, "partial_rotary_factor", None) or 1.0)) // 2
    rope["mrope_section"] = [half - 2 * (half // 3), half // 3, half // 3]
    return config


def _mixed(config: Any, default: Any) -> Any:
    """Of layers of several kinds, the last one is of the kind that the shorter model would lack."""
    kinds, all_kinds = getattr(config, "layer_types", None), getattr(default, "layer_types", None)
    if isinstance(kinds, list) and isinstance(all_kinds, list) and len(kinds) > 1:
        lacking = [one for one in dict.fromkeys(all_kinds) if one not in kinds]
        if lacking and lacking[-1] != kinds[-1]:
            kinds[-1] = lacking[-1]
    return config


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
