"""Vision transformers of timm: from scratch by seed, from an earlier run, or as published."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from eval.data.fetch import sha256_of
from eval.data.hub import local_copy
from eval.data.images import image_set
from eval.errors import UserError
from eval.seeding import stream
from eval.spec import Experiment
from eval.torchvision_repair import ensure_torchvision

ensure_torchvision()

import timm  # noqa: E402
from timm.models import save_for_hf  # noqa: E402

__all__ = [
    "VITS",
    "ViT",
    "image_size",
    "save_vit",
    "vit",
    "vit_identity",
    "vit_of",
    "without_weights",
]

_ANY_SIZE = "vit_tiny_patch16_224"
"""timm's name of a plain VisionTransformer, to be made in another size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViT:
    """A vision transformer, by its size."""

    name: str
    image_size: int
    """Side of an image, in pixels."""
    patch_size: int
    num_layers: int
    width: int
    num_heads: int
    hub: tuple[str, str] | None = None
    """Repository and revision of its published weights; None: from scratch."""

    @property
    def length(self) -> int:
        """Return its tokens: the patches and the class token."""
        return (self.image_size // self.patch_size) ** 2 + 1

    @property
    def identity(self) -> str:
        """Return what stands for a model from scratch in a run's key."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"scratch-vit:{hashlib.sha256(text.encode()).hexdigest()}"

    def arguments(self) -> dict[str, int]:
        """Return what makes timm's VisionTransformer this one."""
        return {
            "img_size": self.image_size,
            "patch_size": self.patch_size,
            "depth": self.num_layers,
            "embed_dim": self.width,
            "num_heads": self.num_heads,
        }


def _published(name: str, num_layers: int, width: int, num_heads: int, revision: str) -> ViT:
    return ViT(
        name=name,
        image_size=224,
        patch_size=16,
        num_layers=num_layers,
        width=width,
        num_heads=num_heads,
        hub=(f"timm/{name}.augreg_in21k_ft_in1k", revision),
    )


VITS: dict[str, ViT] = {
    v.name: v
    for v in (
        # The `smoke` tier.
        ViT(name="vit-toy", image_size=8, patch_size=2, num_layers=4, width=32, num_heads=4),
        ViT(name="vit-1m", image_size=32, patch_size=4, num_layers=6, width=128, num_heads=4),
        ViT(name="vit-21m", image_size=32, patch_size=4, num_layers=12, width=384, num_heads=6),
        # The paper's. Paper: section 5.3.
        _published("vit_base_patch16_224", 12, 768, 12, "main"),
        _published("vit_large_patch16_224", 24, 1024, 16, "main"),
    )
}


def vit(name: str) -> ViT:
    """Look a model up.

    Raises: UserError with the known names.
    """
    if name not in VITS:
        raise UserError(f"unknown vision transformer {name!r}; known are {', '.join(VITS)}")
    return VITS[name]


def image_size(experiment: Experiment) -> int:
    """Return the side of the images that a run's model sees, in pixels."""
    return vit((experiment.pretrained or experiment).model).image_size


@cache
def vit_identity(name: str, source: str) -> str:
    """Return what identifies a model without a download; a local copy by its weights' sha256."""
    wanted = vit(name)
    if wanted.hub is None:
        return wanted.identity
    if source == "local":
        return f"local:{sha256_of(local_copy(wanted.hub[0]) / 'model.safetensors')}"
    return "hub:{}@{}".format(*wanted.hub)


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
