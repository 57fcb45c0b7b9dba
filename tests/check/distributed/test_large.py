"""A model that no rank could hold is checked on its shards."""

from __future__ import annotations

import sys

import pytest

from tests.support.ranks import results

AT_ONCE = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""What is freed goes back to the system at once, so that the limit counts what is held."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts what is held on Linux only")
def test_model_larger_than_what_a_rank_may_allocate_is_checked() -> None:
    ranks = results("tests.check.distributed.large:checked", size=8, env=AT_ONCE, depth=16, share=0.9)
    for told in ranks:
        assert told["limited"] and told["refused"]
        assert told["allowed"] < told["parameters"]
        assert told["verdict"] == []
