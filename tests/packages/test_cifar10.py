"""CIFAR-10 as its package carries it, against what is known of the data set."""

from __future__ import annotations

import numpy as np
import pytest

from eval.data.augmentations import transforms_of
from eval.data.images import load_pictures
from eval.data.pictures import Pictures


@pytest.fixture(scope="module")
def train() -> Pictures:
    parts = [load_pictures("cifar10", split, "package") for split in ("train", "held_out")]
    rows = np.concatenate([part.rows_N for part in parts])
    order = np.argsort(rows)
    labels = np.concatenate([part.labels_N for part in parts])[order]
    read = parts[0].read
    return Pictures(origin=parts[0].origin, read=read, rows_N=rows[order], labels_N=labels)


def test_every_class_has_its_published_number_of_pictures(train: Pictures) -> None:
    assert np.array_equal(train.rows_N, np.arange(50_000))
    assert np.bincount(train.labels_N).tolist() == [5_000] * 10
    test = load_pictures("cifar10", "test", "package")
    assert np.bincount(test.labels_N).tolist() == [1_000] * 10


def test_the_first_labels_are_those_of_the_release(train: Pictures) -> None:
    # Source: data_batch_1 and test_batch of the release for Python; 6 is a frog, 9 a truck.
    assert train.labels_N[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    test = load_pictures("cifar10", "test", "package")
    assert test.labels_N[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]


def test_channels_have_the_known_means_and_deviations(train: Pictures) -> None:
    pixels = np.stack([np.asarray(train.picture(n)) for n in range(len(train))]) / 255.0
    mean, deviation = pixels.mean(axis=(0, 1, 2)), pixels.std(axis=(0, 1, 2))
    # Source: the constants that torchvision's and timm's CIFAR-10 recipes round to four digits.
    assert mean.round(4).tolist() == [0.4914, 0.4822, 0.4465]
    assert deviation.round(4).tolist() == [0.2470, 0.2435, 0.2616]
    # And so what models are evaluated on is centred.
    evaluated = transforms_of("crops", 32)[1]
    seen = np.stack([evaluated(train.picture(n)).numpy() for n in range(2_000)])
    assert np.abs(seen.mean(axis=(0, 2, 3))).max() < 0.05
    assert np.abs(seen.std(axis=(0, 2, 3)) - 1).max() < 0.05


def test_no_picture_of_the_test_set_is_trained_on(train: Pictures) -> None:
    seen = {train.picture(n).tobytes() for n in range(len(train))}
    test = load_pictures("cifar10", "test", "package")
    assert not any(test.picture(n).tobytes() in seen for n in range(len(test)))
