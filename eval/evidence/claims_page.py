"""The page of all claims: every one with its source, its verdict and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from eval.evidence.formatting import percent, signed, to_markdown
from eval.evidence.paper import Claim
from eval.evidence.part import Part
from eval.evidence.tables import beside_paper

__all__ = [
    "HOW_JUDGED",
    "claims_headline",
    "claims_in_full",
    "claims_markdown",
    "claims_page",
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


def claims_headline(table: pd.DataFrame, gaps: Sequence[str] = ()) -> str:
    """Return the README's table: every claim with its verdict, and where to read on.

    What is missing of the runs comes first.
    """
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
    return "\n".join([*_incomplete(gaps), to_markdown(pd.DataFrame(rows)), ""])


def claims_page(
    table: pd.DataFrame,
    questions: pd.DataFrame,
    claims: Sequence[Claim],
    gaps: Sequence[str] = (),
) -> str:
    """Return the page: claims, further questions, and each claim in full with its source.

    What is missing of the runs comes first.
    """
    lines = ["# The claims, and what became of them\n", HOW_JUDGED, *_incomplete(gaps)]
    lines += [claims_markdown(table)]
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


def _incomplete(gaps: Sequence[str]) -> list[str]:
    return [f"Incomplete: {gap}.\n" for gap in gaps]


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
    place = _text(row, "shown_in")
    return f"[{row['verdict']}](results/summary/{place})" if place else row["verdict"]


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
    place = _text(row, "shown_in")
    return f"[{place.removesuffix('.md')}]({summary}{place})" if place else ""
