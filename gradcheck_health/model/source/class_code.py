"""What a class says of its attributes, by its source or its bytecode: where they are assigned, and which methods use them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any

from gradcheck_health.model.source.class_source import class_source

_BUILDS = re.compile(r"^_*(init|reset|tie|load|save|get_param)(_|$)|^__init__$|param_groups")
"""Methods that run before or beside forward."""
_REGISTER = frozenset({"register_parameter", "register_buffer", "add_module", "register_module", "setattr"})


@dataclass(frozen=True, slots=True)
class Method:
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


@dataclass(frozen=True)
class Code:
    """A class, read once."""

    filename: str
    first: int
    tree: ast.AST

    @cached_property
    def assignments(self) -> Mapping[str, tuple[Any, ast.AST | None]]:
        """Attribute -> the first statement that assigns it, and what."""
        found: dict[str, tuple[Any, ast.AST | None]] = {}
        for attribute, node, value in _assignments(self.tree):
            found.setdefault(attribute, (node, value))
        return found

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        return tuple(_methods(self.tree))


def parse(cls: type) -> Code | None:
    source = class_source(cls)
    if source is None:
        return None
    lines, first, filename = source
    try:
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except SyntaxError:
        return None
    return Code(filename, first, tree)


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


def _methods(tree: ast.AST) -> Iterator[Method]:
    owner = next((node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)), "")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _BUILDS.search(node.name):
            inside = list(ast.walk(node))
            names = {item.id for item in inside if isinstance(item, ast.Name)}
            attributes = frozenset(_in_full(item.attr, owner) for item in inside if isinstance(item, ast.Attribute))
            yield Method(node.name, attributes, "getattr" in names, "super" in names, goes_straight(node))


def _in_full(attribute: str, owner: str) -> str:
    """`__x` of a class A is `_A__x` to everyone else."""
    private = owner and attribute.startswith("__") and not attribute.endswith("__")
    return f"_{owner.lstrip('_')}{attribute}" if private else attribute


def compiled(cls: type) -> Iterator[Method]:
    """The same without source, as of a class from a notebook or exec(): names in bytecode, whatever they stand for."""
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
        if code is not None and not _BUILDS.search(name):
            names = frozenset(names_in(code))
            yield Method(name, names, "getattr" in names, "super" in names, straight=False)


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
