"""Hugging Face's transformers from tiny configurations, some of them with labels: they return their own loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from tests.zoo.entry import Built, Sound
from tests.zoo.torchvision_ops import declare_torchvision_ops
from tests.zoo.transformers_feeds import (
    classified_ids,
    ids,
    ids_to_ids,
    ids_to_labels,
    image,
    image_and_ids,
    labelled_ids,
    labelled_image,
    masked_image,
    permuted_ids,
    sound_wave,
    spectrogram,
)

WIDTH: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
TEXT: dict[str, Any] = {**WIDTH, "vocab_size": 99, "max_position_embeddings": 64}
GROUPED: dict[str, Any] = {**TEXT, "num_key_value_heads": 2, "head_dim": 8, "pad_token_id": 0}
IMAGE: dict[str, Any] = {**WIDTH, "image_size": 32, "patch_size": 8}


def build(model: str, config: str, options: dict[str, Any], feed: Callable[[], dict[str, Any]]) -> Built:
    declare_torchvision_ops()
    import transformers

    transformers.logging.set_verbosity_error()
    return getattr(transformers, model)(getattr(transformers, config)(**options)).train(), feed()


def entry(model: str, options: dict[str, Any], feed: Callable[[], dict[str, Any]], suffix: str = "") -> Sound:
    """A model class and its configuration class, which is named alike."""
    family = model.split("For")[0].removesuffix("Model").removesuffix("LMHead") + "Config"
    return Sound(f"transformers-{model}{suffix}", partial(build, model, family, options, feed))


BART: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
T5: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
GPT2: dict[str, Any] = {
    "vocab_size": 99,
    "n_positions": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
DISTIL: dict[str, Any] = {
    "vocab_size": 99,
    "max_position_embeddings": 64,
    "n_layers": 2,
    "n_heads": 4,
    "dim": 32,
    "hidden_dim": 64,
}
WHISPER: dict[str, Any] = {
    **BART,
    "num_mel_bins": 16,
    "max_source_positions": 30,
    "max_target_positions": 20,
    "decoder_start_token_id": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
WHISPER.pop("max_position_embeddings")
WAVE: dict[str, Any] = {
    **WIDTH,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 3),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.2,
    "layerdrop": 0.0,
}
XLNET: dict[str, Any] = {"vocab_size": 99, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
CLIP: dict[str, Any] = {"text_config": {**TEXT, "eos_token_id": 2}, "vision_config": IMAGE, "projection_dim": 16}
MOE: dict[str, Any] = {**GROUPED, "num_local_experts": 4, "num_experts_per_tok": 2}

BY_NAME = (
    entry("BertModel", TEXT, ids),
    entry("BertForSequenceClassification", TEXT, classified_ids),
    entry("BertForMaskedLM", TEXT, labelled_ids),
    entry("GPT2LMHeadModel", GPT2, labelled_ids),
    entry("GPT2Model", GPT2, ids),
    entry("T5ForConditionalGeneration", T5, ids_to_labels),
    entry("LlamaForCausalLM", GROUPED, labelled_ids),
    entry("LlamaModel", GROUPED, ids),
    entry("MistralModel", GROUPED, ids),
    entry("Qwen2ForCausalLM", GROUPED, labelled_ids),
    entry("Qwen3Model", GROUPED, ids),
    entry("Olmo2Model", GROUPED, ids),
    entry("Exaone4Model", GROUPED, ids),
    entry("FlexOlmoModel", MOE, ids),
    entry("GemmaModel", GROUPED, ids),
    entry("Gemma2ForCausalLM", GROUPED, labelled_ids),
    entry("PhiModel", {**TEXT, "pad_token_id": 0}, ids),
    entry("MixtralForCausalLM", MOE, labelled_ids),
    entry(
        "Qwen2MoeModel",
        {
            **GROUPED,
            "num_experts": 4,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
        ids,
    ),
    entry("RobertaModel", {**TEXT, "pad_token_id": 1}, ids),
    entry("DistilBertForSequenceClassification", DISTIL, classified_ids),
    entry("AlbertModel", {**TEXT, "embedding_size": 16}, ids),
    entry("ElectraForPreTraining", {**TEXT, "embedding_size": 16}, lambda: {**ids(), "labels": torch.randint(0, 2, (8, 12))}),
    entry(
        "DebertaV2Model",
        {**TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
        ids,
    ),
    entry("GPTNeoXModel", TEXT, ids),
    entry("OPTModel", {**TEXT, "word_embed_proj_dim": 32, "ffn_dim": 64}, ids),
    entry("BloomModel", {"vocab_size": 99, "hidden_size": 32, "n_layer": 2, "n_head": 4}, ids),
    entry("FalconModel", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}, ids),
    entry("BartModel", BART, ids_to_ids),
    entry("PegasusForConditionalGeneration", BART, ids_to_labels),
    entry("MarianModel", {**BART, "pad_token_id": 0, "decoder_start_token_id": 0}, ids_to_ids),
    entry("MambaModel", {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, ids),
    entry("FNetModel", {**TEXT}, ids),
    entry("XLNetModel", XLNET, permuted_ids),
    entry("ViTForImageClassification", IMAGE, labelled_image),
    entry("DeiTModel", IMAGE, image),
    entry("BeitModel", IMAGE, image),
    entry("Dinov2Model", {**IMAGE, "mlp_ratio": 2}, masked_image),
    entry("CLIPModel", CLIP, image_and_ids),
    entry("SiglipModel", {"text_config": TEXT, "vision_config": IMAGE}, image_and_ids),
    entry("WhisperModel", WHISPER, spectrogram),
    entry("Wav2Vec2Model", WAVE, sound_wave),
    entry("HubertModel", WAVE, sound_wave),
    entry("ConvNextModel", {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2}, image),
    entry(
        "SwinModel",
        {"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4},
        image,
    ),
    entry("ResNetModel", {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}, image),
    entry(
        "SegformerForSemanticSegmentation",
        {
            "num_encoder_blocks": 2,
            "depths": [1, 1],
            "sr_ratios": [4, 2],
            "hidden_sizes": [16, 32],
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "num_attention_heads": [1, 2],
            "mlp_ratios": [2, 2],
            "decoder_hidden_size": 16,
        },
        image,
    ),
    entry(
        "MobileViTModel",
        {"image_size": 128, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32]},
        partial(image, 128),
    ),
    entry("TimesformerModel", {**IMAGE, "num_frames": 2}, lambda: {"pixel_values": torch.randn(4, 2, 3, 32, 32)}),
    entry(
        "PerceiverModel",
        {
            "num_latents": 8,
            "d_latents": 16,
            "d_model": 12,
            "num_blocks": 1,
            "num_self_attends_per_block": 2,
            "num_self_attention_heads": 2,
            "num_cross_attention_heads": 2,
        },
        lambda: {"inputs": torch.randn(8, 10, 12)},
    ),
    entry(
        "RwkvModel",
        {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 32},
        ids,
    ),
)
"""Each with a batch of 8 (sounds: 4) and 12 tokens, or images of 32 x 32."""

WITHOUT_AN_ARGUMENT = (
    entry("RoCBertModel", TEXT, ids, "-without-pronunciation"),
    entry("XLNetModel", XLNET, ids, "-without-permutation"),
    entry("Dinov2Model", {**IMAGE, "mlp_ratio": 2}, image, "-without-mask"),
    entry("Wav2Vec2Model", {**WAVE, "apply_spec_augment": False}, sound_wave, "-without-mask"),
    entry("HubertModel", {**WAVE, "apply_spec_augment": False}, sound_wave, "-without-mask"),
)
"""Sound models with parameters that only an optional argument reaches, which is not given."""
