"""Whether tensors with names fit a model, and how to say so where they do not: missing, unexpected, shapes, dtypes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from gradcheck_health.model.wrappers import logical
from gradcheck_health.records.errors import UsageError, did_you_mean
from gradcheck_health.records.wording import listed

SHOWN = 4
MAX_COMPARED = 2000
"""Names that a misspelt one is compared with: that takes time for each."""
EXTRA = "_extra_state"
"""The end of a name under which a module keeps what is no tensor."""
WRAPPED = "module."
"""What DataParallel and DDP put before every name."""


def real_names(model: nn.Module) -> dict[str, str]:
    """Name without wrappers -> name in the model's `state_dict`."""
    return {_bare(name): name for name in model.state_dict()}


def _bare(name: str) -> str:
    return logical(name).removeprefix(WRAPPED)


def without(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Those whose names begin with it, by what comes after it, wrappers of either side taken off."""
    return {_bare(name[len(prefix) :]): value for name, value in tensors.items() if name.startswith(prefix)}


def chosen(held: Mapping[str, Any], file: str, key: str | None, model: nn.Module) -> Mapping[str, Any]:
    """The tensors of a file, under its key where one is given.

    Raises:
        UsageError: there are none at that place; with the places where there are some, and whether they fit.
    """
    tables = dict(_tables(held, set()))
    place = key or ""
    if place in tables:
        return tables[place]
    keys = [name for name in tables if name]
    if not keys:
        raise UsageError(
            f"checkpoint {file}: there is no tensor in it; it holds {listed(list(map(str, held)), SHOWN) or 'nothing'}"
        )
    got = f"no tensors under {key!r}{did_you_mean(place, keys)}" if key else "no tensors at its top"
    best = max(keys, key=lambda name: _fit(tables[name], model)[0])
    count, prefix = _fit(tables[best], model)
    lines = [f"checkpoint {file}: {got}"]
    lines += _lines("there are", [f"{len(tables[name])} under {name}" for name in keys])
    if count:
        about = f" with the prefix {prefix!r}" if prefix else ""
        lines += _lines("fitting", [f"{count} of those under {best}{about}"])
    lines += _lines("say which", _as_options(best, prefix if count else ""))
    raise UsageError("\n".join(lines))


def most(held: Mapping[str, Any], file: str) -> tuple[Mapping[str, Any], str]:
    """The tensors at the top of a file, or where there are none its largest table of them, and its key.

    Raises:
        UsageError: there are none.
    """
    tables = dict(_tables(held, set()))
    if not tables:
        raise UsageError(f"{file}: there is no tensor in it; it holds {listed(list(map(str, held)), SHOWN) or 'nothing'}")
    place = "" if "" in tables else max(tables, key=lambda name: len(tables[name]))
    return tables[place], place


def _tables(held: Mapping[str, Any], seen: set[int], path: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every table of names and tensors in what was saved, by its dotted key, the outer ones first, each once."""
    seen.add(id(held))
    named = {name: value for name, value in held.items() if isinstance(name, str)}
    if any(isinstance(value, torch.Tensor) for value in named.values()):
        yield path, {name: value for name, value in named.items() if isinstance(value, torch.Tensor) or name.endswith(EXTRA)}
    for name, value in islice(named.items(), MAX_COMPARED if depth < 3 else 0):
        if isinstance(value, Mapping) and id(value) not in seen:
            yield from _tables(value, seen, f"{path}.{name}" if path else name, depth + 1)


def _fit(tensors: Mapping[str, Any], model: nn.Module) -> tuple[int, str]:
    """How many names of the model there are, with the best prefix, and that prefix."""
    wanted = list(real_names(model))
    # the first names and the last: not every one needs to be there
    tried = {*wanted[:3], *wanted[-1:]}
    prefixes = {"", *(name.removesuffix(end) for end in tried for name in tensors if name.endswith(f".{end}"))}
    counts = {prefix: len(without(prefix, tensors).keys() & set(wanted)) for prefix in prefixes}
    best = max(sorted(counts), key=lambda prefix: counts[prefix])
    return counts[best], best


def check(tensors: Mapping[str, Any], file: str, prefix: str, model: nn.Module, *, convert: bool) -> None:
    """Hold shapes and dtypes of the names that both have against each other, and see that there are such names.

    Raises:
        UsageError: every difference at once, four names a kind.
    """
    names, own = real_names(model), model.state_dict()
    given = without(prefix, tensors)
    common = [name for name in given if name in names]
    if not common:
        raise UsageError(_nothing_fits(tensors, list(given), list(names), file, prefix, model))
    shapes, dtypes = [], []
    for name in common:
        got, wanted = given[name], own[names[name]]
        if not (isinstance(got, torch.Tensor) and isinstance(wanted, torch.Tensor)) or is_lazy(wanted):
            continue
        if got.shape != wanted.shape:
            shapes.append(f"{name}: got {list(got.shape)}; allowed: {list(wanted.shape)}")
        elif got.dtype != wanted.dtype and not (convert and got.is_floating_point() and wanted.is_floating_point()):
            dtypes.append(f"{name}: got {_dtype(got)}; allowed: {_dtype(wanted)}")
    lines = [*_lines("shape", shapes), *_lines("dtype", dtypes)]
    if lines:
        floating = sorted(
            {_dtype(given[name]) for name in common if torch.is_tensor(given[name]) and torch.is_floating_point(given[name])}
        )
        one = f"--dtype {floating[0]} checks the model in the dtype of the file; any --dtype converts" if floating else ""
        hint = [f"  help        {one}"] if dtypes and one else []
        raise UsageError("\n".join([f"checkpoint {file} does not fit {type(model).__name__}:", *lines, *hint]))


def check_names(
    missing: Sequence[str], unexpected: Sequence[str], tensors: Mapping[str, Any], file: str, model: nn.Module
) -> None:
    """See that no name was left over on either side; of tied weights one name is enough.

    Raises:
        UsageError: every name that is, four a kind.
    """
    own = model.state_dict(keep_vars=True)
    there = {id(value) for name, value in own.items() if name not in missing}
    lacking = [_bare(name) for name in missing if name not in own or id(own[name]) not in there]
    if not lacking and not unexpected:
        return
    extra = [f"{name}{did_you_mean(name, lacking[:MAX_COMPARED]) if i < SHOWN else ''}" for i, name in enumerate(unexpected)]
    head = f"checkpoint {file} does not fit {type(model).__name__}:"
    raise UsageError(
        "\n".join(
            [
                head,
                *_lines("missing", lacking),
                *_lines("unexpected", extra),
                "  help        build the model as it was trained: --arg NAME=VALUE",
            ]
        )
    )


def _nothing_fits(
    tensors: Mapping[str, Any], given: list[str], names: list[str], file: str, prefix: str, model: nn.Module
) -> str:
    begins = f"no name in it begins with {prefix!r}"
    got = begins if prefix and not given else f"none of its names is one of {type(model).__name__}"
    lines = [f"checkpoint {file}: {got}"]
    count, fitting = _fit(tensors, model)
    if not count:
        lines += [*_lines("it holds", list(tensors)), *_lines("wanted", names)]
    elif fitting:
        lines += _lines("fitting", [f"{count} of {len(tensors)} with the prefix {fitting!r}"])
        lines += _lines("say which", _as_options(None, fitting))
    else:
        lines += _lines("fitting", [f"{count} of {len(tensors)} without a prefix: leave --checkpoint-prefix out"])
    return "\n".join(lines)


def _as_options(key: str | None, prefix: str) -> list[str]:
    """For the command line, and for Python."""
    given = {name: value for name, value in (("key", key), ("prefix", prefix)) if value}
    typed = " ".join(f"--checkpoint-{name} {shlex.quote(value)}" for name, value in given.items())
    return [typed, f"in Python: checkpoint={json.dumps({'file': '...', **given})}"]


def _lines(kind: str, entries: Sequence[str]) -> list[str]:
    lines = [f"  {kind if i == 0 else '':<11} {entry}" for i, entry in enumerate(entries[:SHOWN])]
    return [*lines, f"  {'':<11} and {len(entries) - SHOWN} more"] if len(entries) > SHOWN else lines


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
