"""What an operation costs, counted from shapes."""

from __future__ import annotations

import torch


def work(name: str, operands: list[torch.Tensor], outs: list[torch.Tensor]) -> float:
    """Multiply-adds times two of the costly operations, from shapes alone."""
    if not outs or len(operands) < 2:
        return 0.0
    first, second = operands[0], operands[1]
    if name.startswith("conv_transpose"):
        return 2.0 * first.numel() * second[0].numel() if second.dim() else 0.0
    if name.startswith("conv"):
        return 2.0 * outs[0].numel() * (second.numel() / max(second.shape[0], 1)) if second.dim() else 0.0
    if name in ("linear", "matmul", "__matmul__", "bmm", "mm", "addmm", "baddbmm"):
        return 2.0 * outs[0].numel() * (first.shape[-1] if first.dim() else 1)
    if name == "scaled_dot_product_attention":
        return 4.0 * first.numel() * second.shape[-2]
    if name in ("lstm", "gru", "rnn_tanh", "rnn_relu", "multi_head_attention_forward"):
        positions = first.numel() / max(first.shape[-1] if first.dim() else 1, 1)
        return 2.0 * positions * sum(t.numel() for t in operands if isinstance(t, torch.nn.Parameter))
    if name == "einsum":
        return 2.0 * outs[0].numel() * max(first.shape[-1] if first.dim() else 1, 1)
    return 0.0
