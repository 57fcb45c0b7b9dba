"""A smaller twin of a model: fewer layers and narrower ones, by the arguments of its factory, for a cheap first check."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gradcheck_health.records.errors import UsageError, describe_error
from gradcheck_health.targets.arguments.bind import bound
from gradcheck_health.targets.arguments.complete import VARIADIC, arguments
from gradcheck_health.targets.arguments.sizes import SPELT, USUAL, numbers, with_sizes
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION

LAYERS = (2, 4)
"""Layers of the twin: the first with which it can be built and run."""
NARROW, A_HEAD = 32, 8
"""Features that are left in a layer, and in each head of an attention, at least."""
_INNER = r"(intermediate|feed_?forward|ffn|mlp|dim_feedforward|d_?ff)_?(size|dim|hidden_?(size|dim))?"
_HEADS = r"n_?heads?|(num|n|nb)_?(attention|attn|key_value|kv|encoder|decoder)?_?heads?|(en|de)coder_attention_heads"
_PLAIN_PLURALS = r"(embed_|hidden_)?(dims|sizes|channels)|widths"

Sizes = Mapping[str, Any]
"""Argument, or "config.entry" -> a number, or a number for each stage."""


def shrunk(
    target: str, found: Callable[..., Any], given: Mapping[str, Any], runs: Callable[[Any], bool] | None
) -> tuple[Callable[[], Any], dict[str, tuple[Any, Any]]]:
    """The factory of the twin, and what became smaller: argument -> (size, size of the twin); nothing where all is small.

    Layers are cut down to two, and all widths are divided by the same power of two, so that what divided them still does.

    Args:
        given: the arguments that the factory is bound to.
        runs: whether a model that was built runs on some input.

    Raises:
        UsageError: no argument is a depth or a width, or no smaller model can be built.
    """
    depths, widths, heads = _sizes(found, given)
    if not (depths or widths):
        raise UsageError(
            f"{target}: nothing to shrink: none of its arguments is a depth ({SPELT['depth']} ...) or a width "
            f"({SPELT['width']} ...): leave out --shrink"
        )
    reason = ""
    sizes = {**depths, **widths}
    for smaller in _candidates(depths, widths, heads):
        changed = {name: (sizes[name], value) for name, value in smaller.items() if value != sizes[name]}
        factory = bound(found, with_sizes(given, {name: value for name, (_, value) in changed.items()}))
        try:
            if not changed or runs is None or runs(factory()):
                return factory, changed
            reason = "it runs on no made-up input"
        except Exception as error:  # noqa: BLE001 - whatever it raises, this size does not fit
            reason = describe_error(error).partition("\n")[0][:160]
    raise UsageError(
        f"{target}: cannot be shrunk ({reason}): give smaller arguments yourself, as in --arg {next(iter(sizes))}=2"
    )


def described(changed: Mapping[str, tuple[Any, Any]]) -> str:
    """`depth 32 -> 2, width 1024 -> 64`."""
    return ", ".join(f"{name} {_text(was)} -> {_text(now)}" for name, (was, now) in changed.items())


def _text(value: Any) -> str:
    return "(" + ", ".join(map(str, value)) + ")" if isinstance(value, tuple | list) else str(value)


def _sizes(found: Callable[..., Any], given: Mapping[str, Any]) -> tuple[Sizes, Sizes, list[int]]:
    """Depths, widths, and the counts of heads that have to divide a width."""
    depths: dict[str, Any] = {}
    widths: dict[str, Any] = {}
    heads: list[int] = []
    for name, value in _arguments(found, given):
        word = name.rpartition(".")[2].lower()
        if isinstance(value, int) and re.fullmatch(_HEADS, word):
            heads.append(value)
        elif any(re.fullmatch(pattern, word) for pattern in USUAL["depth"]):
            depths[name] = value
        elif any(re.fullmatch(pattern, word) for pattern in (*USUAL["width"], _INNER, _PLAIN_PLURALS)):
            widths[name] = value
    return depths, widths, heads


def _arguments(found: Callable[..., Any], given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every number, or row of numbers, that a factory or its configuration holds."""
    for one in arguments(found).values():
        value = given.get(one.name, one.default)
        if one.kind in VARIADIC or value is one.empty:
            continue
        if _is_size(value):
            yield one.name, value
        elif isinstance(value, Mapping) or (one.name not in given and re.fullmatch(CONFIGURATION, one.name.lower())):
            entries = {**numbers(value), **{key: row for key, row in _entries(value) if _is_size(row)}}
            yield from ((f"{one.name}.{key}", entry) for key, entry in entries.items())


def _entries(value: Any) -> list[tuple[str, Any]]:
    return [(key, row) for key, row in value.items() if isinstance(key, str)] if isinstance(value, Mapping) else []


def _is_size(value: Any) -> bool:
    rows = value if isinstance(value, tuple | list) else [value]
    return bool(rows) and all(isinstance(one, int) and not isinstance(one, bool) and one > 0 for one in rows)


def _candidates(depths: Sizes, widths: Sizes, heads: list[int]) -> Iterator[dict[str, Any]]:
    flat = [
        (one, [] if re.fullmatch(_INNER, name.rpartition(".")[2].lower()) else heads)  # no attention is inside of a branch
        for name, value in widths.items()
        for one in (value if isinstance(value, tuple | list) else [value])
    ]
    fitting = [2**power for power in range(16, -1, -1) if all(_divides(2**power, width, by) for width, by in flat)]
    for layers in LAYERS:
        few = {name: _each(value, lambda count: min(count, layers)) for name, value in depths.items()}  # noqa: B023
        for factor in fitting:
            yield {**few, **{name: _each(value, lambda width: width // factor) for name, value in widths.items()}}  # noqa: B023


def _divides(factor: int, width: int, heads: list[int]) -> bool:
    """A width that is divided by the factor is still wide enough, for each of the heads that share it, too."""
    if factor == 1:
        return True
    smaller, rest = divmod(width, factor)
    shared = [count for count in heads if width % count == 0]
    return rest == 0 and smaller >= NARROW and all(smaller % count == 0 and smaller // count >= A_HEAD for count in shared)


def _each(value: Any, smaller: Callable[[int], int]) -> Any:
    return type(value)(map(smaller, value)) if isinstance(value, tuple | list) else smaller(value)
