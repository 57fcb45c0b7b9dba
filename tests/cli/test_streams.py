"""The command in a process of its own: broken streams, signals, a terminal. Faults of those who call it, not of a target."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import gradcheck_health
from tests.cli.faults.fault import SOUND

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "gradcheck_health", "check"]
WAITS = "import os, time\nopen('pid', 'w').write(str(os.getpid()))\nwhile True: time.sleep(1)\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(gradcheck_health.__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "sound.py").write_text(SOUND)
    (tmp_path / "waits.py").write_text(WAITS)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("check sound.py >&- 2>&- <&-", 0, ""),
        ("check sound.py --output-format json > /dev/full", 2, "standard output cannot be written: No space left on device"),
        ("check gone.py 2> /dev/full", 2, ""),
        ("check gone.py 2>&- <&-", 2, ""),
        ("rules >&-", 0, ""),
        ("rules > /dev/full", 2, "standard output cannot be written"),
        ("ruls 2> /dev/full", 2, ""),
    ],
)
def test_broken_stream_is_no_crash(command: str, code: int, words: str) -> None:
    command = f"{sys.executable} -m gradcheck_health {command}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["check sound.py", "rules"])
def test_reader_that_has_seen_enough_is_no_finding(command: str) -> None:
    """The exit code of a pipe's first half, as `set -o pipefail` sees it."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "gradcheck_health", *command.split()], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The command, when the target `waits.py` waits."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    command = [*COMMAND, "sound.py", "waits.py", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    signal.signal(signal.SIGINT, before)
    for _ in range(1200):
        if Path("pid").exists() and Path("pid").read_text():
            break
        time.sleep(0.1)
    return process


@pytest.mark.parametrize(("sent", "whole_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_interruption_keeps_what_was_checked(sent: signal.Signals, whole_group: bool) -> None:
    with started("--output-format", "json", start_new_session=True) as process:
        (os.killpg if whole_group else os.kill)(process.pid, sent)
        out, err = process.communicate(timeout=60)
    document = json.loads(out)
    assert (process.returncode, document["exit_code"]) == (130, 130)
    assert [report["target"] for report in document["reports"]] == ["sound.py:Net"]
    assert "interrupted: what was checked before stands" in err
    assert "Traceback" not in err
    for _ in range(100):
        if not Path(f"/proc/{Path('pid').read_text()}").exists():
            return
        time.sleep(0.1)
    raise AssertionError("its worker lives on")


def test_progress_is_shown_on_a_terminal_and_on_standard_error() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*COMMAND, "sound.py", "--color", "never"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=False,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    told = b""
    while chunk := _read(ours):
        told += chunk
    os.close(ours)
    assert done.returncode == 0
    assert "\x1b" not in done.stdout and "checking" not in done.stdout
    assert b"checking sound.py ..." in told
    assert told.endswith(b"\r\x1b[2K"), "the line is taken away"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # what a terminal says when nobody is at its other end any more
        return b""
