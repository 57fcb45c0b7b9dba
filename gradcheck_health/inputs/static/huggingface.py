"""The first guess for a model with a Hugging Face configuration: `main_input_name`, vocabulary, image size, mel bins."""

from __future__ import annotations

import inspect
import re
from dataclasses import replace
from typing import Any

from gradcheck_health.inputs.plan import SIZES, Leaf, Node, Plan
from gradcheck_health.inputs.static.model_info import ModelInfo

_WHY = "config"


def plan(info: ModelInfo) -> Plan | None:
    """None for models of other kinds."""
    model = info.owner
    main, config = getattr(model, "main_input_name", None), getattr(model, "config", None)
    if not isinstance(main, str) or config is None or not hasattr(config, "model_type"):
        return None
    names = [argument.name for argument in info.signature.arguments]
    wanted = [main] if main in names else []
    gridded = next((name for name in names if name in _GRIDS), None)
    if (
        "input_ids" in names
        and "pixel_values" in names
        and _part(config, "vision_config") is not None
        and _part(config, "text_config") is not None
    ):
        wanted = ["input_ids", "pixel_values", *([gridded] if gridded else [])]
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in names:
        wanted.append("decoder_input_ids")
    wanted += [a.name for a in info.signature.arguments if a.required and a.name not in wanted]
    nodes = {name: (_gridded(name, config) if gridded else None) or _node(name, config) for name in wanted}
    known = {name: _ended(info, config, name, node) for name, node in nodes.items() if node is not None}
    if not known or len(known) < len([name for name in wanted if name in (main, "decoder_input_ids")]):
        return None
    from gradcheck_health.inputs.static.argument_roles import guess

    arguments: list[tuple[str, Node]] = []
    for position, argument in enumerate(info.signature.arguments):
        if argument.name in wanted:
            arguments.append((argument.name, known.get(argument.name) or guess(argument, info, position)))
    return Plan(tuple(arguments))


def input_named(info: ModelInfo, name: str) -> Leaf | None:
    """What the configuration says of one argument; None for models of other kinds."""
    config = getattr(info.owner, "config", None)
    return _node(name, config) if hasattr(config, "model_type") else None


def _node(name: str, config: Any) -> Leaf | None:
    if name in ("input_ids", "decoder_input_ids"):
        vocabulary = _number(_part(config, "text_config") or config, "vocab_size") or _number(config, "vocab_size")
        if vocabulary is None:
            return None
        special = [
            i
            for key in ("pad_token_id", "bos_token_id", "eos_token_id")
            if (i := _number(config, key)) is not None and i < vocabulary - 1
        ]
        low = max(special) + 1 if special and max(special) < vocabulary // 2 else 0
        return Leaf(("B", "T"), "int", low=low, high=vocabulary, why=f"{_WHY}.vocab_size")
    if name == "image_sizes":
        side = _number(_part(config, "vision_config"), "image_size")
        return Leaf(("B", 2), "int", "full", high=side, why=f"{_WHY}.image_size") if side else None
    if name == "pixel_values":
        vision = _part(config, "vision_config") or config
        side = getattr(vision, "image_size", None)
        channels = _number(vision, "num_channels") or _number(vision, "in_channels") or _number(vision, "in_chans") or 3
        if isinstance(side, tuple | list) and len(side) == 2:
            return Leaf(("B", channels, int(side[0]), int(side[1])), why=f"{_WHY}.image_size")
        return Leaf(
            ("B", channels, side, side) if isinstance(side, int) else ("B", channels, "H", "W"), why=f"{_WHY}.image_size"
        )
    if name == "input_values" and (bins := _number(config, "num_mel_bins")) and (frames := _number(config, "max_length")):
        return Leaf(("B", frames, bins), why=f"{_WHY}.num_mel_bins")
    if name == "input_values":
        return Leaf(("B", "A"), why="role: waveform")
    if name == "input_features":
        bins = _number(config, "num_mel_bins") or _number(config, "input_feat_per_channel") or 80
        frames = _number(config, "max_source_positions")
        return (
            Leaf(("B", bins, 2 * frames), why=f"{_WHY}.num_mel_bins")
            if frames
            else Leaf(("B", 64, bins), why=f"{_WHY}.num_mel_bins")
        )
    return None


def _ended(info: ModelInfo, config: Any, name: str, leaf: Leaf) -> Leaf:
    """Texts with the token that ends them, for models that look for it: CLIP pools there, else at the first token."""
    texts = _part(config, "text_config") or config
    token = _number(texts, "eos_token_id")
    if name != "input_ids" or token is None or not isinstance(leaf.high, int) or not 0 <= token < leaf.high:
        return leaf
    forwards = {type(module).forward for module in info.owner.modules()}
    return replace(leaf, end=token) if any(_mentions(forward, "eos_token_id") for forward in forwards) else leaf


def _mentions(forward: Any, name: str) -> bool:
    """The function reads an attribute of that name."""
    return name in getattr(inspect.unwrap(forward), "__code__", _mentions.__code__).co_names


_GRIDS = ("image_grid_thw", "grid_thw")
"""Arguments that say for every image how many patches it has in time, height and width."""
_IMAGES = SIZES["B"]


def _gridded(name: str, config: Any) -> Leaf | None:
    """Images as rows of flattened patches, one row of the grid an image; a side is a multiple of what makes one token."""
    vision = _part(config, "vision_config") or config
    patch, merged = _number(vision, "patch_size"), _number(vision, "spatial_merge_size") or 1
    if patch is None:
        return None
    side = 4 * merged
    if name in _GRIDS:
        return Leaf((_IMAGES, 3), "int", "grid", high=side, why=f"{_WHY}.spatial_merge_size")
    if name in ("pixel_values", "hidden_states"):
        channels = _number(vision, "num_channels") or _number(vision, "in_channels") or _number(vision, "in_chans") or 3
        features = channels * (_number(vision, "temporal_patch_size") or 1) * patch * patch
        return Leaf((_IMAGES * side * side, features), why=f"{_WHY}.patch_size")
    return None


def _part(config: Any, name: str) -> Any:
    return getattr(config, name, None)


def _number(config: Any, name: str) -> int | None:
    value = getattr(config, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def placeholders(plan: Plan, message: str, info: ModelInfo) -> list[Plan]:
    """The ids with as many image (audio, video) tokens as the failure says there are features, in vectors or in entries."""
    match = re.search(
        r"(\w+) features and \w+ tokens do not match.*?tokens:? *(\d+).*?features:? *(?:torch.Size\(\[)?(\d+)", message
    )
    ids = plan.get(("input_ids",))
    if match is None or not isinstance(ids, Leaf):
        return []
    kind, config = match.group(1).lower(), getattr(info.owner, "config", None)
    token = _number(config, f"{kind}_token_id") or _number(config, f"{kind}_token_index")
    width = _number(_part(config, "text_config") or config, "hidden_size") or 1
    each, left = divmod(int(match.group(3)), max(plan.size("B"), 1))
    if token is None or left or kind not in _TYPE:
        return []
    rows = plan.size(ids.high) if ids.high is not None else 0
    counts = [each // width] if each % width == 0 else []
    filled = []
    for count in dict.fromkeys([*counts, each]):
        if count >= 1 and ids.placeholder != (token, count):
            changed = plan.put(("input_ids",), replace(ids, placeholder=(token, count), high=max(rows, token + 1)))
            if info.signature.find(_TYPES) is not None:
                types = Leaf(("B", "T"), "int", "zeros", high=2, why="placeholder tokens", placeholder=(_TYPE[kind], count))
                changed = changed.put((_TYPES,), types)
            filled.append(changed.resize(T=max(plan.size("T"), count + 4)))
    return filled


_TYPES = "mm_token_type_ids"
_TYPE = {"image": 1, "video": 2, "audio": 3}
"""What the type of a token says: 0 is text."""
