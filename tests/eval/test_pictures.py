"""Images from every source are the same, and what is held out is never trained on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.data.images import IMAGE_SETS, image_identity, load_pictures
from eval.data.pictures import Pictures
from eval.errors import UserError
from tests.eval.image_files import (
    CLASSES,
    NUM,
    labels_of,
    pixels_of,
    put_folders,
    put_hub_copy,
    put_package,
    put_torchvision,
)


@pytest.fixture
def sources(local_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a data set where a source reads it, and name the source."""

    def put(name: str, layout: str) -> str:
        if layout == "package":
            put_package(cache, monkeypatch)
            return "package"
        if layout == "torchvision":
            put_torchvision(local_folder, monkeypatch, name)
        else:
            put_hub_copy(local_folder, name)
        return "local"

    return put


def pixels(pictures: Pictures) -> np.ndarray:
    return np.stack([np.asarray(pictures.picture(n)) for n in range(len(pictures))])


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("cifar10", "package"),
        *((name, layout) for name in CLASSES for layout in ("torchvision", "copy")),
    ],
)
def test_every_source_has_the_same_images(sources: Any, name: str, layout: str) -> None:
    source = sources(name, layout)
    test = load_pictures(name, "test", source)
    np.testing.assert_array_equal(pixels(test), pixels_of("test"))
    assert test.labels_N.tolist() == labels_of(name, "test")
    train, held_out = (load_pictures(name, split, source) for split in ("train", "held_out"))
    assert (len(train), len(held_out)) == (NUM["train"] - 5, 5)  # a tenth is held out
    rows = np.concatenate([train.rows_N, held_out.rows_N])
    assert sorted(rows) == list(range(NUM["train"]))
    everything = np.concatenate([pixels(train), pixels(held_out)])
    np.testing.assert_array_equal(everything, pixels_of("train")[rows])
    both = np.concatenate([train.labels_N, held_out.labels_N])
    np.testing.assert_array_equal(both, np.array(labels_of(name, "train"))[rows])


def test_what_is_held_out_is_drawn_once_for_all(sources: Any) -> None:
    source = sources("cifar10", "package")
    first = load_pictures("cifar10", "held_out", source)
    np.random.seed(1)
    again = load_pictures("cifar10", "held_out", source)
    assert first.rows_N.tolist() == again.rows_N.tolist()
    assert first.sha256() == again.sha256()
    assert first.rows_N.tolist() != sorted(first.rows_N)
    assert first.sha256() != load_pictures("cifar10", "test", source).sha256()


def test_the_parts_share_no_image_and_make_the_whole(sources: Any) -> None:
    source = sources("cifar10", "package")
    labels = np.array(labels_of("cifar10", "test"))
    for part, classes in (("cifar10_first", range(5)), ("cifar10_last", range(5, 10))):
        found = load_pictures(part, "test", source)
        assert found.rows_N.tolist() == [n for n in range(NUM["test"]) if labels[n] in classes]
        assert [classes[label] for label in found.labels_N] == labels[found.rows_N].tolist()
        assert IMAGE_SETS[part].classes == 5
        assert f"({'airplane' if classes[0] == 0 else 'dog'}, " in IMAGE_SETS[part].title
    seen = [
        set(load_pictures(part, split, source).rows_N)
        for part in ("cifar10_first", "cifar10_last")
        for split in ("train", "held_out")
    ]
    assert sum(map(len, seen)) == len(set().union(*seen)) == NUM["train"]


def test_folders_of_pictures_are_classes_by_name(
    local_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_folders(local_folder, monkeypatch)
    test = load_pictures("imagenet", "test", "local")
    assert test.labels_N.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    sizes = [test.picture(n).size for n in range(4)]
    assert sizes == [(40, 40), (41, 40), (42, 40), (43, 40)]
    assert {test.picture(n).mode for n in range(12)} == {"RGB"}
    assert [test.picture(n).getpixel((0, 0))[0] for n in range(12)] == [
        10 * label + n for label in range(3) for n in range(4)
    ]
    assert len(load_pictures("imagenet", "train", "local")) == 27


@pytest.mark.parametrize("stray", [True, False])
def test_a_folder_too_many_or_too_few_would_shift_the_classes(
    local_folder: Path, monkeypatch: pytest.MonkeyPatch, *, stray: bool
) -> None:
    put_folders(local_folder, monkeypatch)
    place = local_folder / "imagenet" / "val"
    if stray:
        shutil.copytree(place / "n00000001", place / "another")
    else:
        shutil.rmtree(place / "n00000000")
    with pytest.raises(UserError, match=f"has {4 if stray else 2} folders, .* has 3 classes"):
        load_pictures("imagenet", "test", "local")


def test_the_digits_of_the_smoke_tier_are_split_by_class_and_row() -> None:
    parts = [
        load_pictures(name, split, "checkout")
        for name in ("digits_first", "digits_last")
        for split in ("train", "held_out", "test")
    ]
    assert sum(map(len, parts)) == 1797
    assert all(set(part.labels_N) == set(range(5)) for part in parts)
    assert {int(pixels(part).max()) for part in parts} == {255}


def test_a_damaged_file_is_named(local_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = put_torchvision(local_folder, monkeypatch, "cifar10")
    (place / "data_batch_3").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"cifar-10-batches-py is not whole; unpack the release"):
        load_pictures("cifar10", "train", "local")


@pytest.mark.parametrize(
    ("name", "split", "source", "message"),
    [
        ("cifar10", "train", "local", "has neither cifar-10-batches-py, as torchvision"),
        ("imagenet", "train", "local", "has neither imagenet"),
        ("cifar100", "train", "package", "no package carries CIFAR-100; use --source hub"),
        ("cifar10", "train", "checkout", "CIFAR-10 cannot be had from source 'checkout'"),
        ("cifar10", "validation", "package", "have the splits train, held_out and test, not"),
        ("cifar11", "train", "package", "unknown image data 'cifar11'; known are cifar10"),
    ],
)
def test_what_cannot_be_had_is_said(
    local_folder: Path, name: str, split: str, source: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_pictures(name, split, source)


def test_an_empty_folder_of_imagenet_is_an_error(local_folder: Path) -> None:
    (local_folder / "imagenet" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match="has no folder of pictures for each class"):
        load_pictures("imagenet", "train", "local")


def test_the_identity_of_local_files_is_their_content(
    local_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval.data import image_files

    place = put_torchvision(local_folder, monkeypatch, "cifar10")
    before = image_identity("cifar10", "local")
    assert before == image_identity("cifar10_last", "local")
    (place / "test_batch").write_bytes(b"another")
    for cached in (image_identity, image_files.local_identity):
        cached.cache_clear()
    assert image_identity("cifar10", "local") != before
    assert image_identity("cifar10", "hub") == (
        "hub:uoft-cs/cifar10@0b2714987fa478483af9968de7c934580d0bb9a2"
    )
