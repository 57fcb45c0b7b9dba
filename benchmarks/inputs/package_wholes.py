"""Models that take more than one call to build: wrappers around other models, policies of environments, flows, spikes."""

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


def leaky_spikes() -> nn.Module:
    import snntorch

    return nn.Sequential(nn.Linear(12, 20), snntorch.Leaky(beta=0.9, init_hidden=True), nn.Linear(20, 3))


def convolutional_spikes() -> nn.Module:
    from spikingjelly.activation_based import layer, neuron

    return nn.Sequential(
        layer.Conv2d(1, 8, 3, padding=1), layer.BatchNorm2d(8), neuron.IFNode(), layer.MaxPool2d(2), layer.Flatten(),
        layer.Linear(8 * 14 * 14, 10), neuron.LIFNode(),
    )  # fmt: skip


def spiking_resnet() -> nn.Module:
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.model import spiking_resnet

    return spiking_resnet.spiking_resnet18(spiking_neuron=neuron.IFNode, num_classes=5)


def sew_resnet() -> nn.Module:
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.model import sew_resnet

    return sew_resnet.sew_resnet18(spiking_neuron=neuron.IFNode, num_classes=5, cnf="ADD")


def _box(*shape: int, image: bool = False) -> Any:
    import numpy
    from gymnasium import spaces

    return spaces.Box(0, 255, shape, numpy.uint8) if image else spaces.Box(-1, 1, shape, numpy.float32)


def actor_critic() -> nn.Module:
    from gymnasium import spaces
    from stable_baselines3.common.policies import ActorCriticPolicy

    return ActorCriticPolicy(_box(6), spaces.Discrete(3), lambda _: 1e-3)


def continuous_actor_critic() -> nn.Module:
    from stable_baselines3.common.policies import ActorCriticPolicy

    return ActorCriticPolicy(_box(6), _box(2), lambda _: 1e-3)


def image_actor_critic() -> nn.Module:
    from gymnasium import spaces
    from stable_baselines3.common.policies import ActorCriticCnnPolicy

    return ActorCriticCnnPolicy(_box(4, 84, 84, image=True), spaces.Discrete(3), lambda _: 1e-3)


def nature_cnn() -> nn.Module:
    from stable_baselines3.common.torch_layers import NatureCNN

    return NatureCNN(_box(4, 84, 84, image=True), features_dim=16)


def q_network() -> nn.Module:
    from gymnasium import spaces
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.dqn.policies import QNetwork

    return QNetwork(_box(6), spaces.Discrete(3), FlattenExtractor(_box(6)), 6)


def deterministic_actor() -> nn.Module:
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.td3.policies import Actor

    return Actor(_box(6), _box(2), [16], FlattenExtractor(_box(6)), 6)


def soft_actor() -> nn.Module:
    from stable_baselines3.common.torch_layers import FlattenExtractor
    from stable_baselines3.sac.policies import Actor

    return Actor(_box(6), _box(2), [16], FlattenExtractor(_box(6)), 6)


def twin_critic() -> nn.Module:
    from stable_baselines3.common.policies import ContinuousCritic
    from stable_baselines3.common.torch_layers import FlattenExtractor

    return ContinuousCritic(_box(6), _box(2), [16], FlattenExtractor(_box(6)), 6)


def contrastive_pair() -> nn.Module:
    from open_clip.model import CLIP

    vision = {"layers": 2, "width": 32, "head_width": 8, "patch_size": 16, "image_size": 64}
    return CLIP(16, vision, {"context_length": 16, "vocab_size": 60, "width": 32, "heads": 4, "layers": 2})


def captioner() -> nn.Module:
    from open_clip.coca_model import CoCa

    vision = {
        "layers": 2,
        "width": 32,
        "head_width": 8,
        "patch_size": 16,
        "image_size": 64,
        "attentional_pool": True,
        "attn_pooler_heads": 4,
        "output_tokens": True,
    }
    text = {
        "context_length": 16,
        "vocab_size": 60,
        "width": 32,
        "heads": 4,
        "layers": 1,
        "embed_cls": True,
        "output_tokens": True,
    }
    joint = {"context_length": 16, "vocab_size": 60, "width": 32, "heads": 4, "layers": 1, "attn_pooler_heads": 4}
    return CoCa(32, joint, text, vision)  # fmt: skip


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
    (leaky_spikes, "f2,12"),
    (convolutional_spikes, "f2,1,28,28"),
    (spiking_resnet, "f2,3,64,64"),
    (sew_resnet, "f2,3,64,64"),
    (actor_critic, "f2,6"),
    (continuous_actor_critic, "f2,6"),
    (image_actor_critic, "f2,4,84,84"),
    (nature_cnn, "f2,4,84,84"),
    (q_network, "f2,6"),
    (deterministic_actor, "f2,6"),
    (soft_actor, "f2,6"),
    (twin_critic, "f2,6; f2,2"),
    (contrastive_pair, "f2,3,64,64; i2,16<60"),
    (captioner, "f2,3,64,64; i2,16<60"),
)
