"""timm's models: one or two small ones from each of many families."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import torch

from tests.zoo.entry import Built, Sound
from tests.zoo.torchvision_ops import declare_torchvision_ops

NAMES: dict[str, tuple[int, int]] = {
    "test_resnet": (16, 64),
    "test_byobnet": (16, 64),
    "test_efficientnet": (16, 64),
    "test_nfnet": (8, 64),
    "test_convnext": (8, 64),
    "test_mambaout": (8, 64),
    "test_coatnet": (16, 64),
    "test_vit": (8, 64),
    "test_vit_relpos": (8, 64),
    "cait_xxs24_224": (8, 64),
    "convit_tiny": (8, 64),
    "deit_tiny_distilled_patch16_224": (8, 64),
    "xcit_nano_12_p8_224": (16, 32),
    "pit_ti_224": (8, 64),
    "pvt_v2_b0": (8, 64),
    "gmlp_ti16_224": (8, 64),
    "resmlp_12_224": (8, 64),
    "levit_128s": (16, 128),
    "efficientvit_b0": (16, 64),
    "efficientvit_m0": (16, 128),
    "efficientformerv2_s0": (16, 128),
    "mobilevit_xxs": (16, 64),
    "mobilevitv2_050": (16, 64),
    "edgenext_xx_small": (8, 64),
    "fastvit_t8": (16, 64),
    "fasternet_t0": (16, 64),
    "starnet_s050": (16, 64),
    "shvit_s1": (16, 128),
    "swiftformer_xs": (16, 64),
    "repvit_m1": (16, 64),
    "repghostnet_050": (16, 64),
    "ghostnet_050": (16, 64),
    "lcnet_035": (16, 64),
    "tinynet_e": (16, 64),
    "mobilenetv4_conv_small_050": (16, 64),
    "hgnetv2_b0": (16, 64),
    "regnetx_002": (16, 64),
    "dla46x_c": (16, 64),
    "ese_vovnet19b_slim_dw": (16, 64),
    "cs3darknet_focus_s": (16, 64),
    "inception_next_atto": (16, 64),
    "iformer_t": (16, 64),
    "legacy_seresnet18": (16, 32),
    "poolformerv2_s12": (8, 64),
}
"""Architecture -> batch, image size."""


def timm() -> Any:
    declare_torchvision_ops()
    import timm

    logging.getLogger("timm").setLevel(logging.ERROR)
    return timm


def by_name(name: str, batch: int, size: int) -> Built:
    """The architecture for this image size where it depends on one."""
    create = timm().create_model
    try:
        model = create(name, num_classes=10, img_size=size)
    except TypeError:
        model = create(name, num_classes=10)
    return model, torch.randn(batch, 3, size, size)


BY_NAME = tuple(Sound(f"timm-{name}", partial(by_name, name, *shape)) for name, shape in NAMES.items())
