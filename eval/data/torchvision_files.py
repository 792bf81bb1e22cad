"""Images in the layouts that torchvision reads: CIFAR's release, and a folder for each class."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100, ImageFolder

from eval.data.pictures import Pictures, of_pixels
from eval.errors import UserError

__all__ = ["cifar_pictures", "folder_pictures"]

_CIFAR = {"cifar10": CIFAR10, "cifar100": CIFAR100}


def cifar_pictures(name: str, folder: Path, split: str, *, origin: str) -> Pictures:
    """Return the pictures of CIFAR's release for Python, unpacked.

    Its files are pickles; torchvision reads them only if their md5 are the published ones.

    Raises: UserError if a file is missing or another one.
    """
    try:
        found: Any = _CIFAR[name](folder.parent, train=split == "train", download=False)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"{folder} is not whole; unpack the release of {name} there again, or use --source hub"
        ) from error
    return of_pixels(found.data, np.array(found.targets), origin=origin)


def folder_pictures(name: str, folder: Path, classes: int, *, origin: str) -> Pictures:
    """Return the pictures of a folder with a folder for each class, numbered by name.

    Raises: UserError if it has none, or not as many as the data set has classes.
    """
    try:
        found = ImageFolder(str(folder))
    except (FileNotFoundError, OSError) as error:
        raise UserError(
            f"{folder} has no folder of pictures for each class ({error}); {name} is read from "
            f"{name}/train and {name}/val"
        ) from error
    if len(found.classes) != classes:
        raise UserError(
            f"{folder} has {len(found.classes)} folders, and {name} has {classes} classes; one too "
            "few or too many would number the others wrongly"
        )
    return Pictures(
        origin=origin,
        read=lambda row: found.loader(found.samples[row][0]),
        rows_N=np.arange(len(found.samples)),
        labels_N=np.array(found.targets, dtype=np.int64),
    )
