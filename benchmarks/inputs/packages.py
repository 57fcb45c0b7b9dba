"""Models of further third-party packages, built small; a package that is not installed is left out.

    pip install segmentation-models-pytorch monai diffusers torch_geometric x-transformers vit-pytorch snntorch nflows normflows \
        pytorch-tabnet efficientnet-pytorch
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

Subject = tuple[str, Callable[[], tuple[nn.Module, Any]]]


_KNOWN = {"vit_pytorch.local_vit.LocalViT": ((torch.zeros(2, 3, 64, 64),), {})}
"""Known-good inputs of models that do not run even on those in some versions of their package."""


def _calls() -> Iterator[tuple[str, dict[str, Any]]]:
    """Path of a class or function, and the arguments to build it with."""
    for name in (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "PAN",
        "DeepLabV3",
        "DeepLabV3Plus",
        "UPerNet",
        "Segformer",
    ):
        yield f"segmentation_models_pytorch.{name}", {"encoder_name": "resnet18", "encoder_weights": None, "classes": 2}
    flat = {"spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    deep = {"channels": (8, 16, 32), "strides": (2, 2)}
    nets = "monai.networks.nets"
    yield f"{nets}.UNet", {**flat, **deep}
    yield f"{nets}.UNet", {**flat, **deep, "spatial_dims": 3}
    yield f"{nets}.AttentionUnet", {**flat, **deep}
    yield f"{nets}.BasicUNet", {**flat, "features": (8, 8, 16, 16, 32, 8)}
    yield f"{nets}.BasicUNetPlusPlus", {**flat, "features": (8, 8, 16, 16, 32, 8)}
    yield f"{nets}.SegResNet", {**flat, "init_filters": 8}
    yield f"{nets}.VNet", {**flat, "spatial_dims": 3}
    yield f"{nets}.HighResNet", {**flat, "spatial_dims": 3}
    yield f"{nets}.AutoEncoder", {**flat, "channels": (8, 16), "strides": (2, 2)}
    yield f"{nets}.DenseNet121", flat
    yield f"{nets}.resnet18", {"spatial_dims": 2, "n_input_channels": 1, "num_classes": 2}
    yield f"{nets}.EfficientNetBN", {"model_name": "efficientnet-b0", "pretrained": False, "in_channels": 1, "num_classes": 2}
    yield f"{nets}.ViT", {"in_channels": 1, "img_size": (32, 32), "patch_size": (8, 8), "hidden_size": 32, "mlp_dim": 64, "num_layers": 2,
                          "num_heads": 4, "spatial_dims": 2}  # fmt: skip
    yield f"{nets}.UNETR", {"in_channels": 1, "out_channels": 2, "img_size": (32, 32, 32), "feature_size": 8, "hidden_size": 48, "mlp_dim": 64,
                            "num_heads": 4}  # fmt: skip
    yield f"{nets}.SwinUNETR", {"in_channels": 1, "out_channels": 2, "feature_size": 12, "spatial_dims": 2}
    yield f"{nets}.Regressor", {"in_shape": (1, 32, 32), "out_shape": (1,), "channels": (4, 8), "strides": (2, 2)}
    yield f"{nets}.Generator", {"latent_shape": (16,), "start_shape": (8, 4, 4), "channels": (8, 1), "strides": (2, 2)}
    yield f"{nets}.Discriminator", {"in_shape": (1, 32, 32), "channels": (4, 8), "strides": (2, 2)}
    yield (
        f"{nets}.VarAutoEncoder",
        {
            "spatial_dims": 2,
            "in_shape": (1, 32, 32),
            "out_channels": 1,
            "latent_size": 4,
            "channels": (4, 8),
            "strides": (2, 2),
        },
    )
    yield f"{nets}.FullyConnectedNet", {"in_channels": 10, "out_channels": 2, "hidden_channels": (8, 16)}
    yield f"{nets}.PatchDiscriminator", {"spatial_dims": 2, "channels": 8, "in_channels": 1, "num_layers_d": 2}
    yield (
        f"{nets}.DiffusionModelUNet",
        {**flat, "channels": (8, 8), "attention_levels": (False, True), "norm_num_groups": 8, "num_head_channels": 8},
    )
    yield (
        f"{nets}.AutoencoderKL",
        {**flat, "channels": (8, 8), "attention_levels": (False, False), "norm_num_groups": 8, "num_res_blocks": 1},
    )
    yield f"{nets}.VQVAE", {**flat, "channels": (8, 8), "num_res_channels": 8, "num_embeddings": 16, "embedding_dim": 8}
    yield from _diffusers()
    for name in ("GCN", "GraphSAGE", "GIN", "GAT", "EdgeCNN"):
        yield f"torch_geometric.nn.models.{name}", {"in_channels": 8, "hidden_channels": 16, "num_layers": 2, "out_channels": 3}
    for name in (
        "GCNConv",
        "SAGEConv",
        "GATConv",
        "GATv2Conv",
        "ChebConv",
        "GraphConv",
        "TAGConv",
        "SGConv",
        "ARMAConv",
        "TransformerConv",
    ):
        yield f"torch_geometric.nn.{name}", {"in_channels": 8, "out_channels": 4, **({"K": 2} if name == "ChebConv" else {})}
    yield "torch_geometric.nn.models.MLP", {"channel_list": [8, 16, 3]}
    yield (
        "pytorch_tabnet.tab_network.TabNet",
        {"input_dim": 12, "output_dim": 2, "n_d": 4, "n_a": 4, "n_steps": 2, "group_attention_matrix": torch.eye(12)},
    )
    yield "efficientnet_pytorch.EfficientNet.from_name", {"model_name": "efficientnet-b0"}
    yield from _vits()


def _diffusers() -> Iterator[tuple[str, dict[str, Any]]]:
    blocks = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
    yield "diffusers.UNet2DModel", {**blocks, "sample_size": 16, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
                                    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "attention_head_dim": 4}  # fmt: skip
    conditional = {
        **blocks,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "cross_attention_dim": 8,
        "attention_head_dim": 2,
    }
    yield (
        "diffusers.UNet2DConditionModel",
        {**conditional, "sample_size": 16, "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")},
    )
    yield "diffusers.ControlNetModel", {**conditional, "conditioning_embedding_out_channels": (8, 8)}
    yield "diffusers.AutoencoderKL", {"block_out_channels": (8,), "norm_num_groups": 4}
    yield "diffusers.VQModel", {"block_out_channels": (8,), "norm_num_groups": 4}
    yield "diffusers.UNet1DModel", {"block_out_channels": (32, 32, 64), "sample_size": 64, "extra_in_channels": 16}
    yield (
        "diffusers.DiTTransformer2DModel",
        {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4, "num_layers": 1, "sample_size": 8},
    )
    yield (
        "diffusers.Transformer2DModel",
        {"num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 16, "norm_num_groups": 4, "num_layers": 1},
    )
    yield (
        "diffusers.PriorTransformer",
        {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1, "embedding_dim": 8, "num_embeddings": 7},
    )
    yield "diffusers.SD3Transformer2DModel", {"sample_size": 16, "patch_size": 2, "in_channels": 4, "num_layers": 1, "attention_head_dim": 8,
                                              "num_attention_heads": 2, "joint_attention_dim": 12, "caption_projection_dim": 16,
                                              "pooled_projection_dim": 10, "pos_embed_max_size": 16}  # fmt: skip


def _vits() -> Iterator[tuple[str, dict[str, Any]]]:
    small = {"image_size": 64, "patch_size": 16, "num_classes": 5, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 64}
    for name in ("ViT", "SimpleViT"):
        yield f"vit_pytorch.{name}", small
    yield "vit_pytorch.deepvit.DeepViT", small
    yield "vit_pytorch.cait.CaiT", {**small, "cls_depth": 1}
    yield (
        "vit_pytorch.cct.CCT",
        {"img_size": (64, 64), "embedding_dim": 32, "num_layers": 2, "num_heads": 4, "num_classes": 5, "mlp_ratio": 2},
    )
    yield "vit_pytorch.cvt.CvT", {"num_classes": 5, "s1_emb_dim": 8, "s2_emb_dim": 16, "s3_emb_dim": 32, "s3_depth": 1}
    yield (
        "vit_pytorch.vit_1d.ViT",
        {"seq_len": 64, "patch_size": 8, "num_classes": 5, "dim": 32, "depth": 1, "heads": 4, "mlp_dim": 64},
    )
    yield "vit_pytorch.vit_3d.ViT", {"image_size": 32, "frames": 4, "image_patch_size": 8, "frame_patch_size": 2, "num_classes": 5, "dim": 32,
                                     "depth": 1, "heads": 4, "mlp_dim": 64}  # fmt: skip
    yield (
        "vit_pytorch.nest.NesT",
        {"image_size": 64, "patch_size": 4, "dim": 16, "heads": 2, "num_hierarchies": 2, "block_repeats": 1, "num_classes": 5},
    )
    yield "vit_pytorch.max_vit.MaxViT", {"num_classes": 5, "dim": 16, "depth": (1, 1), "window_size": 8, "dim_head": 8}
    yield "vit_pytorch.crossformer.CrossFormer", {"dim": (32, 32, 64, 64), "depth": (1, 1, 1, 1), "num_classes": 5}
    yield "vit_pytorch.twins_svt.TwinsSVT", {"num_classes": 5}
    yield "vit_pytorch.xcit.XCiT", {**small, "cls_depth": 1}
    yield "vit_pytorch.local_vit.LocalViT", small
    yield "vit_pytorch.regionvit.RegionViT", {"dim": (8, 16, 16, 32), "depth": (1, 1, 1, 1), "num_classes": 5}


def _built() -> Iterator[Subject]:
    """Those that need another model or a line of their own."""

    def transformer_wrapper() -> Any:
        from x_transformers import Decoder, TransformerWrapper

        return TransformerWrapper(num_tokens=50, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=4)), None

    def continuous_wrapper() -> Any:
        from x_transformers import ContinuousTransformerWrapper, Encoder

        return ContinuousTransformerWrapper(
            dim_in=6, dim_out=3, max_seq_len=32, attn_layers=Encoder(dim=32, depth=1, heads=4)
        ), None

    def autoregressive() -> Any:
        from x_transformers import AutoregressiveWrapper

        return AutoregressiveWrapper(transformer_wrapper()[0]), None

    def vision_wrapper() -> Any:
        from x_transformers import Encoder, ViTransformerWrapper

        return ViTransformerWrapper(
            image_size=32, patch_size=8, num_classes=5, attn_layers=Encoder(dim=32, depth=1, heads=4)
        ), None

    def encoder_decoder() -> Any:
        from x_transformers import XTransformer

        parts = {
            f"{side}_{key}": value
            for side in ("enc", "dec")
            for key, value in (("num_tokens", 40), ("depth", 1), ("heads", 2), ("max_seq_len", 32))
        }
        return XTransformer(dim=32, **parts), None

    def masked_autoencoder() -> Any:
        from vit_pytorch import MAE, ViT

        vit = ViT(image_size=64, patch_size=16, num_classes=5, dim=32, depth=1, heads=2, mlp_dim=64)
        return MAE(encoder=vit, masking_ratio=0.75, decoder_dim=32, decoder_depth=1), ((torch.zeros(2, 3, 64, 64),), {})

    def spiking() -> Any:
        import snntorch

        return nn.Sequential(nn.Linear(12, 20), snntorch.Leaky(beta=0.9, init_hidden=True), nn.Linear(20, 3)), None

    def masked_flow() -> Any:
        from nflows import distributions, flows, transforms

        steps = [transforms.MaskedAffineAutoregressiveTransform(features=4, hidden_features=8) for _ in range(2)]
        return flows.Flow(transforms.CompositeTransform(steps), distributions.StandardNormal([4])), None

    def coupling_flow() -> Any:
        import normflows

        steps = [normflows.flows.AffineCouplingBlock(normflows.nets.MLP([2, 8, 4], init_zeros=True)) for _ in range(2)]
        return normflows.NormalizingFlow(normflows.distributions.DiagGaussian(4), steps), None

    for function in (transformer_wrapper, continuous_wrapper, autoregressive, vision_wrapper, encoder_decoder, masked_autoencoder, spiking,
                     masked_flow, coupling_flow):  # fmt: skip
        yield function.__name__, function


def subjects() -> Iterator[Subject]:
    """Everything above."""
    importlib.import_module("tests.zoo.torchvision_ops").declare_torchvision_ops()
    for path, arguments in _calls():

        def build(path: str = path, arguments: dict[str, Any] = arguments) -> tuple[nn.Module, Any]:
            parts = path.split(".")
            for split in range(len(parts) - 1, 0, -1):
                try:
                    found: Any = importlib.import_module(".".join(parts[:split]))
                except ModuleNotFoundError:
                    continue
                for name in parts[split:]:
                    found = getattr(found, name)
                return found(**arguments), _KNOWN.get(path)
            raise ModuleNotFoundError(path)

        yield path, build
    yield from _built()
