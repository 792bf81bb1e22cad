"""Make a torchvision built for CUDA importable beside a CPU build of torch.

Such a pair is what some mirrors give. `import torchvision` then dies on operators that its
compiled part would have declared, and with it every timm and transformers model class.
"""

from __future__ import annotations

import importlib
import sys

import torch

__all__ = ["ensure_torchvision"]

_OPERATORS = ("nms", "qnms")
_library: torch.library.Library | None = None  # the declarations live as long as this object


def ensure_torchvision() -> str:
    """Import torchvision, declaring the missing operators if that is all it lacks.

    Call it before anything imports timm or a transformers model class. Returns "ok" on a healthy
    install, where it does nothing more, "absent" without torchvision, and "repaired" otherwise:
    models, transforms and data sets then work; `torchvision.ops.nms` and the native image
    decoders do not.
    """
    global _library
    if _library is not None:
        return "repaired"
    try:
        importlib.import_module("torchvision")
        return "ok"
    except ImportError:
        return "absent"
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
    for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for name in _OPERATORS:
        _library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    importlib.import_module("torchvision")
    return "repaired"
