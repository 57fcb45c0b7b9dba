"""Files of others: what is no regular file, links, modes, interruptions, several writers."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gradcheck_health.records import files
from gradcheck_health.records.errors import UsageError

MIB = 2**20


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


@pytest.mark.parametrize(
    ("lay", "words"),
    [
        (os.mkfifo, "no regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "no regular file"),
        (lambda path: path.mkdir(), "no regular file"),
        (_sparse, "larger than 1 MiB"),
        (lambda path: path.symlink_to(path.name), "cannot be read"),
    ],
    ids=["pipe", "device", "folder", "terabyte", "loop"],
)
def test_what_would_hang_or_never_end_is_refused_at_once(tmp_path: Path, lay: object, words: str) -> None:
    lay(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(UsageError, match=words):
        files.read_regular(tmp_path / "x", MIB)


def test_file_that_is_there_is_read_and_one_that_is_not_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert files.read_regular(tmp_path / "x", 3) == b"abc"
    with pytest.raises(UsageError, match="larger"):
        files.read_regular(tmp_path / "x", 2)
    assert files.read_regular(tmp_path / "x", 2**50) == b"abc"  # no room is made for what could be there
    with pytest.raises(FileNotFoundError):
        files.read_regular(tmp_path / "y", 2)


def test_link_stays_a_link_and_the_mode_is_kept(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    real = tmp_path / "deep" / "real.json"
    real.write_text("old")
    real.chmod(0o600)
    (tmp_path / "link.json").symlink_to("deep/real.json")
    files.replace(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (real.read_text(), stat.S_IMODE(real.stat().st_mode)) == ("new", 0o600)
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["deep", "link.json", "real.json"]


def test_pipe_is_written_to_and_one_without_a_reader_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for write in (files.replace, files.append):
        with pytest.raises(OSError, match="No such device"):
            write(tmp_path / "pipe", "x")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.append((tmp_path / "pipe").read_text()))
    reader.start()
    for _ in range(200):
        try:
            files.replace(tmp_path / "pipe", "text" * 50_000)
            break
        except OSError:
            reader.join(0.01)
    reader.join(10)
    assert seen == ["text" * 50_000]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_link_to_standard_output_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "out.json").symlink_to("/dev/stdout")
    code = "import sys, pathlib\nfrom gradcheck_health.records import files\nfiles.replace(pathlib.Path(sys.argv[1]), 'text')"
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out.json")], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == "text"
    assert (tmp_path / "out.json").is_symlink()


def test_interruptions_while_writing_leave_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of them, at the worst places; the last is raised when all is done."""
    real_sync = os.fsync

    def sync(descriptor: int) -> None:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
        real_sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(KeyboardInterrupt):
        files.replace(tmp_path / "x", "whole")
    assert [one.name for one in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "whole"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_failure_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("old")
    told: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert not files.write(tmp_path / "x", "new", told.append)
    assert "No space left on device" in told[0]
    assert ((tmp_path / "x").read_text(), len(list(tmp_path.iterdir()))) == ("old", 1)


COUNT = """
import sys
from pathlib import Path
from gradcheck_health.records import files
path = Path(sys.argv[1])
for _ in range(20):
    with files.locked(path):
        files.replace(path, str(int(path.read_text()) + 1))
"""


@pytest.mark.slow
def test_writers_with_other_folders_for_temporary_files_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "n").write_text("0")
    root = str(Path(files.__file__).parents[2])
    writers = []
    for i in range(4):
        (tmp_path / f"tmp{i}").mkdir()
        environment = {**os.environ, "TMPDIR": str(tmp_path / f"tmp{i}"), "PYTHONPATH": root}
        writers.append(subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path / "n")], env=environment))
    assert [writer.wait(60) for writer in writers] == [0] * 4
    assert (tmp_path / "n").read_text() == "80"


def test_writer_that_never_ends_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "PATIENCE", 0.1)
    with files.locked(tmp_path / "x"), pytest.raises(UsageError, match="another process"), files.locked(tmp_path / "x"):
        pass
