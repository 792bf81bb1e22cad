"""The common style of all figures, and how one is written to disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["also_png", "canvas", "save", "second_axis"]

_STYLE = Path(__file__).with_name("figures.mplstyle")
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
