"""Which line of source builds a layer or a parameter.

The owner's class is searched for the assignment to the attribute (`self.head = ...`, `register_parameter("head", ...)`); an
item of a `Sequential` is looked for among its arguments, and otherwise takes the line of the container.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from torch import nn

from gradcheck_health.probe.lines import place

_BUILDS = re.compile(r"^_*(init|reset|tie|load|save|get_param)(_|$)|^__init__$|param_groups")
"""Methods that run before or beside forward."""
_REGISTER = frozenset({"register_parameter", "register_buffer", "add_module", "register_module", "setattr"})


class Sources:
    """Looks lines up; each class is parsed once."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parsed: dict[type, tuple[str, int, ast.AST] | None] = {}

    def __call__(self, path: str) -> str | None:
        """`file:line` for the dotted path of a module or parameter; None where no source can be found."""
        found = self._find(path)
        return None if found is None else place(found[0], found[1])

    def referenced(self, path: str) -> bool:
        """Some method other than a constructor refers to the attribute `path` ends in; True where no source can be read."""
        owner_path, _, attribute = path.rpartition(".")
        try:
            owner = self._model.get_submodule(owner_path)
        except AttributeError:
            return True
        if type(owner).__module__.startswith("torch.nn."):
            return not owner_path or self.referenced(owner_path)
        overridden: set[str] = set()
        for cls in type(owner).__mro__:
            if cls is nn.Module:
                return False
            parsed = self._class(cls)
            if parsed is None:
                return True
            methods = [method for method in _methods(parsed[2]) if method.name not in overridden]
            if any(_refers(method, attribute) for method in methods):
                return True
            overridden |= {method.name for method in methods if not _calls_super(method)}
        return False

    def is_of_torch(self, path: str) -> bool:
        """The layer at `path` is of a class of torch's own."""
        try:
            return type(self._model.get_submodule(path)).__module__.startswith("torch.nn.")
        except AttributeError:
            return False

    def _find(self, path: str) -> tuple[str, int, ast.AST | None] | None:
        if not path:
            return None
        owner_path, _, attribute = path.rpartition(".")
        try:
            owner = self._model.get_submodule(owner_path)
        except AttributeError:
            return None
        if isinstance(owner, nn.Sequential | nn.ModuleList | nn.ModuleDict | nn.ParameterList | nn.ParameterDict):
            return self._item(owner_path, list(vars(owner).get("_modules", {})), attribute)
        for cls in type(owner).__mro__:
            if cls is nn.Module:
                break
            if cls.__module__.startswith("torch.nn."):
                return self._find(owner_path)  # the weight of a Linear is built where the Linear is
            found = self._assignment(cls, attribute)
            if found is not None:
                return found
        return self._find(owner_path)

    def _class(self, cls: type) -> tuple[str, int, ast.AST] | None:
        if cls not in self._parsed:
            self._parsed[cls] = _parse(cls)
        return self._parsed[cls]

    def _item(self, container: str, keys: list[str], key: str) -> tuple[str, int, ast.AST | None] | None:
        built = self._find(container)
        if built is None or not isinstance(built[2], ast.Call) or key not in keys:
            return built
        arguments = built[2].args
        if len(arguments) == len(keys) and not any(isinstance(argument, ast.Starred) for argument in arguments):
            filename, line, _ = built
            argument = arguments[keys.index(key)]
            return filename, line - built[2].lineno + argument.lineno, argument
        return built

    def _assignment(self, cls: type, attribute: str) -> tuple[str, int, ast.AST | None] | None:
        parsed = self._class(cls)
        if parsed is None:
            return None
        filename, first, tree = parsed
        for node, value in _assignments(tree, attribute):
            line = value.lineno if isinstance(value, ast.Call) else node.lineno
            return filename, first + line - 1, value
        return None


def _parse(cls: type) -> tuple[str, int, ast.AST] | None:
    try:
        lines, first = inspect.getsourcelines(cls)
        filename = inspect.getsourcefile(cls)
        return None if filename is None else (filename, first, ast.parse(textwrap.dedent("".join(lines))))
    except (OSError, TypeError, SyntaxError):  # a class made in a notebook or by exec has no file
        return None


def _assignments(tree: ast.AST, attribute: str) -> Iterator[tuple[Any, ast.AST | None]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            flat = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
            if any(isinstance(t, ast.Attribute) and t.attr == attribute and isinstance(t.value, ast.Name) for t in flat):
                yield node, node.value
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            if called in _REGISTER and attribute in names:
                yield node, node.args[-1]


def _methods(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _BUILDS.search(node.name):
            yield node


def _calls_super(method: ast.AST) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "super" for node in ast.walk(method))


def _refers(method: ast.AST, attribute: str) -> bool:
    """`x.attribute`, or a look-up that could be of any attribute."""
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and node.attr in (attribute, *_ANY):
            return True
        if isinstance(node, ast.Name) and node.id == "getattr":
            return True
    return False


_ANY = ("children", "named_children", "modules", "named_modules", "get_submodule", "_modules")
