"""Arguments that only knowledge can give: a table by class path, for values that have to be consistent with each other."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from gradcheck_health.inputs.detection import detection
from gradcheck_health.inputs.plan import Group, Leaf, Plan

Recipe = Callable[[nn.Module], Plan]
_SCORES = Leaf(("B", 10), why="recipe")
_CLASS = Leaf(("B",), "int", high=10, why="recipe")
_SHARE = Leaf(("B", 10), fill="uniform", why="recipe")
_ONE = Leaf(("B",), why="recipe")
_SIGNS = Leaf(("B",), fill="signs", why="recipe")


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
