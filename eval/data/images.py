"""Labelled images, from a package, the files that torchvision reads, or the hub.

Letters: N pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from eval.data.assets import asset
from eval.data.held_out import held_out_places
from eval.data.image_files import (
    checkout_pictures,
    hub_pictures,
    local_identity,
    local_pictures,
    package_pictures,
)
from eval.data.pictures import Pictures
from eval.errors import UserError

__all__ = ["IMAGE_SETS", "ImageSet", "image_identity", "image_set", "load_pictures"]

_MOST_HELD_OUT = 2_000
_CIFAR_10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageSet:
    """A data set of labelled images, or the part of one with some of its classes."""

    name: str
    title: str
    whole: str
    """The data set that it is, or is a part of."""
    classes: int
    part: tuple[int, ...] | None = None
    """The classes of the whole that it has; None for all."""
    package: str | None = None
    """The asset that has it."""
    hub: tuple[str, str | None, str] | None = None
    """Repository, configuration and revision on the hub."""


def _of_cifar10(name: str, title: str, part: tuple[int, ...] | None = None) -> ImageSet:
    if part is not None:
        title += f" ({', '.join(_CIFAR_10[number] for number in part)})"
    return ImageSet(
        name=name,
        title=title,
        whole="cifar10",
        classes=10 if part is None else len(part),
        part=part,
        package="cifar-10",
        hub=("uoft-cs/cifar10", None, "0b2714987fa478483af9968de7c934580d0bb9a2"),
    )


def _digits(name: str, part: tuple[int, ...]) -> ImageSet:
    return ImageSet(name=name, title=name, whole="digits", classes=len(part), part=part)


_FIRST, _LAST = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
IMAGE_SETS: dict[str, ImageSet] = {
    s.name: s
    for s in (
        _of_cifar10("cifar10", "CIFAR-10"),
        _of_cifar10("cifar10_first", "five classes of CIFAR-10", _FIRST),
        _of_cifar10("cifar10_last", "the other five classes of CIFAR-10", _LAST),
        ImageSet(
            name="cifar100",
            title="CIFAR-100",
            whole="cifar100",
            classes=100,
            hub=("uoft-cs/cifar100", None, "aadb3af77e9048adbea6b47c21a81e47dd092ae5"),
        ),
        ImageSet(
            name="imagenet",
            title="ImageNet-1k",
            whole="imagenet",
            classes=1000,
            hub=("ILSVRC/imagenet-1k", None, "49e2ee26f3810fb5a7536bbf732a7b07389a47b5"),
        ),
        # The `smoke` tier's: scikit-learn's 1,797 digits of 8 x 8 pixels.
        _digits("digits_first", _FIRST),
        _digits("digits_last", _LAST),
    )
}


def image_set(name: str) -> ImageSet:
    """Look a data set up.

    Raises: UserError with the known names.
    """
    if name not in IMAGE_SETS:
        raise UserError(f"unknown image data {name!r}; known are {', '.join(IMAGE_SETS)}")
    return IMAGE_SETS[name]


def load_pictures(name: str, split: str, source: str) -> Pictures:
    """Return the pictures of a split: `train`, `held_out` or `test`.

    `test` is the published one, of ImageNet its validation set. `held_out` are training pictures
    that are not in `train`, the same for all seeds, in an order of chance: for curves and for
    choosing settings.

    Raises: UserError for an unknown data set or split, or a source that does not have it.
    """
    wanted = image_set(name)
    if split not in {"train", "held_out", "test"}:
        raise UserError(f"image data have the splits train, held_out and test, not {split!r}")
    found = _whole(wanted, "test" if split == "test" else "train", source)
    if wanted.part is not None:
        found = found.of_classes(wanted.part)
    if split == "test":
        return found
    what = f"held-out pictures of {name}"
    held_out, rest = held_out_places(what, len(found), most=_MOST_HELD_OUT)
    return found.at(held_out if split == "held_out" else rest)


@cache
def image_identity(name: str, source: str) -> str:
    """Return what identifies a data set: a pinned package or revision, else its files."""
    wanted = image_set(name)
    if source == "package" and wanted.package is not None:
        return f"package:{asset(wanted.package).sha256}"
    if source == "hub" and wanted.hub is not None:
        return f"hub:{wanted.hub[0]}@{wanted.hub[2]}"
    if source == "local" and wanted.hub is not None:
        return f"local:{local_identity(wanted.whole, wanted.hub[0])}"
    return f"{source}:{_whole(wanted, 'train', source).origin}"


@cache
def _whole(wanted: ImageSet, split: str, source: str) -> Pictures:
    if source == "checkout" and wanted.whole == "digits":
        return checkout_pictures(split)
    if source == "package" and wanted.package is not None:
        return package_pictures(wanted.package, split)
    if source == "local" and wanted.hub is not None:
        return local_pictures(wanted.whole, wanted.hub[0], split, classes=wanted.classes)
    if source == "hub" and wanted.hub is not None:
        return hub_pictures(*wanted.hub, split=split)
    if source == "package":
        remedy = "use --source hub, or --source local --folder PATH"
        raise UserError(f"no package carries {wanted.title}; {remedy}")
    raise UserError(f"{wanted.title} cannot be had from source {source!r}")
