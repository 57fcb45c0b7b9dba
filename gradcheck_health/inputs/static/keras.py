"""The first guess for a Keras 3 model on the torch backend: the inputs that it was built for."""

from __future__ import annotations

from typing import Any

from gradcheck_health.inputs.plan import Dim, Group, Leaf, Node, Plan
from gradcheck_health.inputs.static.model_info import ModelInfo


def plan(info: ModelInfo) -> Plan | None:
    """One argument: a tensor, or the list or dict of tensors that the model was put together from; None for other models."""
    owner = info.model
    if not any(cls.__module__.startswith("keras.") for cls in type(owner).__mro__):
        return None
    try:
        given = getattr(owner, "_inputs_struct", None) or owner.inputs
    except Exception:  # noqa: BLE001 - a model that was not built yet has none
        return None
    node = _node(given)
    return None if node is None else Plan((("*0", node),))


def _node(given: Any) -> Node | None:
    if isinstance(given, dict):
        return _group([(str(key), _node(item)) for key, item in given.items()], "dict")
    if isinstance(given, tuple | list):
        return _node(given[0]) if len(given) == 1 else _group([(i, _node(item)) for i, item in enumerate(given)], "list")
    shape, dtype = getattr(given, "shape", None), str(getattr(given, "dtype", ""))
    if not isinstance(shape, tuple) or not shape:
        return None
    free: tuple[Dim, ...] = ("H", "W") if len(shape) == 4 else ("T",) * (len(shape) - 1)
    dims: list[Dim] = ["B"]
    for place, size in enumerate(shape[1:]):
        dims.append(size if isinstance(size, int) else free[min(place, len(free) - 1)])
    kind = "int" if "int" in dtype else "bool" if "bool" in dtype else "float"
    return Leaf(tuple(dims), kind, high=2 if kind == "int" else None, why=f"declared by {getattr(given, 'name', 'inputs')}")


def _group(items: list[tuple[Any, Node | None]], form: str) -> Group | None:
    whole = tuple((key, node) for key, node in items if node is not None)
    return Group(whole, form) if len(whole) == len(items) else None
