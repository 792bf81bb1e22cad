"""The common style of all figures, and how one is written to disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import Arm
from eval.spec import Suite

__all__ = ["also_png", "canvas", "save", "second_axis", "write_legend", "write_title"]

_STYLE = Path(__file__).with_name("figures.mplstyle")
_LEGEND_CHARACTERS = 105
_PNG: ContextVar[Path | None] = ContextVar("png", default=None)


@contextmanager
def canvas(
    *,
    columns: int = 1,
    rows: int = 1,
    height: float | None = None,
    heights: Sequence[float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure in the common style; it belongs to the caller, not to pyplot.

    `height` is the figure's, in inches, `heights` the proportions of its rows.
    """
    with plt.style.context(_STYLE):
        width, usual = plt.rcParams["figure.figsize"]
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(width, height or usual),
            height_ratios=heights,
            sharex=sharex,
            sharey=sharey,
            squeeze=False,
        )
        try:
            yield figure, list(axes.flat)
        finally:
            plt.close(figure)


def second_axis(left: Axes) -> Axes:
    """Return an axis on the right of a panel, for another unit."""
    right = left.twinx()
    right.spines["right"].set_visible(True)
    right.grid(False)
    return right


def write_title(figure: Figure, suite: Suite, data: pd.DataFrame, *, many: str) -> None:
    """Name suite and tier, and what is drawn of many seeds, or that there is only one."""
    lone = "n" in data and max(data["n"]) == 1
    text = "one seed, so no interval" if lone else many
    title = f"{suite.name}, tier {suite.arms[0].tier}: {text}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#222222")


def write_legend(figure: Figure, looks: Mapping[str, Arm], notes: Mapping[str, str]) -> None:
    """Name the arms, each with its note, in as many columns as the figure's width has room for."""
    handles = []
    for arm, note in notes.items():
        look = looks[arm]
        handle = Line2D([], [], color=look.color, label=look.label + note)
        if look.dash:
            handle.set_dashes(look.dash)
        handles.append(handle)
    longest = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, min(4, len(handles), _LEGEND_CHARACTERS // (longest + 8)))
    figure.legend(handles=handles, loc="outside lower left", ncols=columns)


@contextmanager
def also_png(folder: Path) -> Iterator[None]:
    """Let every figure that is saved meanwhile be written to `folder` as PNG, too."""
    folder.mkdir(parents=True, exist_ok=True)
    token = _PNG.set(folder)
    try:
        yield
    finally:
        _PNG.reset(token)


def save(figure: Figure, stem: Path, data: pd.DataFrame) -> tuple[Path, Path]:
    """Write STEM.svg, and STEM.csv with exactly the numbers drawn; both repeat byte for byte.

    Within `also_png` the figure is written there as PNG, too.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    drawing, table = (stem.with_name(f"{stem.name}.{ending}") for ending in ("svg", "csv"))
    with plt.style.context(_STYLE):
        figure.savefig(drawing, metadata={"Date": None, "Creator": None})
        if (folder := _PNG.get()) is not None:
            figure.savefig(folder / f"{stem.name}.png")
    data.to_csv(table, index=False, lineterminator="\n")
    return drawing, table
