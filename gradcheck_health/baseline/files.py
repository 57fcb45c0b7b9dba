"""Baselines on disk: one file a target, replaced in one step, and read, changed and written under a lock."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from gradcheck_health.baseline import Baseline, command
from gradcheck_health.baseline.document import dump, load
from gradcheck_health.records.errors import UsageError
from gradcheck_health.records.files import locked, read_regular, replace, sweep

MAX_BYTES = 2**28
"""Of a baseline."""


def path_for(place: str | Path, target: str) -> Path:
    """The file for a target: `place` itself where that is a `.json` file, otherwise a file in that folder.

    Its name is that of the target as far as a file system can hold it, and a hash of the whole.
    """
    folder = Path(place)
    if folder.suffix == ".json":
        return folder
    digest = hashlib.sha256(target.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return folder / f"{_slug(target) or 'model'}-{digest}.json"


def _slug(target: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", target).strip("-.")[:80]


def of_source(place: str | Path, target: str) -> list[Path]:
    """The files that may be baselines of a target, or of any model in it where it names a whole file."""
    exact = path_for(place, target)
    if exact == Path(place) or ":" in target:
        return [exact]
    return sorted(Path(place).glob(f"{glob.escape(_slug(f'{target}:'))}-*.json"))


def beginning(place: str | Path, target: str) -> tuple[Path, str]:
    """The folder in which baselines of a target stand, or stood, and how their names begin."""
    exact = path_for(place, target)
    whole = exact == Path(place) or ":" in target
    return exact.parent, exact.name if whole else f"{_slug(f'{target}:')}-"


def read(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        UsageError: it is not there, or it is no whole baseline.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8")
    except FileNotFoundError:
        raise UsageError(f"no baseline {path}") from None
    except UsageError as error:
        raise UsageError(f"baseline {error}") from None
    except ValueError as error:
        raise UsageError(f"baseline {path}: cannot be read: {error}") from None
    return load(text, str(path))


def required(path: Path, target: str) -> Baseline:
    """The baseline that a target is compared with.

    Raises:
        UsageError: there is none, with the command that writes it; or see `read`.
    """
    if not path.exists():
        raise UsageError(f"no baseline {path} for {target}: write it with `{command('write', target)}`, and commit it")
    return read(path)


def update(path: Path, change: Callable[[Baseline | None], Baseline], *, environ: Mapping[str, str] | None = None) -> bool:
    """Replace a baseline by what `change` makes of it (None: there is none yet); no other writer comes between.

    A reader meets the old file or the new one and never half of it, also if this process is killed.

    Returns:
        Whether the file is another now.

    Raises:
        UsageError: `CI` is set, or the file cannot be written; then it is as it was.
    """
    refuse_in_ci(environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path):
            sweep(path)
            old = read(path) if path.exists() else None
            text = dump(change(old))
            if old is not None and read_regular(path, MAX_BYTES).decode("utf-8") == text:
                return False
            replace(path, text)
            return True
    except OSError as error:
        raise UsageError(f"baseline {path}: cannot be written: {error.strerror or error}; the file is as it was") from None


def refuse_another(path: Path, old: Baseline | None, target: str) -> None:
    """A baseline is not overwritten by that of another model: the reasons that it holds would be lost.

    Raises:
        UsageError: the file is the baseline of another target.
    """
    if old is not None and old.target not in ("", target):
        raise another(path, old.target, target)


def another(path: Path, stored: str, target: str) -> UsageError:
    """What is said where two models would share a baseline."""
    return UsageError(f"{path} is the baseline of {stored}, not of {target}: give a folder, which holds a file for each model")


def refuse_in_ci(environ: Mapping[str, str] | None = None) -> None:
    """A baseline that CI writes is one that nobody reviewed.

    Raises:
        UsageError: the variable `CI` is set, and not to false or 0.
    """
    value = (os.environ if environ is None else environ).get("CI", "")
    if value.lower() not in ("", "0", "false", "no"):
        raise UsageError(f"CI is set ({value!r}), and there no baseline is written: write it on your machine, and commit it")
