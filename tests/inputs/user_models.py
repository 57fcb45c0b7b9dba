"""Models as people write them, each built without arguments, and what a person would feed it.

`MODELS` maps a name to (class, check): `check(inputs)` tells whether the made-up arguments are of the ranks and dtypes that the
author of the model would have used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))

    def forward(self, x):
        return self.net(x)


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(16 * 5 * 5, 120), nn.Linear(120, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        return self.fc2(F.relu(self.fc1(x)))


class MnistView(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 32, 3, 1), nn.Conv2d(32, 64, 3, 1)
        self.fc1, self.fc2 = nn.Linear(9216, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv2(F.relu(self.conv1(x)))), 2)
        x = x.view(-1, 9216)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


class AtariDqn(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1)
        )
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 6))

    def forward(self, observation):
        return self.head(self.features(observation / 255.0))


class FlattenedImage(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 64), nn.Linear(64, 10)

    def forward(self, img):
        return self.fc2(F.relu(self.fc1(img.view(img.size(0), -1))))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(500, 32, padding_idx=0)
        self.lstm = nn.LSTM(32, 48, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(96, 3)

    def forward(self, text, text_lengths):
        packed = nn.utils.rnn.pack_padded_sequence(
            self.embedding(text), text_lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        _, (hidden, _) = self.lstm(packed)
        return self.fc(torch.cat([hidden[-2], hidden[-1]], dim=1))


class BagOfWords(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.EmbeddingBag(200, 16)
        self.fc = nn.Linear(16, 4)

    def forward(self, text, offsets):
        return self.fc(self.embedding(text, offsets))


class CharRnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.i2h, self.i2o = nn.Linear(10 + 20, 20), nn.Linear(10 + 20, 5)

    def forward(self, input, hidden):
        combined = torch.cat((input, hidden), 1)
        return self.i2o(combined), self.i2h(combined)


class Seq2Seq(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = _Encoder()
        self.decoder = _Decoder()

    def forward(self, src, trg, teacher_forcing_ratio=0.5):
        hidden, cell = self.encoder(src)
        outputs = []
        token = trg[0]
        for t in range(1, trg.shape[0]):
            output, hidden, cell = self.decoder(token, hidden, cell)
            outputs.append(output)
            token = trg[t] if t % 2 else output.argmax(1)
        return torch.stack(outputs)


class _Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn = nn.Embedding(70, 16), nn.LSTM(16, 24, 2)

    def forward(self, src):
        _, (hidden, cell) = self.rnn(self.embedding(src))
        return hidden, cell


class _Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.rnn, self.out = nn.Embedding(80, 16), nn.LSTM(16, 24, 2), nn.Linear(24, 80)

    def forward(self, token, hidden, cell):
        output, (hidden, cell) = self.rnn(self.embedding(token.unsqueeze(0)), (hidden, cell))
        return self.out(output.squeeze(0)), hidden, cell


class TwoTower(nn.Module):
    def __init__(self):
        super().__init__()
        self.user_embedding, self.item_embedding = nn.Embedding(100, 8), nn.Embedding(300, 8)
        self.mlp = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, user_ids, item_ids):
        return self.mlp(torch.cat([self.user_embedding(user_ids), self.item_embedding(item_ids)], dim=-1))


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16))

    def once(self, x):
        return self.cnn(x)

    def forward(self, x1, x2):
        return F.pairwise_distance(self.once(x1), self.once(x2))


class WideAndDeep(nn.Module):
    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(n, 4) for n in (10, 20, 5)])
        self.deep = nn.Linear(3 * 4 + 6, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, x_cat, x_num):
        embedded = [e(x_cat[:, i]) for i, e in enumerate(self.embeddings)]
        return self.out(F.relu(self.deep(torch.cat([*embedded, x_num], 1))))


class DictModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.image_encoder = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.text_encoder = nn.EmbeddingBag(50, 8)
        self.head = nn.Linear(16, 2)

    def forward(self, batch):
        return self.head(torch.cat([self.image_encoder(batch["image"]), self.text_encoder(batch["tokens"])], 1))


class MaskedTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(120, 32)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2)
        self.head = nn.Linear(32, 120)

    def forward(self, src, src_mask, src_key_padding_mask):
        return self.head(self.encoder(self.embed(src), src_mask, src_key_padding_mask))


class TimeSeriesTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(9, 32)
        self.position = nn.Parameter(torch.zeros(1, 50, 32))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, batch_first=True), 1)
        self.head = nn.Linear(32, 1)

    def forward(self, x):
        x = self.project(x) + self.position[:, : x.size(1)]
        return self.head(self.encoder(x)[:, -1])


class FixedPositions(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 24, 16, 16)
        self.cls = nn.Parameter(torch.zeros(1, 1, 24))
        self.pos = nn.Parameter(torch.zeros(1, 65, 24))
        self.block = nn.TransformerEncoderLayer(24, 4, batch_first=True)
        self.head = nn.Linear(24, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(x.size(0), -1, -1), x], 1) + self.pos
        return self.head(self.block(x)[:, 0])


class Denoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(16, 32), nn.SiLU(), nn.Linear(32, 8))
        self.conv_in, self.conv_out = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x, t):
        frequencies = torch.exp(-math.log(10000) * torch.arange(8, device=t.device) / 8)
        angles = t[:, None].float() * frequencies[None]
        time = self.time(torch.cat([angles.sin(), angles.cos()], -1))
        return self.conv_out(F.silu(self.conv_in(x) + time[:, :, None, None]))


class ClassConditionalDenoiser(nn.Module):
    def __init__(self):
        super().__init__()
        self.t_embed, self.y_embed = nn.Embedding(1000, 8), nn.Embedding(10, 8)
        self.conv, self.out = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 1, 3, padding=1)

    def forward(self, x, t, y):
        return self.out(F.relu(self.conv(x) + (self.t_embed(t) + self.y_embed(y))[:, :, None, None]))


class GruWithState(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.fc = nn.GRU(7, 12, 2, batch_first=True), nn.Linear(12, 1)

    def forward(self, x, h):
        out, h = self.gru(x, h)
        return self.fc(F.relu(out[:, -1])), h


class LstmWithStateTuple(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm, self.fc = nn.Embedding(40, 10), nn.LSTM(10, 12), nn.Linear(12, 40)

    def forward(self, x, prev_state):
        output, state = self.lstm(self.embedding(x), prev_state)
        return self.fc(output), state


class Gcn(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2 = nn.Linear(12, 16), nn.Linear(16, 4)

    def forward(self, x, adj):
        return self.w2(adj @ F.relu(self.w1(adj @ x)))


class EdgeGnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.message, self.update = nn.Linear(2 * 6, 8), nn.Linear(6 + 8, 5)

    def forward(self, x, edge_index):
        source, target = edge_index
        messages = F.relu(self.message(torch.cat([x[source], x[target]], -1)))
        gathered = torch.zeros(x.size(0), 8).index_add(0, target, messages)
        return self.update(torch.cat([x, gathered], -1))


class GraphClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x, edge_index, batch):
        source, target = edge_index[0], edge_index[1]
        h = F.relu(self.lin(x))
        h = h + torch.zeros_like(h).index_add(0, target, h[source])
        graphs = int(batch.max()) + 1
        return self.head(torch.zeros(graphs, 8).index_add(0, batch, h))


class DataObjectGnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, data):
        x, edge_index = data.x, data.edge_index
        h = self.lin(x)
        return h + torch.zeros_like(h).index_add(0, edge_index[1], h[edge_index[0]])


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv1d(3, 16, 1), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 32, 1))
        self.head = nn.Linear(32, 5)

    def forward(self, points):
        return self.head(self.mlp(points.transpose(1, 2)).max(-1).values)


class DeepSets(nn.Module):
    def __init__(self):
        super().__init__()
        self.phi, self.rho = nn.Linear(3, 16), nn.Linear(16, 1)

    def forward(self, x):
        b, n, d = x.shape
        return self.rho(F.relu(self.phi(x)).sum(1))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.LazyConv2d(8, 3), nn.LazyLinear(10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().flatten(1))


class KeywordsOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(5, 4), nn.Linear(6, 4)

    def forward(self, *, left, right):
        return self.a(left) * self.b(right)


class LossInForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 5)

    def forward(self, x, labels):
        return F.cross_entropy(self.fc(x), labels)


class OptionalLabels(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(60, 16), nn.Linear(16, 60)

    def forward(self, input_ids, attention_mask=None, labels=None):
        h = self.embed(input_ids)
        if attention_mask is not None:
            h = h * attention_mask.unsqueeze(-1)
        logits = self.head(h)
        loss = None if labels is None else F.cross_entropy(logits.view(-1, 60), labels.view(-1))
        return {"loss": loss, "logits": logits} if loss is not None else {"logits": logits}


class OptionalModality(nn.Module):
    def __init__(self):
        super().__init__()
        self.audio, self.video, self.head = nn.Linear(12, 8), nn.Linear(20, 8), nn.Linear(8, 2)

    def forward(self, audio, video=None):
        h = self.audio(audio)
        if video is not None:
            h = h + self.video(video)
        return self.head(h)


class MiniUnet(nn.Module):
    def __init__(self):
        super().__init__()
        self.d1, self.d2, self.mid = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 16, 3, 1, 1), nn.Conv2d(16, 16, 3, 1, 1)
        self.u1, self.u2 = nn.ConvTranspose2d(16, 8, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        a = F.relu(self.d1(x))
        b = F.relu(self.d2(F.max_pool2d(a, 2)))
        m = self.mid(F.max_pool2d(b, 2))
        u = self.u1(m)
        return self.out(torch.cat([self.u2(torch.cat([u, b[:, :8]], 1)), a], 1))


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.mu, self.logvar = nn.Linear(784, 40), nn.Linear(40, 8), nn.Linear(40, 8)
        self.fc3, self.fc4 = nn.Linear(8, 40), nn.Linear(40, 784)

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 784)))
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(100, 32, 4, 1, 0), nn.BatchNorm2d(32), nn.ReLU(), nn.ConvTranspose2d(32, 3, 4, 2, 1), nn.Tanh()
        )

    def forward(self, z):
        return self.main(z)


class ConditionalGan(nn.Module):
    def __init__(self):
        super().__init__()
        self.label = nn.Embedding(10, 10)
        self.model = nn.Sequential(nn.Linear(110, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 784), nn.Tanh())

    def forward(self, noise, labels):
        return self.model(torch.cat([self.label(labels), noise], -1)).view(-1, 1, 28, 28)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(4 + 4, 1), nn.Linear(4, 1)

    def forward(self, obs, action):
        return self.actor(torch.cat([obs, action], -1)), self.critic(obs)


class GaussianPolicy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.log_std = nn.Linear(17, 6), nn.Parameter(torch.zeros(6))

    def forward(self, obs):
        return torch.distributions.Normal(self.net(obs), self.log_std.exp())


class Audio(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(1, 32, 80, 16), nn.Conv1d(32, 32, 3)
        self.pool, self.fc = nn.MaxPool1d(4), nn.Linear(32, 35)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc(F.avg_pool1d(x, x.shape[-1]).permute(0, 2, 1)).squeeze(1)


class Spectrogram(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(129, 8)

    def forward(self, waveform):
        spectrum = torch.stft(waveform, 256, return_complex=True, window=torch.hann_window(256)).abs()
        return self.fc(spectrum.transpose(1, 2)).mean(1)


class Video(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv3d(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, clip):
        return self.fc(F.relu(self.conv(clip)).mean((2, 3, 4)))


class CnnLstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.lstm, self.fc = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 3)

    def forward(self, x):
        b, t, c, h, w = x.size()
        features = self.cnn(x.view(b * t, c, h, w)).view(b, t, -1)
        return self.fc(self.lstm(features)[0][:, -1])


class Pinn(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x, t):
        x.requires_grad_()
        u = self.net(torch.cat([x, t], 1))
        (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        return u, du


class OwnParameters(nn.Module):
    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(6, 9)), nn.Parameter(torch.zeros(9))

    def forward(self, x):
        return x @ self.w + self.b


class Einsum(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 5, 6))

    def forward(self, a, b):
        return torch.einsum("bi,ijk,bj->bk", a, self.w, b)


class Asserts(nn.Module):
    def __init__(self):
        super().__init__()
        self.image_size = (48, 64)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        assert x.dim() == 4, "images"
        _, _, height, width = x.shape
        assert height == self.image_size[0] and width == self.image_size[1], "wrong size"
        return self.conv(x)


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.window, self.fc = 6, nn.Linear(5, 2)

    def forward(self, x):
        if x.ndim != 3:
            raise ValueError("expected three dimensions")
        if x.shape[1] % self.window:
            raise ValueError("length must be divisible by the window")
        return self.fc(x.reshape(x.shape[0], -1, self.window, 5))


class Scalars(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor, steps: int, scale: float):
        for _ in range(steps):
            x = self.fc(x) * scale
        return x


class ListInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 3), nn.Linear(5, 3), nn.Linear(6, 3)])

    def forward(self, xs):
        return sum(layer(x) for layer, x in zip(self.layers, xs, strict=True))


class PairInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(5, 3)

    def forward(self, inputs):
        left, right = inputs
        return self.a(left) + self.b(right)


class Variadic(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Mlp()

    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, query, key, value):
        return self.attention(query, key, value)[0]


class HandAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = 4
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.register_buffer("tril", torch.tril(torch.ones(16, 16)))

    def forward(self, x):
        b, t, c = x.size()
        q, k, v = self.qkv(x).split(32, 2)
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in (q, k, v))
        w = (q @ k.transpose(-2, -1)).masked_fill(self.tril[:t, :t] == 0, float("-inf")).softmax(-1)
        return self.out((w @ v).transpose(1, 2).reshape(b, t, c))


class NanoGpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.block_size = 16
        self.wte, self.wpe = nn.Embedding(65, 32), nn.Embedding(16, 32)
        self.attention, self.head = HandAttention(), nn.Linear(32, 65)

    def forward(self, idx, targets=None):
        b, t = idx.size()
        assert t <= self.block_size
        x = self.wte(idx) + self.wpe(torch.arange(t))
        logits = self.head(self.attention(x))
        loss = None if targets is None else F.cross_entropy(logits.view(-1, 65), targets.view(-1))
        return logits, loss


class Vqa(nn.Module):
    def __init__(self):
        super().__init__()
        self.vision = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.words, self.rnn = nn.Embedding(90, 12), nn.GRU(12, 8, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, image, question):
        _, h = self.rnn(self.words(question))
        return self.head(torch.cat([self.vision(image), h[-1]], 1))


class DecisionTransformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = 16
        self.embed_timestep = nn.Embedding(100, 16)
        self.embed_return, self.embed_state, self.embed_action = nn.Linear(1, 16), nn.Linear(11, 16), nn.Linear(3, 16)
        self.transformer = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, batch_first=True), 1)
        self.predict = nn.Linear(16, 3)

    def forward(self, states, actions, returns_to_go, timesteps):
        batch, length = states.shape[0], states.shape[1]
        time = self.embed_timestep(timesteps)
        tokens = [self.embed_return(returns_to_go) + time, self.embed_state(states) + time, self.embed_action(actions) + time]
        stacked = torch.stack(tokens, 1).permute(0, 2, 1, 3).reshape(batch, 3 * length, self.hidden)
        out = self.transformer(stacked).reshape(batch, length, 3, self.hidden).permute(0, 2, 1, 3)
        return self.predict(out[:, 1])


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 4, 1)

    def forward(self, images: list[torch.Tensor]):
        return [self.head(F.relu(self.backbone(image.unsqueeze(0)))) for image in images]


@dataclass
class Config:
    vocab: int = 33
    width: int = 8


class FromConfig(nn.Module):
    def __init__(self, config=None):
        super().__init__()
        self.config = config or Config()
        self.tok = nn.Embedding(self.config.vocab, self.config.width)
        self.out = nn.Linear(self.config.width, self.config.vocab)

    def forward(self, tokens, mask=None):
        h = self.tok(tokens)
        return self.out(h if mask is None else h * mask[..., None])


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(1, 1)

    def forward(self, x):
        return self.a(x)


class HeightOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.rnn, self.fc = nn.Conv2d(1, 8, 3, padding=1), nn.LSTM(8 * 16, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        b, c, h, w = x.shape
        return self.fc(self.rnn(x.permute(0, 3, 1, 2).reshape(b, w, c * h))[0])


class SignalFlatten(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv1d(2, 4, 5, stride=2), nn.Linear(4 * 62, 3)

    def forward(self, x):
        return self.fc(F.relu(self.conv(x)).flatten(1))


class MaskedPool(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(30, 8), nn.Linear(8, 2)

    def forward(self, ids, mask):
        h = self.embed(ids) * mask.unsqueeze(-1)
        return self.out(h.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))


class ComplexSpectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 9, dtype=torch.cfloat))
        self.fc = nn.Linear(16, 16)

    def forward(self, x):
        spectrum = torch.fft.rfft(self.fc(x))
        return torch.fft.irfft(spectrum * self.weight, n=16)


class Ctc(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.fc = nn.GRU(13, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, features, feature_lengths):
        packed = nn.utils.rnn.pack_padded_sequence(features, feature_lengths, batch_first=True, enforce_sorted=False)
        out, lengths = nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        return self.fc(out).log_softmax(-1), lengths


class SegmentationLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, target):
        return F.cross_entropy(self.conv(image), target)


class AudioEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv1d(80, 16, 3, padding=1), nn.Conv1d(16, 16, 3, 2, 1)
        self.register_buffer("positions", torch.randn(50, 16))
        self.block = nn.TransformerEncoderLayer(16, 2, batch_first=True)

    def forward(self, mel):
        x = F.gelu(self.conv2(F.gelu(self.conv1(mel)))).permute(0, 2, 1)
        assert x.shape[1:] == self.positions.shape, "incorrect audio shape"
        return self.block(x + self.positions)


class CategoryTables(nn.Module):
    def __init__(self):
        super().__init__()
        self.numbers, self.out = nn.Linear(7, 8), nn.Linear(16, 1)
        self.tables = nn.ModuleDict({"city": nn.Embedding(30, 4), "job": nn.Embedding(12, 4)})

    def forward(self, numeric, categorical):
        parts = [table(categorical[name]) for name, table in self.tables.items()]
        return self.out(torch.cat([self.numbers(numeric), *parts], 1))


class TokenMixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch, self.tokens, self.head = nn.Conv2d(3, 16, 8, 8), nn.Linear(36, 36), nn.Linear(16, 4)

    def forward(self, x):
        x = self.patch(x).flatten(2)
        return self.head((x + self.tokens(x)).transpose(1, 2).mean(1))


class RaggedMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x, lengths):
        inside = torch.arange(x.size(1))[None] < lengths[:, None]
        return (self.fc(x) * inside[..., None]).sum(1) / lengths[:, None]


F32, I64, B8 = "float32", "int64", "bool"
EXPECTED: dict[str, list[tuple[int, tuple[str, ...]]]] = {
    "Mlp": [(2, (F32,))], "LeNet": [(4, (F32,))], "MnistView": [(4, (F32,))], "AtariDqn": [(4, (F32,))],
    "FlattenedImage": [(2, (F32,))], "Classifier": [(2, (I64,)), (1, (I64,))], "BagOfWords": [(1, (I64,)), (1, (I64,))],
    "CharRnn": [(2, (F32,)), (2, (F32,))], "Seq2Seq": [(2, (I64,)), (2, (I64,))], "TwoTower": [(1, (I64,)), (1, (I64,))],
    "Siamese": [(4, (F32,)), (4, (F32,))], "WideAndDeep": [(2, (I64,)), (2, (F32,))], "DictModel": [(4, (F32,)), (2, (I64,))],
    "MaskedTransformer": [(2, (I64,)), (2, (B8, F32)), (2, (B8,))], "TimeSeriesTransformer": [(3, (F32,))],
    "FixedPositions": [(4, (F32,))], "Denoiser": [(4, (F32,)), (1, (F32, I64))],
    "ClassConditionalDenoiser": [(4, (F32,)), (1, (I64,)), (1, (I64,))], "GruWithState": [(3, (F32,)), (3, (F32,))],
    "LstmWithStateTuple": [(2, (I64,)), (3, (F32,)), (3, (F32,))], "Gcn": [(2, (F32,)), (2, (F32,))],
    "EdgeGnn": [(2, (F32,)), (2, (I64,))], "GraphClassifier": [(2, (F32,)), (2, (I64,)), (1, (I64,))],
    "DataObjectGnn": [(2, (F32,)), (2, (I64,))], "PointNet": [(3, (F32,))], "DeepSets": [(3, (F32,))], "Lazy": [(4, (F32,))],
    "KeywordsOnly": [(2, (F32,)), (2, (F32,))], "LossInForward": [(2, (F32,)), (1, (I64,))],
    "OptionalLabels": [(2, (I64,))], "OptionalModality": [(2, (F32,)), (2, (F32,))], "MiniUnet": [(4, (F32,))],
    "Vae": [(2, (F32,))], "Generator": [(4, (F32,))], "ConditionalGan": [(2, (F32,)), (1, (I64,))],
    "ActorCritic": [(2, (F32,)), (2, (F32,))], "GaussianPolicy": [(2, (F32,))], "Audio": [(3, (F32,))],
    "Spectrogram": [(2, (F32,))], "Video": [(5, (F32,))], "CnnLstm": [(5, (F32,))], "Pinn": [(2, (F32,)), (2, (F32,))],
    "OwnParameters": [(2, (F32,))], "Einsum": [(2, (F32,)), (2, (F32,))], "Asserts": [(4, (F32,))], "Raises": [(3, (F32,))],
    "Scalars": [(2, (F32,))], "ListInput": [(2, (F32,))] * 3, "PairInput": [(2, (F32,))] * 2, "Variadic": [(2, (F32,))],
    "MultiHead": [(3, (F32,))] * 3, "HandAttention": [(3, (F32,))], "NanoGpt": [(2, (I64,))], "Vqa": [(4, (F32,)), (2, (I64,))],
    "DecisionTransformer": [(3, (F32,)), (3, (F32,)), (3, (F32,)), (2, (I64,))], "Detector": [(3, (F32,))] * 2,
    "FromConfig": [(2, (I64,))], "Regressor": [(2, (F32,))], "HeightOnly": [(4, (F32,))], "SignalFlatten": [(3, (F32,))],
    "MaskedPool": [(2, (I64,)), (2, (B8, F32, I64))], "ComplexSpectrum": [(3, (F32,))],
    "Ctc": [(3, (F32,)), (1, (I64,))], "SegmentationLoss": [(4, (F32,)), (3, (I64,))],
    "AudioEncoder": [(3, (F32,))], "CategoryTables": [(2, (F32,)), (1, (I64,)), (1, (I64,))], "TokenMixer": [(4, (F32,))],
    "RaggedMean": [(3, (F32,)), (1, (I64,))],
}  # fmt: skip
"""Rank and allowed dtypes of every tensor that the author would pass, in order; further arguments are free."""

MODELS: dict[str, type[nn.Module]] = {name: globals()[name] for name in EXPECTED}
