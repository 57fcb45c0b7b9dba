"""The process that imports the user's file and checks the models in it: `fork_server` forks it, `supervisor` reads its records.

One JSON record a line goes to a private pipe: `begin`, `joined` (the other ranks are there), `targets` (what the file offers),
then for each `start` and the job's own kind, `nothing` or `failure`, at last `done`. Whatever the user's code prints, raises or
calls, the parent can tell how far it came; and each record is signed, so that what that code writes into the pipe is no record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import hmac
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gradcheck_health.model import memory
from gradcheck_health.model.distributed.launch_group import MEETING, SHARE, in_group
from gradcheck_health.records import errors
from gradcheck_health.records.errors import (
    ExitCode,
    GradhealthError,
    NothingToCheckError,
    RankError,
    UsageError,
    describe_error,
)
from gradcheck_health.settings.config import Config
from gradcheck_health.settings.resolution import Validated, validated
from gradcheck_health.settings.source import Source
from gradcheck_health.targets.load import Loaded

Send = Callable[..., None]
MARGIN = 1.0
"""Seconds before its time is over at which a silent worker writes its stack."""
# kept here, because the user's code may replace what it finds in a module
_ENCODER = json.JSONEncoder(allow_nan=False)
_leave, _process, _write, _digest = os._exit, os.getpid, os.write, hmac.digest


def signature(key: bytes, number: int, record: bytes) -> bytes:
    """What stands before a record: it can be made by who has the key, and holds for this place in the sequence only."""
    return _digest(key, b"%d %b" % (number, record), "sha256").hex().encode("ascii")


def main(request: dict[str, Any], records: int, stack: int) -> None:
    """Do the work, and leave without waiting for the threads of others.

    Args:
        records, stack: descriptors to write to.
    """
    for descriptor in (records, stack):
        os.set_inheritable(descriptor, False)
    with contextlib.suppress(OSError):  # where memory runs out, Linux shall take this process and no other
        Path("/proc/self/oom_score_adj").write_text("1000")
    faulthandler.enable(file=stack)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # taken away, so that no variable that the user's code can reach by chance holds it
    send = _sender(records, stack, request["timeout"], bytes.fromhex(request.pop("key")))
    try:
        send("begin", thread=threading.get_ident())
        work(request, send)
        _flush()
        send("done")
    except NothingToCheckError as error:
        send("nothing", target=request["target"], message=error.on_command_line())
        send("done")
    except BaseException as error:  # noqa: BLE001 - the last line of defence: SystemExit of user code is no success
        send("failure", target=request["target"], **failure(error))
        send("done")
    finally:
        _leave(0)


def _sender(records: int, stack: int, timeout: float, key: bytes) -> Send:
    """What writes a record; a worker that is silent for nearly the time that it has writes where it stands."""
    process = _process()
    seconds = max(timeout - MARGIN, timeout * 0.8)
    numbers = itertools.count()

    def send(kind: str, **values: Any) -> None:
        if _process() != process:  # a fork that the user's code made and did not end
            _leave(0)
        record = _ENCODER.encode({"kind": kind, **values}).encode("ascii")
        # ends a line that other code may have begun there
        left = b"\n%b %b\n" % (signature(key, next(numbers), record), record)
        while left:
            left = left[_write(records, left) :]
        if seconds < threading.TIMEOUT_MAX:
            faulthandler.dump_traceback_later(seconds, file=stack)

    return send


def _report(one: Loaded, config: Config) -> Any:
    """Compared with its baseline, where the settings name one."""
    from gradcheck_health.check.api import check_gradients

    report = check_gradients(one.model, config=config, target=one.target, baseline=config.baseline)
    if one.shrunk:  # no page, line or document may pass it off as the model itself
        named, sizes = f"{report.model}, shrunk", {**report.environment, "shrunk": one.shrunk}
        report = dataclasses.replace(report, model=named, environment=sizes)
    return dataclasses.replace(report, made_up_arguments=one.made_up, unrestored=()).to_dict()


def _measured(one: Loaded, config: Config) -> Any:
    """What a baseline needs to be written."""
    from gradcheck_health.baseline import files
    from gradcheck_health.check.api import check_gradients
    from gradcheck_health.check.gate import accepting

    path = None if config.baseline is None else files.path_for(config.baseline, one.target)
    facts = ["reseeded", "detailed"]
    return check_gradients(one.model, config=accepting(config, path), target=one.target, facts=facts).to_dict()


def _inferred(one: Loaded, config: Config) -> Any:
    from gradcheck_health.check.infer import infer_inputs
    from gradcheck_health.records.codec import encode

    inferred = infer_inputs(one.model, config=config, target=one.target)
    return encode(dataclasses.replace(inferred, made_up_arguments=one.made_up))


def _sizes(one: Loaded, config: Config) -> Any:
    from gradcheck_health.check.scale.sizes import factory_sizes
    from gradcheck_health.records.codec import encode

    return encode(factory_sizes(one.model, one.target))


def _sized(one: Loaded, config: Config, *, moves: bool = False) -> Any:
    """One size of a sweep; its arguments are among the settings."""
    from gradcheck_health.check.scale.measure import measure
    from gradcheck_health.records.codec import encode
    from gradcheck_health.records.training import Training

    return encode(measure(Training(one.model), config, moves=moves))


JOBS: dict[str, Callable[[Loaded, Config], Any]] = {
    "report": _report,
    "measured": _measured,
    "inferred": _inferred,
    "sizes": _sizes,
    "sized": _sized,
    "moved": partial(_sized, moves=True),
}
"""What is done with each model, by the kind of the record that tells it."""


def work(request: Mapping[str, Any], send: Send) -> None:
    """Do the job for every model of the target that is not done yet."""
    from gradcheck_health.check.prepare import runs
    from gradcheck_health.model.distributed.ranks import in_step
    from gradcheck_health.targets.importing import make_importable
    from gradcheck_health.targets.load import load

    make_importable(Path.cwd())  # for rules of the user
    settings = settings_of(request["sources"])
    config = settings.for_model(request["target"])
    if (size := memory.limit(config.memory)) is not None:
        memory.restrict(size)
    wait = SHARE * config.timeout
    with in_group(f"{request['job']}/{request['target']}", MEETING * config.timeout):
        send("joined")
        with in_step(wait, leaves=True) as ranks:
            loaded = load(request["target"], config.args, runs, shrink=config.shrink)
            if ranks is not None:
                ranks.exchange("the models of the file", [one.target for one in loaded])
        send("targets", targets=[one.target for one in loaded])
        _each(loaded, settings, request, send)


def _each(loaded: Sequence[Loaded], settings: Validated, request: Mapping[str, Any], send: Send) -> None:
    from gradcheck_health.model.distributed.ranks import in_step

    for one in loaded:
        if one.target in request["done"]:
            continue
        send("start", target=one.target)
        try:
            config = settings.for_model(one.target)
            with in_step(SHARE * config.timeout, leaves=True):
                value = JOBS[request["job"]](one, config)
            send(request["job"], target=one.target, value=value)
        except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt of user code, too
            if isinstance(error, NothingToCheckError):
                send("nothing", target=one.target, message=error.on_command_line())
            else:
                send("failure", target=one.target, **failure(error, one.made_up))
            error.__traceback__ = None  # its frames hold what the model allocated


def settings_of(sources: list[dict[str, Any]]) -> Validated:
    """The settings for every model, checked against every rule, also those that only this process may import."""
    return validated([Source(s["origin"], s["table"], {tuple(path): line for path, line in s["lines"]}) for s in sources])


def failure(error: BaseException, made_up: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """The message and exit code of an error; arguments of the constructor that were made up may be what is wrong."""
    about = ", ".join(f"{name}={value}" for name, value in made_up.items())
    hint = (
        f"\n  it was built with made-up arguments, {about}: give real ones with --arg {next(iter(made_up))}=..."
        if made_up
        else ""
    )
    if errors.ran_out_of_memory(error) and (size := memory.restricted()) is not None:
        hint = f"{hint}\n  it may use {memory.format_size(size)}: allow more with --memory SIZE, or try a smaller --batch-size"
    if isinstance(error, GradhealthError):
        # the user's code may raise a subclass with a code of its own
        code = ExitCode.USAGE if isinstance(error, UsageError) else ExitCode.FAILED
        code = error.exit_code if type(error) is RankError else code
        return {"message": f"{error.on_command_line()}{hint}", "exit_code": code}
    return {"message": f"{describe_error(error)}{hint}", "exit_code": ExitCode.FAILED}


def _end_with(parent: int) -> None:
    """A parent that was killed could not kill this process, which may be in an endless loop."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: BLE001 - the user's code may have closed or replaced it
            continue
