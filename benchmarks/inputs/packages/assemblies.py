"""Models that take more than one call to build: spiking networks, policies of environments, pairs of image and text."""

from __future__ import annotations

from typing import Any

from torch import nn

from benchmarks.inputs.packages.wholes import Whole


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


MODELS: tuple[Whole, ...] = (
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
