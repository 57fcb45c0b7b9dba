"""`--changed-since`: a target is left out only where all that its verdict depends on is proven to be as it was; nothing is run.

The proof compares the bytes of each file with what git recorded for the revision. It does not ask which files changed, so that
neither git's index nor ignored files, submodules, links, filters or programs that a repository configures have a say.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from gradcheck_health.records.errors import UsageError
from gradcheck_health.targets.closure import Closure, module_files
from gradcheck_health.targets.target import Target

ENVIRONMENT = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "*requirements*.txt",
    "constraints*.txt",
    "*.lock",
    "environment*.y*ml",
    "Pipfile",
)
"""Files that say which packages are installed."""
BESIDE = ("conftest.py", "gradhealth.yaml")
"""Files that hold for the files of their folder and below."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The files of a repository as a revision holds them."""

    root: Path
    revision: str
    blobs: Mapping[str, str]
    """Path from the root -> git's hash of the contents; regular files only."""

    @classmethod
    def since(cls, revision: str, folder: Path) -> Changes:
        """Ask git.

        Raises:
            UsageError: no git, no repository, or no such revision.
        """
        root = Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
        try:
            commit = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
        except UsageError:
            raise UsageError(
                f"--changed-since {revision}: git knows no such revision here; in CI fetch it first "
                "(actions/checkout: fetch-depth: 0)"
            ) from None
        entries = (entry.partition("\t") for entry in _git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0"))
        blobs = {name: head.split()[2] for head, _, name in entries if head.startswith("100")}
        return cls(root, revision, blobs)

    def why(self, target: str, also: Sequence[Path] = (), rules: Sequence[str] = ()) -> tuple[bool, str]:
        """Whether a target has to be checked, and the reason in a few words.

        Args:
            also: files beside its source that it depends on: settings, baselines, weights, inputs.
            rules: modules of the user's own rules.
        """
        source = self._source(Target.parse(target))
        if source is None:
            return True, "its source is not in this repository"
        closure = Closure(self.root, (_import_root(source), Path.cwd().resolve(), self.root, self.root / "src"))
        closure.follow(source)
        for module in rules:
            for path in closure.named(module):
                closure.follow(path)
        around = [path for folder in self._folders(source) for path in self._holding(folder)]
        for path in [*also, *sorted(closure.candidates), *around]:
            if not self._is_proven(path):
                absolute = self._absolute(path)
                inside = absolute.is_relative_to(self.root)
                shown = absolute.relative_to(self.root) if inside else path
                return True, f"{shown} {'changed' if inside else 'is outside of this repository'}"
        if closure.unknown:
            return True, closure.unknown
        count = len(closure.files)
        return False, f"unchanged since {self.revision} ({count} {'file' if count == 1 else 'files, its imports included'})"

    def _is_proven(self, path: Path) -> bool:
        """The path holds the bytes that it held in the revision, or nothing in both."""
        absolute = self._absolute(path)
        if not absolute.is_relative_to(self.root):
            return False
        blob = self.blobs.get(absolute.relative_to(self.root).as_posix())
        if not os.path.lexists(absolute):
            return blob is None
        if blob is None or not absolute.is_file() or absolute.resolve() != absolute:
            return False
        try:
            contents = absolute.read_bytes()
        except OSError:
            return False
        digest = hashlib.sha1 if len(blob) == 40 else hashlib.sha256
        return digest(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest() == blob

    def _absolute(self, path: Path) -> Path:
        return Path(os.path.normpath(Path.cwd().resolve() / path))

    def _folders(self, source: Path) -> Iterator[Path]:
        """Those around the source and around the working directory, up to the root."""
        for start in dict.fromkeys((source.parent, Path.cwd().resolve())):
            for folder in (start, *start.parents):
                if folder.is_relative_to(self.root):
                    yield folder

    def _holding(self, folder: Path) -> Iterator[Path]:
        """What a folder holds, or held, that decides for others: settings, conftest.py, the list of installed packages."""
        there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        prefix = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        was = {name[len(prefix) :] for name in self.blobs if name.startswith(prefix)}
        for name in sorted(there | {name for name in was if "/" not in name}):
            if name in BESIDE or any(fnmatch(name, pattern) for pattern in ENVIRONMENT):
                yield folder / name

    def below(self, folder: Path, prefix: str) -> list[Path]:
        """The files of a folder that begin so, now or in the revision."""
        absolute = self._absolute(folder)
        names = {entry.name for entry in absolute.iterdir()} if absolute.is_dir() else set()
        if absolute.is_relative_to(self.root):
            names |= {Path(name).name for name in self.blobs if (self.root / name).parent == absolute}
        return [absolute / name for name in sorted(names) if name.startswith(prefix)]

    def _source(self, target: Target) -> Path | None:
        if target.is_file:
            path = self._absolute(Path(target.where))
            return path if path.is_relative_to(self.root) else None
        roots = (Path.cwd().resolve(), self.root, self.root / "src")
        paths = (path for root in roots for path in module_files(root, target.where.split(".")))
        return next((path for path in paths if path.is_file() and path.is_relative_to(self.root)), None)


def files_named_in(value: Any, folder: Path) -> Iterator[Path]:
    """The files that settings name, wherever in the table: weights, inputs, baselines."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from files_named_in(key, folder)
            yield from files_named_in(item, folder)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from files_named_in(item, folder)
    elif isinstance(value, str) and 0 < len(value) < 4096 and "\0" not in value and "\n" not in value:
        for text in dict.fromkeys((value, value.rpartition(":")[0], value.rpartition("=")[2])):
            for path in (Path(text), folder / text) if text else ():
                if os.path.isfile(path):
                    yield path


def _import_root(source: Path) -> Path:
    """The folder that stands first on the path when the file is imported: above its outermost package."""
    folder = source.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def _git(folder: Path, *arguments: str) -> str:
    """What git says; it runs none of the programs that a repository may configure, and fetches nothing."""
    command = ["git", "--no-replace-objects", "-c", "core.fsmonitor=", "-c", f"core.hooksPath={os.devnull}", *arguments]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=True, env=environment)
    except FileNotFoundError:
        raise UsageError("--changed-since: the command git is not there: install it, or check every target") from None
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()
        raise UsageError(f"--changed-since: git {arguments[0]}: {told or 'failed'}") from None
    return done.stdout.decode("utf-8", "surrogateescape")
