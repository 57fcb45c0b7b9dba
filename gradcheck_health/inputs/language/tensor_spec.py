"""The little language for one tensor: `f32[B,3,S,S]`, `i64[B,T]<50257`, `i64[B,T]>=3<99`, `bool[B,T]=1`."""

from __future__ import annotations

import re

from gradcheck_health.inputs.plan import SIZES, Dim, Leaf
from gradcheck_health.records.errors import InputsError, did_you_mean

_SHORT = {"f": "float", "bf": "bfloat", "i": "int", "u": "uint", "c": "complex"}
_WIDTHS = {"f": (16, 32, 64), "bf": (16,), "i": (8, 16, 32, 64), "u": (8,), "c": (64, 128)}
_NAMED = {
    "float": "",
    "f": "",
    "int": "int64",
    "i": "int64",
    "long": "int64",
    "half": "float16",
    "double": "float64",
    "bool": "bool",
}
_SHORT_FORMS = {f"{short}{width}": f"{_SHORT[short]}{width}" for short, widths in _WIDTHS.items() for width in widths}
_DTYPES = {**_SHORT_FORMS, **{name: name for name in _SHORT_FORMS.values()}, **_NAMED, "b": "bool"}
"""What may be written, and the dtype of torch that is intended; "" follows the model's parameters."""
_KINDS = {"f": "float", "b": "bool", "i": "int", "u": "int", "c": "complex"}
_FORM = re.compile(
    r"\s*(?P<dtype>[A-Za-z]\w*)\s*\[(?P<dims>[^\]]*)\]\s*(?:>=\s*(?P<low>\d+))?\s*(?:<\s*(?P<high>\w+))?\s*"
    r"(?:=\s*(?P<value>\w+))?\s*"
)
FORM = "dtype[sizes], as in 'f32[B,3,32,32]', 'i64[B,T]<50257' or 'bool[B,T]=1'"


def parse(text: str, where: str, sizes: dict[str, int]) -> Leaf:
    """One spec. A new letter becomes a size that all specs of the call share, added to `sizes`; S is the side of an image.

    Raises:
        InputsError: naming the place, what was written, and the nearest valid form.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InputsError(f"{text!r} is no spec; write {FORM}{_hint(text)}", where)
    if re.search(r"\d{19}", text):
        raise InputsError(
            f"a number of more than 18 digits in a spec of {len(text)} characters: no tensor is that large", where
        )
    dtype = match["dtype"]
    if dtype not in _DTYPES:
        raise InputsError(
            f"unknown dtype {dtype!r} in {text!r}{did_you_mean(dtype, _DTYPES)}; one of f16, f32, f64, bf16, i64, bool, c64",
            where,
        )
    name = _DTYPES[dtype]
    kind = "bool" if name == "bool" else "float" if name in ("", "bfloat16") else _KINDS[name[0]]
    dims = tuple(_dim(part.strip(), text, where, sizes) for part in match["dims"].split(",") if part.strip())
    high: Dim | None = None
    if match["high"]:
        high = _dim(match["high"], text, where, sizes)
        if kind != "int":
            raise InputsError(f"a bound '<{match['high']}' is for integers, {text!r} is {kind}", where)
    low = int(match["low"] or 0)
    if low and (kind != "int" or (isinstance(high, int) and high <= low)):
        raise InputsError(f"a lower bound '>={low}' is for integers, and lies below the upper one; got {text!r}", where)
    fill = {"0": "zeros", "1": "ones"}.get(match["value"] or "", match["value"] or "normal")
    from gradcheck_health.inputs.language.values import FILLS

    if fill not in FILLS:
        raise InputsError(
            f"unknown value {fill!r} in {text!r}{did_you_mean(fill, FILLS)}; 0, 1, or one of {', '.join(FILLS)}", where
        )
    exact = "" if kind == "float" and name in ("", "float32") else name
    drawn = bool(match["value"] or match["low"] or match["high"])
    return Leaf(dims, kind, fill, low, high, why="given", fixed=True, drawn=drawn, dtype=exact)


def _dim(text: str, spec: str, where: str, sizes: dict[str, int]) -> Dim:
    if text.isdigit():
        value = int(text)
        if value == 0 and "<" not in spec:
            raise InputsError(f"size 0 in {spec!r}: a batch needs at least one entry", where)
        return value
    if not text.isidentifier():
        raise InputsError(f"{text!r} in {spec!r} is no size: write a number or a name such as B, T, S", where)
    if text == "S":
        return "H"
    if text not in SIZES:
        # further letters get sizes of their own, odd and distinct
        sizes.setdefault(text, 5 + 2 * len(sizes))
    return text


def _hint(text: str) -> str:
    """The nearest valid form of a misspelt spec."""
    numbers = re.findall(r"[A-Z]\b|\d+", re.sub(r"^\s*[a-z]+\d*", "", text))
    head = re.match(r"\s*([A-Za-z]+\d*)", text)
    dtype = head.group(1) if head and head.group(1) in _DTYPES else "f32"
    return f" (did you mean '{dtype}[{','.join(numbers)}]'?)" if numbers else ""
