"""A file of weights -> its contents. Of a pickle only tensors and plain values are read; what else it asks for is refused."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from gradcheck_health.records.errors import UsageError, describe_error, did_you_mean
from gradcheck_health.records.wording import a_kind

INDEX = ".index.json"
MAX_INDEX = 64 * 2**20
"""Bytes of an index of shards."""
FORMS = ".safetensors (best), .pt, .pth, .bin or .ckpt, or the index of shards, .index.json"


def read(name: str) -> Mapping[str, Any]:
    """What the file holds, on the CPU: names to tensors, or, in a pickle, whatever was saved around them.

    Raises:
        UsageError: no such file, another format, a broken file, one that holds code, or no names in it.
    """
    path = Path(name)
    if not path.is_file():
        raise UsageError(_not_there(path))
    reader = _reader(path)
    if reader is None:
        raise UsageError(f"checkpoint {path}: got a {path.suffix or 'nameless'} file; allowed: {FORMS}")
    held = reader(path)
    if not isinstance(held, Mapping):
        raise UsageError(
            f"checkpoint {path}: got {a_kind(held)}; allowed: names with tensors, as model.state_dict() gives them"
        )
    return held


def _not_there(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    found = sorted(entry.name for entry in folder.iterdir() if _reader(entry) is not None) if folder.is_dir() else []
    if path.is_dir():
        return f"checkpoint {path}: got a folder; name a file in it{': ' + ', '.join(found[:4]) if found else f', {FORMS}'}"
    kind = "is no regular file" if path.exists() else "there is no such file"
    return f"checkpoint {path}: {kind}{did_you_mean(path.name, found)}; allowed: {FORMS}"


def _reader(path: Path) -> Callable[[Path], Any] | None:
    if path.name.endswith(INDEX):
        return _sharded
    if path.suffix.lower() == ".safetensors":
        return _safetensors
    return _pickled if path.suffix.lower() in (".pt", ".pth", ".bin", ".ckpt") else None


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise UsageError(
            f"checkpoint {path}: safetensors is not installed: pip install 'gradcheck-health[safetensors]'"
        ) from None
    try:
        return dict(load_file(path))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of its Rust code is no Exception
        raise _broken(path, error) from error


def _pickled(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights only" in str(error).lower() or "weights_only" in str(error):
            raise UsageError(
                f"checkpoint {path}: it holds more than tensors ({_asked_for(error)}), and no code of a file is run\n"
                "  write       torch.save(model.state_dict(), 'weights.pt')\n"
                "  or, better  safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')"
            ) from error
        raise _broken(path, error) from error


def _asked_for(error: Exception) -> str:
    """`posix.system`, out of a long message of torch."""
    text = str(error)
    if "TorchScript" in text:
        return "a TorchScript archive"
    asked = re.search(r"GLOBAL ([\w.]{1,80})", text)
    return asked[1].rstrip(".") if asked else "an instruction that is not for tensors"


def _broken(path: Path, error: BaseException) -> UsageError:
    reason = describe_error(error).partition("\n")[0][:200]
    return UsageError(f"checkpoint {path}: this is no whole {path.suffix} file ({reason}): save it again, or copy it again")


def _sharded(path: Path) -> dict[str, Any]:
    """The tensors of every shard that the index names; shards stand beside the index."""
    try:
        if path.stat().st_size > MAX_INDEX:
            raise ValueError(f"larger than {MAX_INDEX // 2**20} MiB")
        places = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted({str(shard) for shard in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _broken(path, error) from error
    found: dict[str, Any] = {}
    for shard in shards:
        if Path(shard).name != shard or shard.endswith(INDEX):
            raise UsageError(f"checkpoint {path}: got the shard {shard!r}; allowed: the name of a file beside the index")
        found |= read(str(path.parent / shard))
    wrong = [name for name in places if name not in found]
    if wrong:
        raise UsageError(f"checkpoint {path}: {places[wrong[0]]} does not hold {wrong[0]!r}, as the index says: copy it again")
    return found
