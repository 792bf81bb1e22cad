"""How numbers are written for readers; data files keep them raw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from eval.evidence.arms import arm_looks

__all__ = ["measured", "number", "percent", "signed", "to_markdown", "words"]

_HEADINGS = {
    "layer_token_saving_frac": "layer tokens saved",
    "flop_saving_frac": "FLOPs saved",
    "change_frac": "change against its baseline",
    "saved_frac": "saved",
    "ramp_of_the_run_frac": "ramp, of the run",
    "flops": "FLOPs",
}
_CORRELATIONS = {
    "matthews_correlation": "Matthews' correlation",
    "spearman": "Spearman's correlation",
    "pearson": "Pearson's correlation",
}
_HIDDEN = {"measurement", "unit", "sd", "low", "high"}
"""Columns of an arm table that are merged into others."""


def number(value: float) -> str:
    """Write a measured value."""
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.4f}"


def signed(value: float) -> str:
    """Write a difference."""
    return f"{value:+.4f}"


def percent(fraction: float) -> str:
    """Write a fraction."""
    return f"{100 * fraction:.1f} %"


def measured(name: str, unit: str) -> str:
    """Name a measurement with its unit, unless the name says it already."""
    said = words(name)
    if unit.replace("/", " per ") in ("", said) or said.endswith("correlation"):
        return said
    return f"{said} ({unit})"


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table for reading: rounded, columns merged, units in the headings."""
    columns = [[heading, *cells] for heading, cells in _columns(table)]
    widths = [max(map(len, column)) for column in columns]
    rows = [[cell.ljust(width) for cell, width in zip(row, widths)] for row in zip(*columns)]
    rows.insert(1, ["-" * width for width in widths])
    return "".join("| " + " | ".join(row) + " |\n" for row in rows)


def _columns(table: pd.DataFrame) -> Iterator[tuple[str, list[str]]]:
    """Yield heading and cells; mean with spread and difference with interval share a column."""
    rows = table.to_dict("records")
    by_arm = {"mean", "measurement", "unit"} <= set(table)
    for name in map(str, table):
        if by_arm and name in _HIDDEN:
            continue
        if by_arm and name == "mean":
            units = [row["unit"] for row in rows if not pd.isna(row["unit"])]
            heading = measured(rows[0]["measurement"], units[0] if units else "")
            yield f"{heading}, mean (sd)", [_mean_and_spread(row) for row in rows]
        elif by_arm and name == "difference":
            yield "against baseline [90 % interval]", [_difference(row) for row in rows]
        else:
            yield _HEADINGS.get(name, words(name)), [_cell(name, row[name]) for row in rows]


def _mean_and_spread(row: dict[Any, Any]) -> str:
    if pd.isna(row["mean"]):
        return ""
    spread = "" if pd.isna(row.get("sd", pd.NA)) else f" ({number(row['sd'])})"
    return number(row["mean"]) + spread


def _difference(row: dict[Any, Any]) -> str:
    if pd.isna(row["difference"]):
        return ""
    if pd.isna(row.get("low", pd.NA)):
        return f"{signed(row['difference'])} (no interval)"
    return f"{signed(row['difference'])} [{signed(row['low'])}, {signed(row['high'])}]"


def _cell(name: str, value: Any) -> str:
    if pd.isna(value):
        return ""
    if name == "arm":
        return arm_looks([value])[value].label
    if name == "change_frac":
        return f"{100 * value:+.1f} %"
    if name.endswith("_frac"):
        return percent(value)
    if name == "flops":
        return f"{value:.3g}"
    if name.endswith("_minus_committed"):
        return signed(value)
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else str(value).replace("|", "/")


def words(name: str) -> str:
    """Return a measurement's or column's name as a reader would say it."""
    for short, said in _CORRELATIONS.items():
        name = name.replace(short, said)
    return name.replace("_", " ").replace("correlation (fraction)", "correlation")
