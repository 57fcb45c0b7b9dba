"""Readers of what others write: past failures, the corpus, and some thousand changes of it; more on demand.

`python -m tests.fuzz` looks for new failures where the code was not yet; more examples of these tests on demand:
`GRADHEALTH_EXAMPLES=10000 pytest tests/fuzz/test_fuzz.py`.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import checkpoints
from tests.fuzz.readers import FOLDER, READERS, feed

EXAMPLES = int(os.environ.get("GRADHEALTH_EXAMPLES", "200"))
FAILURES = sorted(path for path in (FOLDER / "failures").rglob("*") if path.is_file())
WORDS = (
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\n",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!python/name:os",
    ),
    *(
        b"1e999",
        b"-1",
        b"9" * 5000,
        b"nan",
        b"true",
        b"null",
        b".",
        b"*",
        b"[" * 200,
        b"{" * 200,
        b"\xe2\x80\xae",
        b"S",
        b"f32[",
        b"10dec",
    ),
)


def seeds(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((FOLDER / "corpus" / name).iterdir())]


def test_every_reader_has_a_corpus() -> None:
    assert sorted(path.name for path in (FOLDER / "corpus").iterdir()) == sorted(READERS)


def test_past_failures_are_fixed() -> None:
    for path in FAILURES:
        feed(path.parent.name, path.read_bytes())


@pytest.mark.slow
def test_changed_files_of_weights_are_loaded_or_refused(tmp_path: Path) -> None:
    counts = checkpoints.batch(range(max(EXAMPLES, 250)), tmp_path)
    assert set(counts) == {"loaded", "refused"}, counts


@pytest.mark.parametrize("name", READERS)
def test_only_our_own_errors_come_out(name: str) -> None:
    """Seeds cut, spliced and sprinkled with odd words."""
    drawn = random.Random(name)
    pool = seeds(name)
    for one in pool:
        feed(name, one)
    for _ in range(EXAMPLES):
        data = bytearray(drawn.choice(pool))
        for _ in range(drawn.randrange(1, 5)):
            here, there = sorted(drawn.randrange(len(data) + 1) for _ in range(2))
            how = drawn.randrange(4)
            if how == 0:
                data[here:here] = drawn.choice(WORDS)
            elif how == 1:
                del data[here : min(there, here + 40)]
            elif how == 2:
                data[here:there] = drawn.choice(pool)[here:there]
            elif data:
                data[drawn.randrange(len(data))] = drawn.randrange(256)
        feed(name, bytes(data))


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=60) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_whatever_bytes_are_read(name: str, data: bytes) -> None:
    feed(name, data)
