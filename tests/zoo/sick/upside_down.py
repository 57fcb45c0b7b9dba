"""Sick decoders whose mask is upside down: it hides the past and shows the future."""

from __future__ import annotations

import torch

from tests.zoo.entry import Built, sick
from tests.zoo.sound.one_way import Reader, Stacked, tokens


@sick("future-leak", "")
def keeps_the_upper_triangle_of_the_scores() -> Built:
    return Reader("later"), tokens()


@sick("future-leak", "")
def fused_attention_keeps_the_upper_triangle() -> Built:
    return Reader("later", fused=True), tokens()


@sick("future-leak", "layers")
def multihead_attention_shuts_the_lower_triangle() -> Built:
    return Stacked(torch.ones(16, 16, dtype=torch.bool).tril(-1)), tokens()


@sick("future-leak", "layers")
def additive_mask_of_the_wrong_half() -> Built:
    return Stacked(torch.full((16, 16), float("-inf")).tril(-1)), tokens()
