"""`--changed-since`: which targets have source that changed, their imports in the repository included; nothing is run."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.target import Target

DYNAMIC = ("import_module", "__import__")
"""Functions that import what only a run could tell, unless they are called with a plain text."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The files of a repository that are another since a revision: changed, added, deleted, committed or not."""

    root: Path
    revision: str
    files: frozenset[Path]

    @classmethod
    def since(cls, revision: str, folder: Path) -> Changes:
        """Ask git.

        Raises:
            UsageError: no git, no repository, or no such revision.
        """
        root = Path(_git(folder, "rev-parse", "--show-toplevel").strip()).resolve()
        try:
            commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
        except UsageError:
            raise UsageError(
                f"--changed-since {revision}: git knows no such revision here; in CI fetch it first "
                "(actions/checkout: fetch-depth: 0)"
            ) from None
        named = _git(root, "diff", "--name-only", "--no-renames", "-z", commit, "--").split("\0")
        named += _git(root, "ls-files", "--others", "--exclude-standard", "-z").split("\0")
        return cls(root, revision, frozenset(root / name for name in named if name))

    def why(self, target: str, also: Sequence[Path] = ()) -> tuple[bool, str]:
        """Whether a target has to be checked, and the reason in a few words.

        Args:
            also: files beside its source that it depends on: settings, its baseline.
        """
        for path in also:
            if path.resolve() in self.files:
                return True, f"{path} changed"
        source = self._source(Target.parse(target))
        if source is None:
            return True, "its source is not in this repository"
        closure = Closure(self.root, (_import_root(source), Path.cwd().resolve(), self.root, self.root / "src"))
        closure.follow(source)
        if hit := sorted(self.files & closure.candidates):
            return True, f"{hit[0].relative_to(self.root)} changed"
        if closure.unknown:
            return True, closure.unknown
        count = len(closure.files)
        return False, f"unchanged since {self.revision} ({count} {'file' if count == 1 else 'files, its imports included'})"

    def _source(self, target: Target) -> Path | None:
        if target.is_file:
            path = Path(target.where).resolve()
            return path if path.is_relative_to(self.root) else None
        roots = (Path.cwd().resolve(), self.root, self.root / "src")
        paths = (path for root in roots for path in _module_files(root, target.where.split(".")))
        return next((path for path in paths if path.is_file() and path.is_relative_to(self.root)), None)


class Closure:
    """What a file imports within a repository, and what that imports."""

    def __init__(self, root: Path, roots: Sequence[Path]) -> None:
        self.root = root
        self.roots = list(dict.fromkeys(roots))
        self.files: set[Path] = set()
        self.candidates: set[Path] = set()
        """Every path that an import could have meant, whether or not it is there: a file that was deleted is a change, too."""
        self.unknown = ""
        """Why the closure may be larger than what was found; "" if it is not."""

    def follow(self, source: Path) -> None:
        left = [source, *self._packages(source)]
        while left:
            path = left.pop()
            self.candidates.add(path)
            if path in self.files or not path.is_file() or not path.is_relative_to(self.root):
                continue
            self.files.add(path)
            left += self._imports(path)

    def _imports(self, path: Path) -> Iterator[Path]:
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
            self.unknown = self.unknown or f"{path.relative_to(self.root)} cannot be read as Python"
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self._named(alias.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                parts = node.module.split(".") if node.module else []
                for alias in node.names:
                    yield from self._relative(path, node.level, [*parts, alias.name])
            elif isinstance(node, ast.Call):
                yield from self._called(path, node)

    def _called(self, path: Path, node: ast.Call) -> Iterator[Path]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name not in DYNAMIC:
            return
        first = node.args[0] if node.args else None
        if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
            yield from self._named(first.value.split("."))
        else:
            self.unknown = (
                self.unknown or f"{path.relative_to(self.root)}:{node.lineno} imports a name that is only known at run time"
            )

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

    def _packages(self, source: Path) -> Iterator[Path]:
        """The `__init__.py` files that run before the file itself."""
        folder = source.parent
        while (folder / "__init__.py").is_file():
            yield folder / "__init__.py"
            folder = folder.parent


def _with_parents(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    """`a`, `a.b` and `a.b.c` for `a.b.c`: importing a module runs the packages around it."""
    for end in range(1, len(parts) + 1):
        yield from _module_files(root, parts[:end])


def _module_files(root: Path, parts: Sequence[str]) -> tuple[Path, Path]:
    path = root.joinpath(*parts)
    return path / "__init__.py", path.with_name(f"{path.name}.py")


def _import_root(source: Path) -> Path:
    """The folder that stands first on the path when the file is imported: above its outermost package."""
    folder = source.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True)
    except FileNotFoundError:
        raise UsageError("--changed-since: the command git is not there: install it, or check every target") from None
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()
        raise UsageError(f"--changed-since: git {arguments[0]}: {told or 'failed'}") from None
    return done.stdout.decode("utf-8", "surrogateescape")
