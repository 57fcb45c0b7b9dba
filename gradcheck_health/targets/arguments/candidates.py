"""What an argument of a constructor is likely to take: by its annotation, its name, and the classes beside it."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType, UnionType
from typing import Any

from gradcheck_health.targets.arguments.small_configs import tiny
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION, DROPPING, LISTS, REAL, WHOLE, WIDTH, WORDS, matching

_CLASS = (
    r"(.*_)?(block|bottleneck|layer|norm|act|activation|nonlinearity|conv|cell)"
    r"(_?(layer|fn|func|class|cls|type|function))?"
)
_MODULE = r"(.*_)?(backbone|encoder|decoder|module|model|net|network|fn|body|head|trunk|generator|discriminator|layer|block)"
_FLAG = r"(use|with|is|do|has|return|enable)_.*|bias|causal|bidirectional|residual|normalize|learnable|affine"


def candidates(parameter: inspect.Parameter, owner: Any, hint: Any) -> list[Any]:
    """Values to try for one required parameter, the likeliest first; empty where nobody could know.

    Args:
        owner: the class or function that is to be called.
        hint: the resolved annotation; `inspect.Parameter.empty` without one.
    """
    found = list(_by_hint(parameter.name, hint, owner)) if hint is not inspect.Parameter.empty else []
    # a number for what is said to be text would be wrong for certain
    return found if found or hint is str else list(_by_name(parameter.name.lower(), owner))


def _by_hint(name: str, hint: Any, owner: Any) -> Iterator[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        for part in sorted(arguments, key=lambda part: part is type(None)):
            yield from [None] if part is type(None) else _by_hint(name, part, owner)
    elif origin is typing.Literal:
        yield from arguments
    elif hint is bool:
        yield from (False, True)
    elif hint is int:
        yield from _numbers(name.lower())
    elif hint is float:
        yield from matching(REAL, name.lower()) or (1.0, 0.5)
    elif hint is str:
        yield from matching(WORDS, name.lower())
    elif origin in (list, tuple) or hint in (list, tuple) or getattr(origin, "__name__", "") in ("Sequence", "Iterable"):
        yield from _sequences(name.lower(), hint, arguments)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from list(hint)[:3]
    elif origin is type or hint is type or origin is Callable or getattr(origin, "__name__", "") == "Callable":
        yield from _classes(name.lower(), owner)
    elif isinstance(hint, type):
        yield from _objects(name.lower(), hint, owner)


def _numbers(name: str) -> list[Any]:
    return [value for value in matching(WHOLE, name) if isinstance(value, int)] or [WIDTH, 8, 2]


def _sequences(name: str, hint: Any, arguments: tuple[Any, ...]) -> Iterator[Any]:
    fixed = typing.get_origin(hint) is tuple or hint is tuple
    if fixed and arguments and Ellipsis not in arguments and all(argument is int for argument in arguments):
        number = _numbers(name.rstrip("s"))[0]
        yield (32,) * len(arguments) if re.search("size|shape|resolution", name) else (number,) * len(arguments)
        return
    for value in matching(LISTS, name) or ([WIDTH, WIDTH], [2, 2, 2, 2]):
        yield tuple(value) if fixed else value


def _objects(name: str, hint: type, owner: Any) -> Iterator[Any]:
    from torch import nn

    if issubclass(hint, nn.Module):
        yield from _modules()
    elif hasattr(hint, "model_type") and hasattr(hint, "to_dict"):  # some of them are dataclasses besides
        yield tiny(hint())
    elif dataclasses.is_dataclass(hint):
        made = dataclass_of(hint)
        if made is not None:
            yield made
    elif issubclass(hint, dict | Mapping):
        yield {}


def _by_name(name: str, owner: Any) -> Iterator[Any]:
    if re.fullmatch(CONFIGURATION, name):
        yield from configurations(owner)
        return
    if re.fullmatch(_CLASS, name):
        yield from _classes(name, owner)
    if re.fullmatch(_MODULE, name):
        yield from _modules()
    if re.fullmatch(_FLAG, name):
        yield from (False, True)
        return
    known = [*matching(DROPPING, name), *matching(WHOLE, name)]
    known += matching(LISTS, name) if name.endswith("s") or "shape" in name else ()
    known += matching(WORDS, name)
    yield from known or (WIDTH, 1.0, [WIDTH, WIDTH])


def _modules() -> Iterator[Any]:
    from torch import nn

    yield from (nn.Linear(WIDTH, WIDTH), nn.Conv2d(3, WIDTH, 3, padding=1), nn.Identity())


def _classes(name: str, owner: Any) -> Iterator[Any]:
    """Layers of torch by what the name says; classes of the same file for a block."""
    from torch import nn

    if "norm" in name:
        yield from (nn.BatchNorm2d, nn.LayerNorm)
    elif re.search("act|nonlinear", name):
        yield from (nn.ReLU, nn.functional.relu)
    elif "conv" in name:
        yield nn.Conv2d
    elif "cell" in name:
        yield nn.GRUCell
    else:
        words = re.compile("block|bottleneck|layer|unit", re.I)
        for key, value in vars(_module(owner)).items():
            if isinstance(value, type) and issubclass(value, nn.Module) and value is not owner and words.search(key):
                yield value


def _module(owner: Any) -> ModuleType:
    return sys.modules.get(getattr(owner, "__module__", ""), ModuleType("nowhere"))


def dataclass_of(cls: type, depth: int = 0) -> Any:
    """An instance with a likely value for each field that has no default; None where one has none."""
    values: dict[str, Any] = {}
    try:
        hints = typing.get_type_hints(cls)
    except Exception:  # noqa: BLE001 - an annotation that only a type checker can resolve
        hints = {}
    for field in dataclasses.fields(cls):
        if not field.init or field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING:
            continue
        hint = hints.get(field.name, inspect.Parameter.empty)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type) and depth < 3:
            found = [dataclass_of(hint, depth + 1)]
        else:
            found = candidates(inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY), cls, hint)
        if not found:
            return None
        values[field.name] = found[0]
    try:
        return cls(**values)
    except Exception:  # noqa: BLE001 - its own checks refuse the guess
        return None


class Filling(types.SimpleNamespace):
    """A configuration that answers every question with a likely value, the same one each time; attributes or keys."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = candidates(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY), type(self), inspect.Parameter.empty)
        setattr(self, name, found[0])
        return found[0]

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def shown(self) -> str:
        """What was asked for so far, and what was answered."""
        return "(" + ", ".join(f".{name}={value!r}" for name, value in vars(self).items()) + ")"

    def get(self, name: str, default: Any = None) -> Any:
        return default if default is not None else getattr(self, name)


def configurations(owner: Any) -> Iterator[Any]:
    """Instances of the configuration classes in the file of `owner`, the one that shares its name first; then a filling one."""
    module = sys.modules.get(getattr(owner, "__module__", ""))
    name = getattr(owner, "__name__", "")
    found = [
        (key, value) for key, value in (vars(module) if module is not None else {}).items()
        if isinstance(value, type) and any(word in key.lower() for word in ("config", "args", "params", "cfg"))
    ]  # fmt: skip
    for _, cls in sorted(found, key=lambda pair: not pair[0].startswith(name[:3])):
        if hasattr(cls, "model_type") and hasattr(cls, "to_dict"):
            made = tiny(cls())
        elif dataclasses.is_dataclass(cls):
            made = dataclass_of(cls)
        else:
            try:
                made = cls()
            except Exception:  # noqa: BLE001 - it needs arguments, too
                continue
        if made is not None:
            yield made
    yield Filling()
