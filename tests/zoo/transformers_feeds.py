"""What the tiny transformers are fed: batches of 8 texts of 12 tokens or of 32 x 32 images, of 4 sounds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def ids() -> dict[str, Tensor]:
    return {"input_ids": torch.randint(3, 99, (8, 12))}


def labelled_ids() -> dict[str, Tensor]:
    tokens = torch.randint(3, 99, (8, 12))
    return {"input_ids": tokens, "labels": tokens}


def classified_ids() -> dict[str, Tensor]:
    return {**ids(), "labels": torch.randint(0, 2, (8,))}


def ids_to_ids() -> dict[str, Tensor]:
    return {**ids(), "decoder_input_ids": torch.randint(3, 99, (8, 6))}


def ids_to_labels() -> dict[str, Tensor]:
    return {**ids(), "labels": torch.randint(3, 99, (8, 6))}


def image(size: int = 32) -> dict[str, Tensor]:
    return {"pixel_values": torch.randn(8, 3, size, size)}


def labelled_image() -> dict[str, Tensor]:
    return {**image(), "labels": torch.randint(0, 2, (8,))}


def image_and_ids() -> dict[str, Any]:
    return {**image(), **ids(), "return_loss": True}


def sound_wave() -> dict[str, Tensor]:
    return {"input_values": torch.randn(4, 1600)}


def spectrogram() -> dict[str, Tensor]:
    return {"input_features": torch.randn(4, 16, 60), "decoder_input_ids": torch.randint(3, 99, (4, 6))}


def masked_image() -> dict[str, Tensor]:
    return {**image(), "bool_masked_pos": torch.rand(8, 16) < 0.4}


def permuted_ids() -> dict[str, Tensor]:
    """Two of the tokens are predicted from the others, through the second stream."""
    predicted = torch.zeros(8, 2, 12)
    predicted[:, 0, 10] = predicted[:, 1, 11] = 1
    hidden = torch.zeros(8, 12, 12)
    hidden[:, :, 10:] = 1
    return {**ids(), "token_type_ids": torch.randint(0, 2, (8, 12)), "target_mapping": predicted, "perm_mask": hidden}
