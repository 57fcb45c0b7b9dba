"""What forward accepts: the module behind its wrappers, and the arguments by name, kind, default and annotation."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

EMPTY = inspect.Parameter.empty
_WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "wrapped", "model", "net", "inner")


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of forward."""

    name: str
    default: Any = EMPTY
    annotation: str = ""
    """As written, lower case."""
    keyword_only: bool = False
    positional_only: bool = False

    @property
    def required(self) -> bool:
        return self.default is EMPTY


@dataclass(frozen=True, slots=True)
class Signature:
    """The arguments in order, and whether further ones are taken."""

    owner: nn.Module
    """The module whose forward was read: the model, or what its wrappers hold."""
    arguments: tuple[Argument, ...]
    variadic: bool = False
    """Takes *args."""
    keywords: bool = False
    """Takes **kwargs."""

    def find(self, name: str) -> Argument | None:
        return next((argument for argument in self.arguments if argument.name == name), None)

    def call(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Positional and keyword arguments: positional as long as no earlier one is left out."""
        left = dict(values)
        args: list[Any] = []
        for argument in self.arguments:
            if argument.keyword_only or argument.name not in left:
                break
            args.append(left.pop(argument.name))
        args += [left.pop(name) for name in [name for name in left if name.startswith("*")]]
        return tuple(args), left


def written(signature: Signature) -> str:
    """`(x, mask=None)`: names and defaults, without the annotations, which change nothing."""
    parts = [
        argument.name if argument.required else f"{argument.name}={_default(argument)}" for argument in signature.arguments
    ]
    parts += ["*args"] * signature.variadic + ["**kwargs"] * signature.keywords
    return f"({', '.join(parts)})"


def _default(argument: Argument) -> str:
    # anything else may show its address in memory
    plain = argument.default is None or isinstance(argument.default, bool | int | float | str)
    return repr(argument.default) if plain else "..."


def read(model: nn.Module) -> Signature:
    """The signature of the innermost forward that is not a mere pass-through."""
    owner = model
    for _ in range(8):
        signature = _own(owner)
        if signature.arguments or not signature.variadic:
            return signature
        inner = _wrapped(owner)
        if inner is None:
            return signature
        owner = inner
    return _own(owner)


def _own(owner: nn.Module) -> Signature:
    try:
        parameters = inspect.signature(owner.forward).parameters.values()
    except (TypeError, ValueError):  # compiled or scripted
        return Signature(owner, (), variadic=True, keywords=True)
    kinds = inspect.Parameter
    hints = [_annotation(p) for p in parameters]
    if not any(hints):
        hints = _commented(owner.forward, len(hints)) or hints
    arguments = tuple(
        Argument(p.name, p.default, hint, p.kind is kinds.KEYWORD_ONLY, p.kind is kinds.POSITIONAL_ONLY)
        for p, hint in zip(parameters, hints, strict=True)
        if p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    )
    found = {p.kind for p in parameters}
    return Signature(owner, arguments, kinds.VAR_POSITIONAL in found, kinds.VAR_KEYWORD in found)


def _annotation(parameter: inspect.Parameter) -> str:
    hint = parameter.annotation
    if hint is EMPTY:
        return ""
    text = hint if isinstance(hint, str) else getattr(hint, "__name__", None) if isinstance(hint, type) else str(hint)
    # jaxtyping keeps its shape string in the attributes of the class that it makes
    if dims := getattr(hint, "dim_str", None):
        text = f"{getattr(hint, 'dtype', hint).__name__}[{dims}]"
    return _short(text or str(hint))


def _short(hint: str) -> str:
    return re.sub(r"\b(torch|typing|t|collections\.abc)\.", "", hint.lower())


def _commented(forward: Any, count: int) -> list[str]:
    """The types in a comment that TorchScript reads, `# type: (Tensor, Tuple[Tensor, Tensor]) -> Tensor`; [] without one."""
    try:
        found = re.search(r"#\s*type:\s*\((.+)\)\s*->", inspect.getsource(forward))
        written = ast.parse(f"[{found[1]}]", mode="eval").body if found else None
    except (OSError, TypeError, SyntaxError, ValueError):
        return []
    hints = written.elts if isinstance(written, ast.List) else []
    return [_short(ast.unparse(hint)) for hint in hints] if len(hints) == count else []


def _wrapped(owner: nn.Module) -> nn.Module | None:
    for name in _WRAPPERS:
        inner = owner._modules.get(name) or owner.__dict__.get(name)
        if isinstance(inner, nn.Module):
            return inner
    children = list(owner.children())
    return children[0] if len(children) == 1 else None
