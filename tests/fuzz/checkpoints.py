"""Files of weights with bytes changed, cut, doubled and moved: loaded, or refused with our own error; no other error, no crash.

    python -m tests.fuzz.checkpoints --count 20000 --record

Each batch is loaded in a fork that may use 2 GiB, so that what kills a process is counted and named, and takes nothing with it.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import signal
import sys
import tempfile
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from gradcheck_health.model import memory
from gradcheck_health.model.checkpoint import Checkpoint, load
from gradcheck_health.records.errors import UsageError
from tests.support.forks import Tell, forked

BATCH = 250
SECONDS = 20
"""For one file; a busy machine included."""
WORDS = (
    *(b"\x00" * 8, b"\xff" * 8, b"PK\x03\x04", b"PK\x05\x06", b"cposix\nsystem\n", b"(dp0\n"),
    *(b"\x80\x02}", b'{"a":', b"F32", b"[9e9]", b"R", b"."),
)


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))


def originals() -> list[tuple[Checkpoint, bytes]]:
    """Whole files of every kind, and where in them the weights are."""
    state = net().state_dict()
    return [
        (Checkpoint("mutated.safetensors"), save(state)),
        (Checkpoint("mutated.pt"), _pickled(state, True)),
        (Checkpoint("mutated.ckpt", "state_dict"), _pickled({"epoch": 1, "state_dict": state}, True)),
        (Checkpoint("mutated.bin"), _pickled(state, False)),
    ]


def _pickled(value: Any, new: bool) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def mutated(content: bytes, drawn: random.Random) -> bytes:
    """One to four changes; half of them in the first kilobyte, where the structure is."""
    data = bytearray(content)
    for _ in range(drawn.randrange(1, 5)):
        reach = min(len(data), 1024) if drawn.random() < 0.5 else len(data)
        at = drawn.randrange(reach) if reach else 0
        size = drawn.choice((1, 1, 2, 8, 64))
        how = drawn.randrange(6)
        if how == 0 and data:
            data[at] ^= 1 << drawn.randrange(8)
        elif how == 1:
            data[at : at + size] = drawn.randbytes(size)
        elif how == 2:
            data[at:at] = drawn.choice(WORDS)
        elif how == 3:
            del data[at : at + size]
        elif how == 4:
            data[at:at] = data[at : at + size]
        elif drawn.random() < 0.3:
            del data[at:]
    return bytes(data)


def one(number: int, folder: Path) -> str:
    """ "loaded" or "refused"; what else is raised is a fault of ours. The number of a mutation says all about it."""
    drawn = random.Random(number)
    checkpoint, content = drawn.choice(_ORIGINALS)
    path = folder / checkpoint.file
    path.write_bytes(mutated(content, drawn))
    try:
        load(net(), replace(checkpoint, file=str(path)))
    except UsageError as error:
        return "refused" if str(error).startswith(f"checkpoint {path}") else f"ERROR of {number}: {error}"
    return "loaded"


torch.manual_seed(0)
_ORIGINALS = originals()


def batch(numbers: range, folder: Path) -> dict[str, int]:
    """How often what came out; a death is named with its signal, and the numbers after it are tried by another fork."""
    counts: dict[str, int] = {}
    first = numbers.start
    while first < numbers.stop:
        lines, code = forked(partial(_load_all, range(first, numbers.stop), folder))
        first += len(lines)
        if code != 0:
            lines.append(f"CRASH {code} of {first}")
            first += 1
        for line in lines:
            counts[line] = counts.get(line, 0) + 1
    return counts


def _load_all(numbers: range, folder: Path, tell: Tell) -> None:
    memory.restrict(2 * 2**30)
    for number in numbers:
        signal.alarm(SECONDS)
        try:
            tell(one(number, folder))
        except Exception:  # noqa: BLE001 - that is what is looked for
            tell(f"ERROR of {number}: {traceback.format_exc(limit=-2)!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--record", action="store_true", help="note the number in benchmarks/results/gates.json")
    given = parser.parse_args()
    counts: dict[str, int] = {}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        for start in range(0, given.count, BATCH):
            for told, often in batch(range(start, min(start + BATCH, given.count)), Path(folder)).items():
                counts[told] = counts.get(told, 0) + often
    bad = {told: often for told, often in counts.items() if told not in ("loaded", "refused")}
    for told, often in counts.items():
        sys.stdout.write(f"{often:>7}  {told}\n")
    if given.record:
        from benchmarks.promises import gates

        gates.record(
            "mutated-checkpoints",
            promise="files of weights with bytes changed: loaded or refused, no other error and no crash",
            allowed="20 000",
            reached=f"{given.count - sum(bad.values())} of {given.count} ({counts.get('refused', 0)} refused)",
            command=f"python -m tests.fuzz.checkpoints --count {given.count} --record",
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
