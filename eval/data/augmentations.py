"""How images become a model's inputs: timm's transforms, and the published ones.

What a transform draws depends on seed, epoch and image alone, so that all arms of a seed see the
same images.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from timm.data.transforms_factory import create_transform
from torchvision import transforms

from eval.errors import UserError
from eval.seeding import stream

__all__ = ["AUGMENTATIONS", "before_normalisation", "drawing", "transforms_of"]

Transform = Callable[[Any], torch.Tensor]
_timm = cast("Callable[..., Transform]", create_transform)  # typed wider than what it gives here

_CIFAR: dict[str, Any] = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
"""Of CIFAR-10's training images."""
_AUTHORS: dict[str, Any] = {"mean": (0.5071, 0.4867, 0.4408), "std": (0.2675, 0.2565, 0.2761)}
"""Of CIFAR-100's, which the authors' script has for both. Paper: section 5.3."""
_HALF: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
"""To -1..1, for images that are not augmented."""
_IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""Of ImageNet's training images. Source: main_imagenet.py of DeepSpeedExamples, commit 1c6f9895."""


def _plain(size: int) -> tuple[Transform, Transform]:
    """Return no augmentation."""
    same = _timm(size, is_training=False, crop_pct=1.0, **_HALF)
    return same, same


def _crops(size: int, **more: Any) -> tuple[Transform, Transform]:
    """Return timm's random crops of at least 0.6 of the image, and flips."""
    scale = (0.6, 1.0)
    training = _timm(
        size,
        is_training=True,
        scale=scale,
        color_jitter=None,
        interpolation="bicubic",
        **_CIFAR | more,
    )
    return training, _timm(size, is_training=False, crop_pct=1.0, **_CIFAR)


def _strong(size: int) -> tuple[Transform, Transform]:
    """Return the same with RandAugment and random erasing."""
    return _crops(size, auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25)


def _published_cifar(size: int) -> tuple[Transform, Transform]:
    """Return the authors' for CIFAR, of 256 pixels for a model of 224. Paper: section 5.3."""
    larger = transforms.Resize(round(256 / 224 * size))
    rest = (transforms.ToTensor(), transforms.Normalize(**_AUTHORS))
    flip = transforms.RandomHorizontalFlip()
    return (
        transforms.Compose([larger, transforms.RandomCrop(size), flip, *rest]),
        transforms.Compose([larger, transforms.CenterCrop(size), *rest]),
    )


def _published_imagenet(size: int) -> tuple[Transform, Transform]:
    """Return the authors' for ImageNet. Paper: section 5.3."""
    resize = transforms.Resize(size)
    rest = (transforms.ToTensor(), transforms.Normalize(**_IMAGENET))
    crop = transforms.RandomCrop(size, padding=size // 8)
    return (
        transforms.Compose([resize, crop, transforms.RandomHorizontalFlip(), *rest]),
        transforms.Compose([resize, transforms.CenterCrop(size), *rest]),
    )


AUGMENTATIONS: dict[str, Callable[[int], tuple[Transform, Transform]]] = {
    "none": _plain,
    "crops": _crops,
    "strong": _strong,
    "published-cifar": _published_cifar,
    "published-imagenet": _published_imagenet,
}
"""Name -> side of the model's images in pixels -> transforms of training and evaluation."""


def transforms_of(name: str, size: int) -> tuple[Transform, Transform]:
    """Return the transforms of training and of evaluation.

    Raises: UserError with the known names.
    """
    if name not in AUGMENTATIONS:
        raise UserError(f"unknown augmentation {name!r}; known are {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name](size)


def before_normalisation(name: str, size: int) -> Transform:
    """Return the transform of evaluation up to its normalisation: (C, H, W), in 0..1.

    Raises: UserError with the known names.
    """
    steps: Any = transforms_of(name, size)[1]
    shown = [t for t in steps.transforms if not isinstance(t, transforms.Normalize)]
    return transforms.Compose(shown)


@contextmanager
def drawing(seed: int, epoch: int, number: int) -> Iterator[None]:
    """Seed the global generators, which transforms draw from, for one image; then put them back."""
    python, numpy, of_torch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    drawn = int(stream(f"augmentation {epoch}/{number}", seed).integers(2**32))
    random.seed(drawn)
    np.random.seed(drawn)
    torch.default_generator.manual_seed(drawn)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(of_torch)
