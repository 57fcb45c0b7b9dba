"""Other people's sound models with one fault deep inside, so that the place is tested as well as the rule."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tests.zoo.entry import Built, sick
from tests.zoo.torchvision_models import models
from tests.zoo.transformers_feeds import ids
from tests.zoo.transformers_models import GPT2, TEXT
from tests.zoo.transformers_models import build as transformer


class Then(nn.Module):
    """A layer, and something that is done to its output."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def change(self, out: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        out = self.inner(*args, **kwargs)
        return (self.change(out[0]), *out[1:]) if isinstance(out, tuple) else self.change(out)


class ThenDetach(Then):
    def change(self, out: Tensor) -> Tensor:
        return out.detach()


class ThenShrink(Then):
    def change(self, out: Tensor) -> Tensor:
        return out * 1e-10


class ThenLog(Then):
    def change(self, out: Tensor) -> Tensor:
        return torch.log(out.relu())


class ThenRound(Then):
    def change(self, out: Tensor) -> Tensor:
        return torch.round(out)


def resnet() -> nn.Module:
    return models().resnet18(num_classes=10)


def pixels(batch: int = 16, size: int = 32) -> Tensor:
    return torch.randn(batch, 3, size, size)


@sick("cut-gradient", "layer2", "layer1", "conv1", "bn1")
def resnet18_detached_after_layer2() -> Built:
    model = resnet()
    model.layer2 = ThenDetach(model.layer2)
    return model, pixels()


@sick("nonfinite-gradient", "layer3.0.conv1")
def resnet18_with_nan_in_layer3() -> Built:
    model = resnet()
    model.layer3[0].conv1.weight.data[0, 0, 0, 0] = float("nan")
    return model, pixels()


@sick("nonfinite-gradient", "layer2")
def resnet18_with_log_after_layer2() -> Built:
    model = resnet()
    model.layer2 = ThenLog(model.layer2)
    return model, pixels()


@sick("missing-gradient", "layer4.1.conv2")
def resnet18_with_a_convolution_called_twice() -> Built:
    """conv1 where conv2 was meant, in the last block."""
    from torchvision.models.resnet import BasicBlock

    class Typo(BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            out = self.relu(self.bn1(self.conv1(x)))
            return self.relu(self.bn2(self.conv1(out)) + x)

    model = resnet()
    model.layer4[1].__class__ = Typo
    return model, pixels()


@sick("dead-unit", "layer3.1", also={"vanishing-gradient": "nothing passes the dead units"})
def resnet18_with_a_dead_block() -> Built:
    """The last BatchNorm of a block shifted so far that the ReLU behind the sum is off."""
    model = resnet()
    nn.init.constant_(model.layer3[1].bn2.bias, -50.0)
    return model, pixels(64)


@sick("zero-gradient", "layer3.1.conv1", "layer3.1.bn1", "layer3.1.conv2", "layer3.1.bn2")
def resnet18_with_a_branch_times_zero() -> Built:
    class Zero(Then):
        def change(self, out: Tensor) -> Tensor:
            return 0.0 * out

    model = resnet()
    model.layer3[1].bn2 = Zero(model.layer3[1].bn2)
    return model, pixels()


def vgg(activation: type[nn.Module] = nn.ReLU, std: float | None = None) -> nn.Module:
    """VGG-11 without BatchNorm, a quarter of its input size."""
    features = models().vgg11().features
    for index, layer in enumerate(features):
        if isinstance(layer, nn.ReLU):
            features[index] = activation()
        elif isinstance(layer, nn.Conv2d) and std is not None:
            nn.init.normal_(layer.weight, std=std)
    return features


@sick("vanishing-gradient")
def vgg11_with_sigmoids() -> Built:
    return vgg(nn.Sigmoid), pixels(8)


@sick("exploding-gradient")
def vgg11_with_large_weights() -> Built:
    return vgg(std=0.5), pixels(8)


@sick("vanishing-gradient", "11", "12")
def vgg11_shrunk_in_the_middle() -> Built:
    """A step between the fifth and the sixth convolution, and no normalisation that would undo it."""
    model = vgg()
    model[11] = ThenShrink(model[11])
    return model, pixels(8)


@sick("cut-gradient", "transformer.h.0", "transformer.wte", "transformer.wpe", "transformer.drop")
def gpt2_detached_after_its_first_block() -> Built:
    options = {**GPT2, "tie_word_embeddings": False}
    model, feed = transformer("GPT2LMHeadModel", "GPT2Config", options, ids)
    model.transformer.h[0] = ThenDetach(model.transformer.h[0])
    return model, feed


@sick("vanishing-gradient", "h.0", "h.1")
def gpt2_shrunk_after_its_first_block() -> Built:
    model, feed = transformer("GPT2Model", "GPT2Config", GPT2, ids)
    model.h[0] = ThenShrink(model.h[0])
    return model, feed


@sick("nonfinite-gradient", "h.1.ln_1")
def gpt2_with_nan_in_a_norm() -> Built:
    model, feed = transformer("GPT2Model", "GPT2Config", GPT2, ids)
    model.h[1].ln_1.weight.data[3] = float("nan")
    return model, feed


@sick("missing-gradient", "encoder.layer.1.output.LayerNorm")
def bert_with_a_forgotten_norm() -> Built:
    model, feed = transformer("BertModel", "BertConfig", TEXT, ids)

    output = model.encoder.layer[1].output

    class WithoutNorm(type(output)):
        def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
            return self.dropout(self.dense(hidden)) + residual

    output.__class__ = WithoutNorm
    return model, feed


@sick("saturated-activation", "pooler")
def bert_with_a_saturated_pooler() -> Built:
    model, feed = transformer("BertModel", "BertConfig", TEXT, ids)
    nn.init.normal_(model.pooler.dense.weight, std=20.0)
    return model, feed


@sick("cut-gradient", "embeddings", synonyms={"zero-gradient": "rounding has a derivative of 0"})
def bert_rounded_after_its_embeddings() -> Built:
    model, feed = transformer("BertModel", "BertConfig", TEXT, ids)
    model.embeddings = ThenRound(model.embeddings)
    return model, feed
