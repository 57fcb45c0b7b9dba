"""torch's own modules as sound models, just as torch.nn builds them."""

from __future__ import annotations

import torch
from torch import nn

from tests.zoo.entry import Built, sound


@sound
def torch_transformer() -> Built:
    model = nn.Transformer(32, 4, 2, 2, 64, dropout=0.1, batch_first=True)
    return model, (torch.randn(8, 7, 32), torch.randn(8, 5, 32))


@sound
def torch_transformer_encoder() -> Built:
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False), torch.randn(8, 9, 32)


@sound
def torch_transformer_decoder() -> Built:
    layer = nn.TransformerDecoderLayer(32, 4, 64, dropout=0.1, activation="gelu", batch_first=True, norm_first=True)
    model = nn.TransformerDecoder(layer, 2)
    return model, {"tgt": torch.randn(8, 5, 32), "memory": torch.randn(8, 7, 32), "tgt_is_causal": True, "tgt_mask": causal(5)}


def causal(time: int) -> torch.Tensor:
    return nn.Transformer.generate_square_subsequent_mask(time)


@sound
def torch_multihead_attention() -> Built:
    x = torch.randn(8, 6, 32)
    return nn.MultiheadAttention(32, 4, batch_first=True), (x, x, x)


@sound
def torch_multihead_attention_other_widths() -> Built:
    model = nn.MultiheadAttention(32, 4, kdim=16, vdim=24, add_bias_kv=True, batch_first=True)
    return model, (torch.randn(8, 5, 32), torch.randn(8, 6, 16), torch.randn(8, 6, 24))


@sound
def torch_lstm() -> Built:
    return nn.LSTM(12, 24, num_layers=2, dropout=0.1, batch_first=True), torch.randn(16, 10, 12)


@sound
def torch_lstm_projection() -> Built:
    return nn.LSTM(12, 24, proj_size=8, bidirectional=True), torch.randn(10, 16, 12)


@sound
def torch_gru() -> Built:
    return nn.GRU(12, 24, num_layers=2, batch_first=True, bidirectional=True), torch.randn(16, 10, 12)


@sound
def torch_rnn() -> Built:
    return nn.RNN(12, 24, batch_first=True), torch.randn(16, 8, 12)


@sound
def torch_rnn_relu() -> Built:
    return nn.RNN(12, 24, num_layers=2, nonlinearity="relu", batch_first=True), torch.randn(16, 8, 12)


@sound
def torch_lstm_cell() -> Built:
    return nn.LSTMCell(12, 24), (torch.randn(16, 12), (torch.randn(16, 24), torch.randn(16, 24)))


@sound
def torch_gru_cell() -> Built:
    return nn.GRUCell(12, 24), (torch.randn(16, 12), torch.randn(16, 24))


@sound
def torch_bilinear() -> Built:
    return nn.Bilinear(10, 12, 8), (torch.randn(16, 10), torch.randn(16, 12))


@sound
def torch_embedding_bag() -> Built:
    return nn.EmbeddingBag(50, 16, mode="mean"), (torch.randint(0, 50, (40,)), torch.arange(0, 40, 5))


@sound
def torch_embedding_bag_max() -> Built:
    return nn.EmbeddingBag(50, 16, mode="max"), torch.randint(0, 50, (16, 5))


@sound
def torch_adaptive_log_softmax() -> Built:
    """Rare classes have clusters of their own; the labels meet all of them."""
    model = nn.AdaptiveLogSoftmaxWithLoss(32, 100, [10, 40])
    return model, (torch.randn(64, 32), torch.randint(0, 100, (64,)))


@sound
def torch_linear() -> Built:
    return nn.Linear(20, 30), torch.randn(16, 20)


@sound
def torch_conv1d() -> Built:
    return nn.Sequential(nn.Conv1d(4, 16, 5), nn.ReLU(), nn.Conv1d(16, 8, 3)), torch.randn(8, 4, 20)


@sound
def torch_conv3d() -> Built:
    return nn.Sequential(nn.Conv3d(2, 8, 3), nn.BatchNorm3d(8), nn.ReLU(), nn.ConvTranspose3d(8, 2, 3)), torch.randn(
        8, 2, 6, 6, 6
    )


@sound
def torch_group_norm() -> Built:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.GroupNorm(4, 16), nn.Hardswish(), nn.Conv2d(16, 4, 1)), torch.randn(8, 3, 8, 8)


@sound
def torch_prelu_and_glu() -> Built:
    return nn.Sequential(
        nn.Linear(12, 32), nn.PReLU(32), nn.Linear(32, 32), nn.GLU(), nn.RMSNorm(16), nn.Linear(16, 4)
    ), torch.randn(16, 12)


@sound
def torch_pixel_shuffle() -> Built:
    """ESPCN: super-resolution by shuffling channels into pixels."""
    model = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.Tanh(), nn.Conv2d(16, 4, 3, padding=1), nn.PixelShuffle(2))
    return model, torch.randn(8, 1, 8, 8)
