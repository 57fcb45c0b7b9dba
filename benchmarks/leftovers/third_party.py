"""What a whole check leaves behind in models of other people, by the fingerprint of the tests.

    python -m benchmarks.leftovers.third_party [--limit N] [--only timm-resnet] [--record]

The layers of torch's own module database, the models of the zoo, those of further packages, and every architecture of transformers that
can be built from a tiny configuration; each in a forked process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.inputs.child import in_child, line
from benchmarks.inputs.subjects import COLLECTIONS
from benchmarks.promises.gates import record
from gradcheck_health import check_gradients
from tests.model.leftovers.fingerprint import Fingerprint
from tests.zoo.third_party import TIMM, TORCH, TORCHVISION, TRANSFORMERS

CPU = 60
"""Seconds for one model, building it included."""
Build = Callable[[], tuple[nn.Module, Any]]


def models() -> Iterator[tuple[str, Build]]:
    """(name, build); inputs are made up where the second of what is built is None."""
    for entry in TORCH:
        yield entry.name, entry.build
    for entry in TORCHVISION + TIMM + TRANSFORMERS:
        yield entry.name, entry.build
    for collection in ("torch_nn", "third_party", "transformers"):
        for name, build in COLLECTIONS[collection]():
            yield f"{collection}-{name}", partial(_without_inputs, build)


def _without_inputs(build: Build) -> tuple[nn.Module, Any]:
    return build()[0], None


def traces(build: Build) -> dict[str, Any]:
    """Where model, inputs or process are different after a check; also after one that fails."""
    torch.manual_seed(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, inputs = build()
    except BaseException as error:  # noqa: BLE001 - other people's constructors
        return {"outcome": "not built", "error": line(error)}
    before = Fingerprint.of(model, inputs)
    outcome, error = "judged", ""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            check_gradients(model, inputs)
        except Exception as raised:  # noqa: BLE001 - the outcome that is measured
            outcome, error = "no verdict", line(raised)
    left = before.differences(Fingerprint.of(model, inputs))
    return {"outcome": outcome, "error": error, "traces": left[:8], "places": len(before.entries)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="stop when so many have a verdict")
    parser.add_argument("--only", default="", help="models with this in their name")
    parser.add_argument("--record", action="store_true", help="write the gate")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    traces(lambda: (nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 1)), torch.randn(8, 4)))  # imports everything
    done: list[dict[str, Any]] = []
    for name, build in models():
        if options.only not in name:
            continue
        if options.limit is not None and _verdicts(done) >= options.limit:
            break
        start = time.monotonic()
        result = in_child(partial(traces, build), CPU)
        if "traces" in result:
            done.append({"name": name, **result})
        if result.get("traces") or result["outcome"] != "judged":
            print(
                f"{name}: {result['outcome']} in {time.monotonic() - start:.0f} s {result.get('error', '')} {result.get('traces', '')}",
                flush=True,
            )
        elif len(done) % 20 == 0:
            print(f"{len(done)} models, {sum(bool(one['traces']) for one in done)} with traces", flush=True)
        if options.record and len(done) % 20 == 0:
            _record(done, options.limit)
    touched = [one["name"] for one in done if one["traces"]]
    print(f"{len(touched)} of {len(done)} models left with traces: {', '.join(touched) or 'none'}")
    if options.record:
        _record(done, options.limit)


def _verdicts(done: list[dict[str, Any]]) -> int:
    return sum(one["outcome"] == "judged" for one in done)


def _record(done: list[dict[str, Any]], limit: int | None) -> None:
    record(
        "traces-1-third-party",
        promise="models of other people in which a check leaves a trace",
        allowed="0 of 150",
        reached=f"{sum(bool(one['traces']) for one in done)} of {len(done)} ({_verdicts(done)} with a verdict; "
        f"{sum(one['places'] for one in done)} places compared)",
        command=f"python -m benchmarks.leftovers.third_party{'' if limit is None else f' --limit {limit}'}",
    )


if __name__ == "__main__":
    main()
