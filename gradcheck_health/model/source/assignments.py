"""Which line of source builds a layer or a parameter.

The owner's class is searched for the assignment to the attribute (`self.head = ...`, `register_parameter("head", ...)`); an
item of a `Sequential` is searched for among its arguments, and otherwise takes the line of the container.
"""

from __future__ import annotations

import ast

from torch import nn

from gradcheck_health.model.source.built_at import built_at
from gradcheck_health.model.source.class_code import Code, compiled, parse
from gradcheck_health.model.source.lines import place
from gradcheck_health.model.wrappers import own_class


class Assignments:
    """Looks lines up; each class is parsed once."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parsed: dict[type, Code | None] = {}

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
            of_class = compiled(cls) if parsed is None else parsed.methods
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

    def _class(self, cls: type) -> Code | None:
        if cls not in self._parsed:
            self._parsed[cls] = parse(cls)
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
