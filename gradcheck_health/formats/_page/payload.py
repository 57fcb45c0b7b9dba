"""The run's JSON inside the page, packed, so that the file is its own archive; and out of it again."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import gzip
import json
import re
import zlib
from typing import Any

from gradcheck_health.records.report import Report

EXACT_ENTRIES = 600
"""Up to this number of parameters, over all measurements, a page keeps every digit; beyond it seven, as float32 has."""
DIGITS = 7
MAX_ENTRIES = 5_000
"""Of a larger run a page leaves something out."""
_LEFT_OUT = "the layers of the further measurements are left out of this page to keep it small; a JSON report has them"
MAX_JSON = 2**30
_START = '<script type="application/gzip" id="run-json">'
_PACKED = re.compile(re.escape(_START) + r"([A-Za-z0-9+/=]*)</script>")


def pack(document: Any, *, exact: bool = True) -> str:
    """Base64 of gzipped JSON, the same for the same document."""
    text = json.dumps(document if exact else _rounded(document), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("ascii"), 7, mtime=0)).decode("ascii")


def entries(report: Report) -> int:
    """Parameters over all measurements of the model: the size of a run grows with them."""
    trace = report.trace
    return len(trace.parameters) + sum(len(one.parameters) for taken in trace.facts.values() for one in taken)


def unpack(html: str) -> str:
    """The JSON text that `pack` put into a page.

    Raises:
        ValueError: the page holds none, or it is damaged.
    """
    found = _PACKED.search(html)
    if found is None:
        raise ValueError("the page holds no run: only reports that gradhealth wrote can be read back")
    try:
        unpacker = zlib.decompressobj(wbits=31)
        text = unpacker.decompress(base64.b64decode(found[1], validate=True), MAX_JSON)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise ValueError("it ends too early, or is longer than any report")
        return text.decode("ascii")
    except (binascii.Error, zlib.error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"the run in the page is damaged: {error}") from error


def slim(report: Report) -> Report:
    """The report as a page keeps it: of a large one the further measurements lose their single layers, and `gaps` says so.

    The `detailed` look stays, because it knows the source lines.
    """
    trace = report.trace
    if entries(report) <= MAX_ENTRIES:
        return report
    facts = {
        name: taken if name == "detailed" else tuple(dataclasses.replace(one, parameters={}, layers={}) for one in taken)
        for name, taken in trace.facts.items()
    }
    return dataclasses.replace(report, trace=dataclasses.replace(trace, facts=facts, gaps=(*trace.gaps, _LEFT_OUT)))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
