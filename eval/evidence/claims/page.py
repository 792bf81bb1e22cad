"""The page of all claims: every one with its source, its verdict and what it cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from eval.evidence.claims.tables import NOT_EXAMINED
from eval.evidence.formatting import percent, signed, to_markdown
from eval.evidence.paper.published import Claim
from eval.evidence.part import Part
from eval.evidence.tables import beside_paper
from eval.spec import on_cpu

__all__ = [
    "HOW_JUDGED",
    "claims_headline",
    "claims_in_full",
    "claims_markdown",
    "claims_page",
    "cost_sentence",
    "published_beside_ours",
]

HOW_JUDGED = """\
*Supported in direction*: with at least five seeds, the baseline learned, random-LTD is worse by
less than the margin that was declared before the runs, and better than the baseline shortened to
the same layer tokens. *Not supported*: it is worse by more than the margin. *Undecided*: the
interval holds losses on both sides of the margin, or the baseline learned too little to lose. Where
a claim compares two arms: the first is better (or *contradicted*: worse), or, of what *needs no
care*, worse by less than the margin. Differences are means over seeds with 90 % intervals; positive
speaks for the claim. All seeds are measured on the same rows: what other rows would change is not
in these intervals, but on the suites' pages, where the answers to rows were kept. *Seen* or *not
seen*: a criterion of its own, said beside it. Nothing is corrected for the number of comparisons.
Hours are of one core at tier cpu, of a GPU at the larger tiers, over all runs compared. Models and
data are far smaller than the paper's: a verdict is about a direction.
"""


def claims_headline(
    table: pd.DataFrame, questions: pd.DataFrame, gaps: Sequence[str] = (), cost: str = ""
) -> str:
    """Return the README's tables: every claim and question with its verdict, and where to read on.

    What is missing of the runs comes first, what all of them cost last.
    """
    summary = "results/summary/"
    examined: Any = table[table["verdict"] != NOT_EXAMINED]
    lines = [*_incomplete(gaps), _short(examined, "the paper's claim", summary)]
    if others := list(table[table["verdict"] == NOT_EXAMINED]["short"]):
        lines += [f"Not examined here: {'; '.join(others)}.\n"]
    if len(questions):
        lines += [_short(questions, "asked here, not claimed by the paper", summary)]
    return "\n".join([*lines, f"{cost}\n" if cost else ""])


def claims_page(
    table: pd.DataFrame,
    questions: pd.DataFrame,
    claims: Sequence[Claim],
    gaps: Sequence[str] = (),
    cost: str = "",
) -> str:
    """Return the page: claims, further questions, and each claim in full with its source.

    What is missing of the runs comes first.
    """
    lines = ["# The claims, and what became of them\n", HOW_JUDGED, *_incomplete(gaps)]
    lines += [claims_markdown(table), f"{cost}\n"] if cost else [claims_markdown(table)]
    lines += ["![Every verdict's differences, in margins](claims-verdicts.svg)\n"]
    if len(questions):
        lines += ["## Asked here, not claimed by the paper\n", claims_markdown(questions)]
    return "\n".join([*lines, "## Each claim in full\n", claims_in_full(claims)])


def cost_sentence(parts: Sequence[Part]) -> str:
    """Say how many runs the suites have as they are declared, and what they cost, tier by tier."""
    said = []
    for tier in dict.fromkeys(part.tier for part in parts):
        here = [part for part in parts if part.tier == tier]
        runs = sum(r.cost is not None for part in here for r in part.records)
        hours = sum(part.hours() for part in here)
        unit = "one core" if on_cpu(tier) else "a GPU"
        said.append(f"{runs} at tier {tier} trained for {hours:.1f} hours of {unit}")
    return f"All runs of the present suites, pilots included: {'; '.join(said)}." if said else ""


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
        "judged here by": row["judged"],
        "tier": _text(row, "tier"),
        "verdict": row["verdict"],
        "found": _found(row),
        "seeds": _text(row, "n"),
        "layer tokens saved": _text(row, "layer_token_saving_frac", percent),
        "hours": _text(row, "hours", "{:.1f}".format),
        "shown in": _link(row, summary),
    }


def _short(table: pd.DataFrame, heading: str, summary: str) -> str:
    rows = [
        {
            heading: row["short"],
            "verdict": _link(row, summary, row["verdict"]) or row["verdict"],
            "difference [90 % interval], or what was found": _found(row) + _set_after(row),
            "tier, seeds": ", ".join(filter(None, (_text(row, "tier"), _text(row, "n")))),
            "layer tokens saved": _text(row, "layer_token_saving_frac", percent),
        }
        for row in table.to_dict("records")
    ]
    return to_markdown(pd.DataFrame(rows))


def _set_after(row: dict[Any, Any]) -> str:
    """Say that a criterion was set after the runs, if it was."""
    qualifier = row["judged"].rpartition("; ")[2]
    return f"; {qualifier}" if qualifier.endswith("after the runs") else ""


def _found(row: dict[Any, Any]) -> str:
    if not pd.isna(row.get("difference", pd.NA)):
        numbers = (signed(row[name]) for name in ("difference", "low", "high"))
        beside = _text(row, "beside")
        return "{} [{}, {}] {}".format(*numbers, row["unit"]) + f"; {beside}" * bool(beside)
    return _text(row, "shown")


def _text(row: dict[Any, Any], name: str, write: Callable[[float], str] = "{:.0f}".format) -> str:
    """Write a cell, a number by `write`; one that the row lacks is empty."""
    value = row.get(name, pd.NA)
    if pd.isna(value):
        return ""
    return write(value) if isinstance(value, float) else str(value)


def _link(row: dict[Any, Any], summary: str, words: str = "") -> str:
    place = _text(row, "shown_in")
    return f"[{words or place.removesuffix('.md')}]({summary}{place})" if place else ""
