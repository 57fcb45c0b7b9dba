"""What a layer with weights wants to be fed, read from its attributes, so that look-alikes of torch's layers count too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from gradcheck_health.inputs.plan import SPATIAL, Leaf

_UNKNOWN_CHANNELS = 3
_UNKNOWN_FEATURES = 10
STATE = "state of"
"""How the source of a leaf begins that is the state of a layer."""


def input_of(module: nn.Module, name: str = "") -> Leaf | None:
    """The tensor that this layer takes first; None where the layer does not tell (containers, activations, dropout)."""
    kind = type(module).__name__
    label = f"{name} ({kind})" if name else kind
    for reader in (_embedding, _attention, _recurrent, _convolution, _linear, _norm):
        leaf = reader(module, kind)
        if leaf is not None:
            return Leaf(leaf.dims, leaf.kind, leaf.fill, leaf.low, leaf.high, why=label)
    return None


def hands_on(layer: Any) -> bool:
    """Layers that take what the next one wants: flattening, dropout, activations."""
    if isinstance(layer, nn.Flatten | nn.Identity):
        return True
    home = type(layer).__module__
    return home in ("torch.nn.modules.activation", "torch.nn.modules.dropout") and not isinstance(layer, nn.MultiheadAttention)


def _integer(module: nn.Module, *names: str) -> int | None:
    for name in names:
        # instance attributes only: a property of a foreign class may warn or raise
        value = vars(module).get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _embedding(module: nn.Module, kind: str) -> Leaf | None:
    rows = _integer(module, "num_embeddings")
    if rows is None:
        return None
    return Leaf(("B", "T"), "int", low=1 if vars(module).get("padding_idx") == 0 and rows > 1 else 0, high=rows)


def _sequence(module: nn.Module, features: int) -> Leaf:
    return Leaf(("B", "T", features) if vars(module).get("batch_first", False) else ("T", "B", features))


def _attention(module: nn.Module, kind: str) -> Leaf | None:
    if isinstance(module, nn.MultiheadAttention):
        return _sequence(module, module.embed_dim)
    inner = module._modules.get("self_attn")
    if isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) and isinstance(inner, nn.MultiheadAttention):
        return _sequence(inner, inner.embed_dim)
    if isinstance(module, nn.Transformer):
        return _sequence(module, module.d_model)
    return None


def _recurrent(module: nn.Module, kind: str) -> Leaf | None:
    features, hidden = _integer(module, "input_size"), _integer(module, "hidden_size")
    if features is None or hidden is None or not isinstance(module, nn.RNNBase | nn.RNNCellBase):
        return None
    return Leaf(("B", features)) if isinstance(module, nn.RNNCellBase) else _sequence(module, features)


def states_of(module: nn.Module) -> tuple[Leaf, ...]:
    """The states that a recurrent layer of torch takes beside its input: one, or two of an LSTM; none for other layers."""
    if isinstance(module, nn.RNNCellBase):
        cell = Leaf(("B", module.hidden_size), why=f"{STATE} a recurrent layer")
        return (cell, cell) if isinstance(module, nn.LSTMCell) else (cell,)
    if not isinstance(module, nn.RNNBase):
        return ()
    layers = module.num_layers * (2 if module.bidirectional else 1)
    hidden = Leaf((layers, "B", module.proj_size or module.hidden_size), why=f"{STATE} a recurrent layer")
    memory = Leaf((layers, "B", module.hidden_size), why=f"{STATE} a recurrent layer")
    return (hidden, memory) if isinstance(module, nn.LSTM) else (hidden,)


def _convolution(module: nn.Module, kind: str) -> Leaf | None:
    channels = _integer(module, "in_channels")
    kernel = vars(module).get("kernel_size")
    if channels is None or kernel is None:
        return None
    axes = len(kernel) if isinstance(kernel, tuple) else _axes(kind)
    if axes not in SPATIAL:
        return None
    stride, padding = vars(module).get("stride"), vars(module).get("padding")
    if vars(module).get("transposed") and set(stride or ()) == {1} and set(padding or ()) == {0} and min(kernel) > 1:
        # the first layer of a generator, which grows an image out of a point
        return Leaf(("B", channels, *[1] * axes))
    return Leaf(("B", channels or _UNKNOWN_CHANNELS, *SPATIAL[axes]))


def _axes(kind: str) -> int:
    return next((n for n in (1, 2, 3) if f"{n}d" in kind.lower()), 2)


def _linear(module: nn.Module, kind: str) -> Leaf | None:
    features = _integer(module, "in_features", "in1_features", "nx")
    if features is None or module._modules and not isinstance(module, nn.Linear):
        return None
    return Leaf(("B", features or _UNKNOWN_FEATURES))


def _norm(module: nn.Module, kind: str) -> Leaf | None:
    shape = vars(module).get("normalized_shape")
    if isinstance(shape, tuple | list) and shape:
        return Leaf(("B", *shape))
    features = _integer(module, "num_features", "num_channels")
    if features is None or module._modules:
        return None
    features = features or _UNKNOWN_FEATURES
    if "1d" in kind.lower():
        # two axes mean one unbatched sample to instance normalisation
        return Leaf(("B", features, "L") if "instance" in kind.lower() else ("B", features))
    return Leaf(("B", features, *SPATIAL[3 if "3d" in kind.lower() else 2]))


def entries(model: nn.Module, limit: int = 200) -> Iterator[tuple[str, nn.Module, Leaf]]:
    """Layers that tell what they want, in registration order, parts of attention and transformer layers left out."""
    inside: tuple[str, ...] = ()
    for count, (name, module) in enumerate(model.named_modules()):
        if count > limit * 20:
            return
        if inside and name.startswith(inside):
            continue
        leaf = input_of(module, name)
        if leaf is None:
            continue
        yield name, module, leaf
        inside = (*inside, f"{name}.")[-limit:]
