"""Importing the user's file as Python would, except that it can shadow neither torch nor the standard library."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from gradcheck_health.records.errors import ModelError, UsageError, describe_error, did_you_mean

MAX_BYTES = 16 * 2**20
GUARD = 'put what parses arguments, reads data or trains under `if __name__ == "__main__":`'
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
    beside = Path("src", *name.split("."))
    for file in (beside.with_suffix(".py"), beside / "__init__.py"):
        if file.is_file():
            return f" (did you mean the file {file}? or install the project: pip install -e .)"
    module, _, attribute = name.rpartition(".")
    if hasattr(sys.modules.get(module), attribute):  # the import got that far
        return f" (did you mean {module}:{attribute}?)"
    return did_you_mean(name, _beside(Path.cwd()))


def _import_file(typed: Path) -> ModuleType:
    """Load the file under the name that Python would give it, where that name is free, and under another where it is not."""
    check_file(typed)
    path = typed.resolve()
    root, dotted = _package(path)
    make_importable(root, first=True)
    importlib.invalidate_caches()
    sys.argv[:1] = [str(typed)]  # the name of the program, where it prints one
    try:
        # `net.v2.py` has a dot in its name and stands in no package `net`
        if _is_free(dotted, path, root) and not (path.parent == root and "." in path.stem):
            module = importlib.import_module(dotted)
        else:
            module = _under_another_name(path, root, dotted)
    except BaseException as error:
        raise _failed(str(typed), error) from error
    if not _is_of(module, path):
        raise ModelError(f"{typed}: importing it gave another file, {getattr(module, '__file__', None)}: nothing was checked")
    return module


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
        listed = not path.is_dir() or os.access(path, os.R_OK | os.X_OK)
        kind = "something that is no regular file" if listed else "a folder that cannot be listed"
        raise UsageError(f"{path}: got {kind}; allowed: a Python file, or a directory of them")
    if path.suffix == ".ipynb":
        name = path.with_suffix(".py").name
        raise UsageError(
            f"{path}: got a notebook; allowed: a Python file. Write its cells to {name} with `jupyter nbconvert --to script "
            f"{path}`, or call check_gradients(model) in a cell"
        )
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


def _is_free(dotted: str, path: Path, root: Path) -> bool:
    """Importing the name would give this very file, and nothing that others rely on."""
    top = dotted.partition(".")[0]
    if top in PROTECTED or not top.isidentifier():
        return False
    if (loaded := sys.modules.get(dotted)) is not None:
        return _is_of(loaded, path)
    outermost = path if path.parent == root else root / top / "__init__.py"
    if (loaded := sys.modules.get(top)) is not None:
        return _is_of(loaded, outermost)
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == outermost.resolve()


def _is_of(module: ModuleType, path: Path) -> bool:
    origin = getattr(module, "__file__", None)
    return isinstance(origin, str) and Path(origin).resolve() == path.resolve()


def _under_another_name(path: Path, root: Path, dotted: str) -> ModuleType:
    """Load a file whose name is taken; its package comes along under another name too, so that relative imports work."""
    top, _, rest = dotted.partition(".")
    alone = not rest or path.parent == root
    digest = hashlib.sha256(os.fsencode(path if alone else root / top)).hexdigest()[:8]
    alias = f"gradhealth_target_{f'{top}_' if top.isidentifier() else ''}{digest}"
    if alone:
        return _execute(alias, path)
    if alias not in sys.modules:
        _execute(alias, root / top / "__init__.py", [str(root / top)])
    return importlib.import_module(f"{alias}.{rest}")


def _execute(name: str, path: Path, search: list[str] | None = None) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"Python cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def make_importable(folder: Path, *, first: bool = False) -> None:
    """Put a folder first on the path, or last if a file in it would hide a module that others rely on.

    Args:
        first: also where it is on the path already, as Python does for the file that it runs.
    """
    text = str(folder)
    if text in sys.path and not first:
        return
    sys.path[:] = [entry for entry in sys.path if entry != text]
    shadows = any(name in PROTECTED for name in _beside(folder, suffix=False))
    sys.path.insert(len(sys.path) if shadows else 0, text)


@contextlib.contextmanager
def own_imports(where: Path) -> Iterator[None]:
    """In a process that checks several targets: what the files beside this one are called means those files.

    Modules of the same names that stand elsewhere are put aside, and they and the path come back afterwards.
    """
    root, _ = _package(where.resolve())
    aside = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_hiding(name.partition(".")[0], root)}
    names = {name.partition(".")[0] for name in aside}
    path = list(sys.path)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(aside)
        sys.path[:] = path


def _is_hiding(top: str, root: Path) -> bool:
    """A module of this name was imported from elsewhere, and the folder has one, too."""
    if top in PROTECTED:
        return False
    origin = getattr(sys.modules.get(top), "__file__", None)
    beside = [path for path in (root / f"{top}.py", root / top / "__init__.py") if path.is_file()]
    return isinstance(origin, str) and bool(beside) and all(not _is_of(sys.modules[top], path) for path in beside)


def _beside(folder: Path, *, suffix: bool = True) -> list[str]:
    try:
        return sorted(
            entry.name if suffix else entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()
        )
    except OSError:
        return []


def _failed(where: str, error: BaseException) -> ModelError:
    ended = isinstance(error, SystemExit)
    hint = f"\n  it runs as a program where it is imported: {GUARD}" if ended else ""
    return ModelError(f"{where}: importing it raised {describe_error(error)}{hint}")
