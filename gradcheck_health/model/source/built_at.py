"""Which line built a layer of torch's, as a factory puts it together: for those that no class of the user assigns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook, register_module_parameter_registration_hook
from torch.utils.weak import WeakIdKeyDictionary

from gradcheck_health.model.source.lines import user_line
from gradcheck_health.model.wrappers import own_class

_lines = WeakIdKeyDictionary()


@contextlib.contextmanager
def construction() -> Iterator[None]:
    """Within the block, the lines are noted on which layers of torch's get their parameters and their children."""

    def note(module: nn.Module, name: str, held: Any) -> None:
        if own_class(module).__module__.startswith("torch.nn.") and module not in _lines:
            _lines[module] = user_line()
        if isinstance(held, nn.Module) and held not in _lines:  # without parameters: an activation in a Sequential
            _lines[held] = user_line()

    handles = [register_module_parameter_registration_hook(note), register_module_module_registration_hook(note)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def built_at(model: nn.Module, path: str) -> str | None:
    """`file:line` of the module or parameter at `path`, or of the innermost module around it that is known."""
    while True:
        with contextlib.suppress(AttributeError):  # a parameter
            module = model.get_submodule(path)
            if module in _lines:
                line: str | None = _lines[module]
                return line
        if not path:
            return None
        path = path.rpartition(".")[0]
