"""The colours of the page: what they tell apart stays apart for a colour-blind person, and text has the contrast it needs."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

import gradcheck_health

CSS = (Path(gradcheck_health.__file__).parent / "formats" / "_page" / "style.css").read_text()
Vector = tuple[float, float, float]

# Machado, Oliveira and Fernandes 2009, severity 1.0, for linear RGB
SEEN_BY = {
    "everybody": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
APART = [("back", "forward"), ("back", "error"), ("stream", "lost"), ("stream", "bg"), ("back", "bg"), ("forward", "bg")]
READ = [
    ("fg", "bg"),
    ("muted", "bg"),
    ("muted", "panel"),
    ("accent", "bg"),
    ("accent", "panel"),
    *((name, f"{name}-bg") for name in ("error", "warning", "note", "healthy")),
    *((name, "bg") for name in ("error", "warning", "note")),
]


def themes() -> dict[str, dict[str, str]]:
    light = dict(re.findall(r"--([\w-]+): (#\w{6})", CSS[: CSS.index("@media")]))
    dark = dict(re.findall(r"--([\w-]+): (#\w{6})", CSS[CSS.index(':root[data-theme="dark"]') :]))
    return {"light": light, "dark": dark}


def linear(colour: str) -> Vector:
    """sRGB, IEC 61966-2-1."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return tuple(c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))  # type: ignore[return-value]


def lab(rgb: Vector) -> Vector:
    """CIE L*a*b* under D65."""
    matrix = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    x, y, z = (
        sum(m * max(0.0, c) for m, c in zip(row, rgb, strict=True)) / white
        for row, white in zip(matrix, (0.9505, 1.0, 1.089), strict=True)
    )
    fx, fy, fz = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


def difference(first: str, second: str, eyes: str) -> float:
    """CIE 1976: 2.3 is just noticeable."""
    seen = []
    for colour in (first, second):
        rgb = linear(colour)
        seen.append(lab(tuple(sum(m * c for m, c in zip(row, rgb, strict=True)) for row in SEEN_BY[eyes])))  # type: ignore[arg-type]
    return math.dist(*seen)


def contrast(first: str, second: str) -> float:
    """WCAG 2."""
    luminance = [
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True)) for colour in (first, second)
    ]
    return (max(luminance) + 0.05) / (min(luminance) + 0.05)


def test_both_dark_themes_are_the_same() -> None:
    chosen = dict(
        re.findall(r"--([\w-]+): (#\w{6})", CSS[CSS.index("@media (prefers") : CSS.index(':root[data-theme="dark"]')])
    )
    assert chosen == themes()["dark"] and set(chosen) == set(themes()["light"])


@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_colours_tell_apart_everybody_can(theme: str, eyes: str) -> None:
    colours = themes()[theme]
    too_close = {pair: d for pair in APART if (d := difference(colours[pair[0]], colours[pair[1]], eyes)) < 20}
    assert too_close == {}


def test_red_and_green_would_not_pass() -> None:
    assert difference("#c05030", "#6f8020", "everybody") > 40
    assert difference("#c05030", "#6f8020", "deuteranopia") < 20


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast(theme: str) -> None:
    colours = themes()[theme]
    assert {pair: c for pair in READ if (c := contrast(colours[pair[0]], colours[pair[1]])) < 4.5} == {}


def test_contrast_of_black_on_white() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
