"""Shapes that the user wrote down: jaxtyping annotations and docstrings such as `x: input of shape (batch, time, 6)`."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace

from torch import nn

from gradcheck_health.inputs.plan import Dim, Leaf
from gradcheck_health.inputs.static.signature import Argument

_BATCH = re.compile(r"b|n|bs|bsz|bz|batch(_?size)?|nbatch|num_?samples|n_?samples|\*|\.\.\.")
_NAMED: tuple[tuple[str, str], ...] = (
    (r"t|s|l|seq|times?|len|length|steps|tokens?|frames?|src|tgt|sequence(_length)?", "T"),
    (r"(seq|src|tgt|time|max|n)_?(len(gth)?|steps?|tokens)", "T"),
    (r"h|height|img_?h|image_?height", "H"),
    (r"w|width|img_?w|image_?width", "W"),
    (r"n|nodes?|num_?nodes|v|vertices", "N"),
    (r"e|edges|num_?edges", "E"),
)  # fmt: skip
_KINDS = {"float": "float", "f": "float", "int": "int", "uint": "int", "integer": "int", "bool": "bool", "complex": "complex",
          "num": "float", "shaped": "float", "real": "float", "inexact": "float", "bfloat": "float"}  # fmt: skip
_ANNOTATION = re.compile(r"(?P<kind>[a-z]+)\d*\[(?:[^'\"\[\]]*,)?\s*['\"]?(?P<dims>[\w\s*.#_=?{}]+)['\"]?\]")
_HELD = re.compile(r"\{self\.(\w+)\}")
_CHANNELS = re.compile(r"c|ch|channels?|d|dim|f|feat(ures?)?|in_\w+|hidden|\d+")

_PRODUCT = re.compile(r"\^\{([^{}]*\\times[^{}]*)\}")
"""A space in the notation of LaTeX: `\\mathbb{R}^{B \\times N \\times F}`."""


_CROSSES = re.compile(r"\b[A-Za-z]\w*(?: [x*\u00d7] \w+){1,5}\b|\b[BN](?:x[A-Z\d]+){1,5}\b")
"""A shape such as B x N x D, or BxCxHxW."""


def annotated(owner: nn.Module, argument: Argument, guess: Leaf) -> Leaf | None:
    """The guess in the shape of a jaxtyping annotation, `Float[Tensor, "batch time feat"]`; None without one.

    A size in braces is an attribute of the module: `Float[Tensor, "b {self.channels} h w"]`.
    """
    match = _ANNOTATION.fullmatch(argument.annotation.replace("| none", "").strip(" '\""))
    if match is None or match["kind"] not in _KINDS or re.search(r"tensor|array", match["dims"]):
        return None
    written = _HELD.sub(lambda held: _number(owner, held[1]), match["dims"])
    found = None if "{" in written else _shaped(written.split(), guess, "its annotation")
    kind = _KINDS[match["kind"]]
    if found is None or found.kind == kind:
        return found
    return replace(
        found, kind=kind, fill="mask" if kind == "bool" else "normal", high=2 if kind == "int" else None, why="its annotation"
    )


def _number(owner: nn.Module, name: str) -> str:
    """A whole number that the module holds under that name, which the annotation has in lower case; "_" for anything else."""
    held = next((value for key, value in vars(owner).items() if key.lower() == name), None)
    return str(held) if isinstance(held, int) and not isinstance(held, bool) else "_"


def documented(owner: nn.Module, argument: Argument, guess: Leaf) -> Leaf | None:
    """The guess in the shape that the docstring of forward or of the class gives to this argument; None without one."""
    if type(owner).__module__.startswith("torch."):
        return None
    for holder in (type(owner).forward, type(owner)):
        text = inspect.getdoc(holder) if holder.__doc__ else None
        if not text or text == nn.Module.__doc__:
            continue
        start = re.search(rf"^\W*`*{re.escape(argument.name)}`*\s*(?:\([^()]*\)\s*)?[:,-]", text, re.M) or re.search(
            rf"\b{re.escape(argument.name)}\b[^\n.;]{{0,20}}\b(?:is|has|of|with)\b", text
        )
        if start is None:
            continue
        # up to the next argument
        line = re.split(r"\n\s*\w+\s*(?:\([^()]*\))?\s*:|\n\s*\n", text[start.end() - 1 :], maxsplit=1)[0]
        for inside in re.findall(r"[(\[]([\w\s*,.+_/-]+)[)\]]", _CROSSES.sub(_listed, _PRODUCT.sub(_as_tuple, line))):
            tokens = [token.strip() for token in inside.split(",") if token.strip()]
            alone = len(tokens) == 1 and inside.endswith(",")  # (batch,)
            if len(tokens) < 2 - alone or not any(_BATCH.fullmatch(token.lower()) for token in tokens[:2]):
                continue
            if not _BATCH.fullmatch(tokens[0].lower()) and not _time_first(tokens):
                continue
            if len(tokens) == len(guess.dims) and not any(token.isdigit() for token in tokens):
                return None  # the layer that takes it tells more
            if len(tokens) > 3 and tokens[-1] == tokens[-2] and not tokens[-1].isdigit():
                tokens[-2:] = "H", "W"  # the side of a picture
            return _shaped([_held(owner, token) for token in tokens], guess, "its docstring")
    return None


def _held(owner: nn.Module, token: str) -> str:
    """The number that the module holds under that name, where the name is not one of those that say which axis it is."""
    usual = _BATCH.fullmatch(token.lower()) or any(re.fullmatch(pattern, token.lower()) for pattern, _ in _NAMED)
    held = vars(owner).get(token)
    return token if usual or type(held) is not int or held < 1 else str(held)


def _time_first(tokens: list[str]) -> bool:
    """`seq_len, batch_size, features`."""
    time = any(re.fullmatch(pattern, tokens[0].lower()) for pattern, dim in _NAMED if dim == "T")
    return time and re.match("b", tokens[1].lower()) is not None


def _listed(crossed: re.Match[str]) -> str:
    return f"({', '.join(crossed[0].replace('*', 'x').replace(chr(0xD7), 'x').split(' x ' if ' ' in crossed[0] else 'x'))})"


def _as_tuple(product: re.Match[str]) -> str:
    return f"({', '.join(part.strip() for part in product[1].split(chr(92) + 'times'))})"


def _shaped(tokens: list[str], guess: Leaf, why: str) -> Leaf | None:
    dims: list[Dim] = []
    for place, token in enumerate(tokens):
        word = re.sub(r"^[*#?_]+|=.*", "", token.lower())
        if word.isdigit():
            dims.append(int(word))
        elif place < 2 and "B" not in dims and _BATCH.fullmatch(word or "...") and (place == 0 or _time_first(tokens)):
            dims.append("B")
        else:
            dims.append(next((dim for pattern, dim in _NAMED if re.fullmatch(pattern, word)), ""))
            if dims[-1] == "" and place == 1 and len(tokens) > 3 and not _CHANNELS.fullmatch(word or "d"):
                dims[-1] = "T"  # views of a scene, frames, groups
    known = [dim for dim in guess.dims if isinstance(dim, int)]
    if not dims or len(dims) > 6:
        return None
    if {"H", "W"} <= set(dims) and guess.rank() == 2 and guess.kind == "float":
        known = [3]  # the features of a layer that is fed patches, not the channels of the image
    # whatever has no usual name is a number of features or channels
    filled: list[Dim] = [dim if dim != "" else (known[-1] if known else 8) for dim in dims]
    return replace(guess, dims=tuple(filled), why=guess.why if guess.why and not any(isinstance(d, int) for d in dims) else why)
