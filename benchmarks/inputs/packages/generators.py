"""Generative models: diffusion, autoencoders, flows."""

from __future__ import annotations

from typing import Any

from benchmarks.inputs.packages.images import Model

_BLOCKS: dict[str, Any] = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
_CONDITIONAL: dict[str, Any] = {
    **_BLOCKS,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "cross_attention_dim": 8,
    "attention_head_dim": 2,
}
_HEADS: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1}
_T = "i2<100"
_DIFFUSERS: tuple[Model, ...] = tuple(
    (f"diffusers.{name}", arguments, known)
    for name, arguments, known in (
        ("UNet2DModel", {**_BLOCKS, "sample_size": 16, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4}, f"f2,3,16,16; {_T}"),
        ("UNet2DConditionModel", {**_CONDITIONAL, "sample_size": 16, "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}, f"f2,4,16,16; {_T}; f2,7,8"),
        ("ControlNetModel", {**_CONDITIONAL, "conditioning_embedding_out_channels": (8, 8)}, f"f2,4,16,16; {_T}; f2,7,8; f2,3,32,32"),
        ("AutoencoderKL", {"block_out_channels": (8,), "norm_num_groups": 4}, "f2,3,16,16"),
        ("AutoencoderTiny", {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1), "upsampling_scaling_factor": 2}, "f2,3,16,16"),
        ("AsymmetricAutoencoderKL", {"down_block_out_channels": (8,), "up_block_out_channels": (8,), "norm_num_groups": 4}, "f2,3,16,16"),
        ("VQModel", {"block_out_channels": (8,), "norm_num_groups": 4}, "f2,3,16,16"),
        ("UNet1DModel", {"block_out_channels": (32, 32, 64), "sample_size": 64, "extra_in_channels": 64}, f"f2,2,64; {_T}"),
        ("UNet3DConditionModel", {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4, "down_block_types": ("CrossAttnDownBlock3D", "DownBlock3D"), "up_block_types": ("UpBlock3D", "CrossAttnUpBlock3D"), "cross_attention_dim": 8, "attention_head_dim": 4}, f"f2,4,4,16,16; {_T}; f2,7,8"),
        ("UVit2DModel", {"hidden_size": 32, "cond_embed_dim": 16, "micro_cond_encode_dim": 8, "micro_cond_embed_dim": 40, "encoder_hidden_size": 16, "vocab_size": 20, "codebook_size": 16, "block_out_channels": 32, "num_res_blocks": 1, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}, "i2,8,8<16; f2,7,16; f2,16; f2,5"),
        ("T2IAdapter", {"channels": [8, 8], "num_res_blocks": 1, "downscale_factor": 4}, "f2,3,32,32"),
        ("DiTTransformer2DModel", {**_HEADS, "in_channels": 4, "sample_size": 8}, f"f2,4,8,8; {_T}; i2<1000"),
        ("Transformer2DModel", {**_HEADS, "in_channels": 16, "norm_num_groups": 4}, "f2,16,8,8"),
        ("PriorTransformer", {**_HEADS, "embedding_dim": 8, "num_embeddings": 7}, f"f2,8; {_T}; f2,8; f2,7,8"),
        ("SD3Transformer2DModel", {"sample_size": 16, "patch_size": 2, "in_channels": 4, "num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 12, "caption_projection_dim": 16, "pooled_projection_dim": 10, "pos_embed_max_size": 16}, f"f2,4,16,16; f2,5,12; f2,10; {_T}"),
        ("PixArtTransformer2DModel", {**_HEADS, "sample_size": 8, "in_channels": 4, "out_channels": 8, "cross_attention_dim": 16, "caption_channels": 12, "norm_type": "ada_norm_single"}, f"f2,4,8,8; encoder_hidden_states=f2,5,12; timestep={_T}"),
        ("AuraFlowTransformer2DModel", {"sample_size": 8, "patch_size": 2, "in_channels": 4, "num_mmdit_layers": 1, "num_single_dit_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "joint_attention_dim": 12, "caption_projection_dim": 16, "pos_embed_max_size": 16}, "f2,4,8,8; f2,5,12; f2"),
        ("HunyuanDiT2DModel", {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "in_channels": 4, "sample_size": 8, "cross_attention_dim": 12, "cross_attention_dim_t5": 10, "pooled_projection_dim": 4, "hidden_size": 16, "text_len": 7, "text_len_t5": 5}, ""),
        ("LatteTransformer3DModel", {**_HEADS, "in_channels": 4, "out_channels": 8, "sample_size": 8, "patch_size": 2, "cross_attention_dim": 16, "caption_channels": 12, "norm_type": "ada_norm_single", "video_length": 2}, f"f2,4,2,8,8; timestep={_T}; encoder_hidden_states=f2,5,12"),
        ("SanaTransformer2DModel", {**_HEADS, "in_channels": 4, "out_channels": 4, "num_cross_attention_heads": 2, "cross_attention_head_dim": 8, "cross_attention_dim": 16, "caption_channels": 12, "sample_size": 8}, f"f2,4,8,8; f2,5,12; {_T}"),
        ("CogVideoXTransformer3DModel", {**_HEADS, "in_channels": 4, "out_channels": 4, "time_embed_dim": 8, "text_embed_dim": 12, "sample_width": 8, "sample_height": 8, "sample_frames": 5, "patch_size": 2, "max_text_seq_length": 7}, f"f2,2,4,8,8; f2,7,12; {_T}"),
        ("MochiTransformer3DModel", {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 2, "pooled_projection_dim": 16, "in_channels": 4, "text_embed_dim": 16, "time_embed_dim": 4}, "f2,4,2,8,8; f2,7,16; i2<100; b2,7"),
        ("StableAudioDiTModel", {"sample_size": 16, "in_channels": 4, "num_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2, "num_key_value_attention_heads": 2, "out_channels": 4, "cross_attention_dim": 8, "time_proj_dim": 8, "global_states_input_dim": 8, "cross_attention_input_dim": 8}, f"f2,4,16; {_T}; f2,5,8; f2,1,8"),
        ("TransformerTemporalModel", {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 8, "norm_num_groups": 4}, ""),
    )
)  # fmt: skip

_DENOISING: tuple[Model, ...] = tuple(
    (f"denoising_diffusion_pytorch.{name}", arguments, known)
    for name, arguments, known in (
        ("Unet", {"dim": 16, "dim_mults": (1, 2), "flash_attn": False}, f"f2,3,32,32; {_T}"),
        ("Unet1D", {"dim": 16, "dim_mults": (1, 2), "channels": 4}, f"f2,4,32; {_T}"),
        ("KarrasUnet", {"image_size": 32, "dim": 16, "dim_max": 32, "num_downsamples": 2, "num_blocks_per_stage": 1, "attn_res": (8,)}, "f2,4,32,32; f2"),
        ("KarrasUnet1D", {"seq_len": 32, "dim": 16, "dim_max": 32, "num_downsamples": 2, "num_blocks_per_stage": 1, "attn_res": (8,), "channels": 4}, "f2,4,32; f2"),
    )
)  # fmt: skip

MODELS: tuple[Model, ...] = (*_DIFFUSERS, *_DENOISING)
