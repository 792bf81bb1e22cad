"""The vision transformers of the suites, by name: their sizes and where their weights are."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from eval.data.fetch import sha256_of
from eval.data.hub import local_copy
from eval.errors import UserError
from eval.spec import Experiment

__all__ = ["VITS", "ViT", "image_size", "vit", "vit_identity"]


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

    def arguments(self) -> dict[str, Any]:
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
