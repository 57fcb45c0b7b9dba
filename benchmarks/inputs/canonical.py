"""The inputs that Hugging Face's documentation gives to its architectures, in the sizes of their configuration."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


def number(config: Any, key: str) -> int | None:
    """The integer of that name in a configuration, if it has one."""
    try:
        value = getattr(config, key, None)
    except Exception:  # noqa: BLE001 - a property that differs from layer to layer raises
        return None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def known(model: nn.Module) -> tuple[tuple[()], dict[str, torch.Tensor]]:
    """The first canonical input that the model runs on, the richest first."""
    first: Exception | None = None
    for candidate in _candidates(model):
        try:
            for attempt in range(3):
                state = {name: buffer.clone() for name, buffer in model.named_buffers()}
                try:
                    with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
                        model(**candidate)
                    return (), candidate
                except Exception as error:
                    repaired = _with_tokens(candidate, str(error), model.config, attempt)
                    if repaired is None:
                        raise
                    candidate = repaired
                finally:
                    for name, buffer in model.named_buffers():
                        if name in state and buffer.shape == state[name].shape:
                            buffer.copy_(state[name])
        except Exception as error:  # noqa: BLE001 - the next candidate may do
            first = first or error
    assert first is not None
    raise first


def _candidates(model: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    import inspect

    config = model.config
    names = inspect.signature(model.forward).parameters
    made = {name: value for name in names if (value := _argument(name, config)) is not None}
    main = [model.main_input_name] if isinstance(model.main_input_name, str) else list(model.main_input_name)
    required = [name for name, p in names.items() if p.default is inspect.Parameter.empty and p.kind.name != "VAR_KEYWORD"]
    texts = ["input_ids", *(["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else [])]
    images = ["pixel_values", "image_grid_thw"]
    sounds = ["input_features", "input_values", "input_features_mask", "audio_values"]
    both = hasattr(config, "vision_config") or hasattr(config, "text_config")
    for wanted in (
        [*texts, *images, "mm_token_type_ids", "image_position_ids", "bbox"] if both else [],
        [*texts, *images, "bbox"] if both else [],
        [*texts, "pixel_values"] if both else [],
        [*texts, *sounds] if hasattr(config, "audio_config") or hasattr(config, "encoder_config") else [],
        [*main, *(["decoder_input_ids"] if getattr(config, "is_encoder_decoder", False) else [])],
        [*main, "grid_thw", "image_grid_thw", "bbox", "past_values", "past_time_features", "past_observed_mask"],
        main,
    ):
        chosen = {name: made[name] for name in [*wanted, *required] if name in made}
        if chosen:
            yield chosen
    yield made


def _argument(name: str, config: Any) -> torch.Tensor | None:
    text = getattr(config, "text_config", None) or config
    vision = getattr(config, "vision_config", None) or getattr(config, "backbone_config", None) or config
    if name in ("input_ids", "decoder_input_ids"):
        return torch.arange(6, 20).reshape(2, 7) % (number(text, "vocab_size") or number(config, "vocab_size") or 100)
    if name == "pixel_values":
        side = number(vision, "image_size") or number(config, "image_size") or getattr(vision, "image_size", None) or 64
        high, wide = (side, side) if isinstance(side, int) else tuple(side)[-2:]
        if "temporal_patch_size" in vars(vision) and isinstance(number(vision, "patch_size"), int):
            patch = 3 * vision.temporal_patch_size * vision.patch_size**2
            return torch.randn(16, patch)
        channels = number(vision, "num_channels") or number(vision, "in_channels") or 3
        frames = number(config, "num_frames")
        return torch.randn(2, *([frames] if frames else []), channels, high, wide)
    if name == "mm_token_type_ids":
        return torch.zeros(2, 7, dtype=torch.long)
    if name in ("query_embeds", "latents"):
        return torch.randn(2, 4, number(config, "hidden_size") or 32)
    if name == "qformer_input_ids":
        return torch.arange(6, 20).reshape(2, 7)
    if name in ("image_grid_thw", "grid_thw"):
        return torch.tensor([[1, 4, 4]])
    if name == "hidden_states" and number(vision, "temporal_patch_size"):
        return torch.randn(16, 3 * vision.temporal_patch_size * vision.patch_size**2)
    if name == "input_values" and config.model_type in ("dac", "encodec", "mimi", "mimi_encoder", "xcodec", "pe_audio"):
        return torch.randn(2, 1, 4000)
    if name == "input_values":
        bins = number(config, "num_mel_bins")
        length = number(config, "max_length")
        return torch.randn(2, length, bins) if bins and length else torch.randn(2, 4000)
    if name == "input_features":
        audio = getattr(config, "audio_config", None) or getattr(config, "encoder_config", None) or config
        bins = (
            number(audio, "num_mel_bins")
            or number(audio, "input_feat_per_channel")
            or number(audio, "feature_projection_input_dim")
            or 80
        )
        positions = number(audio, "max_source_positions")
        return torch.randn(2, bins, 2 * positions) if positions else torch.randn(2, 64, bins)
    if name == "bbox":
        if config.model_type == "bros":
            return torch.rand(2, 7, 8)
        corners = torch.tensor([2, 3, 20, 30])
        return corners.expand(2, 7, 4).clone()
    if config.model_type == "decision_transformer":
        widths = {"states": config.state_dim, "actions": config.act_dim, "rewards": 1, "returns_to_go": 1}
        return (
            torch.arange(14).reshape(2, 7)
            if name == "timesteps"
            else torch.randn(2, 7, widths[name])
            if name in widths
            else None
        )
    return None


def _with_tokens(candidate: dict[str, torch.Tensor], message: str, config: Any, attempt: int) -> dict[str, torch.Tensor] | None:
    """Ids with as many placeholder tokens as the model says that it has features, or, at a second attempt, entries of features."""
    found = re.search(r"(\w+) features and \w+ tokens do not match.*?features:? *(?:torch.Size\(\[)?(\d+)", message, re.S)
    if found is None or "input_ids" not in candidate:
        return None
    kind, total = found.group(1).lower(), int(found.group(2))
    token = number(config, f"{kind}_token_id") or number(config, f"{kind}_token_index")
    if attempt:
        total //= number(getattr(config, "text_config", None) or config, "hidden_size") or 1
    if token is None or total % 2:
        return None
    ids = torch.full((2, total // 2 + 5), 9)
    ids[:, 2 : 2 + total // 2] = token
    types = {"mm_token_type_ids": (ids == token).long()} if "mm_token_type_ids" in candidate else {}
    return {**candidate, "input_ids": ids, **types}
