"""Colours of arms: readers of every kind of colour vision tell those of one suite apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from eval.evidence.arms import ARMS, arm_looks
from eval.suites import SUITES, suite

# What is seen without one kind of cone, in linear RGB. Source: Machado, Oliveira and Fernandes,
# 2009, "A Physiologically-based Model for Simulation of Color Vision Deficiency", severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = np.array(  # IEC 61966-2-1, white D65
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
APART = 10.0
"""In CIE 1976 L*a*b*; two shades side by side differ visibly from about 2.3."""


def lab(color: str, vision: str) -> np.ndarray:
    """Return where a colour lies in L*a*b* as it is seen."""
    code = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    x, y, z = TO_XYZ @ seen / TO_XYZ.sum(axis=1)
    f = [np.cbrt(v) if v > (6 / 29) ** 3 else v / (3 * (6 / 29) ** 2) + 4 / 29 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: str, other: str, vision: str) -> float:
    return float(np.linalg.norm(lab(one, vision) - lab(other, vision)))


def test_the_distance_is_that_of_known_colours() -> None:
    assert lab("#ffffff", "normal") == pytest.approx([100, 0, 0], abs=0.02)
    assert lab("#ff0000", "normal") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # Red and green of one lightness are two colours, but not to every reader.
    assert distance("#c05050", "#508850", "normal") > 60
    assert distance("#c05050", "#508850", "deuteranopia") < 30


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("name", SUITES)
def test_the_arms_of_a_suite_are_told_apart(name: str, vision: str) -> None:
    for declared in (suite(name, tier) for tier in SUITES[name].declared):
        arms = [e.arm for e in declared.arms]
        # A pilot has an arm for each rate that it tries; those share colours and differ in dashes.
        assert declared.margin is None or set(arms) <= ARMS.keys()
        looks = arm_looks(ARMS.keys() & set(arms))
        for one, other in itertools.combinations(looks.values(), 2):
            told = f"{one.label}, {other.label}"
            assert distance(one.color, other.color, vision) >= APART, told
