"""How every arm is called, ordered and drawn, in all tables and figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["ARMS", "Arm", "arm_looks", "difference_label"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """The look of an arm."""

    label: str
    color: str
    dash: tuple[float, ...]
    """Lengths of line and gap, in line widths; empty for a solid line."""


ARMS = {
    "baseline": Arm(label="baseline", color="#4d4d4d", dash=()),
    "random_ltd": Arm(label="random-LTD", color="#0072b2", dash=()),
    "shortened_baseline": Arm(label="shortened baseline", color="#d55e00", dash=(4, 1.5)),
    "lr_control": Arm(label="LR control", color="#009e73", dash=(1.2, 1.2)),
    "baseline_higher_peak": Arm(label="baseline, higher peak LR", color="#999999", dash=(1.2, 1.2)),
    "random_ltd_higher_peak": Arm(
        label="random-LTD, higher peak LR", color="#117733", dash=(4, 1.5)
    ),
    "random_ltd_step_lr": Arm(label="random-LTD, LR by steps", color="#56b4e9", dash=(4, 1.5)),
    "random_ltd_equal_layer_tokens": Arm(
        label="random-LTD, equal layer tokens", color="#c51b7d", dash=(6, 1, 1, 1)
    ),
    "random_ltd_padding_aware": Arm(
        label="random-LTD, padding-aware", color="#bbcc33", dash=(6, 1, 1, 1)
    ),
    "random_ltd_cls": Arm(label="random-LTD, [CLS] kept", color="#44aa99", dash=(1.2, 1.2)),
    "baseline_dropout": Arm(label="baseline, dropout", color="#999933", dash=(4, 1.5)),
    "random_ltd_dropout": Arm(label="random-LTD, dropout", color="#332288", dash=(1.2, 1.2)),
    "random_ltd_class_token": Arm(
        label="random-LTD, class token kept", color="#6699cc", dash=(1.2, 1.2)
    ),
    "random_ltd_constant": Arm(
        label="random-LTD, constant kept length", color="#cc6677", dash=(6, 1, 1, 1)
    ),
    "patch_drop": Arm(label="patch dropout", color="#ddaa33", dash=(4, 1.5)),
    "no_pretraining": Arm(label="no pretraining", color="#e69f00", dash=(1.2, 1.2)),
}
"""Colours of Okabe and Ito, of Paul Tol and of ColorBrewer; colour-blind readers tell the
arms of a suite apart, too."""

_SPARE_COLORS = ("#aa4499", "#ddcc77", "#88ccee", "#bb5566")
_SPARE_DASHES = ((), (4, 1.5), (1.2, 1.2))


def arm_looks(names: Iterable[str]) -> dict[str, Arm]:
    """Return the looks of the arms in the order to show them: `ARMS` first, then by name.

    An arm that `ARMS` does not know is shown all the same, under its own name.
    """
    names = set(names)
    known = {name: arm for name, arm in ARMS.items() if name in names}
    spare = {
        name: Arm(
            label=name.replace("_", " "),
            color=_SPARE_COLORS[i % len(_SPARE_COLORS)],
            dash=_SPARE_DASHES[i // len(_SPARE_COLORS) % len(_SPARE_DASHES)],
        )
        for i, name in enumerate(sorted(names - ARMS.keys()))
    }
    return known | spare


def difference_label(arm: str, against: str) -> str:
    """Return how a difference between two arms is called."""
    looks = arm_looks([arm, against])
    return f"{looks[arm].label} - {looks[against].label}"
