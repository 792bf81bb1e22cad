"""Vision transformers of timm: from scratch by seed, from an earlier run, or as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import save_for_hf

from eval.data.hub import local_copy
from eval.data.images import image_set
from eval.errors import UserError
from eval.models.vits import ViT, vit
from eval.seeding import stream
from eval.spec import Experiment

__all__ = ["save_vit", "vit_of", "without_weights"]

_ANY_SIZE = "vit_tiny_patch16_224"
"""timm's name of a plain VisionTransformer, to be made in another size."""


def vit_of(experiment: Experiment, seed: int, pretrained: Path | None) -> Any:
    """Return the model that a run begins with, in float32 and training mode.

    From scratch, the seed gives all weights. Those of an earlier run (`pretrained`, its folder) get
    a head of their own by the seed; published ones do, unless the data are what they are of.

    Raises: UserError for weights that cannot be had.
    """
    wanted, classes = vit(experiment.model), image_set(experiment.data).classes
    options: dict[str, Any] = {"num_classes": classes, "patch_drop_rate": experiment.patch_drop}
    name = "weights" if pretrained is None and wanted.hub is None else "head"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(name, seed).integers(2**62)))
        if pretrained is not None:
            model: Any = timm.create_model(f"local-dir:{pretrained}", pretrained=True, **options)
            model.reset_classifier(classes)
        elif wanted.hub is not None:
            model = _of_hub(wanted, experiment.weights_source, options)
        else:
            model = timm.create_model(_ANY_SIZE, **wanted.arguments(), **options)
    return model.train()


def without_weights(experiment: Experiment) -> Any:
    """Return the model of a run as it is before any weights, for its shape."""
    classes = image_set(experiment.data).classes
    return timm.create_model(_ANY_SIZE, **vit(experiment.model).arguments(), num_classes=classes)


def save_vit(model: Any, folder: Path) -> None:
    """Save a model as timm's own checkpoints are: `timm.create_model("local-dir:FOLDER")`."""
    save_for_hf(model, str(folder), safe_serialization=True)


def _of_hub(wanted: ViT, source: str, options: dict[str, Any]) -> Any:
    assert wanted.hub is not None
    repository, revision = wanted.hub
    try:
        if source == "local":
            folder = local_copy(repository)
            return timm.create_model(f"local-dir:{folder}", pretrained=True, **options)
        name = f"hf-hub:{repository}@{revision}"
        return timm.create_model(name, pretrained=True, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"source {source!r} could not serve {repository} ({str(error).splitlines()[0]}); check "
            "the network and HF_HUB_OFFLINE, or use --source local with a copy of it"
        ) from error
