"""Numbered pictures with their labels, wherever their pixels lie.

Letters: N pictures, H height, W width, C colours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["Pictures", "of_pixels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Some pictures of a data set, read one by one."""

    origin: str
    """What identifies the split that they are of."""
    read: Callable[[int], Any]
    """Row of the split -> the PIL image."""
    rows_N: np.ndarray
    """Rows of the split (int64)."""
    labels_N: np.ndarray
    """Class numbers (int64)."""

    def __len__(self) -> int:
        return len(self.rows_N)

    def picture(self, number: int) -> Image.Image:
        """Return a picture, in RGB."""
        return self.read(int(self.rows_N[number])).convert("RGB")

    def at(self, places: np.ndarray) -> Pictures:
        """Return the pictures at these places."""
        return Pictures(
            origin=self.origin,
            read=self.read,
            rows_N=self.rows_N[places],
            labels_N=self.labels_N[places],
        )

    def of_classes(self, classes: tuple[int, ...]) -> Pictures:
        """Return the pictures of these classes, which are then numbered as they are listed."""
        found = self.at(np.flatnonzero(np.isin(self.labels_N, classes)))
        numbers = np.array([classes.index(label) for label in found.labels_N], dtype=np.int64)
        return Pictures(origin=found.origin, read=found.read, rows_N=found.rows_N, labels_N=numbers)

    def sha256(self) -> str:
        """Return the hash of which pictures these are, and of their labels."""
        digest = hashlib.sha256(self.origin.encode())
        for array in (self.rows_N, self.labels_N):
            digest.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
        return digest.hexdigest()


def of_pixels(pixels_NHWC: np.ndarray, labels_N: np.ndarray, *, origin: str) -> Pictures:
    """Return pictures whose pixels (uint8) are in memory."""
    return Pictures(
        origin=origin,
        read=lambda row: Image.fromarray(pixels_NHWC[row]),
        rows_N=np.arange(len(labels_N)),
        labels_N=labels_N.astype(np.int64),
    )
