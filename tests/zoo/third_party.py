"""The zoo of sound models that nobody here wrote."""

from __future__ import annotations

from tests.zoo import timm_models, torch_modules, torchvision_models, transformers_models
from tests.zoo.entry import sound_models

TORCH = sound_models(torch_modules)
TORCHVISION = torchvision_models.BY_NAME + sound_models(torchvision_models)
TIMM = timm_models.BY_NAME
TRANSFORMERS = transformers_models.BY_NAME
WITHOUT_AN_ARGUMENT = transformers_models.WITHOUT_AN_ARGUMENT

THIRD_PARTY = TORCH + TORCHVISION + TIMM + TRANSFORMERS
