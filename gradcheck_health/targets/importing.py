"""Importing a person's file as Python would, except that it can shadow neither torch nor the standard library."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from gradcheck_health.records.errors import ModelError, UsageError, describe_error, did_you_mean

MAX_BYTES = 16 * 2**20
PROTECTED = frozenset(sys.stdlib_module_names) | {
    "torch",
    "numpy",
    "gradcheck_health",
    "pytest",
    "yaml",
    "pydantic",
    "click",
}


def import_target(where: str, *, is_file: bool) -> ModuleType:
    """The module of a file or of a dotted name.

    Raises:
        UsageError: there is no such file or module.
        ModelError: importing it raised, whatever it raised; the text ends with the user's own frames.
    """
    return _import_file(Path(where)) if is_file else _import_name(where)


def _import_name(name: str) -> ModuleType:
    make_importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            hint = _meant(name)
            raise UsageError(f"no module {error.name!r}{hint}; searched {Path.cwd()} and the installed packages") from None
        raise _failed(name, error) from error
    except BaseException as error:
        raise _failed(name, error) from error


def _meant(name: str) -> str:
    """What a name that is no module stands for, as a hint."""
    if Path(f"{name}.py").is_file():
        return f" (did you mean the file {name}.py?)"
    module, _, attribute = name.rpartition(".")
    if hasattr(sys.modules.get(module), attribute):  # the import got that far
        return f" (did you mean {module}:{attribute}?)"
    return did_you_mean(name, _beside(Path.cwd()))


def _import_file(typed: Path) -> ModuleType:
    check_file(typed)
    path = typed.resolve()
    root, dotted = _package(path)
    make_importable(root)
    top = dotted.partition(".")[0]
    try:
        # `net.v2.py` has a dot in its name and stands in no package `net`
        if _is_free(top, root) and not (path.parent == root and "." in path.stem):
            return importlib.import_module(dotted)
        return _under_another_name(path, root, dotted)
    except BaseException as error:
        raise _failed(str(typed), error) from error


def check_file(path: Path) -> None:
    """Refuse what cannot be a Python file, before it is opened.

    Raises:
        UsageError: it is not there, is no regular file, is not Python, or is huge.
    """
    if not path.exists():
        folder = path.parent if path.parent.is_dir() else Path()
        hint = did_you_mean(path.name, _beside(folder))
        raise UsageError(f"no file {path}{hint}")
    if not path.is_file():
        raise UsageError(f"{path}: got something that is no regular file; allowed: a Python file, or a directory of them")
    if path.suffix != ".py":
        raise UsageError(f"{path}: got a {path.suffix or 'nameless'} file; allowed: a Python file (.py)")
    if path.stat().st_size > MAX_BYTES:
        raise UsageError(f"{path}: larger than {MAX_BYTES // 2**20} MiB: no Python file written by hand is that long")


def _package(path: Path) -> tuple[Path, str]:
    """The folder to import from and the dotted name: `pkg.models.net` where the folders hold an `__init__.py`."""
    parts = [] if path.name == "__init__.py" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier() and folder != folder.parent:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts) or path.parent.name


def _is_free(top: str, root: Path) -> bool:
    """Importing `top` would give what stands in `root`, and nothing that others rely on."""
    if top in PROTECTED or not top.isidentifier():
        return False
    loaded = sys.modules.get(top)
    if loaded is not None:
        origin = getattr(loaded, "__file__", None)
        return origin is not None and Path(origin).resolve().is_relative_to(root)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve().is_relative_to(root)


def _under_another_name(path: Path, root: Path, dotted: str) -> ModuleType:
    """Load a file whose name is taken; its package comes along under another name too, so that relative imports work."""
    top, _, rest = dotted.partition(".")
    alias = f"gradhealth_target_{top}" if top.isidentifier() else "gradhealth_target"
    if not rest or path.parent == root:
        return _execute(alias, path)
    _execute(alias, root / top / "__init__.py", [str(root / top)])
    return importlib.import_module(f"{alias}.{rest}")


def _execute(name: str, path: Path, search: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"Python cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def make_importable(folder: Path) -> None:
    """Put a folder first on the path, or last if a file in it would hide a module that others rely on."""
    text = str(folder)
    if text in sys.path:
        return
    shadows = any(name in PROTECTED for name in _beside(folder, suffix=False))
    sys.path.insert(len(sys.path) if shadows else 0, text)


def _beside(folder: Path, *, suffix: bool = True) -> list[str]:
    try:
        return sorted(
            entry.name if suffix else entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()
        )
    except OSError:
        return []


def _failed(where: str, error: BaseException) -> ModelError:
    return ModelError(f"{where}: importing it raised {describe_error(error)}")
