"""A target that crashes, hangs, exits or floods takes nothing with it; and nothing of it looks like a success."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from gradcheck_health.cli.workers import pool, supervisor
from gradcheck_health.records.report import Failure, Report
from gradcheck_health.settings.source import Source

HEADER = """
import os, signal, sys, threading, time
from torch import nn
class Net(nn.Linear):
    def __init__(self):
        super().__init__(4, 2)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def check(text: str, timeout: float = 120, sources: tuple[Source, ...] = ()) -> tuple[list[Report | Failure], str]:
    """What comes out of a file with this text, and what it printed."""
    Path("target.py").write_text(text)
    printed: list[str] = []
    return list(pool.check("target.py", sources, timeout, printed.append)), "".join(printed)


def alive(pid: int) -> bool:
    """A process that runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("text", "exit_code", "words"),
    [
        ("def f(:\n", 3, "SyntaxError"),
        ("import surely_not_installed\n", 3, "No module named 'surely_not_installed'"),
        ("raise BaseException('any')\n", 3, "BaseException: any"),
        ("import sys; sys.exit(0)\n", 3, "SystemExit: 0"),
        ("import argparse\np = argparse.ArgumentParser(); p.add_argument('data'); p.parse_args()\n", 3, "SystemExit: 2"),
        ("def f(): f()\nf()\n", 3, "RecursionError"),
        ("import os; os._exit(0)\n", 4, "exited with code 0 while importing it"),
        ("import os; os._exit(7)\n", 4, "exited with code 7"),
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n",
            4,
            "died of SIGKILL (signal 9) while importing it: perhaps the memory ran out",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n", 4, "died of SIGSEGV (signal 11)"),
        ("import os; os.closerange(3, 500)\n", 4, "its process"),
        ("import os; os.closerange(0, 500); os._exit(0)\n", 4, "its process"),
    ],
)
def test_fault_at_import_has_its_code_and_its_reason(text: str, exit_code: int, words: str) -> None:
    (failure,), _ = check(text)
    assert isinstance(failure, Failure)
    assert failure.exit_code == exit_code
    assert failure.target == "target.py"
    assert words in failure.message


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="Linux only")
def test_worker_is_the_first_to_go_when_memory_runs_out() -> None:
    check("import shutil\nshutil.copyfile('/proc/self/oom_score_adj', 'score')\n")
    assert Path("score").read_text().strip() == "1000"


@pytest.mark.slow
def test_endless_loop_that_ignores_signals_is_stopped_in_time() -> None:
    text = "import signal\nfor s in (2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: pass\n"
    started = time.monotonic()
    (failure,), _ = check(text, timeout=1.5)
    assert time.monotonic() - started < 20
    assert isinstance(failure, Failure)
    assert (failure.exit_code, "no result within 1.5 s, while importing it" in failure.message) == (4, True)


@pytest.mark.slow
def test_crash_keeps_the_results_before_and_after_it() -> None:
    bodies = {
        "A": "return super().forward(x)",
        "B": "os.kill(os.getpid(), signal.SIGSEGV)",
        "C": "sys.exit(0)",
        "D": "os._exit(0)",
        "E": "return super().forward(x)",
    }
    text = HEADER + "".join(f"class {name}(Net):\n    def forward(self, x): {body}\n" for name, body in bodies.items())
    results, _ = check(text.replace("class Net(nn.Linear):", "class _Net(nn.Linear):").replace("(Net)", "(_Net)"))
    told = [(r.target, 0 if isinstance(r, Report) else r.exit_code) for r in results]
    assert told == [("target.py:A", 0), ("target.py:B", 4), ("target.py:C", 3), ("target.py:D", 4), ("target.py:E", 0)]


@pytest.mark.slow
def test_report_is_that_of_the_settings_and_stray_output_and_threads_do_no_harm(folder: Path) -> None:
    """A flood on both streams, a thread that never ends, and a grandchild that holds every pipe."""
    text = f"""{HEADER}
import subprocess
print("hello from the model")
sys.stderr.write("and to the other stream")
os.write(1, b"x" * 3_000_000)
threading.Thread(target=time.sleep, args=(600,)).start()
child = subprocess.Popen(["sleep", "600"], close_fds=False)
open("child", "w").write(str(child.pid))
"""
    started = time.monotonic()
    (report,), printed = check(text, sources=(Source("--seed", {"seed": 11}),))
    assert time.monotonic() - started < 60
    assert isinstance(report, Report)
    assert (report.model, report.target, report.seed) == ("Net", "target.py:Net", 11)
    assert "hello from the model" in printed
    assert "the rest is not shown" in printed
    assert len(printed) < supervisor.MAX_OUTPUT + 500
    child = int((folder / "child").read_text())
    for _ in range(50):
        if not alive(child):
            break
        time.sleep(0.1)
    assert not alive(child), "what a target starts ends with it"


@pytest.mark.slow
def test_wrong_setting_is_reported_before_anything_is_imported() -> None:
    (failure,), printed = check("print('imported')\n", sources=(Source("--set", {"rules": {"no-such-rule": {"x": 1}}}),))
    assert isinstance(failure, Failure)
    assert (failure.exit_code, "no rule 'no-such-rule'" in failure.message, printed) == (2, True, "")


def test_working_directory_cannot_shadow_what_the_worker_needs() -> None:
    for name in ("json", "torch", "dataclasses", "traceback"):
        Path(f"{name}.py").write_text("raise ImportError('shadowed')\n")
    (report,), printed = check(HEADER)
    assert isinstance(report, Report), f"{report} {printed}"


@pytest.mark.slow
def test_interruption_kills_the_process(folder: Path) -> None:
    text = f"import os, time\nopen({str(folder / 'pid')!r}, 'w').write(str(os.getpid()))\nwhile True: pass\n"
    Path("target.py").write_text(text)
    results = pool.check("target.py", (), 60, lambda _: None)

    def interrupt(*_: object) -> None:
        # on a busy machine it takes its time until the file is imported
        if (folder / "pid").is_file() and (folder / "pid").read_text():
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(results)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pid = int((folder / "pid").read_text())
    assert not alive(pid)
    assert pid != os.getpid()


@pytest.mark.slow
def test_results_of_many_jobs_come_in_the_order_of_the_targets(folder: Path) -> None:
    bodies = {"slow": "time.sleep(1.5)\n", "dies": "os._exit(3)\n", "quick": "print('quick was here')\n", "wrong": "1 / 0\n"}
    for name, body in bodies.items():
        (folder / f"{name}.py").write_text(HEADER + body)
    printed: list[str] = []
    results = list(pool.check_all([f"{name}.py" for name in bodies], (), 60, printed.append, jobs=3))
    codes = [(i, 0 if isinstance(result, Report) else result.exit_code) for i, result in results]
    assert codes == [(0, 0), (1, 4), (2, 0), (3, 3)]
    assert "quick was here" in "".join(printed)


@pytest.mark.slow
def test_interruption_ends_every_job(folder: Path) -> None:
    text = "import os, time\nopen(f'{__name__}.pid', 'w').write(str(os.getpid()))\nwhile True: time.sleep(1)\n"
    for name in "ab":
        (folder / f"{name}.py").write_text(text)
    results = pool.check_all(["a.py", "b.py"], (), 60, lambda _: None, jobs=2)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 10.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            next(results)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    pids = [int(path.read_text()) for path in folder.glob("*.pid")]
    assert len(pids) == 2
    assert not any(map(alive, pids))


@pytest.mark.slow
def test_workers_share_one_import_and_nothing_else(folder: Path) -> None:
    """Each is a fork of a process that has never run the code of another."""
    (folder / "leaves.py").write_text(HEADER + "import torch\ntorch.gradhealth_was_here = True\n")
    (folder / "looks.py").write_text(HEADER + "import torch\nassert not hasattr(torch, 'gradhealth_was_here')\n")
    for name in ("leaves.py", "looks.py"):
        (result,) = pool.check(name, (), 60, lambda _: None)
        assert isinstance(result, Report)


def test_collector_leaves_what_every_worker_shares_alone() -> None:
    text = HEADER + "        import gc\n        assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
    (report,), _ = check(text)
    assert isinstance(report, Report) and report.ok


FORGED = """
import json, os
from torch import nn
def _write(text):
    for number in range(3, 64):
        try: os.write(number, text)
        except OSError: pass
def _forge(code):
    for record in (
        {"kind": "targets", "targets": ["target.py:Net"]},
        {"kind": "start", "target": "target.py:Net"},
        {"kind": "failure", "target": "target.py:Net", "message": "all is well", "exit_code": code},
        {"kind": "nothing", "target": "target.py", "message": "no model in it"},
        {"kind": "done"},
    ):
        text = json.dumps(record).encode()
        for head in (b"", b"0" * 64 + b" "):
            _write(b"\\n" + head + text + b"\\n")
"""


@pytest.mark.parametrize("code", [0, -1, 1, 255])
def test_record_that_a_target_writes_itself_is_none(code: int) -> None:
    (failure,), _ = check(f"{FORGED}\n_forge({code})\nos._exit(0)\n")
    assert isinstance(failure, Failure)
    assert (failure.exit_code, "exited with code 0" in failure.message) == (4, True)


def test_record_that_a_target_reads_back_and_repeats_decides_nothing() -> None:
    """It takes a record out of the pipe: that one is lost, and so nothing was concluded."""
    text = f"""{FORGED}
_seen = []
for _number in range(3, 64):
    try: _seen.append(os.read(os.open(f"/proc/self/fd/{{_number}}", os.O_RDONLY | os.O_NONBLOCK), 65536))
    except OSError: pass
for _text in _seen:
    _write(_text.replace(b"begin", b"done"))
    _write(_text)
{HEADER}
"""
    results, _ = check(text)
    assert [one.exit_code for one in results if isinstance(one, Failure)] == [4] or [type(one) for one in results] == [Report]


def test_exit_code_of_the_users_own_error_is_not_taken() -> None:
    text = (
        HEADER + "        import gradcheck_health\n        class Odd(gradcheck_health.ModelError): exit_code = 0\n"
        "        raise Odd('x')\n"
    )
    (failure,), _ = check(text)
    assert isinstance(failure, Failure)
    assert failure.exit_code == 3


@pytest.mark.slow
@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(
    given: str | None, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if given is not None:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    _, printed = check(HEADER + "print('policy', os.environ['OMP_WAIT_POLICY'])\n")
    assert f"policy {kept}" in printed
