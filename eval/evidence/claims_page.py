"""The page of all claims: one table, one figure, every claim with its source and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from eval.evidence.arms import arm_looks
from eval.evidence.canvas import canvas
from eval.evidence.formatting import percent, signed, to_markdown
from eval.evidence.paper import Claim
from eval.evidence.part import Part
from eval.evidence.stats import BASELINE, SHORTENED, judge
from eval.evidence.tables import beside_paper

__all__ = [
    "HOW_JUDGED",
    "claims_data",
    "claims_headline",
    "claims_in_full",
    "claims_markdown",
    "claims_page",
    "plot_claims",
    "published_beside_ours",
]

HOW_JUDGED = """\
*Supported in direction*: with at least five seeds, the baseline learned, random-LTD is worse by
less than the margin that was declared before the runs, and better than the baseline shortened to
the same layer tokens. Where a claim compares two arms: the first is better, or, of what *needs no
care*, worse by less than the margin. *Contradicted*: the opposite is shown. Differences are means
over seeds with 90 % intervals; positive speaks for the claim. Hours are of one core at tier cpu, of
a GPU at the larger tiers, over all runs compared. Models and data are far smaller than the paper's:
a verdict is about a direction.
"""
_COMPARED = ((BASELINE, 0.16), (SHORTENED, -0.16))
"""The arms that random-LTD is compared with, and how far off the row's middle each is drawn."""


def claims_headline(table: pd.DataFrame) -> str:
    """Return the README's table: every claim with its verdict, and where to read on."""
    rows = [
        {
            "the paper's claim": row["short"],
            "here": _verdict(row),
            "tier": _text(row, "tier"),
            "n": _text(row, "n"),
            "layer tokens saved": _share(row.get("layer_token_saving_frac")),
            "difference [90 % interval], or what was found": _found(row),
        }
        for row in table.to_dict("records")
    ]
    return to_markdown(pd.DataFrame(rows)) + "\n"


def claims_page(table: pd.DataFrame, questions: pd.DataFrame, claims: Sequence[Claim]) -> str:
    """Return the page: claims, further questions, and each claim in full with its source."""
    lines = ["# The claims, and what became of them\n", HOW_JUDGED, claims_markdown(table)]
    lines += ["![Every verdict's differences, in margins](claims-verdicts.svg)\n"]
    if len(questions):
        lines += ["## Asked here, not claimed by the paper\n", claims_markdown(questions)]
    return "\n".join([*lines, "## Each claim in full\n", claims_in_full(claims)])


def claims_markdown(table: pd.DataFrame, *, summary: str = "") -> str:
    """Return the table for reading; `summary` leads to the folder of the pages it names."""
    rows = [_row(row, summary) for row in table.to_dict("records")]
    return to_markdown(pd.DataFrame(rows))


def claims_in_full(claims: Sequence[Claim]) -> str:
    """Return a list of the claims as the authors make them, with places and grades."""
    return "".join(
        f"- **{claim.short}.** {claim.claim} ({claim.paper}). Read in: {claim.locator}; grade of "
        f"the evidence: {claim.evidence}.\n"
        for claim in claims
    )


def published_beside_ours(parts: Sequence[Part]) -> str:
    """Return every published number of the parts' suites with ours below, a table a suite."""
    tables = [(part, beside_paper(part.suite, part.records)) for part in parts]
    return "\n".join(
        f"### {part.suite.name}, ours at tier {part.tier}\n\n"
        + to_markdown(table.drop(columns="where"))
        for part, table in tables
        if len(table)
    )


def claims_data(parts: Sequence[Part]) -> pd.DataFrame:
    """Return random-LTD's differences to both arms it is judged against, in units of the margin."""
    rows = []
    for part in parts:
        margin = part.suite.margin
        if margin is None or not any(record.status == "ok" for record in part.records):
            continue
        verdict = judge(part.suite, part.records)
        found = (verdict.quality_interval, verdict.shortened_interval)
        rows += [
            {
                "suite": part.suite.name,
                "tier": part.tier,
                "against": against,
                "n": verdict.n,
                "margins": of.mean / margin,
                "low": of.low / margin,
                "high": of.high / margin,
                "verdict": verdict.outcome,
            }
            for (against, _), of in zip(_COMPARED, found)
            if of is not None
        ]
    return pd.DataFrame(rows)


def plot_claims(parts: Sequence[Part]) -> Figure:
    """Draw what `claims_data` returns: a row a suite, the margin and zero as lines."""
    data = claims_data(parts)
    names = list(dict.fromkeys(zip(data["suite"], data["tier"])))
    with canvas(height=1.5 + 0.46 * len(names)) as (figure, (axes,)):
        axes.axvspan(-1, 0, color="#f0f0f0", zorder=0)
        axes.axvline(0, color="#333333", linewidth=1)
        axes.axvline(-1, color="#333333", linewidth=1, linestyle=(0, (4, 2)))
        for place, (suite, tier) in enumerate(names):
            here = data[(data["suite"] == suite) & (data["tier"] == tier)]
            _draw_row(axes, -place, here.to_dict("records"))
        axes.set_yticks(
            [-place for place in range(len(names))],
            [f"{suite}\n{tier}, n = {_n(data, suite, tier)}" for suite, tier in names],
            fontsize=8,
        )
        axes.set_ylim(-len(names) + 0.5, 0.5)
        axes.grid(False, axis="y")
        axes.set_xlabel("random-LTD minus the other arm, in margins; positive is better")
        axes.annotate("margin", (-1, 1), (2, 2), xycoords=("data", "axes fraction"),
                      textcoords="offset points", fontsize=8)  # fmt: skip
        figure.suptitle(
            "every verdict at a glance: means and 90 % intervals over seeds",
            x=0.01, ha="left", fontsize=10,
        )  # fmt: skip
        figure.legend(handles=_legend(), loc="outside lower left", ncols=2)
    return figure


def _draw_row(axes: Axes, place: float, rows: Sequence[dict[Any, Any]]) -> None:
    offsets, looks = dict(_COMPARED), arm_looks(arm for arm, _ in _COMPARED)
    for row in rows:
        y, color = place + offsets[row["against"]], looks[row["against"]].color
        axes.plot([row["low"], row["high"]], [y, y], color=color, linewidth=2)
        axes.plot(row["margins"], y, "o", color=color, ms=5)
    axes.annotate(
        rows[0]["verdict"], (1.01, place), xycoords=("axes fraction", "data"),
        va="center", fontsize=8, annotation_clip=False,
    )  # fmt: skip


def _legend() -> list[Line2D]:
    looks = arm_looks(arm for arm, _ in _COMPARED)
    return [
        Line2D([], [], color=look.color, marker="o", ms=5, label=f"against the {look.label}")
        for look in looks.values()
    ]


def _n(data: pd.DataFrame, suite: str, tier: str) -> int:
    return int(data[(data["suite"] == suite) & (data["tier"] == tier)]["n"].iloc[0])


def _row(row: dict[Any, Any], summary: str) -> dict[str, str]:
    return {
        "claim": row["short"],
        "tier": _text(row, "tier"),
        "verdict": row["verdict"],
        "found": _found(row),
        "n": _text(row, "n"),
        "layer tokens saved": _share(row.get("layer_token_saving_frac")),
        "hours": _hours(row.get("hours")),
        "shown in": _link(row, summary),
    }


def _verdict(row: dict[Any, Any]) -> str:
    place = row.get("shown_in")
    if pd.isna(place):
        return row["verdict"]
    return f"[{row['verdict']}](results/summary/{place})"


def _found(row: dict[Any, Any]) -> str:
    if not pd.isna(row.get("difference", pd.NA)):
        numbers = (signed(row[name]) for name in ("difference", "low", "high"))
        return "{} [{}, {}] {}".format(*numbers, row["unit"])
    return _text(row, "shown")


def _text(row: dict[Any, Any], name: str) -> str:
    value = row.get(name, pd.NA)
    if pd.isna(value):
        return ""
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _share(value: Any) -> str:
    return "" if value is None or pd.isna(value) else percent(value)


def _hours(value: Any) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.1f}"


def _link(row: dict[Any, Any], summary: str) -> str:
    place = row.get("shown_in")
    if place is None or pd.isna(place):
        return ""
    return f"[{place.removesuffix('.md')}]({summary}{place})"
