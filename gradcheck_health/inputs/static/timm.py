"""The first guess for a model with timm's `pretrained_cfg` or `default_cfg`: its `input_size`."""

from __future__ import annotations

from collections.abc import Mapping

from gradcheck_health.inputs.plan import Leaf, Plan
from gradcheck_health.inputs.static.model_info import ModelInfo


def plan(info: ModelInfo) -> Plan | None:
    """One image of the declared size; None for models of other kinds."""
    if len([a for a in info.signature.arguments if a.required]) != 1:
        return None
    for name in ("pretrained_cfg", "default_cfg"):
        configuration = vars(info.owner).get(name)
        size = configuration.get("input_size") if isinstance(configuration, Mapping) else None
        if isinstance(size, tuple | list) and len(size) == 3 and all(isinstance(n, int) for n in size):
            return Plan(
                ((info.signature.arguments[0].name, Leaf(("B", size[0], "H", "W"), why=f"declared by {name}")),)
            ).resize(H=size[1], W=size[2])
    return None
