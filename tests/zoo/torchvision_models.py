"""torchvision's models, small images, some of them in a smaller size of their own family."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from tests.zoo.entry import Built, Sound, sound
from tests.zoo.torchvision_ops import declare_torchvision_ops

NAMES = {
    "resnet18": (16, 32),
    "mobilenet_v2": (16, 64),
    "mobilenet_v3_small": (16, 64),
    "efficientnet_b0": (8, 64),
    "squeezenet1_1": (8, 64),
    "shufflenet_v2_x0_5": (16, 64),
    "mnasnet0_5": (16, 64),
    "regnet_y_400mf": (16, 64),
}
"""Constructor -> batch, image size."""


def models() -> Any:
    declare_torchvision_ops()
    import torchvision.models

    return torchvision.models


def by_name(name: str, batch: int, size: int) -> Built:
    return getattr(models(), name)(num_classes=10), torch.randn(batch, 3, size, size)


BY_NAME = tuple(Sound(f"torchvision-{name}", partial(by_name, name, *shape)) for name, shape in NAMES.items())


@sound
def torchvision_vgg11_bn_features() -> Built:
    return models().vgg11_bn().features, torch.randn(16, 3, 32, 32)


@sound
def torchvision_densenet() -> Built:
    return models().DenseNet(8, (2, 2, 2, 2), 16, num_classes=10), torch.randn(16, 3, 64, 64)


@sound
def torchvision_convnext() -> Built:
    setting = models().convnext.CNBlockConfig
    model = models().ConvNeXt([setting(16, 32, 2), setting(32, 64, 2), setting(64, None, 2)], num_classes=10)
    return model, torch.randn(8, 3, 32, 32)


@sound
def torchvision_swin() -> Built:
    model = models().SwinTransformer([2, 2], 24, [2, 2], [2, 4], [4, 4], num_classes=10)
    return model, torch.randn(8, 3, 32, 32)


@sound
def torchvision_vit() -> Built:
    return models().VisionTransformer(32, 8, 3, 4, 32, 64, num_classes=10), torch.randn(8, 3, 32, 32)


@sound
def torchvision_googlenet_with_auxiliary_heads() -> Built:
    return models().GoogLeNet(num_classes=10, init_weights=False), torch.randn(16, 3, 64, 64)


@sound
def torchvision_lraspp() -> Built:
    model = models().segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=5)
    return model, torch.randn(8, 3, 64, 64)


@sound
def torchvision_fcn() -> Built:
    segmentation = models().segmentation
    backbone = models()._utils.IntermediateLayerGetter(models().resnet18(), {"layer4": "out", "layer3": "aux"})
    model = segmentation.FCN(backbone, segmentation.fcn.FCNHead(512, 5), segmentation.fcn.FCNHead(256, 5))
    return model, torch.randn(8, 3, 64, 64)


@sound
def torchvision_raft_small() -> Built:
    """Optical flow by four refinements, each of them an output."""
    frame = torch.rand(2, 3, 128, 128) * 2 - 1
    return models().optical_flow.raft_small(), {"image1": frame, "image2": frame.roll(2, -1), "num_flow_updates": 4}
