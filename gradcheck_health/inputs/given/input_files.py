"""Inputs from a file: `batch.npz`, `x.npy`, `batch.pt`, `batch.safetensors`, and `batch.npz:images` for one entry of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from gradcheck_health.inputs.static.model_info import ModelInfo
from gradcheck_health.model import memory
from gradcheck_health.records.errors import InputsError, describe_error, did_you_mean
from gradcheck_health.records.wording import listed

_NAME = re.compile(r"(?P<path>.+\.(?:npz|npy|pt|pth|safetensors))(?::(?P<entry>[^:/\\]+))?", re.I)
_FORMS = "a file .npz, .npy, .pt (tensors only) or .safetensors"


def is_file(text: Any) -> bool:
    """Text that names a file of arrays, whether or not it is there."""
    return isinstance(text, str) and _NAME.fullmatch(text.strip()) is not None


def beside(given: Any, folder: Path) -> Any:
    """The same inputs with the files that stand in `folder`, and not in the working directory, by their full path."""
    if isinstance(given, Mapping):
        return {key: beside(value, folder) for key, value in given.items()}
    if isinstance(given, list):
        return [beside(value, folder) for value in given]
    if not is_file(given) or Path(_parts(given)[0]).exists() or not (folder / _parts(given)[0]).exists():
        return given
    return str((folder / given.strip()).resolve())


def load(text: str, where: str, info: ModelInfo, name: str | None = None) -> Any:
    """What the file holds, on the model's device; floats take the dtype of the model's parameters, as specs do.

    Args:
        where: names the place in errors.
        name: of the argument that one entry of the file is for; None where the whole file is wanted.

    Returns:
        A tensor, or a container of tensors as it was saved.

    Raises:
        InputsError: no such file, another format, or no such entry.
    """
    typed, entry = _parts(text)
    path = Path(typed)
    if not path.is_file():
        folder = path.parent if path.parent.is_dir() else Path()
        beside = sorted(found.name for found in folder.iterdir() if is_file(found.name))
        near = did_you_mean(path.name, beside) or (f"; there is {', '.join(beside[:4])}" if beside else "")
        raise InputsError(f"no file {typed}{near}; give {_FORMS}", where)
    found = _READERS[path.suffix.lower()](path, where)
    return _moved(_entry(found, entry, name, typed, where), info, where)


def _parts(text: str) -> tuple[str, str | None]:
    match = _NAME.fullmatch(text.strip())
    assert match is not None
    return match["path"], match["entry"]


def _entry(found: Any, entry: str | None, name: str | None, typed: str, where: str) -> Any:
    """The part of the file that was asked for."""
    if not isinstance(found, Mapping):
        if entry is not None:
            raise InputsError(f"{typed} holds no entries with names, so there is no {entry!r} in it", where)
        return found
    keys = [str(key) for key in found]
    if entry is not None:
        if entry not in found:
            raise InputsError(f"{typed} holds no entry {entry!r}{did_you_mean(entry, keys)}; it holds {_listed(keys)}", where)
        return found[entry]
    if name is None:
        # numpy's names for arrays that were saved without any
        return tuple(found.values()) if keys == [f"arr_{i}" for i in range(len(keys))] and keys else found
    if name in found:
        return found[name]
    if len(found) == 1:
        return next(iter(found.values()))
    raise InputsError(
        f"{typed} holds no entry {name!r}{did_you_mean(name, keys)}; it holds {_listed(keys)}: name one, as in"
        f" {typed}:{keys[0] if keys else 'name'}",
        where,
    )


def _listed(names: list[str]) -> str:
    return listed(names, 8) or "nothing"


def _numpy(path: Path, where: str) -> Any:
    try:
        import numpy
    except ImportError:
        raise InputsError(f"{path} needs numpy, which is not installed: pip install numpy, or save a .pt file", where) from None

    def read() -> Any:
        if path.suffix.lower() == ".npz":
            _fits(path, where)
        found = numpy.load(path, allow_pickle=False)
        return dict(found) if hasattr(found, "files") else found

    return _read(read, path, where)


def _fits(path: Path, where: str) -> None:
    """Refuse an archive that unpacks to more than the memory holds, before that is tried."""
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    allowed = memory.restricted() or memory.limit(None)
    if allowed is not None and size > allowed:
        got = f"{path} unpacks to {memory.format_size(size)}; allowed: {memory.format_size(allowed)} of memory"
        raise InputsError(f"{got}: save fewer samples, or allow more with --memory", where)


def _torch(path: Path, where: str) -> Any:
    return _read(lambda: torch.load(path, map_location="cpu", weights_only=True), path, where)


def _safetensors(path: Path, where: str) -> Any:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise InputsError(
            f"{path} needs safetensors, which is not installed: pip install safetensors, or save a .pt or .npz file", where
        ) from None
    return _read(lambda: load_file(path), path, where)


def _read(read: Callable[[], Any], path: Path, where: str) -> Any:
    try:
        return read()
    except InputsError:
        raise
    except Exception as error:
        reason = describe_error(error).partition("\n")[0][:160]
        raise InputsError(
            f"{path} is no {path.suffix} file of plain arrays ({reason}): save tensors or numbers, no objects", where
        ) from error


_READERS: dict[str, Callable[[Path, str], Any]] = {
    ".npz": _numpy,
    ".npy": _numpy,
    ".pt": _torch,
    ".pth": _torch,
    ".safetensors": _safetensors,
}


def _moved(value: Any, info: ModelInfo, where: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _moved(item, info, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_moved(item, info, f"{where}[{i}]") for i, item in enumerate(value))
    if not isinstance(value, torch.Tensor):
        if not hasattr(value, "__array__"):
            return value
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputsError(f"got an array of {value.dtype}; allowed: numbers and booleans", where) from error
    value = value.detach()
    return value.to(info.device, info.dtype) if value.is_floating_point() else value.to(info.device)
