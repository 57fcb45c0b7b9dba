"""What the name of an argument means: masks, edges, states, tokens, targets, pictures, places."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from gradcheck_health.inputs.plan import Const, Group, Leaf, Node
from gradcheck_health.inputs.static.layer_inputs import states_of
from gradcheck_health.inputs.static.model_info import ModelInfo

Role = Callable[[ModelInfo], Node | None]


def _fixed(node: Node) -> Role:
    return lambda info: node


def _ids(info: ModelInfo) -> Node | None:
    return info.first("Embedding") or Leaf(("B", "T"), "int", high=2)


def _image(info: ModelInfo) -> Node | None:
    return info.first("Conv2d", "Conv3d") or info.first("Conv") or Leaf(("B", 3, "H", "W"))


def _audio(info: ModelInfo) -> Node | None:
    return info.first("Conv1d") or Leaf(("B", "A"))


def _video(info: ModelInfo) -> Node | None:
    return info.first("Conv3d") or Leaf(("B", 3, 5, "H", "W"))


_STATE = re.compile(
    r"(prev_?|last_?)?(h|hx|hc|c|cx|h_?0|c_?0|hidden(_states?)?|cell(_states?)?|(rnn_)?states?|carry|prev_states?)(_?prev)?"
)


def is_state(name: str) -> bool:
    """What a recurrent layer hands on from step to step."""
    return _STATE.fullmatch(name.lower()) is not None


def state(info: ModelInfo) -> Node | None:
    """The initial state of the first recurrent layer; both of an LSTM where forward takes no second one by itself."""
    states = states_of(info.recurrent[0]) if info.recurrent else ()
    alone = sum(bool(argument.required and is_state(argument.name)) for argument in info.signature.arguments)
    return Group(tuple(enumerate(states)), "tuple") if len(states) == 2 and alone < 2 else states[0] if states else None


def _memory(info: ModelInfo) -> Node | None:
    """The second state of an LSTM."""
    states = states_of(info.recurrent[0]) if info.recurrent else ()
    return states[1] if len(states) == 2 else None


def _edge_features(info: ModelInfo) -> Node | None:
    known = info.named("edge")
    return replace(known, dims=("E", *known.dims[-1:])) if known is not None else Leaf(("E", 4), why="role: edge features")


def _points(info: ModelInfo) -> Node | None:
    graph = any(argument.name in _GRAPH for argument in info.signature.arguments if argument.required)
    beside = any(_FEATURES.fullmatch(argument.name.lower()) for argument in info.signature.arguments if argument.required)
    return Leaf(("N", 3) if graph else ("B", "T" if beside else "P", 3), why="role: points")


_FEATURES = re.compile(r"(node_?)?feat(ure)?s?|x|h|nodes|seq|atoms|tokens")
_ATOMS = re.compile(r"(atomic_?)?numbers?|z|species|atom_?types?|elements?|types")


def _positions(info: ModelInfo) -> Node | None:
    """Places in space beside the kinds of atoms, places in a sequence otherwise."""
    if any(_ATOMS.fullmatch(argument.name.lower()) for argument in info.signature.arguments):
        return Leaf(("B", "T", 3), why="role: positions")
    return Leaf(("B", "T"), "int", "positions", high="T", why="role: positions")


_GRAPH = {"edge_index", "edges", "batch", "adj"}
STEPS = "role: timesteps"
_ROLES: tuple[tuple[str, Role], ...] = (
    (r"(hyper)?edge_?(index|list)|edges?", _fixed(Leaf((2, "E"), "int", high="N", why="role: edges"))),
    (r"edge_?(weights?)", _fixed(Leaf(("E",), fill="uniform", why="role: edge weights"))),
    (
        r"(norm_?)?adj(acency)?(_?(mat(rix)?|hat|norm))?|a_hat|laplacian",
        _fixed(Leaf(("N", "N"), fill="adjacency", why="role: adjacency")),
    ),
    (r"edge_?(attrs?|feats?|features?)", _edge_features),
    (r".*key_padding_mask|pad(ding)?_mask|.*_pad_mask", _fixed(Leaf(("B", "T"), "bool", "padding", why="role: padding mask"))),
    (
        r"(src|tgt|causal|look_?ahead|trg|memory)_mask|attn_mask|attn_bias",
        _fixed(Leaf(("T", "T"), "bool", "causal", why="role: mask")),
    ),
    (r"attention_mask", _fixed(Leaf(("B", "T"), "int", "mask", high=2, why="role: attention mask"))),
    (r".*mask.*", _fixed(Leaf(("B", "T"), "bool", "mask", why="role: mask"))),
    (r"(.*_)?position(s|_ids)?|pos_ids", _positions),
    (r"token_type_ids|segment_ids|segments?", _fixed(Leaf(("B", "T"), "int", "normal", high=2, why="role: segments"))),
    (r"(.*_)?(input_)?(ids|tokens?|token_ids|word_ids)|words?|text|sentences?|captions?|idx", _ids),
    (r"(.*_)?(len(gth)?s?|seq_lens?|sizes)", _fixed(Leaf(("B",), "int", "lengths", high="T", why="role: lengths"))),
    (r"offsets?", _fixed(Leaf(("B",), "int", "offsets", high="T", why="role: offsets"))),
    (r"cu_seqlens?|ptr|indptr", _fixed(Leaf(("B",), "int", "boundaries", high="T", why="role: boundaries"))),
    (r"(num|n|max|total)_(steps?|frames?|samples?|iters?|iterations?|points?|tokens?|heads?)(_\w+)?", _fixed(Const(3))),
    (r"time_?steps?|t_?steps?|diffusion_steps?", _fixed(Leaf(("B",), "int", high=100, why=STEPS))),
    (r"t|time|times|sigmas?|noise_levels?|log_snr|lam", _fixed(Leaf(("B",), fill="uniform", why="role: time"))),
    (r"labels?|targets?|y|y_true|gt|class_?(ids|labels)?|classes", _fixed(Leaf(("B",), "int", high=2, why="role: labels"))),
    (r"(prev_?|last_?)?(c|cx|c_?0|cell(_states?)?)", _memory),
    (_STATE.pattern, state),
    (r".*(images?|imgs?|pixel_values|frames?_rgb|rgb|picture)", _image),
    (r".*(audio|wave?|waveforms?|wavs?|speech|signal)", _audio),
    (r".*(video|clip|frames)", _video),
    (r".*(points?|xyz|point_?clouds?|pcd?|coords?|coors?|coordinates)|pos", _points),
)


def by_name(name: str, info: ModelInfo) -> Node | None:
    """The likeliest value of an argument of that name; None where it says nothing."""
    lower = name.lower()
    for spelling in dict.fromkeys((lower, lower.rstrip("_0123456789"))):  # x1 and points_2 are of the kind of x and points
        for pattern, role in _ROLES:
            if re.fullmatch(pattern, spelling):
                return role(info)
    return None
