"""What a transform draws depends on seed, epoch and image alone."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eval.data.augmentations import AUGMENTATIONS, drawing, transforms_of
from eval.data.pictures import Pictures, of_pixels
from eval.errors import UserError
from eval.tasks.images import AugmentedExamples

NUM = 6
CHANGING = [name for name in AUGMENTATIONS if name != "none"]


def pictures() -> Pictures:
    pixels = np.random.default_rng(0).integers(256, size=(NUM, 32, 32, 3), dtype=np.uint8)
    return of_pixels(pixels, np.arange(NUM), origin="test")


def examples(name: str, seed: int = 0) -> AugmentedExamples:
    return AugmentedExamples(pictures(), transforms_of(name, 32)[0], seed)


@pytest.mark.parametrize("name", CHANGING)
def test_an_image_is_drawn_by_seed_epoch_and_number(name: str) -> None:
    def image(seed: int, number: int, place: int) -> torch.Tensor:
        return examples(name, seed).example(number, place)["images"]

    assert image(0, 3, 2).shape == (3, 32, 32)
    assert torch.equal(image(0, 3, 2), image(0, 3, 5))  # another place of the same epoch
    one = pictures().at(np.array([3, 3]))  # the same picture, as two of a data set
    twice = AugmentedExamples(one, transforms_of(name, 32)[0], 0)
    of_both = [bytes(twice.example(n, 2 * e)["images"].numpy()) for n in (0, 1) for e in range(4)]
    assert len(set(of_both)) > 3
    assert of_both[:4] != of_both[4:]
    draws = [image(seed, 3, NUM * epoch) for seed in range(4) for epoch in range(4)]
    different = {bytes(draw.numpy()) for draw in draws}
    assert len(different) > 8  # a flip alone would have two


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_is_evaluated_is_drawn_by_nothing(name: str) -> None:
    picture = pictures().picture(0)
    evaluated = transforms_of(name, 32)[1]
    one, other = evaluated(picture), evaluated(picture)
    assert torch.equal(one, other)
    assert one.shape == (3, 32, 32)


def test_without_augmentation_pixels_are_only_scaled() -> None:
    picture = pictures().picture(1)
    expected = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 127.5 - 1
    for transform in transforms_of("none", 32):
        torch.testing.assert_close(transform(picture), expected.float())


def test_the_published_transforms_crop_from_a_larger_image() -> None:
    picture = Image.fromarray(np.arange(50 * 60, dtype=np.uint8).reshape(50, 60)).convert("RGB")
    _, evaluated = transforms_of("published-cifar", 224)
    larger = picture.resize((round(256 * 60 / 50), 256), Image.Resampling.BILINEAR)
    left, top = (larger.width - 224) / 2, (256 - 224) / 2
    box = (round(left), round(top), round(left) + 224, round(top) + 224)
    pixels = torch.from_numpy(np.array(larger.crop(box))).permute(2, 0, 1) / 255
    mean = torch.tensor([0.5071, 0.4867, 0.4408])[:, None, None]
    std = torch.tensor([0.2675, 0.2565, 0.2761])[:, None, None]
    torch.testing.assert_close(evaluated(picture), (pixels.float() - mean) / std)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 99), st.integers(0, 99))
def test_the_global_generators_go_on_as_if_nothing_had_been_drawn(
    seed: int, epoch: int, number: int
) -> None:
    def draw() -> tuple[Any, ...]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    alone = [draw(), draw()]
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    first = draw()
    with drawing(seed, epoch, number):
        inside = draw()
    assert [first, draw()] == alone
    with drawing(seed, epoch, number):
        assert draw() == inside


def test_an_unknown_augmentation_is_named() -> None:
    with pytest.raises(UserError, match="unknown augmentation 'more'; known are none, crops"):
        transforms_of("more", 32)
