"""The operations of torch that are known to keep samples apart, by name, and the rule that says where they lie afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

from gradcheck_health.probe.samples import computing, shapes
from gradcheck_health.probe.samples.operation import Answer, Operation

Rule = Callable[[Operation], Answer]

_ENTRY_BY_ENTRY = """
    add sub subtract mul multiply div divide truediv true_divide floordiv floor_divide remainder mod neg negative pos abs
    exp expm1 log log1p log2 log10 sqrt rsqrt square pow reciprocal sin cos tan asin acos atan atan2 sinh cosh tanh erf
    sigmoid logsigmoid relu relu6 gelu silu mish elu selu celu leaky_relu hardswish hardsigmoid hardtanh hardshrink
    softshrink tanhshrink softplus softsign threshold clamp clip clamp_min clamp_max maximum minimum fmax fmin where
    masked_fill lerp addcmul addcdiv sign floor ceil round trunc frac eq ne lt le gt ge logical_and logical_or logical_not
    logical_xor bitwise_and bitwise_or bitwise_not and or xor invert isnan isinf isfinite nan_to_num float double half
    bfloat16 long int bool to type contiguous clone detach requires_grad copy dropout dropout1d dropout2d dropout3d
    alpha_dropout feature_dropout rsub hypot sinc
"""
_ALONG_AXES = """
    mean sum prod amax amin var std softmax log_softmax softmin logsumexp argmax argmin cumsum cumprod any all flip
    count_nonzero nansum nanmean max min
"""
_MADE_FROM_A_SHAPE = "zeros_like ones_like full_like rand_like randn_like new_zeros new_ones new_full"
_VIEWS = "view reshape flatten unflatten"
_QUESTIONS = """
    size dim ndimension numel nelement stride is_floating_point is_complex is_contiguous element_size len get_device
    is_same_size register_hook retain_grad storage_offset is_conj is_neg is_inference
"""
QUESTIONS = frozenset(_QUESTIONS.split())
"""What they answer is the same whatever stands in the tensor."""


def _with_default(rule: Rule, dim: int | None, position: int) -> Rule:
    """Of what takes another axis where none is given, and not as its second argument."""

    def known(call: Operation) -> Answer:
        return rule(replace(call, args=call.args[:1], kwargs={"dim": call.get(position, "dim", dim)}))

    return known


def _by_shape(rule: Rule) -> Rule:
    """Of the second operand only its shape, or its kind, is taken."""
    return lambda call: rule(replace(call, known={key: along for key, along in call.known.items() if key == id(call.args[0])}))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_ENTRY_BY_ENTRY.split(), computing.broadcast),
    **dict.fromkeys(_ALONG_AXES.split(), computing.reduced),
    **dict.fromkeys(_MADE_FROM_A_SHAPE.split(), lambda call: None),
    **dict.fromkeys(_VIEWS.split(), shapes.view),
    **dict.fromkeys(("interpolate", "upsample", "unfold"), computing.first),
    **{f"conv{n}d": computing.spatial(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": computing.spatial(n) for n in (1, 2, 3)},
    **{f"{kind}{n}d": computing.at(n) for n in (1, 2, 3) for kind in ("max_pool", "avg_pool", "adaptive_avg_pool")},
    **{f"adaptive_max_pool{n}d": computing.at(n) for n in (1, 2, 3)},
    **{f"lp_pool{n}d": computing.at(n) for n in (1, 2)},
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), computing.at(3)),
    **dict.fromkeys(("tril", "triu"), computing.at(2)),
    **dict.fromkeys(("matmul", "bmm", "mm"), computing.matmul),
    **dict.fromkeys(("addmm", "baddbmm"), computing.added_product),
    **dict.fromkeys(("permute",), shapes.permute),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), shapes.transpose),
    **dict.fromkeys(("chunk", "split", "tensor_split"), shapes.split),
    **dict.fromkeys(("cat", "concat", "concatenate"), partial(shapes.joined, stacked=False)),
    **dict.fromkeys(("lstm", "gru"), computing.recurrent),
    **dict.fromkeys(("group_norm", "instance_norm"), computing.group_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), computing.layer_norm),
    "prelu": computing.first,
    "linear": computing.linear,
    "batch_norm": computing.batch_norm,
    "embedding": computing.embedding,
    "einsum": computing.einsum,
    "scaled_dot_product_attention": computing.attention,
    "multi_head_attention_forward": computing.multi_head,
    "normalize": _with_default(computing.reduced, 1, 2),
    "norm": _with_default(computing.reduced, None, 2),
    "topk": _with_default(computing.reduced, -1, 2),
    "sort": _with_default(computing.reduced, -1, 1),
    "argsort": _with_default(computing.reduced, -1, 1),
    "glu": _with_default(computing.reduced, -1, 1),
    "roll": shapes.rolled,
    **dict.fromkeys(("reshape_as", "view_as"), _by_shape(shapes.view)),
    "expand_as": _by_shape(shapes.expand),
    "type_as": _by_shape(computing.broadcast),
    "stack": partial(shapes.joined, stacked=True),
    "t": shapes.turned,
    "squeeze": shapes.squeeze,
    "unsqueeze": shapes.unsqueeze,
    "expand": shapes.expand,
    "unbind": shapes.unbind,
    **dict.fromkeys(("narrow", "index_select"), shapes.narrowed),
    "select": shapes.selected,
    "getitem": shapes.taken,
    "setitem": shapes.written,
    "gather": shapes.gathered,
    "one_hot": computing.one_hot,
    "repeat": shapes.repeated,
    "pad": shapes.padded,
}


@cache
def plain_name(name: str) -> str:
    """`add` for add_, __add__, __radd__ and __iadd__."""
    if not (name.startswith("__") and name.endswith("__")):
        return name.strip("_") if name.startswith("_") or name.endswith("_") else name
    inside = name[2:-2]
    turned = inside[:1] in ("i", "r") and inside[1:] in RULES and inside not in RULES and inside != "rmatmul"
    return inside[1:] if turned else inside
