"""Reasons for which a parameter has no gradient, or one of zeros."""

from __future__ import annotations

import enum


class Why(enum.Enum):
    """The answer, and how the user would say it."""

    UNUSED = "never called"
    REPLACED = "its layer is called, and reads none of its own weights"
    BYPASSED = "not called in this run, though the code refers to it"
    CUT = "cut off from the output"
    ADDITIVE = "a constant that is added to what is differentiated, and has no effect on the derivative"
    NOT_RETURNED = "computed, but its result does not reach the output"
    GATED = "zero until the first steps (a zero initialisation in front of it)"
    ROUTED = "reached by some batches only"
    NOT_IN_LOSS = "reached by outputs that are not in the loss"
    HIDDEN_STATE = "its input, the hidden state, is zero at the only step"
    SINGLE = "a softmax or a normalisation over a single entry is constant"
    SHORT = "a softmax or a normalisation sees a single entry of this batch, and more of a larger one"
    SMALL = "none on inputs of the size that was made up, one on larger ones"
    DEAD = "every unit on its way is dead"
    LEFT_OUT = "an optional argument of forward was left out"
    SATURATED = "a squashing function on its way is saturated to the last digit"
    UNDERFLOW = "zero in float32, not in float64"
    FACTOR = "multiplied by zero"
    INPUT = "multiplied by an input that is zero for every sample"
    WEIGHTS = "the weights behind it are all zero"
    STUCK = "weights of zeros before and behind keep each other at zero, and no step wakes them"
    CANCELS = "its gradients cancel: two paths carry the same one with opposite signs"
    STOPPED = "an operation on the way back passes no gradient"
    UNKNOWN = "zero for an unknown reason"


SOUND: tuple[Why, ...] = (Why.GATED, Why.ROUTED, Why.HIDDEN_STATE, Why.NOT_IN_LOSS, Why.LEFT_OUT, Why.SHORT, Why.SMALL)
"""Of a gradient of zeros: what is no fault."""
