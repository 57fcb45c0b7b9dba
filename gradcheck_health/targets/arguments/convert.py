"""Tables that were given for an argument -> what the constructor takes there: a dataclass, a model of pydantic, a namespace."""

from __future__ import annotations

import argparse
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any

from gradcheck_health.records.errors import UsageError, describe_error


class Attributes(dict[str, Any]):
    """A table whose entries are attributes, too, for a parameter that does not say what it takes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the configuration has no {name!r}; it has {', '.join(self)}") from None


def converted(value: Any, hint: Any, name: str) -> Any:
    """The value for a parameter with this annotation; only tables are converted, each entry by the annotation of its field.

    Raises:
        UsageError: the class of the annotation does not take these entries.
    """
    if not isinstance(value, Mapping):
        return value
    cls = _class_of(hint)
    if cls is None:
        return Attributes({key: converted(item, None, f"{name}.{key}") for key, item in value.items()})
    try:
        return _built(cls, value, name)
    except UsageError:
        raise
    except Exception as error:
        reason = describe_error(error).partition("\n")[0]
        raise UsageError(f"--arg {name}: {cls.__name__} cannot be made of {dict(value)!r}: {reason}") from error


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
        return cls(**{key: converted(item, hints.get(key), f"{name}.{key}") for key, item in value.items()})
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
