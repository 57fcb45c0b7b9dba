"""Recipe for detectors with torchvision's interface: a list of images, and a dict of boxes and labels for each."""

from __future__ import annotations

from typing import Any

from torch import nn

from gradcheck_health.inputs.plan import Group, Leaf, Node, Plan

SIDE = 96
IMAGES = 2
BOXES = 2


def detection(module: nn.Module) -> Plan:
    """Two images with two boxes each; masks and keypoints where the heads want them."""
    why = "recipe: detection"
    one: list[tuple[str | int, Node]] = [
        ("boxes", Leaf((BOXES, 4), fill="boxes", high=SIDE, why=why)),
        ("labels", Leaf((BOXES,), "int", low=1, high=_classes(module), why=why)),
    ]
    heads = getattr(module, "roi_heads", None)
    if getattr(heads, "mask_predictor", None) is not None:
        one.append(("masks", Leaf((BOXES, SIDE, SIDE), "int", high=2, why=why, dtype="uint8")))
    if (keypoints := getattr(heads, "keypoint_predictor", None)) is not None:
        score: Any = getattr(keypoints, "kps_score_lowres", None)
        one.append(("keypoints", Leaf((BOXES, getattr(score, "out_channels", 17), 3), fill="uniform", why=why)))
    images = Group(tuple((i, Leaf((3, SIDE, SIDE), fill="uniform", why=why)) for i in range(IMAGES)), "list")
    targets = Group(tuple((i, Group(tuple(one), "dict")) for i in range(IMAGES)), "list")
    return Plan((("images", images), ("targets", targets)))


def _classes(module: nn.Module) -> int:
    """How many classes the heads tell apart, the background included."""
    for path in ("roi_heads.box_predictor.cls_score.out_features", "head.classification_head.num_classes"):
        found: Any = module
        for name in path.split("."):
            found = getattr(found, name, None)
        if isinstance(found, int) and found > 1:
            return found
    return 2
