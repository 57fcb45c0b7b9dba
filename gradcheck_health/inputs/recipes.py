"""Arguments that only knowledge can give: a table by class path, for values that have to be consistent with each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from gradcheck_health.inputs.plan import Group, Leaf, Node, Plan

Recipe = Callable[[nn.Module], Plan]
_SCORES = Leaf(("B", 10), why="recipe")
_CLASS = Leaf(("B",), "int", high=10, why="recipe")
_SHARE = Leaf(("B", 10), fill="uniform", why="recipe")
_ONE = Leaf(("B",), why="recipe")
_SIGNS = Leaf(("B",), fill="signs", why="recipe")
_DETECTION_SIDE = 96
_DETECTION_IMAGES = 2
_DETECTION_BOXES = 2


def _arguments(**leaves: Leaf) -> Recipe:
    return lambda module: Plan(tuple(leaves.items()))


def _ctc(module: nn.Module) -> Plan:
    return Plan((
        ("log_probs", Leaf((16, "B", 10), fill="log_distinct", why="recipe")),
        ("targets", Leaf(("B", 5), "int", low=1, high=10, why="recipe")),
        ("input_lengths", Leaf(("B",), "int", "full", high=16, why="recipe")),
        ("target_lengths", Leaf(("B",), "int", "full", high=5, why="recipe")),
    ))  # fmt: skip


def _linear_cross_entropy(module: nn.Module) -> Plan:
    features, classes = (
        int(getattr(module, "in_features", 10)),
        int(getattr(module, "num_classes", getattr(module, "out_features", 2))),
    )
    return Plan((("input", Leaf(("B", features), why="recipe")), ("target", Leaf(("B",), "int", high=classes, why="recipe"))))


def detection(module: nn.Module) -> Plan:
    """Two images with two boxes each; masks and keypoints where the heads want them."""
    why = "recipe: detection"
    one: list[tuple[str | int, Node]] = [
        ("boxes", Leaf((_DETECTION_BOXES, 4), fill="boxes", high=_DETECTION_SIDE, why=why)),
        ("labels", Leaf((_DETECTION_BOXES,), "int", low=1, high=_detection_classes(module), why=why)),
    ]
    heads = getattr(module, "roi_heads", None)
    if getattr(heads, "mask_predictor", None) is not None:
        one.append(("masks", Leaf((_DETECTION_BOXES, _DETECTION_SIDE, _DETECTION_SIDE), "int", high=2, why=why, dtype="uint8")))
    if (keypoints := getattr(heads, "keypoint_predictor", None)) is not None:
        score: Any = getattr(keypoints, "kps_score_lowres", None)
        one.append(("keypoints", Leaf((_DETECTION_BOXES, getattr(score, "out_channels", 17), 3), fill="uniform", why=why)))
    images = Group(
        tuple((i, Leaf((3, _DETECTION_SIDE, _DETECTION_SIDE), fill="uniform", why=why)) for i in range(_DETECTION_IMAGES)),
        "list",
    )
    targets = Group(tuple((i, Group(tuple(one), "dict")) for i in range(_DETECTION_IMAGES)), "list")
    return Plan((("images", images), ("targets", targets)))


def _detection_classes(module: nn.Module) -> int:
    """How many classes the heads tell apart, the background included."""
    for path in ("roi_heads.box_predictor.cls_score.out_features", "head.classification_head.num_classes"):
        found: Any = module
        for name in path.split("."):
            found = getattr(found, name, None)
        if isinstance(found, int) and found > 1:
            return found
    return 2


def _cell(module: nn.Module) -> Plan:
    """One step with a state: from a state of zeros the recurrent weights would get no gradient."""
    hidden = Leaf(("B", int(getattr(module, "hidden_size", 1))), why="recipe")
    state = Group(((0, hidden), (1, hidden)), "tuple") if isinstance(module, nn.LSTMCell) else hidden
    return Plan((("input", Leaf(("B", int(getattr(module, "input_size", 1))), why="recipe")), ("hx", state)))


RECIPES: dict[str, Recipe] = {
    **dict.fromkeys(("RNNCell", "GRUCell", "LSTMCell"), _cell),
    **dict.fromkeys(
        ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "PoissonNLLLoss"), _arguments(input=_SCORES, target=_SCORES)
    ),
    "BCEWithLogitsLoss": _arguments(input=_SCORES, target=_SHARE),
    "BCELoss": _arguments(input=_SHARE, target=_SHARE),
    "KLDivLoss": _arguments(
        input=Leaf(("B", 10), fill="log_distinct", why="recipe"), target=Leaf(("B", 10), fill="distinct", why="recipe")
    ),
    "CrossEntropyLoss": _arguments(input=_SCORES, target=_CLASS),
    "NLLLoss": _arguments(input=Leaf(("B", 10), fill="log_distinct", why="recipe"), target=_CLASS),
    "MultiMarginLoss": _arguments(input=_SCORES, target=_CLASS),
    "MultiLabelMarginLoss": _arguments(input=_SCORES, target=Leaf(("B", 10), "int", high=10, why="recipe")),
    "MultiLabelSoftMarginLoss": _arguments(input=_SCORES, target=Leaf(("B", 10), "int", high=2, why="recipe")),
    "SoftMarginLoss": _arguments(input=_SCORES, target=Leaf(("B", 10), fill="signs", why="recipe")),
    "HingeEmbeddingLoss": _arguments(input=_ONE, target=_SIGNS),
    "CosineEmbeddingLoss": _arguments(input1=_SCORES, input2=_SCORES, target=_SIGNS),
    "MarginRankingLoss": _arguments(input1=_ONE, input2=_ONE, target=_SIGNS),
    "GaussianNLLLoss": _arguments(input=_SCORES, target=_SCORES, var=_SHARE),
    "CTCLoss": _ctc,
    "LinearCrossEntropyLoss": _linear_cross_entropy,
    **dict.fromkeys(
        (
            f"torchvision.models.detection.{name}"
            for name in ("generalized_rcnn.GeneralizedRCNN", "ssd.SSD", "retinanet.RetinaNet", "fcos.FCOS")
        ),
        detection,
    ),
}
"""By name of the class in `torch.nn`; further ones by full path, `register` adds them."""


def register(path: str, recipe: Recipe) -> None:
    """Arguments for every module whose class has this path ("package.module.Class")."""
    RECIPES[path] = recipe


def recipe_for(module: nn.Module) -> Plan | None:
    """The recipe of the class or of the first of its bases that has one."""
    for cls in type(module).__mro__:
        short = cls.__qualname__ if cls.__module__.startswith("torch.nn.") else ""
        recipe = RECIPES.get(f"{cls.__module__}.{cls.__qualname__}") or RECIPES.get(short)
        if recipe is not None:
            # a class of one's own with another forward takes other arguments
            return recipe(module) if cls.__dict__.get("forward") is type(module).forward else None
    return None
