"""Sick models with weights that no step moves: zeros that keep each other at zero, and derivatives that are zero by algebra."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.entry import Built, sick
from tests.zoo.sound.waking import (
    Adapted,
    Attentive,
    Conditioned,
    Factored,
    Gated,
    Last,
    Mixed,
    Queried,
    Routed,
    Weighed,
    zeros,
)


@sick("zero-gradient", "0", "2")
def tanh_net_of_zeros() -> Built:
    return zeros(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))), torch.randn(32, 8)


@sick("zero-gradient", "lstm", "head")
def lstm_and_head_of_zeros() -> Built:
    return zeros(Last()), torch.randn(16, 9, 8)


@sick("zero-gradient", "down", "up")
def both_halves_of_the_adapters_zero() -> Built:
    model = Adapted()
    zeros(model.down)
    return model, torch.randn(32, 12)


@sick("zero-gradient", "left", "right")
def both_factors_zero() -> Built:
    model = Factored()
    nn.init.zeros_(model.right)
    return model, torch.randn(32, 10)


@sick("zero-gradient", "inner", "outer")
def rezero_branch_that_ends_in_zeros() -> Built:
    model = Gated()
    zeros(model.outer)
    return model, torch.randn(32, 8)


@sick("zero-gradient", "condition", "features", "out")
def zero_condition_times_zero_features() -> Built:
    model = Conditioned()
    zeros(model.features)
    return model, (torch.randn(32, 8), torch.randn(32, 4))


@sick("zero-gradient", "score")
def softmax_over_the_one_score() -> Built:
    return Weighed(axis=-1), torch.randn(32, 6, 8)


@sick("zero-gradient", "gate")
def top_one_divided_by_itself() -> Built:
    return Routed(best=1, share=True), torch.randn(32, 8)


@sick("zero-gradient", "one")
def two_scores_of_one_layer() -> Built:
    model = Mixed()
    model.other = model.one
    return model, torch.randn(32, 8)


@sick("zero-gradient", "query")
def query_that_every_key_is_added_to_alike() -> Built:
    return Queried(nn.Identity()), (torch.randn(32, 8), torch.randn(32, 6, 8))


@sick("zero-gradient", "query", "key")
def attention_over_the_one_summary() -> Built:
    return Attentive(summary=True), (torch.randn(16, 5, 16), torch.randn(16, 4, 16))
