"""The parameters of a factory that are its depth and its width, and the factory bound to a size."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

from gradcheck_health.records.errors import UsageError, did_you_mean
from gradcheck_health.targets.arguments.candidates import configurations
from gradcheck_health.targets.arguments.complete import VARIADIC, arguments, hints_of
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION

DEPTH = (
    "depth",
    r"(n|num|nb)?_?(hidden_)?(layers?|blocks?)",
    r"(n|num|nb)?_?(encoder|decoder|transformer|res|residual)_?(layers?|blocks?|depth)|depths?",
)
"""Names of the parameter that is the depth, the plainest first."""
WIDTH = (
    "width",
    r"hidden_?(size|dim|channels|features|units)?|d_?model|n_?embd|(model|embed|embedding|emb)_?(dim|size)",
    r"dim|channels?|features|units|(base|mid|inner|n)_?(width|channels?|features|units|filters)|planes|ch|nf",
)
USUAL = {"depth": DEPTH, "width": WIDTH}
SPELT = {"depth": "depth, n_layer, num_layers, num_hidden_layers", "width": "width, hidden_size, d_model, n_embd, dim"}


def parameter(found: Callable[..., Any], what: str, name: str | None) -> str:
    """The parameter of a factory that is its depth or its width; "config.n_layer" is an entry of its configuration.

    Args:
        what: "depth" or "width".
        name: as the user names it; None looks for the usual names.

    Raises:
        UsageError: there is none, or not this one.
    """
    called = getattr(found, "__qualname__", type(found).__name__)
    known = arguments(found)
    offered = [one.name for one in known.values() if one.kind not in VARIADIC]
    open_ended = any(one.kind is one.VAR_KEYWORD for one in known.values())
    entries = _entries(found)
    if name is not None:
        if name.partition(".")[0] in offered or name in entries or open_ended:
            return name
        raise UsageError(
            f"{called} takes no argument {name!r}{did_you_mean(name, [*offered, *entries])}; it takes {', '.join(offered)}"
        )
    for names in (offered, entries):
        for pattern in USUAL[what]:
            fitting = [one for one in names if re.fullmatch(pattern, one.rpartition(".")[2].lower())]
            if fitting:
                return fitting[0]
    takes = f"it takes {', '.join(offered)}" if offered else "it takes no arguments"
    raise UsageError(
        f"{called} has no parameter for the {what} ({SPELT[what]} ...): {takes}; "
        f"name it with --{what}-name, {what}_name= in Python"
    )


def _entries(found: Callable[..., Any]) -> list[str]:
    """`config.n_layer` for every number in the configuration that a factory takes."""
    names = []
    for one in arguments(found).values():
        if re.fullmatch(CONFIGURATION, one.name.lower()):
            base = one.default if one.default not in (one.empty, None) else next(iter(configurations(found)), None)
            names += [f"{one.name}.{key}" for key, value in numbers(base).items()]
            names += [
                f"{one.name}.{key}" for key in _declared(hints_of(found).get(one.name)) if f"{one.name}.{key}" not in names
            ]
    return names


def numbers(config: Any) -> dict[str, int]:
    """The whole numbers in a configuration: a table, a dataclass, or an object with attributes."""
    table = config if isinstance(config, Mapping) else getattr(config, "__dict__", None) or {}
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        table = {one.name: getattr(config, one.name) for one in dataclasses.fields(config)}
    return {key: value for key, value in table.items() if isinstance(value, int) and not isinstance(value, bool)}


def _declared(hint: Any) -> list[str]:
    """The numbers that the class of an annotation takes."""
    if not isinstance(hint, type):
        return []
    return [one.name for one in arguments(hint).values() if one.kind not in VARIADIC and one.annotation in (int, "int")] + [
        one.name for one in arguments(hint).values() if isinstance(one.default, int) and not isinstance(one.default, bool)
    ]


def with_sizes(given: Mapping[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arguments with these sizes over them; "config.n_layer" sets one entry of the table `config`."""
    table: dict[str, Any] = copy.deepcopy(dict(given))
    for name, value in sizes.items():
        *outer, last = name.split(".")
        inside = table
        for part in outer:
            held = inside.get(part)
            inside[part] = dict(held) if isinstance(held, Mapping) else {}
            inside = inside[part]
        inside[last] = value
    return table
