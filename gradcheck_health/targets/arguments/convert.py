"""Tables that were given for an argument -> what the constructor takes there: a dataclass, a model of pydantic, a namespace."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from typing import Any

from gradcheck_health.records.errors import UsageError, describe_error
from gradcheck_health.targets.arguments.candidates import Filling, configurations, dataclass_of
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION


class Attributes(dict[str, Any]):
    """A table whose entries are attributes, too, for a parameter that does not say what it takes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name!r}; it has {', '.join(self)}") from None


class OverDefaults(Attributes):
    """A table over the configuration whose entries it changes: properties and methods are those of its class."""

    def __init__(self, entries: Mapping[str, Any], made: Any) -> None:
        super().__init__(entries)
        self.__dict__["made"] = made

    def __getattr__(self, name: str) -> Any:
        made = self.__dict__.get("made")  # absent while a copy is being made
        return super().__getattr__(name) if name in self or made is None else getattr(made, name)


def converted(value: Any, hint: Any, name: str, owner: Any = None) -> Any:
    """The value for a parameter with this annotation; only tables are converted, each entry by the annotation of its field.

    Raises:
        UsageError: the class of the annotation does not take these entries.
    """
    if not isinstance(value, Mapping):
        return value
    cls = _class_of(hint)
    if cls is None:
        if (made := _over_defaults(value, name, owner)) is not None:
            return made
        return Attributes({key: converted(item, None, f"{name}.{key}") for key, item in value.items()})
    try:
        return _built(cls, value, name)
    except UsageError:
        raise
    except Exception as error:
        reason = describe_error(error).partition("\n")[0]
        raise UsageError(f"--arg {name}: {cls.__name__} cannot be made of {dict(value)!r}: {reason}") from error


def _over_defaults(value: Mapping[str, Any], name: str, owner: Any) -> Any:
    """The configuration that would be made up, with these entries; None where the file of the model has no class for one."""
    if owner is None or not re.fullmatch(CONFIGURATION, name.lower()):
        return None
    base = next(iter(configurations(owner)), None)
    if isinstance(base, Filling) or base is None or not all(hasattr(base, key) for key in value):
        return None
    given = {key: converted(item, None, f"{name}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(base) and not isinstance(base, type):
        made = dataclasses.replace(base, **given)
    else:
        made = copy.copy(base)
        vars(made).update(given)
    return OverDefaults({**{key: getattr(made, key) for key in vars(made)}, **given}, made)


def _class_of(hint: Any) -> type | None:
    """The class that an annotation asks for, `Optional[Config]` included; None where it asks for none."""
    options = [one for one in typing.get_args(hint) if one is not type(None)] if _is_union(hint) else [hint]
    found = typing.get_origin(options[0]) or options[0] if len(options) == 1 else None
    return found if isinstance(found, type) and found not in (object, Any) else None


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _built(cls: type, value: Mapping[str, Any], name: str) -> Any:
    if issubclass(cls, Mapping) and cls.__name__ not in ("DictConfig", "ConfigDict"):
        return value if cls in (dict, Mapping) or typing.is_typeddict(cls) else cls(value)  # type: ignore[call-arg]
    if dataclasses.is_dataclass(cls):
        hints = typing.get_type_hints(cls)
        given = {key: converted(item, hints.get(key), f"{name}.{key}") for key, item in value.items()}
        known = {one.name for one in dataclasses.fields(cls)}
        made = dataclass_of(cls) if known >= set(given) else None  # what is not given has a default, or is made up
        return cls(**given) if made is None else dataclasses.replace(made, **given)
    if hasattr(cls, "model_validate"):  # pydantic
        return cls.model_validate(value)
    if cls.__name__ == "DictConfig":  # OmegaConf, Hydra
        import importlib

        return importlib.import_module("omegaconf").OmegaConf.create(dict(value))
    if cls.__name__ == "ConfigDict":  # ml_collections
        return cls(dict(value))
    if issubclass(cls, argparse.Namespace | types.SimpleNamespace):
        return cls(**{key: converted(item, cls, f"{name}.{key}") for key, item in value.items()})
    return cls(**value)
