"""Which rule reads the wishes of which operation."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from gradcheck_health.inputs.observation.failed_operation import FailedOperation
from gradcheck_health.inputs.wants import op_layers
from gradcheck_health.inputs.wants.op_axes import matrices, padding, ranked, resampling, sampling, spectrum
from gradcheck_health.inputs.wants.op_index import gather, indexing, loss, one_hot
from gradcheck_health.inputs.wants.op_shapes import broadcast, concatenation, einsum, product, view
from gradcheck_health.inputs.wants.want import Want
from gradcheck_health.model.nest import operand_tensors
from gradcheck_health.records.errors import message_of as text_of


def operation_wants(failure: FailedOperation) -> list[Want]:
    """What the failing operation wanted, by its own rule, then by what holds for every operation."""
    if _mixes_precisions(failure):
        return []  # no size and no kind makes one of two
    rule = op_layers.rule(failure.name) or RULES.get(failure.name)
    wants: list[Want] = []
    if rule is not None:
        try:
            wants = rule(failure)
        except (IndexError, TypeError, AttributeError, ValueError, ZeroDivisionError):
            wants = []  # called in a way that the rule does not know
    if not wants:
        wants = anything(failure)
    if not wants or rule is None:
        wants = wants + broadcast(failure)
    return wants


_DTYPE = re.compile(
    r"not implemented for '(Long|Int|Bool)|floating|scalar type|same dtype|dtype|Float|Long|result type|expected.*type"
    r"|bool tensor is not supported|Boolean-type tensors"
)


def _mixes_precisions(failure: FailedOperation) -> bool:
    operands = operand_tensors((failure.args, failure.kwargs))
    floats = {tensor.dtype for tensor in operands if tensor.is_floating_point()}
    return len(floats) > 1 and _DTYPE.search(text_of(failure.error)) is not None


def anything(failure: FailedOperation) -> list[Want]:
    """Where no rule knows the operation: kinds by the message, sizes by broadcasting."""
    message = text_of(failure.error)
    operands = operand_tensors((failure.args, failure.kwargs))
    wants: list[Want] = []
    integers = [t for t in operands if not t.is_floating_point() and not t.is_complex()]
    if _DTYPE.search(message):
        wants += [Want("kind", t, value="float", why=failure.name, cost=0.8) for t in integers]
        if re.search(r"[Ll]ong|[Ii]nt|index|integer", message):
            wants += [Want("kind", t, value="int", why=failure.name, cost=0.9) for t in operands if t.is_floating_point()]
        if re.search(r"[Bb]ool|logical|bitwise", message):
            wants += [Want("kind", t, value="bool", why=failure.name, cost=0.9) for t in operands if t.dtype is not torch.bool]
        if "omplex" in message:
            wants += [Want("kind", t, value="complex", why=failure.name, cost=0.9) for t in operands if not t.is_complex()]
    return wants


_TABLE: tuple[tuple[Callable[[FailedOperation], list[Want]], str], ...] = (
    (product, "matmul __matmul__ __rmatmul__ mm bmm addmm baddbmm mv"),
    (view, "view reshape unflatten"),
    (concatenation, "cat concat concatenate stack hstack vstack"),
    (indexing, "__getitem__ __setitem__"),
    (
        gather,
        """gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ take_along_dim
        index_select index_add index_add_""",
    ),
    (one_hot, "one_hot"),
    (
        loss,
        """cross_entropy nll_loss mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy
        binary_cross_entropy_with_logits""",
    ),
    (
        ranked,
        """permute transpose swapaxes size flatten mean sum amax amin max min argmax softmax log_softmax squeeze unsqueeze
        unbind chunk split narrow unfold select cumsum flip norm std var logsumexp movedim tensor_split sort topk
        kthvalue stride""",
    ),
    (spectrum, "stft fft_fft fft_rfft"),
    (resampling, "interpolate upsample"),
    (padding, "pad"),
    (sampling, "grid_sample"),
    (matrices, "affine_grid"),
    (einsum, "einsum"),
)
RULES: dict[str, Callable[[FailedOperation], list[Want]]] = {name: rule for rule, names in _TABLE for name in names.split()}
