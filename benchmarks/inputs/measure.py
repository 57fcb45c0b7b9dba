"""Measure on how many models inputs can be made up: each model in its own process, with a budget of CPU seconds.

python -m benchmarks.inputs.measure torch_nn timm --output results.jsonl
python -m benchmarks.inputs.measure timm --only convnext
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch

from benchmarks.inputs.subjects import COLLECTIONS
from gradcheck_health.inputs import search, synthesize, trial
from gradcheck_health.inputs.reach import outputs, trainable

BUDGET = 10
"""CPU seconds for making up inputs."""
LARGEST = 100_000_000
"""Parameters; larger models are left out of the measurement."""
SETUP = 50
"""CPU seconds for building the model and checking the result besides."""


def examine(build: Callable[[], Any], batch: int | None = None) -> dict[str, Any]:
    """Build, validate the known-good input, make up inputs, run forward and backward on them."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    result: dict[str, Any] = {"outcome": "not built"}
    try:
        model, known = build()
    except BaseException as error:  # noqa: BLE001 - third-party constructors
        return {**result, "error": _line(error)}
    result["parameters"] = sum(p.numel() for p in model.parameters() if not torch.nn.parameter.is_lazy(p))
    if result["parameters"] > LARGEST:
        return {**result, "outcome": "too large to measure"}
    if known is not None:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                model(*known[0], **known[1])
            result["known"] = _signature(known[0], known[1])
        except Exception as error:  # noqa: BLE001
            return {**result, "outcome": "known input fails", "error": _line(error)}
    start = time.process_time()
    with _counted() as calls:
        try:
            inputs = synthesize(model, batch_size=batch)
        except Exception as error:  # noqa: BLE001 - the outcome that is measured
            crash = "" if "could not make up" in str(error) else traceback.format_exc()[-1500:]
            result |= {"cpu": time.process_time() - start, "trials": calls[0], "crash": crash}
            return {**result, "outcome": "failed", "error": str(error)[:1200]}
    result |= {
        "cpu": time.process_time() - start,
        "trials": calls[0],
        "inputs": inputs.describe(),
        "left_out": list(inputs.left_out),
    }
    try:
        made = _forward_backward(model, inputs, result)
    except Exception as error:  # noqa: BLE001
        return {**result, "outcome": "does not run", "error": _line(error)}
    result["outcome"] = "ran" if result["cpu"] <= BUDGET else "too slow"
    if "known" in result:
        result["agrees"] = made == result["known"]
    return result


def _forward_backward(model: torch.nn.Module, inputs: Any, result: dict[str, Any]) -> list[Any]:
    made = _signature(inputs.args, dict(inputs.kwargs))
    with contextlib.redirect_stdout(io.StringIO()):
        out = model(*inputs.args, **inputs.kwargs)
    loss = sum((t.abs() if t.is_complex() else t).float().mean() for t in outputs(out) if t.requires_grad)
    if isinstance(loss, torch.Tensor):
        loss.backward()
    wanted = trainable(model)
    got = {name for name, p in model.named_parameters() if name in wanted and p.grad is not None}
    result["reached"] = len(got) / len(wanted) if wanted else 1.0
    return made


def _signature(args: Any, kwargs: Any) -> list[Any]:
    return sorted((t.dim(), str(t.dtype)) for t in outputs((list(args), kwargs)))


@contextlib.contextmanager
def _counted() -> Iterator[list[int]]:
    """Counts the trials of the block in the only entry of the list."""
    calls = [0]
    original = trial.Bench.run

    def run(self: Any, plan: Any) -> Any:
        calls[0] += 1
        return original(self, plan)

    trial.Bench.run = run  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        trial.Bench.run = original  # type: ignore[method-assign]


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def in_child(build: Callable[[], Any], batch: int | None) -> dict[str, Any]:
    """Run `examine` in a forked process with CPU and memory limits."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        torch.set_num_threads(1)
        resource.setrlimit(resource.RLIMIT_CPU, (BUDGET + SETUP, BUDGET + SETUP + 1))
        resource.setrlimit(resource.RLIMIT_AS, (7 << 30, 7 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        result = examine(build, batch)
        os.write(writer, json.dumps(result, default=str).encode())
        os._exit(0)
    os.close(writer)
    data = b""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        if select.select([reader], [], [], 1.0)[0]:
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                break
            data += chunk
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(child, 0)
    return json.loads(data) if data else {"outcome": "killed", "error": f"status {status}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collections", nargs="+", choices=sorted(COLLECTIONS))
    parser.add_argument("--output")
    parser.add_argument("--only", default="")
    parser.add_argument("--bare", action="store_true", help="search only, whatever the model declares")
    parser.add_argument("--batch", type=int, help="samples of the final check, instead of the number that the cost allows")
    options = parser.parse_args()
    if options.bare:
        _only_search()
    for collection in options.collections:
        counts: dict[str, int] = {}
        for name, build in COLLECTIONS[collection]():
            if options.only and options.only not in name:
                continue
            result = {"collection": collection, "name": name, **in_child(build, options.batch)}
            counts[result["outcome"]] = counts.get(result["outcome"], 0) + 1
            if options.output:
                with open(options.output, "a") as file:
                    file.write(json.dumps(result) + "\n")
            if result["outcome"] != "ran" or result.get("agrees") is False or options.only or result.get("reached", 1) < 1:
                print(
                    name,
                    {key: value for key, value in result.items() if key not in ("name", "collection", "crash")},
                    flush=True,
                )
                if result.get("crash"):
                    print(result["crash"][-700:])
        print(collection, counts, flush=True)


def _only_search() -> None:
    from gradcheck_health import inputs
    from gradcheck_health.inputs import strategies

    inputs.STRATEGIES = (strategies.from_search,)


if __name__ == "__main__":
    assert search.TRIALS
    main()
