"""Models of images and volumes: segmentation, medical imaging, vision transformers, local features."""

from __future__ import annotations

from typing import Any

Model = tuple[str, dict[str, Any], str]
"""Where the class or function is, what it is built with, and a known-good input in the notation of `packages.fed`."""

_SEGMENTATION = tuple(
    (f"segmentation_models_pytorch.{name}", {"encoder_name": encoder, "encoder_weights": None, "classes": 2}, "f2,3,128,128")
    for name, encoder in (
        *((name, "resnet18") for name in ("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus", "UPerNet", "Segformer")),
        *(("Unet", encoder) for encoder in ("mobilenet_v2", "efficientnet-b0", "densenet121", "mit_b0", "timm-regnetx_002", "mobileone_s0", "vgg11")),
    )
)  # fmt: skip

_FLAT: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
_DEEP: dict[str, Any] = {"channels": (8, 16, 32), "strides": (2, 2)}
_SMALL: dict[str, Any] = {"in_shape": (1, 32, 32), "channels": (4, 8), "strides": (2, 2)}
_VOLUME = "f2,1,32,32,32"
_IMAGE = "f2,1,64,64"
_MEDICAL: tuple[Model, ...] = tuple(
    (f"monai.networks.nets.{name}", arguments, known)
    for name, arguments, known in (
        ("UNet", {**_FLAT, **_DEEP}, _IMAGE),
        ("UNet", {**_FLAT, **_DEEP, "spatial_dims": 3}, _VOLUME),
        ("AttentionUnet", {**_FLAT, **_DEEP}, _IMAGE),
        ("BasicUNet", {**_FLAT, "features": (8, 8, 16, 16, 32, 8)}, _IMAGE),
        ("BasicUNetPlusPlus", {**_FLAT, "features": (8, 8, 16, 16, 32, 8)}, _IMAGE),
        ("SegResNet", {**_FLAT, "init_filters": 8}, _IMAGE),
        ("SegResNetDS", {**_FLAT, "init_filters": 8}, _IMAGE),
        ("SegResNetVAE", {**_FLAT, "init_filters": 8, "input_image_size": (32, 32)}, "f2,1,32,32"),
        ("VNet", {**_FLAT, "spatial_dims": 3}, _VOLUME),
        ("HighResNet", {**_FLAT, "spatial_dims": 3}, _VOLUME),
        ("DynUNet", {**_FLAT, "kernel_size": (3, 3, 3), "strides": (1, 2, 2), "upsample_kernel_size": (2, 2), "filters": (8, 16, 16)}, _IMAGE),
        ("RegUNet", {**_FLAT, "num_channel_initial": 8, "depth": 2}, _IMAGE),
        ("VoxelMorphUNet", {"spatial_dims": 2, "in_channels": 2, "unet_out_channels": 8, "channels": (8, 8, 8, 8, 8, 8), "final_conv_channels": (8, 8)}, "f2,2,64,64"),
        ("FlexibleUNet", {"in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0"}, "f2,3,64,64"),
        ("Quicknat", {"num_classes": 2, "num_filters": 8}, _IMAGE),
        ("MedNeXt", {**_FLAT, "init_filters": 8}, _IMAGE),
        ("restormer.Restormer", {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "dim": 8, "num_blocks": (1, 1), "heads": (1, 1), "num_refinement_blocks": 1}, "f2,1,32,32"),
        ("HoVerNet", {"mode": "fast", "in_channels": 3, "out_classes": 2}, "f2,3,256,256"),
        ("AutoEncoder", {**_FLAT, "channels": (8, 16), "strides": (2, 2)}, "f2,1,32,32"),
        ("DenseNet121", _FLAT, _IMAGE),
        ("resnet18", {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 2}, _IMAGE),
        ("SEResNet50", {"spatial_dims": 2, "in_channels": 1, "num_classes": 2}, _IMAGE),
        ("EfficientNetBN", {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 1, "num_classes": 2}, _IMAGE),
        ("ViT", {"in_channels": 1, "img_size": (32, 32), "patch_size": (8, 8), "hidden_size": 32, "mlp_dim": 64, "num_layers": 2, "num_heads": 4, "spatial_dims": 2}, "f2,1,32,32"),
        ("ViTAutoEnc", {"in_channels": 1, "img_size": (32, 32), "patch_size": (16, 16), "hidden_size": 32, "mlp_dim": 64, "num_layers": 2, "num_heads": 4, "spatial_dims": 2}, "f2,1,32,32"),
        ("UNETR", {"in_channels": 1, "out_channels": 2, "img_size": (32, 32, 32), "feature_size": 8, "hidden_size": 48, "mlp_dim": 64, "num_heads": 4}, _VOLUME),
        ("SwinUNETR", {"in_channels": 1, "out_channels": 2, "feature_size": 12, "spatial_dims": 2}, _IMAGE),
        ("Regressor", {**_SMALL, "out_shape": (1,)}, "f2,1,32,32"),
        ("Classifier", {**_SMALL, "classes": 3}, "f2,1,32,32"),
        ("Critic", _SMALL, "f2,1,32,32"),
        ("Generator", {"latent_shape": (16,), "start_shape": (8, 4, 4), "channels": (8, 1), "strides": (2, 2)}, "f2,16"),
        ("Discriminator", _SMALL, "f2,1,32,32"),
        ("VarAutoEncoder", {"spatial_dims": 2, "in_shape": (1, 32, 32), "out_channels": 1, "latent_size": 4, "channels": (4, 8), "strides": (2, 2)}, "f2,1,32,32"),
        ("FullyConnectedNet", {"in_channels": 10, "out_channels": 2, "hidden_channels": (8, 16)}, "f2,10"),
        ("VarFullyConnectedNet", {"in_channels": 10, "out_channels": 2, "latent_size": 4, "encode_channels": (8,), "decode_channels": (8,)}, "f2,10"),
        ("PatchDiscriminator", {"spatial_dims": 2, "channels": 8, "in_channels": 1, "num_layers_d": 2}, "f2,1,32,32"),
        ("MultiScalePatchDiscriminator", {"num_d": 2, "num_layers_d": 2, "spatial_dims": 2, "channels": 8, "in_channels": 1, "minimum_size_im": 64}, _IMAGE),
        ("DiffusionModelUNet", {**_FLAT, "channels": (8, 8), "attention_levels": (False, True), "norm_num_groups": 8, "num_head_channels": 8, "num_res_blocks": 1}, "f2,1,32,32; i2<100"),
        ("AutoencoderKL", {**_FLAT, "channels": (8, 8), "attention_levels": (False, False), "norm_num_groups": 8, "num_res_blocks": 1}, "f2,1,32,32"),
        ("VQVAE", {**_FLAT, "channels": (8, 8), "num_res_channels": (8, 8), "num_res_layers": 1, "downsample_parameters": ((2, 4, 1, 1), (2, 4, 1, 1)), "upsample_parameters": ((2, 4, 1, 1, 0), (2, 4, 1, 1, 0)), "num_embeddings": 16, "embedding_dim": 8}, "f2,1,32,32"),
        ("DecoderOnlyTransformer", {"num_tokens": 20, "max_seq_len": 16, "attn_layers_dim": 16, "attn_layers_depth": 2, "attn_layers_heads": 2}, "i2,7<20"),
        ("MaskedAutoEncoderViT", {"in_channels": 1, "img_size": (32, 32), "patch_size": (8, 8), "hidden_size": 48, "mlp_dim": 64, "num_layers": 2, "num_heads": 4, "decoder_hidden_size": 48, "decoder_mlp_dim": 64, "decoder_num_layers": 1, "decoder_num_heads": 4, "spatial_dims": 2}, "f2,1,32,32"),
    )
)  # fmt: skip

_VIT: dict[str, Any] = {"image_size": 64, "patch_size": 16, "num_classes": 5, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 64}
_RGB = "f2,3,64,64"
_CLIP: dict[str, Any] = {
    "image_size": 32,
    "frames": 4,
    "image_patch_size": 8,
    "frame_patch_size": 2,
    "num_classes": 5,
    "dim": 32,
    "heads": 4,
    "mlp_dim": 64,
}
_VISION: tuple[Model, ...] = tuple(
    (f"vit_pytorch.{name}", arguments, known)
    for name, arguments, known in (
        ("ViT", _VIT, _RGB),
        ("SimpleViT", _VIT, _RGB),
        ("deepvit.DeepViT", _VIT, _RGB),
        ("cait.CaiT", {**_VIT, "cls_depth": 1}, _RGB),
        ("cct.CCT", {"img_size": (64, 64), "embedding_dim": 32, "num_layers": 2, "num_heads": 4, "num_classes": 5, "mlp_ratio": 2}, _RGB),
        ("cvt.CvT", {"num_classes": 5, "s1_emb_dim": 8, "s2_emb_dim": 16, "s3_emb_dim": 32, "s3_depth": 1}, _RGB),
        ("vit_1d.ViT", {"seq_len": 64, "patch_size": 8, "num_classes": 5, "dim": 32, "depth": 1, "heads": 4, "mlp_dim": 64}, "f2,3,64"),
        ("simple_vit_1d.SimpleViT", {"seq_len": 64, "patch_size": 8, "num_classes": 5, "dim": 32, "depth": 1, "heads": 4, "mlp_dim": 64}, "f2,3,64"),
        ("vit_3d.ViT", {**_CLIP, "depth": 1}, "f2,3,4,32,32"),
        ("simple_vit_3d.SimpleViT", {**_CLIP, "depth": 1}, "f2,3,4,32,32"),
        ("vivit.ViViT", {**_CLIP, "spatial_depth": 1, "temporal_depth": 1}, "f2,3,4,32,32"),
        ("nest.NesT", {"image_size": 64, "patch_size": 4, "dim": 16, "heads": 2, "num_hierarchies": 2, "block_repeats": 1, "num_classes": 5}, _RGB),
        ("max_vit.MaxViT", {"num_classes": 5, "dim": 16, "depth": (1, 1), "window_size": 8, "dim_head": 8}, _RGB),
        ("crossformer.CrossFormer", {"dim": (32, 32, 64, 64), "depth": (1, 1, 1, 1), "num_classes": 5}, "f2,3,224,224"),
        ("twins_svt.TwinsSVT", {"num_classes": 5}, "f2,3,224,224"),
        ("xcit.XCiT", {**_VIT, "cls_depth": 1}, _RGB),
        ("regionvit.RegionViT", {"dim": (8, 16, 16, 32), "depth": (1, 1, 1, 1), "num_classes": 5}, "f2,3,224,224"),
        ("t2t.T2TViT", {"dim": 32, "image_size": 64, "depth": 1, "heads": 4, "mlp_dim": 64, "num_classes": 5, "t2t_layers": ((7, 4), (3, 2))}, _RGB),
        ("levit.LeViT", {"image_size": 64, "num_classes": 5, "stages": 2, "dim": (32, 48), "depth": 1, "heads": (2, 4), "mlp_mult": 2}, _RGB),
        ("pit.PiT", {"image_size": 64, "patch_size": 8, "dim": 32, "num_classes": 5, "depth": (1, 1), "heads": 4, "mlp_dim": 64}, _RGB),
        ("mobile_vit.MobileViT", {"image_size": (64, 64), "dims": [96, 120, 144], "channels": [16, 32, 48, 48, 64, 64, 80, 80, 96, 96, 384], "num_classes": 5}, _RGB),
        ("sep_vit.SepViT", {"num_classes": 5, "dim": 16, "dim_head": 8, "heads": (1, 2), "depth": (1, 1), "window_size": 7}, "f2,3,112,112"),
        ("scalable_vit.ScalableViT", {"num_classes": 5, "dim": 16, "heads": (2, 4), "depth": (1, 1), "ssa_dim_key": (8, 8), "reduction_factor": (2, 1), "window_size": (8, 8)}, _RGB),
        ("cross_vit.CrossViT", {"image_size": 64, "num_classes": 5, "sm_dim": 16, "lg_dim": 32, "sm_patch_size": 8, "lg_patch_size": 16, "depth": 1}, _RGB),
        ("rvt.RvT", {**_VIT, "heads": 2}, _RGB),
        ("ats_vit.ViT", {**_VIT, "max_tokens_per_depth": (8, 4)}, _RGB),
        ("parallel_vit.ViT", _VIT, _RGB),
        ("look_vit.LookViT", {"dim": 32, "image_size": 96, "num_classes": 5, "patch_size": 16, "depth": 1, "heads": 2, "highres_patch_size": 12}, "f2,3,96,96"),
        ("vit_for_small_dataset.ViT", _VIT, _RGB),
        ("learnable_memory_vit.ViT", _VIT, _RGB),
        ("simple_vit_with_register_tokens.SimpleViT", _VIT, _RGB),
        ("simple_vit_with_qk_norm.SimpleViT", _VIT, _RGB),
        ("simple_vit_with_fft.SimpleViT", {**_VIT, "freq_patch_size": 16}, _RGB),
        ("simple_vit_with_patch_dropout.SimpleViT", _VIT, _RGB),
        ("vit_with_patch_merger.ViT", {**_VIT, "patch_merge_layer": 1, "patch_merge_num_tokens": 4}, _RGB),
        ("normalized_vit.nViT", _VIT, _RGB),
        ("local_vit.LocalViT", _VIT, _RGB),
        ("jumbo_vit.JumboViT", {**_VIT, "num_jumbo_cls": 1}, _RGB),
        ("simple_uvit.SimpleUViT", {**_VIT}, _RGB),
    )
)  # fmt: skip

_FEATURES: tuple[Model, ...] = (
    ("kornia.feature.HardNet", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.feature.HardNet8", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.feature.SOSNet", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.feature.TFeat", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.feature.HyNet", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.feature.DeFMO", {"pretrained": False}, "f2,6,64,64"),
    ("kornia.feature.OriNet", {"pretrained": False}, "f2,1,32,32"),
    ("kornia.models.vit.VisionTransformer", {"image_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}, "f2,3,32,32"),
    ("kornia.models.vit_mobile.MobileViT", {}, "f2,3,256,256"),
    ("kornia.models.dexined.DexiNed", {"pretrained": False}, "f2,3,64,64"),
    ("kornia.models.tiny_vit.TinyViT", {"img_size": 64, "embed_dims": [16, 32, 32, 64], "depths": (1, 1, 1, 1), "num_heads": (2, 2, 2, 2), "window_sizes": (4, 4, 4, 4)}, "f2,3,64,64"),
    ("efficientnet_pytorch.EfficientNet.from_name", {"model_name": "efficientnet-b0"}, "f2,3,64,64"),
    ("mlp_mixer_pytorch.MLPMixer", {"image_size": 64, "channels": 3, "patch_size": 16, "dim": 32, "depth": 2, "num_classes": 5}, "f2,3,64,64"),
)  # fmt: skip

MODELS: tuple[Model, ...] = (*_SEGMENTATION, *_MEDICAL, *_VISION, *_FEATURES)
