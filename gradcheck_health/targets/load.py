"""From what the user types to models: "model.py", "model.py:Net", "model.py:build", "package.module:build".

A target becomes factories where it can, so that a verdict may be confirmed over several initialisations.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from gradcheck_health.records.errors import NothingToCheckError, UsageError, did_you_mean
from gradcheck_health.records.wording import a_kind
from gradcheck_health.targets.arguments.bind import bound, converted_all
from gradcheck_health.targets.arguments.complete import VARIADIC, arguments, complete, format_value
from gradcheck_health.targets.arguments.vocabulary import CONFIGURATION
from gradcheck_health.targets.discovery import built, functions, is_model, models, outermost, public
from gradcheck_health.targets.importing import import_target
from gradcheck_health.targets.shrink import described, shrunk
from gradcheck_health.targets.target import Target

FACTORIES = ("build", "build_model", "create_model", "get_model", "make_model", "model")
"""Functions of these names stand for a whole file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One thing to check."""

    target: str
    """The exact target that names it, "model.py:Net"."""
    model: Any
    """A factory (class or function, arguments bound), or a model."""
    made_up: Mapping[str, str] = field(default_factory=dict)
    """Arguments of the constructor that were not given, and the values that were made up, in words."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """All that the factory is bound to."""
    shrunk: str = ""
    """What is smaller than the user has it, "depth 32 -> 2"."""


Runs = Callable[[Any], bool]
"""Whether a model runs forward on some input."""


def load(text: str, args: Mapping[str, Any] | None = None, runs: Runs | None = None, *, shrink: bool = False) -> list[Loaded]:
    """Import a target and find the models in it.

    Args:
        text: what the user typed; not a directory.
        args: arguments for constructors and factories, by name; those that are required and missing are made up.
        runs: decides between values that build a model; None takes the first that do.
        shrink: smaller twins of the models instead; one that cannot be shrunk is refused when it is built.

    Raises:
        UsageError: no such file or name, no model in it, or arguments that do not fit.
        ModelError: the import failed.
    """
    target, args = Target.parse(text), args or {}
    module = import_target(target.where, is_file=target.is_file)
    if target.name:
        offered = [_bound(str(target), _lookup(module, target), args, runs)]
    else:
        offered = _discover(module, target, args, runs)
    return [_shrunk(one, runs) for one in offered] if shrink else offered


def _shrunk(one: Loaded, runs: Runs | None) -> Loaded:
    try:
        if is_model(one.model):
            raise UsageError(f"{one.target} is a model that is already built and cannot be shrunk: name its class or factory")
        factory, changed = shrunk(one.target, inspect.unwrap(one.model), one.arguments, runs)
    except UsageError as error:
        return dataclasses.replace(one, model=_refusing(error))
    return dataclasses.replace(one, model=factory, shrunk=described(changed)) if changed else one


def _lookup(module: ModuleType, target: Target) -> Any:
    """The class, function or model that the target names."""
    found: Any = module
    for part in (target.name or "").split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = public(module)
            listed = list(models(module)) or [name for name, value in known.items() if isinstance(value, type)] or list(known)
            hint = did_you_mean(part, known) or (f"; it has {', '.join(listed[:8])}" if listed else "")
            raise UsageError(f"{target.where} has no {target.name!r}{hint}") from None
    if not (callable(found) or is_model(found)):
        raise UsageError(
            f"{target}: got {a_kind(found)}; allowed: an nn.Module class, a function that returns a model, or a model"
        )
    return found


def _discover(module: ModuleType, target: Target, args: Mapping[str, Any], runs: Runs | None) -> list[Loaded]:
    """What a bare file stands for: a factory, else its model classes and the models that it made.

    A class that needs arguments is among them, unless another class of the file uses or extends it; it is refused when it is
    built where no arguments can be made up, so that it is counted as not checked.
    """
    classes, made = models(module), built(module)
    for name in FACTORIES:
        factory = _offered(module, name)
        if inspect.isfunction(factory) and (factory.__module__ == module.__name__ or not classes):
            one = _completed(f"{target.where}:{name}", factory, args, runs)
            if isinstance(one, Loaded) or not classes:
                return [_bound(f"{target.where}:{name}", factory, args, runs)]
    fitting = [name for name, found in classes.items() if not _missing(found, args) and not _unknown(found, args)]
    instances = {type(one) for one in made.values()}
    alone = [name for name, found in outermost(classes).items() if found not in instances and not _unknown(found, args)]
    found = {name: _completed(f"{target.where}:{name}", classes[name], args, runs) for name in {*fitting, *alone}}
    offered = [
        one if isinstance(one := found[name], Loaded) else _refused(f"{target.where}:{name}", cls, args, one)
        for name, cls in classes.items()
        if name in found
    ]
    checkable = [name for name, one in made.items() if type(one).__name__ not in fitting]
    offered += [Loaded(f"{target.where}:{name}", made[name]) for name in checkable]
    if checkable or any(isinstance(one, Loaded) for one in found.values()):
        return offered
    error = UsageError if classes else NothingToCheckError
    raise error(_nothing_fits(module, target, classes, args))


def _refused(where: str, found: Any, args: Mapping[str, Any], reason: str) -> Loaded:
    """What says, when it is to be built, which arguments it lacks."""

    return Loaded(where, _refusing(UsageError(_needs(where, found, args, reason))))


def _refusing(error: UsageError) -> Callable[[], Any]:
    def build() -> Any:
        raise error

    return build


def _needs(where: str, found: Any, args: Mapping[str, Any], reason: str) -> str:
    missing = _missing(found, args)
    return (
        f"{where} needs {', '.join(missing)}, which was not given, and no made-up value builds it ({reason});"
        f" give it:\n  {_command(where, missing, args)}{_as_a_file(missing)}"
    )


def _as_a_file(missing: list[str]) -> str:
    """Where a configuration is missing, how it can be given as a whole."""
    name = next((name for name in missing if re.fullmatch(CONFIGURATION, name.lower())), None)
    return (
        f"\n  (--arg {name}=@config.yaml gives the table in a file, --arg {name}.ENTRY=VALUE one entry of it)" if name else ""
    )


def _offered(module: ModuleType, name: str) -> Any:
    try:
        return getattr(module, name, None)
    except Exception:  # noqa: BLE001 - a module may have a __getattr__ of its own
        return None


def _nothing_fits(module: ModuleType, target: Target, classes: Mapping[str, Any], args: Mapping[str, Any]) -> str:
    where = target.where
    if not classes:
        offered = [
            name for name, found in functions(module).items() if not _missing(found, args) and not name.startswith("test")
        ]
        hint = (
            f"\n  is one of its functions a factory? {', '.join(f'{where}:{name}' for name in offered[:8])}" if offered else ""
        )
        return f"{where}: no model in it: it defines no nn.Module class and no function {', '.join(FACTORIES)}{hint}"
    lines = [f"{where}: none of its models can be built without more arguments; name one and give them:"]
    for name, found in list(classes.items())[:8]:
        unknown = _unknown(found, args)
        why = f"   (it takes no {', '.join(unknown)})" if unknown else ""
        lines.append(f"  {_command(f'{where}:{name}', _missing(found, args), args)}{why}")
    if len(classes) > 8:
        lines.append(f"  and {len(classes) - 8} more")
    return "\n".join(lines)


def _completed(where: str, found: Any, args: Mapping[str, Any], runs: Runs | None) -> Loaded | str:
    """The factory with the arguments that were given and made-up ones for the rest; else why that cannot be."""
    if _unknown(found, args):
        return "the arguments do not fit"
    if not _missing(found, args):
        return Loaded(where, bound(found, args) if args else found, arguments=args)
    with_them = complete(found, converted_all(found, args), _missing(found, args), runs)
    if with_them.arguments is None:
        return with_them.reason
    made_up = {name: format_value(value) for name, value in with_them.arguments.items()}
    whole = {**args, **with_them.arguments}
    return Loaded(where, bound(found, whole), made_up, whole)


def _bound(where: str, found: Any, args: Mapping[str, Any], runs: Runs | None) -> Loaded:
    """The factory with its arguments, checked against its signature."""
    if is_model(found):
        if args:
            raise UsageError(f"{where} is a model that is already built and takes no --arg: name its class instead")
        return Loaded(where, found)
    known = list(arguments(found))
    if unknown := _unknown(found, args):
        hint = did_you_mean(unknown[0], known) or (f"; it takes {', '.join(known)}" if known else "; it takes none")
        raise UsageError(f"{where} takes no argument {unknown[0]!r}{hint}")
    made = _completed(where, found, args, runs)
    if isinstance(made, Loaded):
        return made
    raise UsageError(_needs(where, found, args, made))


def _command(where: str, missing: list[str], args: Mapping[str, Any]) -> str:
    given = "".join(f" --arg {name}={value!r}" for name, value in args.items())
    return f"gradhealth check {where}{given}{''.join(f' --arg {name}=...' for name in missing)}"


def _missing(found: Any, args: Mapping[str, Any]) -> list[str]:
    required = (p for p in arguments(found).values() if p.default is p.empty and p.kind not in VARIADIC)
    return [parameter.name for parameter in required if parameter.name not in args]


def _unknown(found: Any, args: Mapping[str, Any]) -> list[str]:
    parameters = arguments(found)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    return [name for name in args if name not in parameters]
