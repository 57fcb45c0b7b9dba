"""What a file imports within a repository, and whether that is all that its behaviour depends on; read, never run.

A proof needs more than a list of imports: code may read files, or load code by a path. So a name counts as followed only where
it is known to do neither; everything else makes the closure unknown. The known library for the first half is grimp.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PLAIN = _words(
    """__future__ abc array argparse base64 bisect cmath collections collections.abc colorsys contextlib contextvars copy
    copyreg dataclasses datetime decimal difflib enum errno fractions functools gc graphlib hashlib heapq html inspect itertools
    json keyword locale logging math numbers operator pprint queue random re reprlib secrets statistics string struct textwrap
    threading time traceback types typing unicodedata unittest unittest.mock uuid warnings weakref zlib"""
)
"""Modules of Python itself that read no file and load no code of their own accord."""
ATTRIBUTES = {
    "os": _words("cpu_count getpid sep linesep name urandom PathLike fspath"),
    "sys": _words(
        """version_info version platform maxsize float_info byteorder stdout stderr exit getsizeof argv getrecursionlimit
        setrecursionlimit"""
    ),
    "importlib": _words("import_module"),
    "os.path": _words("abspath basename commonpath dirname expanduser isabs join normpath relpath sep split splitext"),
}
"""Modules of which only these names are plain."""
READERS = _words(
    """PIL cffi cloudpickle cv2 dill h5py hydra imageio joblib lmdb netCDF4 omegaconf pandas pkg_resources polars pyarrow ruamel
    safetensors skimage soundfile toml tomli torchaudio tomllib yaml zarr"""
)
"""Installed packages that are there to read files."""
NAMES = _words(
    """__builtins__ __file__ __import__ __loader__ __path__ __spec__ addsitedir datasets dlopen exec exec_module find_spec
    from_file from_pretrained fromfile genfromtxt get_data imread import_module load loadtxt memmap open read readlines reload
    run_module run_path spec_from_file_location"""
)
"""Functions and attributes that read a file or load code, wherever they come from."""
PREFIXES = ("load_", "read_", "open_")
HARMLESS = _words("load_state_dict")
BARE = _words("compile eval globals locals vars")
"""Builtins that are dangerous only under their bare name: `model.eval()` is not the function `eval`."""
DATA_SUFFIXES = tuple(
    _words(
        """.bin .cfg .ckpt .csv .h5 .ini .json .npy .npz .onnx .pickle .pkl .pt .pth .py .safetensors .so .toml .tsv .txt .yaml
        .yml"""
    )
)


class Closure:
    """The files of a repository that a source depends on, as far as they are known."""

    def __init__(self, root: Path, roots: Sequence[Path]) -> None:
        self.root = root
        found = [Path(entry).resolve() for entry in sys.path if entry]
        within = [entry for entry in found if entry.is_relative_to(root) and not _is_installed(entry)]
        self.roots = list(dict.fromkeys([*roots, *within]))
        self.files: set[Path] = set()
        self.candidates: set[Path] = set()
        """Every path that an import could refer to, whether or not it is there: a file that was deleted is a change, too."""
        self.unknown = ""
        """Why it may depend on more than what was found; "" if it does not."""

    def follow(self, source: Path) -> None:
        """Add a file, and what it imports."""
        left = [source, *packages_of(source)]
        while left:
            path = left.pop()
            self.candidates.add(path)
            if path in self.files or not path.is_file() or not path.is_relative_to(self.root):
                continue
            self.files.add(path)
            left += self._imports(path)

    def named(self, name: str) -> list[Path]:
        """The files that a dotted name may mean."""
        return list(self._named(name.split(".")))

    def _imports(self, path: Path) -> Iterator[Path]:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            self.unknown = self.unknown or f"{path.relative_to(self.root)} cannot be read as Python"
            return
        called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        modules = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._judge_module(path, node, alias.name, alias.asname)
                    yield from self._named(alias.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                yield from self._imported_from(path, node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                self._judge_text(path, node)
            elif isinstance(node, ast.Attribute | ast.Name):
                call = called.get(id(node))
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                if call is not None and name == "import_module" and (text := _plain_argument(call)):
                    yield from self._named(text.split("."))
                elif isinstance(node, ast.Attribute):
                    self._judge_attribute(path, node)
                else:
                    self._judge_name(path, node, id(node) in modules)

    def _imported_from(self, path: Path, node: ast.ImportFrom) -> Iterator[Path]:
        parts = node.module.split(".") if node.module else []
        for alias in node.names:
            if node.level == 0:
                module = ".".join(parts)
                allowed = ATTRIBUTES.get(module)
                if allowed is None or alias.name not in allowed:
                    self._judge_module(path, node, module, None, bare=allowed is None)
                if alias.name != "import_module":
                    self._judge_word(path, node, alias.name)
            yield from self._relative(path, node.level, [*parts, alias.name])

    def _relative(self, path: Path, level: int, parts: list[str]) -> Iterator[Path]:
        if level == 0:
            yield from self._named(parts)
            return
        base = path.parent
        for _ in range(level - 1):
            base = base.parent
        yield base / "__init__.py"
        yield from _with_parents(base, parts)

    def _named(self, parts: list[str]) -> Iterator[Path]:
        for root in self.roots:
            yield from _with_parents(root, parts)

    # ---- what makes it unknown

    def _doubt(self, path: Path, node: ast.AST, why: str) -> None:
        self.unknown = self.unknown or f"{path.relative_to(self.root)}:{getattr(node, 'lineno', 0)} {why}"

    def _judge_module(self, path: Path, node: ast.AST, name: str, alias: str | None, *, bare: bool = True) -> None:
        top = name.partition(".")[0]
        if bare and name in ATTRIBUTES and alias is None:
            return  # its attributes are judged where they are used
        if any(file.is_file() for file in self._named([top])):
            return
        if any(file.with_suffix(suffix).is_file() for file in self._named(name.split(".")) for suffix in _COMPILED):
            self._doubt(path, node, f"imports {name}, which is compiled")
        elif top in sys.stdlib_module_names:
            if name not in PLAIN:
                self._doubt(path, node, f"uses {name}, which can read files or load code")
        elif top in READERS:
            self._doubt(path, node, f"uses {top}, which reads files")
        elif (origin := _origin(top)) is not None and not _is_installed(origin):
            if origin.is_relative_to(self.root):
                self._doubt(path, node, f"imports {top} from {origin.relative_to(self.root)}, which is not followed")
            else:
                self._doubt(path, node, f"imports {top} from outside of this repository")

    def _judge_attribute(self, path: Path, node: ast.Attribute) -> None:
        module = ast.unparse(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else ""
        allowed = ATTRIBUTES.get(module)
        if allowed is not None and node.attr not in allowed and f"{module}.{node.attr}" not in ATTRIBUTES:
            self._doubt(path, node, f"uses {module}.{node.attr}, which can read files or load code")
        self._judge_word(path, node, node.attr)

    def _judge_name(self, path: Path, node: ast.Name, is_module: bool) -> None:
        if node.id in ATTRIBUTES and not is_module:
            self._doubt(path, node, f"hands {node.id} on, which can read files or load code")
        elif node.id in BARE:
            self._doubt(path, node, f"uses {node.id}, which can read files or load code")
        else:
            self._judge_word(path, node, node.id)

    def _judge_word(self, path: Path, node: ast.AST, word: str) -> None:
        if word == "import_module" or word == "__import__":
            self._doubt(path, node, "imports a name that is only known at run time")
        elif word in NAMES or (word.startswith(PREFIXES) and word not in HARMLESS):
            self._doubt(path, node, f"uses {word}, which can read files or load code")

    def _judge_text(self, path: Path, node: ast.Constant) -> None:
        text = str(node.value)
        if text in NAMES:
            self._doubt(path, node, f"holds the name {text!r}")
        elif text.lower().endswith(DATA_SUFFIXES) or (len(text) < 200 and self._is_path(path, text)):
            self._doubt(path, node, f"names the file {text!r}")

    def _is_path(self, path: Path, text: str) -> bool:
        if not text.strip("./ ") or "\0" in text or "\n" in text:
            return False
        try:
            return any(os.path.exists(folder / text) for folder in (path.parent, Path.cwd(), self.root))
        except (OSError, ValueError):
            return False


_COMPILED = (*importlib.machinery.EXTENSION_SUFFIXES, *importlib.machinery.BYTECODE_SUFFIXES)


def packages_of(source: Path) -> Iterator[Path]:
    """The `__init__.py` files that run before the file itself."""
    folder = source.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        yield folder / "__init__.py"
        folder = folder.parent


def module_files(root: Path, parts: Sequence[str]) -> tuple[Path, Path]:
    """Where a module may stand below a folder."""
    path = root.joinpath(*parts)
    return path / "__init__.py", path.with_name(f"{path.name}.py")


def _with_parents(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    """`a`, `a.b` and `a.b.c` for `a.b.c`: importing a module runs the packages around it."""
    for end in range(1, len(parts) + 1):
        yield from module_files(root, parts[:end])


def _plain_argument(node: ast.Call) -> str:
    """The one argument of an import by a plain absolute name; "" for anything else."""
    first = node.args[0] if len(node.args) == 1 and not node.keywords else None
    text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    return "" if text.startswith(".") else text


def _origin(top: str) -> Path | None:
    """Where an installed module stands; None where it is not there or built in."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    places = [spec.origin] if spec.has_location and spec.origin else list(spec.submodule_search_locations or ())
    return Path(places[0]).resolve() if places else None


def _is_installed(path: Path) -> bool:
    homes = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return "site-packages" in path.parts or "dist-packages" in path.parts or any(path.is_relative_to(home) for home in homes)
