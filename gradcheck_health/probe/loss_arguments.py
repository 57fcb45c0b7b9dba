"""What the losses of torch take, and what is wrong with what one was handed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional as F

_Read = Callable[[torch.Tensor, Any, Mapping[str, Any]], str]
TOLERANCE = 1e-3
MEAN = 'reduction="mean"'
"""Scales the gradient, and does nothing else."""


_REGRESSIONS = frozenset([F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss])
_RANGES = {
    "Sigmoid": ("a sigmoid", 0.0, 1.0),
    "Softmax": ("a softmax", 0.0, 1.0),
    "Tanh": ("a tanh", -1.0, 1.0),
    "Relu": ("a ReLU", 0.0, math.inf),
    "Softplus": ("a softplus", 0.0, math.inf),
}
"""What ends a prediction, by the name of its node, and what it returns."""
_SHAPES = ("View", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose", "Permute", "Clone", "UnsafeView", "Alias", "Unbind")
_MANY = 16
"""Targets from which on one class only is no chance."""
_MARGIN, _BEYOND = 0.05, 0.1
"""Of the range: outliers so little beyond it are none; and the share of the targets that may lie beyond it."""


def explain(error: BaseException) -> str:
    """What a loss of torch that raised was handed, and what it takes; "" where another function raised, or nothing is wrong."""
    by_code = {func.__code__: func for func in LOSSES}
    found, traceback = "", error.__traceback__
    while traceback is not None:
        func = by_code.get(traceback.tb_frame.f_code)
        if func is not None:
            first, second = operands((), traceback.tb_frame.f_locals)
            got, wanted = handed(func, first, second, traceback.tb_frame.f_locals) if is_ordinary(first) else ("", "")
            found = f"{func.__name__} is handed {got}, and takes {wanted}" if got else found
        traceback = traceback.tb_next
    return found


def handed(func: Any, first: torch.Tensor, second: Any, kwargs: Mapping[str, Any]) -> tuple[str, str]:
    """(what is wrong with it, what the loss takes), both empty where nothing is."""
    read = LOSSES.get(func)
    if read is None or not first.numel():
        return "", ""
    got, _, wanted = read(first.detach(), second, kwargs).partition("|")
    return got, wanted


def is_ordinary(tensor: Any) -> bool:
    """Dense, with values that may be looked at: not inside a transform of torch.func, where a comparison raises."""
    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and not (tensor.is_nested or tensor.is_meta or tensor.is_quantized)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def operands(args: Any, kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """Prediction and target, however they were passed."""
    first = args[0] if args else kwargs.get("input", kwargs.get("log_probs", kwargs.get("input1")))
    second = args[1] if len(args) > 1 else kwargs.get("target", kwargs.get("targets", kwargs.get("other")))
    return first, second


def _is_distribution(values: torch.Tensor, axis: int) -> bool:
    """Nowhere negative, and every row along the axis sums to one."""
    if not -values.dim() <= axis < values.dim() or values.shape[axis] < 2 or bool((values < 0).any()):
        return False
    return bool(((values.float().sum(axis) - 1).abs() < TOLERANCE).all())


def _classes(values: torch.Tensor) -> int:
    return 1 if values.dim() > 1 else 0


def _no_classes(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    """Of class indices: a wrong type, numbers that are no class, or nothing but what is ignored."""
    if not isinstance(target, torch.Tensor) or not target.numel() or target.dim() >= values.dim() > 0:
        return ""
    if target.is_floating_point():
        return f"class indices as {str(target.dtype).removeprefix('torch.')}|integers: target.long()"
    ignored = kwargs.get("ignore_index", -100)
    counted = target[target != ignored]
    if not counted.numel():
        return f"no target but ignore_index ({ignored})|a class in at least one place: the mean over none is NaN"
    low, high, classes = int(counted.min()), int(counted.max()), values.shape[_classes(values)]
    if low < 0 or high >= classes:
        return f"a target from {low} to {high}|class indices from 0 to {classes - 1}: {classes} classes come out of the model"
    return ""


def unreachable(func: Any, first: torch.Tensor, target: Any) -> tuple[str, str]:
    """As `handed`: targets that the last activation of the prediction cannot return, of a regression or of binary logits."""
    binary = func is F.binary_cross_entropy_with_logits
    if (
        not (binary or func in _REGRESSIONS)
        or not is_ordinary(target)
        or target.requires_grad
        or not target.is_floating_point()
    ):
        return "", ""
    name, low, high = range_of(first)
    values = target.detach().float()
    if not name or not values.numel() or not bool(values.isfinite().all()):
        return "", ""
    if binary:
        if high < math.inf or float((values < 0.5).float().mean()) <= _BEYOND:
            return "", ""
        return f"the result of {name}, whose sigmoid is a half or more", "logits of either sign: leave the last activation out"
    margin = _MARGIN * (high - low if high < math.inf else float(values.abs().max()))
    beyond = float(((values < low - margin) | (values > high + margin)).float().mean())
    if beyond <= _BEYOND:
        return "", ""
    reach = f"{low:g} to {high:g}" if high < math.inf else f"{low:g} and more"
    got = f"a target from {float(values.min()):.3g} to {float(values.max()):.3g} for the result of {name}"
    return got, f"a target that {name} can return, {reach}: leave the last activation out, or scale the targets"


def range_of(prediction: torch.Tensor) -> tuple[str, float, float]:
    """(what ends a prediction, the least that it returns, the most); "" where that is bounded on neither side."""
    return _RANGES.get(_last_activation(prediction), ("", -math.inf, math.inf))


def one_sided(func: Any, first: torch.Tensor, target: Any) -> tuple[str, str]:
    """As `handed`, of a classification: what does no harm by itself, and is seldom wanted."""
    if func is F.cross_entropy and _last_activation(first) == "Relu":
        return "the result of a ReLU", "logits of either sign: leave the last activation out, or no class can be ruled out"
    if func not in (F.cross_entropy, F.nll_loss) or not is_ordinary(target) or target.is_floating_point():
        return "", ""
    if first.dim() < 2 or first.shape[1] < 2 or target.numel() < _MANY or int(target.min()) != int(target.max()):
        return "", ""
    return f"one class only, {int(target.min())}", "targets of several classes: look at how they are read, and at the sampler"


def _last_activation(prediction: torch.Tensor) -> str:
    """The node that ends a prediction, behind what only lays it out; "" where it is a leaf."""
    node = prediction.grad_fn
    while node is not None and node.name().startswith(_SHAPES):
        node = node.next_functions[0][0]
    return "" if node is None else node.name().removesuffix("Backward0")


def _log_likelihood(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    return _no_classes(values, target, kwargs) or _log_probabilities(values, target, kwargs)


def _log_probabilities(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if (
        values.dim() == 2
        and values.shape[1] > 1
        and not _is_distribution(values.exp(), 1)
        and _is_distribution(values.exp(), 0)
    ):
        return "log-probabilities that sum to one over the samples|log-probabilities of the classes: log_softmax(-1)"
    if bool((values > TOLERANCE).any()):
        kind = "probabilities" if any(_is_distribution(values, axis) for axis in range(values.dim())) else "raw scores"
        return f"{kind}|log-probabilities, which are never above 0: take log_softmax first"
    return ""


def _divergence(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    found = _log_probabilities(values, target, kwargs)
    if found:
        return found
    logs = bool(kwargs.get("log_target", False))
    if isinstance(target, torch.Tensor) and target.is_floating_point() and target.numel():
        if not logs and bool((target < -TOLERANCE).any()):
            return "a target with negative entries|a target of probabilities; for logarithms say log_target=True"
        if logs and bool((target > TOLERANCE).any()):
            return "a target with positive entries|a target of log-probabilities, as log_target=True says"
    if kwargs.get("reduction", "mean") == "mean" and values.dim() > 1 and values.numel() > len(values):
        return f'{MEAN}|reduction="batchmean", which divides by the samples: "mean" divides by their classes, too'
    return ""


def _logits_of_classes(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if values.dim() > 1 and values.shape[1] == 1:
        return "the logit of one class|a logit for each class: for one logit take binary_cross_entropy_with_logits"
    if wrong := _no_classes(values, target, kwargs):
        return wrong
    if _is_distribution(values, _classes(values)):
        return "probabilities|logits: it takes their softmax itself"
    if isinstance(target, torch.Tensor) and target.is_floating_point() and target.numel() and bool((target < -TOLERANCE).any()):
        return "a target with negative entries|class indices, or the probabilities of the classes"
    return ""


def _binary(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if not isinstance(target, torch.Tensor) or not target.numel() or target.is_complex():
        return ""
    low, high = (float(edge) for edge in target.detach().aminmax())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        return f"a target from {low:.3g} to {high:.3g}|a target from 0 to 1: the probability of the class"
    return ""


def _probabilities(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    low, high = (float(edge) for edge in values.aminmax())
    if low < 0 or high > 1:
        return (
            f"raw scores from {low:.3g} to {high:.3g}|probabilities from 0 to 1: "
            "take binary_cross_entropy_with_logits for scores, or their sigmoid first"
        )
    return _binary(values, target, kwargs)


def _signed(values: torch.Tensor, target: Any, kwargs: Mapping[str, Any]) -> str:
    if isinstance(target, torch.Tensor) and target.numel() and bool((target == 0).any()):
        return "a target with zeros|a target of -1 and 1"
    return ""


LOSSES: dict[Any, _Read | None] = {
    F.nll_loss: _log_likelihood,
    F.ctc_loss: _log_probabilities,
    F.kl_div: _divergence,
    F.cross_entropy: _logits_of_classes,
    F.binary_cross_entropy: _probabilities,
    F.binary_cross_entropy_with_logits: _binary,
    F.hinge_embedding_loss: _signed,
    F.soft_margin_loss: _signed,
    F.mse_loss: None,
    F.l1_loss: None,
    F.smooth_l1_loss: None,
    F.huber_loss: None,
    F.poisson_nll_loss: None,
    F.gaussian_nll_loss: None,
}
"""Function -> what is wrong with its arguments, "got|wanted", or ""."""
