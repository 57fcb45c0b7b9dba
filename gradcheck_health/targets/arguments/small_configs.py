"""Configurations of Hugging Face made small: the same architecture with few and narrow layers."""

from __future__ import annotations

from typing import Any

_SMALL = {
    "hidden_size": 32, "d_model": 32, "n_embd": 32, "dim": 32, "embed_dim": 32, "embedding_size": 32, "hidden_dim": 32,
    "num_hidden_layers": 2, "n_layer": 2, "num_layers": 2, "n_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_decoder_layers": 2, "num_encoder_layers": 2, "depth": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "n_head": 4, "n_heads": 4, "num_heads": 4,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "head_dim": 8, "d_kv": 8,
    "intermediate_size": 64, "d_ff": 64, "ffn_dim": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "mlp_dim": 64,
    "num_experts_per_tok": 2, "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "moe_intermediate_size": 32,
}  # fmt: skip
"""Sizes that may be cut, and to what: widths that heads divide. What is smaller already stays."""
_VOCABULARY = 1024


def tiny(config: Any) -> Any:
    """A Hugging Face configuration of the same architecture with small layers, few of them, and a small vocabulary.

    Special tokens move below the vocabulary's end. Parts (text, vision, encoder ...) are cut alike.
    """
    known = config.to_dict()
    small: dict[str, Any] = {}
    for key, most in _SMALL.items():
        value = known.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value > most:
            small[key] = most
    vocabulary = known.get("vocab_size")
    if isinstance(vocabulary, int) and vocabulary > _VOCABULARY:
        small["vocab_size"] = _VOCABULARY
        tokens = [
            key for key, value in known.items()
            if key.endswith(("_token_id", "_token_index")) and isinstance(value, int) and value >= _VOCABULARY
        ]  # fmt: skip
        small |= {key: _VOCABULARY - 1 - place for place, key in enumerate(tokens)}
    layers = small.get("num_hidden_layers")
    if layers and isinstance(known.get("layer_types"), list):
        small["layer_types"] = known["layer_types"][:layers]
    for key, part in vars(config).items():
        if hasattr(part, "model_type") and hasattr(part, "to_dict"):
            small[key] = tiny(part)
    return _rebuilt(config, small)


def _rebuilt(config: Any, small: dict[str, Any]) -> Any:
    """Through the constructor where it accepts them all, since it derives further values."""
    kept = {key: value for key, value in config.to_diff_dict().items() if key not in ("transformers_version", "model_type")}
    try:
        return type(config)(**{**kept, **small})
    except Exception:  # noqa: BLE001 - a configuration that checks its values: take those that it accepts one by one
        made = type(config)(**kept)
        for key, value in small.items():
            try:
                made = type(config)(**{**made.to_diff_dict(), key: value})
            except Exception:  # noqa: BLE001
                continue
        return made
