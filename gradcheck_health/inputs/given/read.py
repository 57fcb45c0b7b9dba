"""Inputs that the user gives: tensors, containers, factories, loaders, specs, and any object; checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from gradcheck_health.inputs.given import input_files
from gradcheck_health.inputs.language.notation import parse_node, reads_as_spec
from gradcheck_health.inputs.plan import Const, Group, Leaf, Node, Plan
from gradcheck_health.inputs.static.argument_roles import first_plan
from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.records.errors import InputsError, did_you_mean, one_line
from gradcheck_health.records.inputs import Inputs


def read(given: Any, info: ModelInfo) -> tuple[Inputs | Plan, Callable[[], Any] | None]:
    """`Inputs` that are complete, or a plan with what was given pinned; and the factory that draws another batch."""
    factory: Callable[[], Any] | None = None
    if isinstance(given, Inputs):
        return given, None
    if _is_loader(given):
        return _positional(_without_labels(_first_batch(given), info), info), None
    if callable(given) and not isinstance(given, torch.Tensor):
        factory = given
        given = _call(given)
        if isinstance(given, Inputs):
            return given, factory
    if input_files.is_file(given):
        given = input_files.load(given, "inputs", info)
    if isinstance(given, Mapping):
        return _keywords(given, info), factory
    if isinstance(given, str):
        return _keywords({_first_name(info): given}, info), factory
    return _positional(given, info), factory


def _is_loader(given: Any) -> bool:
    """A DataLoader or one of its kin, or an iterator over batches."""
    return hasattr(given, "__next__") or (hasattr(given, "dataset") and hasattr(given, "__iter__"))


def _first_batch(loader: Any) -> Any:
    try:
        return next(iter(loader))
    except StopIteration:
        raise InputsError(
            "the loader gave no batch (it is empty, or used up): pass one that yields at least one batch", "inputs"
        ) from None
    except Exception as error:
        raise InputsError(f"the loader raised {one_line(error)} before its first batch", "inputs") from error


def _without_labels(batch: Any, info: ModelInfo) -> Any:
    """A loader's (x, y) for a model that takes x alone."""
    most = len([a for a in info.signature.arguments if not a.keyword_only])
    if isinstance(batch, tuple | list) and most and not info.signature.variadic:
        return tuple(batch)[: max(most, 1)]
    return batch


def _call(factory: Callable[[], Any]) -> Any:
    try:
        value = factory()
    except Exception as error:
        name = getattr(factory, "__qualname__", type(factory).__name__)
        raise InputsError(f"the factory {name}() raised {one_line(error)}; it is called without arguments", "inputs") from error
    if value is None:
        raise InputsError("the factory returned None: return a tensor, a tuple, or a dict of keyword arguments", "inputs")
    return value


def _first_name(info: ModelInfo) -> str:
    return info.signature.arguments[0].name if info.signature.arguments else "*0"


def _positional(value: Any, info: ModelInfo) -> Inputs | Plan:
    if isinstance(value, Mapping):
        known = {argument.name for argument in info.signature.arguments}
        return Inputs((), dict(value)) if set(value) <= known or info.signature.keywords else Inputs((value,))
    args = tuple(value) if isinstance(value, tuple | list) else (value,)
    most = len([a for a in info.signature.arguments if not a.keyword_only])
    if len(args) > most and not info.signature.variadic:
        if isinstance(value, list) and most >= 1:
            # a model that takes one list of tensors
            return (
                Inputs((value,)) if all(isinstance(item, torch.Tensor) for item in value) and most == 1 else Inputs(args[:most])
            )
        names = ", ".join(a.name for a in info.signature.arguments)
        raise InputsError(f"got {len(args)} positional values, forward takes at most {most}: {names}", "inputs")
    return _completed(args, info)


def _completed(args: tuple[Any, ...], info: ModelInfo) -> Inputs | Plan:
    """Specs among the values, or required arguments that are missing: pin what is there, the rest is made up."""
    named = [argument.name for argument in info.signature.arguments if not argument.keyword_only][: len(args)]
    given = dict(zip(named, args, strict=False))
    if len(named) == len(args) and args and (any(map(_to_be_read, args)) or _missing(given, info)):
        return _keywords(given, info)
    return Inputs(args)


def _keywords(given: Mapping[str, Any], info: ModelInfo) -> Inputs | Plan:
    names = [argument.name for argument in info.signature.arguments]
    if not info.signature.keywords:
        unknown = [name for name in given if name not in names]
        if unknown and len(unknown) == len(given) and len(names) == 1 and not any(isinstance(v, str) for v in given.values()):
            return Inputs((dict(given),))  # a model that takes one dict
        for name in unknown:
            raise InputsError(
                f"forward has no such argument{did_you_mean(str(name), names)}; it takes {', '.join(names)}",
                f"inputs[{name!r}]",
            )
    given = {
        name: input_files.load(value, f"inputs[{name!r}]", info, name) if input_files.is_file(value) else value
        for name, value in given.items()
    }
    if not any(_has_spec(value) for value in given.values()) and not _missing(given, info):
        return Inputs((), dict(given))
    return pinned(given, info)


def pinned(given: Mapping[str, Any], info: ModelInfo, where: str = "inputs") -> Plan:
    """A plan that keeps what was given, by argument, and takes the first guess for every other required argument.

    Raises:
        InputsError: text that is no spec.
    """
    names = [argument.name for argument in info.signature.arguments]
    plan = Plan(())
    sizes: dict[str, int] = {}
    for name, value in given.items():
        plan = plan.put((name,), _pinned(value, f"{where}[{name!r}]", sizes))
    guessed = first_plan(info)
    bound = _bound(plan, guessed)
    for name, node in guessed.arguments:
        if plan.get((name,)) is None:
            plan = plan.put((name,), _with_batch(node, bound.get("B")))
    order = [name for name in names if plan.get((name,)) is not None]
    rest = [name for name, _ in plan.arguments if name not in order]
    nodes = dict(plan.arguments)
    return replace(plan, arguments=tuple((name, nodes[name]) for name in order + rest)).resize(**{**bound, **sizes})


def _bound(plan: Plan, guessed: Plan) -> dict[str, int]:
    """Sizes that were given as numbers, by the names that the first guess has for them: batch, sequence, sides."""
    found: dict[str, int] = {}
    for name, node in plan.arguments:
        value = node.value if isinstance(node, Const) else None
        dims = node.dims if isinstance(node, Leaf) else tuple(value.shape) if isinstance(value, torch.Tensor) else ()
        like = guessed.get((name,))
        names = like.dims if isinstance(like, Leaf) and len(like.dims) == len(dims) else ("B",)
        for dim, called in zip(dims, names, strict=False):
            if isinstance(dim, int) and isinstance(called, str):
                found.setdefault(called, dim)
    written = {dim for _, leaf in plan.leaves() for dim in leaf.dims}
    return {name: size for name, size in found.items() if name not in written}


def _with_batch(node: Node, samples: int | None) -> Node:
    """As many samples as were given elsewhere: the probe does not choose their number."""
    if samples is None:
        return node
    if isinstance(node, Group):
        return replace(node, items=tuple((key, _with_batch(item, samples)) for key, item in node.items))
    return replace(node, dims=tuple(samples if dim == "B" else dim for dim in node.dims)) if isinstance(node, Leaf) else node


def _missing(given: Mapping[str, Any], info: ModelInfo) -> list[str]:
    return [a.name for a in info.signature.arguments if a.required and a.name not in given]


def _to_be_read(value: Any) -> bool:
    return input_files.is_file(value) or _has_spec(value)


def _has_spec(value: Any) -> bool:
    if isinstance(value, str):
        return reads_as_spec(value)
    if isinstance(value, Mapping):
        return any(_has_spec(item) for item in value.values())
    return isinstance(value, tuple | list) and any(_has_spec(item) for item in value)


def _pinned(value: Any, where: str, sizes: dict[str, int]) -> Node:
    if isinstance(value, str):
        return parse_node(value, where, sizes) if reads_as_spec(value) else Const(value, fixed=True)
    if _has_spec(value):
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        form = "dict" if isinstance(value, Mapping) else "tuple" if isinstance(value, tuple) else "list"
        return Group(tuple((key, _pinned(item, f"{where}[{key!r}]", sizes)) for key, item in items), form)
    return Const(value, fixed=True)
