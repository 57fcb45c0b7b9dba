"""Which line of source builds a layer or a parameter.

The owner's class is searched for the assignment to the attribute (`self.head = ...`, `register_parameter("head", ...)`); an
item of a `Sequential` is searched for among its arguments, and otherwise takes the line of the container.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

from torch import nn

from gradcheck_health.model.source.built_at import built_at
from gradcheck_health.model.source.class_source import class_source
from gradcheck_health.model.source.lines import place
from gradcheck_health.model.wrappers import own_class

_BUILDS = re.compile(r"^_*(init|reset|tie|load|save|get_param)(_|$)|^__init__$|param_groups")
"""Methods that run before or beside forward."""
_REGISTER = frozenset({"register_parameter", "register_buffer", "add_module", "register_module", "setattr"})


class Assignments:
    """Looks lines up; each class is parsed once."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parsed: dict[type, _Code | None] = {}

    def __call__(self, path: str) -> str | None:
        """`file:line` for the dotted path of a module or parameter; None where no source can be found."""
        found = self._find(path)
        return built_at(self._model, path) if found is None else place(found[0], found[1])

    def referenced(self, path: str) -> bool:
        """Some method other than a constructor refers to the attribute `path` ends in: by its source, else by its bytecode."""
        owner_path, _, attribute = path.rpartition(".")
        try:
            owner = self._model.get_submodule(owner_path)
        except AttributeError:
            return True
        if own_class(owner).__module__.startswith("torch.nn."):
            return not owner_path or self.referenced(owner_path)
        overridden: set[str] = set()
        assigned_by = ""
        for cls in own_class(owner).__mro__:
            if cls is nn.Module:
                return False
            parsed = self._class(cls)
            package = cls.__module__.partition(".")[0]
            if parsed is not None and attribute in parsed.assignments:
                assigned_by = package
            of_class = _compiled(cls) if parsed is None else parsed.methods
            methods = [method for method in of_class if method.name not in overridden]
            # the base class of a framework looks through the layers of all models: that says nothing about this one
            foreign = assigned_by not in ("", package)
            if any(method.names(attribute) if foreign else method.refers_to(attribute) for method in methods):
                return True
            overridden |= {method.name for method in methods if not method.calls_super}
        return False

    def is_of_torch(self, path: str) -> bool:
        """The layer at `path` is of a class of torch's own."""
        try:
            return own_class(self._model.get_submodule(path)).__module__.startswith("torch.nn.")
        except AttributeError:
            return False

    def fixed(self, path: str) -> bool:
        """Every run takes the same items of the container that holds `path`: what one run left out, all leave out.

        Its owner's methods go through it without a branch, and how far depends on no argument.
        """
        container, _, _ = path.rpartition(".")
        owner_path, _, attribute = container.rpartition(".")
        try:
            held, owner = self._model.get_submodule(container), self._model.get_submodule(owner_path)
        except AttributeError:
            return False
        if not container or not isinstance(held, nn.ModuleList) or own_class(owner).__module__.startswith("torch.nn."):
            return False
        parsed = [self._class(cls) for cls in own_class(owner).__mro__ if not cls.__module__.startswith(("torch.", "builtins"))]
        if not parsed or any(one is None for one in parsed):
            return False
        users = [method for one in parsed if one is not None for method in one.methods if method.refers_to(attribute)]
        return bool(users) and all(method.straight for method in users)

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
        for cls in own_class(owner).__mro__:
            if cls is nn.Module:
                break
            if cls.__module__.startswith("torch.nn."):
                return self._find(owner_path)  # the weight of a Linear is built where the Linear is
            found = self._assignment(cls, attribute)
            if found is not None:
                return found
        return self._find(owner_path)

    def _class(self, cls: type) -> _Code | None:
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
        if attribute not in parsed.assignments:
            return None
        node, value = parsed.assignments[attribute]
        line = value.lineno if isinstance(value, ast.Call) else node.lineno
        return parsed.filename, parsed.first + line - 1, value


@dataclass(frozen=True, slots=True)
class _Method:
    """One method that runs in forward, or may."""

    name: str
    attributes: frozenset[str]
    """x.attribute, for every x."""
    looks_up: bool
    """By getattr(), whatever it may be."""
    calls_super: bool
    straight: bool
    """See `goes_straight`."""

    def names(self, attribute: str) -> bool:
        return attribute in self.attributes

    def refers_to(self, attribute: str) -> bool:
        return self.names(attribute) or self.looks_up or not self.attributes.isdisjoint(_ANY)


@dataclass(frozen=True, slots=True)
class _Code:
    """A class, read once."""

    filename: str
    first: int
    assignments: Mapping[str, tuple[Any, ast.AST | None]]
    """Attribute -> the first statement that assigns it, and what."""
    methods: tuple[_Method, ...]


def _parse(cls: type) -> _Code | None:
    source = class_source(cls)
    if source is None:
        return None
    lines, first, filename = source
    try:
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except SyntaxError:
        return None
    assignments: dict[str, tuple[Any, ast.AST | None]] = {}
    for attribute, node, value in _assignments(tree):
        assignments.setdefault(attribute, (node, value))
    return _Code(filename, first, assignments, tuple(_methods(tree)))


def _assignments(tree: ast.AST) -> Iterator[tuple[str, Any, ast.AST | None]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            flat = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
            for target in flat:
                if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
                    yield target.attr, node, node.value
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            names = [argument.value for argument in node.args[:2] if isinstance(argument, ast.Constant)]
            for name in names if called in _REGISTER else ():
                if isinstance(name, str):
                    yield name, node, node.args[-1]


def _methods(tree: ast.AST) -> Iterator[_Method]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _BUILDS.search(node.name):
            inside = list(ast.walk(node))
            names = {item.id for item in inside if isinstance(item, ast.Name)}
            attributes = frozenset(item.attr for item in inside if isinstance(item, ast.Attribute))
            yield _Method(node.name, attributes, "getattr" in names, "super" in names, goes_straight(node))


def _compiled(cls: type) -> Iterator[_Method]:
    """The same without source, as of a class from a notebook or exec(): names in bytecode, whatever they stand for."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is not None and not _BUILDS.search(name):
            names = frozenset(names_in(code))
            yield _Method(name, names, "getattr" in names, "super" in names, straight=False)


def names_in(code: CodeType) -> Iterator[str]:
    """Globals and attributes that a function refers to, those of the functions inside it included."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def goes_straight(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Nothing branches in it, and no argument says how often a loop turns or which item is taken."""
    given = {argument.arg for argument in ast.walk(method.args) if isinstance(argument, ast.arg)} - {"self"}
    for node in ast.walk(method):
        if isinstance(node, _BRANCHES) or (isinstance(node, ast.comprehension) and node.ifs):
            return False
        calls_range = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range"
        says = [node] if calls_range else [node.slice] if isinstance(node, ast.Subscript) else []
        if any(isinstance(name, ast.Name) and name.id in given for part in says for name in ast.walk(part)):
            return False
    return sum(isinstance(node, ast.Return | ast.Yield) for node in ast.walk(method)) == 1


_BRANCHES = (ast.If, ast.IfExp, ast.While, ast.Break, ast.Continue, ast.Try, ast.Match, ast.BoolOp, ast.Lambda)
_ANY = ("children", "named_children", "modules", "named_modules", "get_submodule", "_modules")
"""What hands out modules by other names than their own."""
