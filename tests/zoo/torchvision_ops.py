"""Declares torchvision's compiled operators, so that it, timm and transformers import where its compiled part is missing.

torchvision registers fake kernels for some of its operators when it is imported, which fails where their schemas do not
exist: it was built for another torch. None of the zoo's models calls one of these operators.
"""

from __future__ import annotations

import importlib.util

import torch

BOXES = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
DEFORMED = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias"
GEOMETRY = "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w"
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({BOXES}, int sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({BOXES}) -> (Tensor, Tensor)",
    f"ps_roi_align({BOXES}, int sampling_ratio) -> (Tensor, Tensor)",
    f"ps_roi_pool({BOXES}) -> (Tensor, Tensor)",
    f"deform_conv2d({DEFORMED}, {GEOMETRY}, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor",
)

_library: list[torch.library.Library] = []


def declare_torchvision_ops() -> None:
    """Declares the operators if torchvision is there but cannot be imported; otherwise, and the second time, does nothing.

    Call it before timm or transformers is imported for the first time.
    """
    if _library or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        # kept for ever: the declarations go when the library object is collected
        _library.append(torch.library.Library("torchvision", "FRAGMENT"))
        for schema in SCHEMAS:
            _library[0].define(schema)
