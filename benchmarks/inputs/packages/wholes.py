"""Models that take more than one call to build: wrappers around other models, diffusion, flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def transformer_wrapper(**options: Any) -> nn.Module:
    from x_transformers import Decoder, TransformerWrapper

    return TransformerWrapper(num_tokens=50, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=4, **options))


def rotary_transformer() -> nn.Module:
    return transformer_wrapper(rotary_pos_emb=True, ff_glu=True, use_rmsnorm=True)


def alibi_transformer() -> nn.Module:
    return transformer_wrapper(alibi_pos_bias=True, attn_one_kv_head=True)


def encoder_only() -> nn.Module:
    from x_transformers import Encoder, TransformerWrapper

    return TransformerWrapper(num_tokens=50, max_seq_len=32, attn_layers=Encoder(dim=32, depth=1, heads=4), num_memory_tokens=2)


def continuous_wrapper() -> nn.Module:
    from x_transformers import ContinuousTransformerWrapper, Encoder

    return ContinuousTransformerWrapper(dim_in=6, dim_out=3, max_seq_len=32, attn_layers=Encoder(dim=32, depth=1, heads=4))


def autoregressive() -> nn.Module:
    from x_transformers import AutoregressiveWrapper

    return AutoregressiveWrapper(transformer_wrapper())


def vision_wrapper() -> nn.Module:
    from x_transformers import Encoder, ViTransformerWrapper

    return ViTransformerWrapper(image_size=32, patch_size=8, num_classes=5, attn_layers=Encoder(dim=32, depth=1, heads=4))


def encoder_decoder() -> nn.Module:
    from x_transformers import XTransformer

    sizes = (("num_tokens", 40), ("depth", 1), ("heads", 2), ("max_seq_len", 32))
    return XTransformer(dim=32, **{f"{side}_{key}": value for side in ("enc", "dec") for key, value in sizes})


def cross_attender() -> nn.Module:
    from x_transformers import CrossAttender

    return CrossAttender(dim=32, depth=1, heads=4)


def masked_autoencoder() -> nn.Module:
    from vit_pytorch import MAE, ViT

    vit = ViT(image_size=64, patch_size=16, num_classes=5, dim=32, depth=1, heads=2, mlp_dim=64)
    return MAE(encoder=vit, masking_ratio=0.75, decoder_dim=32, decoder_depth=1)


def masked_image_modelling() -> nn.Module:
    from vit_pytorch import ViT
    from vit_pytorch.simmim import SimMIM

    return SimMIM(encoder=ViT(image_size=64, patch_size=16, num_classes=5, dim=32, depth=1, heads=2, mlp_dim=64))


def gaussian_diffusion() -> nn.Module:
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    return GaussianDiffusion(Unet(dim=16, dim_mults=(1, 2), flash_attn=False), image_size=32, timesteps=50)


def sequence_diffusion() -> nn.Module:
    from denoising_diffusion_pytorch import GaussianDiffusion1D, Unet1D

    return GaussianDiffusion1D(Unet1D(dim=16, dim_mults=(1, 2), channels=4), seq_length=32, timesteps=50)


def elucidated_diffusion() -> nn.Module:
    from denoising_diffusion_pytorch import ElucidatedDiffusion, Unet

    net = Unet(dim=16, dim_mults=(1, 2), random_fourier_features=True, flash_attn=False)
    return ElucidatedDiffusion(net, image_size=32, num_sample_steps=4)


def masked_flow() -> nn.Module:
    from nflows import distributions, flows, transforms

    steps = [transforms.MaskedAffineAutoregressiveTransform(features=4, hidden_features=8) for _ in range(2)]
    return flows.Flow(transforms.CompositeTransform(steps), distributions.StandardNormal([4]))


def masked_affine_transform() -> nn.Module:
    from nflows.transforms import MaskedAffineAutoregressiveTransform

    return MaskedAffineAutoregressiveTransform(features=4, hidden_features=8)


def spline_transform() -> nn.Module:
    from nflows.transforms import MaskedPiecewiseRationalQuadraticAutoregressiveTransform

    return MaskedPiecewiseRationalQuadraticAutoregressiveTransform(features=4, hidden_features=8, num_bins=4, tails="linear")


def coupling_flow() -> nn.Module:
    import normflows

    steps = [normflows.flows.AffineCouplingBlock(normflows.nets.MLP([2, 8, 4], init_zeros=True)) for _ in range(2)]
    return normflows.NormalizingFlow(normflows.distributions.DiagGaussian(4), steps)


Whole = tuple[Callable[[], nn.Module], str]
"""How it is built, and a known-good input in the notation of `packages.fed`."""
MODELS: tuple[Whole, ...] = (
    (transformer_wrapper, "i2,7<50"),
    (rotary_transformer, "i2,7<50"),
    (alibi_transformer, "i2,7<50"),
    (encoder_only, "i2,7<50"),
    (continuous_wrapper, "f2,7,6"),
    (autoregressive, "i2,7<50"),
    (vision_wrapper, "f2,3,32,32"),
    (encoder_decoder, "i2,7<40; i2,7<40"),
    (cross_attender, "f2,7,32; context=f2,5,32"),
    (masked_autoencoder, "f2,3,64,64"),
    (masked_image_modelling, "f2,3,64,64"),
    (gaussian_diffusion, "f2,3,32,32"),
    (sequence_diffusion, "f2,4,32"),
    (elucidated_diffusion, "f2,3,32,32"),
    (masked_flow, "f2,4"),
    (masked_affine_transform, "f2,4"),
    (spline_transform, "f2,4"),
    (coupling_flow, "f2,4"),
)
