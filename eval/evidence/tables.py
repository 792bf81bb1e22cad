"""Tables of the evidence: one row an arm, never two tiers in a cell, n in sight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from eval.evidence.arms import arm_looks
from eval.evidence.formatting import to_markdown
from eval.evidence.grid import common, finished, saves_itself, unfinished, value_of
from eval.evidence.paper.published import AUTHORS_TIER, Reported, load_reported
from eval.evidence.stats import BASELINE, ENOUGH_SEEDS, interval, non_inferiority, paired
from eval.record import Record
from eval.spec import Suite

__all__ = [
    "AGREEMENT_RULE",
    "HEADLINE",
    "beside_paper",
    "missing",
    "suite_table",
    "to_markdown",
    "yours_beside_committed",
]


HEADLINE = (
    *("tier", "arm", "n", "failed", "measurement", "unit", "mean", "sd"),
    *("difference", "low", "high", "verdict", "layer_token_saving_frac", "flop_saving_frac"),
)
"""The columns of a suite's table that fit a page; the others follow in a table of their own."""
_BESIDE = (
    *("source", "tier", "model", "data", "arm", "measurement", "unit", "value", "n"),
    *("change_frac", "compare", "where"),
)
_YOURS = (
    *("tier", "arm", "seed", "measurement", "unit", "yours", "committed"),
    *("yours_minus_committed", "committed_sd", "agreement"),
)

AGREEMENT_RULE = (
    "Yours is compared with the committed run of the same arm, seed and specification. "
    "'identical': the same number to the last bit, as one expects with the same packages on the "
    "same type of processor. 'agrees': the difference is at most three standard deviations of "
    "the committed runs of that arm over their seeds. 'differs': it is larger. 'cannot say': "
    "there is no committed run of that seed, or too few to know their spread."
)


def missing(suite: Suite, records: Iterable[Record]) -> tuple[tuple[str, int], ...]:
    """Return the (arm, seed) cells of the suite's grid without a finished run.

    Whoever shows a table names them first.
    """
    return unfinished(records, [e.arm for e in suite.arms], suite.seeds)


def suite_table(suite: Suite, records: Sequence[Record]) -> pd.DataFrame:
    """Return one row an arm: the primary measurement, its difference to the baseline, the cost.

    Numbers are raw; a missing one is absent, never NaN. `low` and `high` bound the 90 % interval
    of the paired difference, in which positive is better. Failed runs are counted only.

    Raises: UserError for records that must not be mixed.
    """
    runs = finished(records)
    rows = [_arm_row(suite, records, runs, arm) for arm in arm_looks(runs)]
    return _frame(rows, first=HEADLINE)


def beside_paper(
    suite: Suite, records: Sequence[Record], reported: Sequence[Reported] | None = None
) -> pd.DataFrame:
    """Return the published rows of the suite with ours below.

    Sizes, data and tokenizers differ: only the direction of the change compares, not the value.
    What ours did not measure, such as the average of tasks of which some are missing, has no row.
    """
    published = load_reported() if reported is None else reported
    published = [row for row in published if row.suite == suite.name]
    theirs = {row.arm: row.value for row in published}
    rows = [_paper_row(row, theirs.get(BASELINE)) for row in published]
    runs = finished(records)
    for measurement in sorted({row.measurement for row in published}):
        rows += [
            _our_row(runs, arm, measurement)
            for arm in arm_looks(runs)
            if arm in theirs and runs[arm] and _measured(runs[arm].values(), measurement)
        ]
    return _frame(rows, first=_BESIDE)


def yours_beside_committed(
    suite: Suite, yours: Sequence[Record], committed: Sequence[Record]
) -> pd.DataFrame:
    """Return your runs, each beside the committed run of the same arm, seed and specification.

    `AGREEMENT_RULE` says when they agree; it belongs below the table.
    """
    ours, theirs = finished(yours), finished(committed)
    rows = [
        _agreement_row(suite, record, theirs.get(arm, {}))
        for arm in arm_looks(ours)
        for record in ours[arm].values()
    ]
    return _frame(rows, first=_YOURS)


def _arm_row(
    suite: Suite, records: Sequence[Record], runs: dict[str, dict[int, Record]], arm: str
) -> dict[str, Any]:
    done = list(runs[arm].values())
    row: dict[str, Any] = {
        "tier": records[0].experiment.tier,
        "arm": arm,
        "n": len(done),
        "failed": sum(r.experiment.arm == arm and r.status == "failed" for r in records),
        "measurement": suite.primary,
    }
    if not done:
        return row
    values = [value_of(r, suite.primary) for r in done]
    row |= {"unit": done[0].measurements[suite.primary].unit, "mean": fmean(values)}
    if len(values) > 1:
        row["sd"] = stdev(values)
    if arm != BASELINE:
        row |= _difference(suite, records, arm)
    baseline = runs.get(BASELINE, {}).values() if saves_itself(records) else ()
    row |= _cost(done, list(baseline))
    return row | _others(suite, done)


def _difference(suite: Suite, records: Sequence[Record], arm: str) -> dict[str, Any]:
    """Compare with the baseline on the seeds that finished in both arms."""
    differences = paired(
        common(records, arm, BASELINE),
        arm,
        BASELINE,
        measurement=suite.primary,
        higher_is_better=suite.higher_is_better,
    )
    if not differences:
        return {}
    row: dict[str, Any] = {"pairs": len(differences), "difference": fmean(differences.values())}
    if len(differences) > 1:
        found = interval(differences.values())
        row |= {"low": found.low, "high": found.high}
        if suite.margin is not None:
            row["verdict"] = non_inferiority(found, suite.margin)
    if suite.margin is not None and len(differences) < ENOUGH_SEEDS:
        row["verdict"] = f"no evidence (n < {ENOUGH_SEEDS})"
    return row


def _cost(done: Sequence[Record], baseline: Sequence[Record]) -> dict[str, Any]:
    costs = [r.cost for r in done if r.cost is not None]
    full = [r.cost for r in baseline if r.cost is not None]
    row: dict[str, Any] = {
        "steps": round(fmean(c.steps for c in costs)),
        "tokens": round(fmean(c.tokens for c in costs)),
        "layer_tokens": round(fmean(c.layer_tokens for c in costs)),
        "flops": round(fmean(c.flops for c in costs)),
    }
    if full:
        layer_tokens, flops = fmean(c.layer_tokens for c in full), fmean(c.flops for c in full)
        row["layer_token_saving_frac"] = 1 - row["layer_tokens"] / layer_tokens
        row["flop_saving_frac"] = 1 - row["flops"] / flops
    return row


def _others(suite: Suite, done: Sequence[Record]) -> dict[str, float]:
    """Return the means of the descriptive measurements, in the order of their names.

    Those of zero-shot tasks (TASK/NAME) have tables of their own.
    """
    names = set.intersection(*(set(r.measurements) for r in done)) - {suite.primary}
    names = {name for name in names if "/" not in name}
    return {
        f"{name} ({done[0].measurements[name].unit})": fmean(value_of(r, name) for r in done)
        for name in sorted(names)
    }


def _paper_row(row: Reported, baseline: float | None) -> dict[str, Any]:
    ours: dict[str, Any] = {
        "source": "published",
        "tier": AUTHORS_TIER,
        "model": row.model,
        "data": row.data,
        "arm": row.arm,
        "measurement": row.measurement,
        "unit": row.unit,
        "value": row.value,
    }
    if baseline is not None and row.arm != BASELINE:
        ours["change_frac"] = row.value / baseline - 1
    return {**ours, "compare": "direction only", "where": f"{row.locator} ({row.evidence})"}


def _our_row(runs: dict[str, dict[int, Record]], arm: str, measurement: str) -> dict[str, Any]:
    done = list(runs[arm].values())
    values = [value_of(r, measurement) for r in done]
    first = done[0].experiment
    row: dict[str, Any] = {
        "source": "ours",
        "tier": first.tier,
        "model": first.model,
        "data": first.data,
        "arm": arm,
        "measurement": measurement,
        "unit": done[0].measurements[measurement].unit,
        "value": fmean(values),
        "n": len(values),
    }
    if arm != BASELINE and runs.get(BASELINE):
        baseline = fmean(value_of(r, measurement) for r in runs[BASELINE].values())
        row["change_frac"] = row["value"] / baseline - 1
    return {**row, "compare": "direction only", "where": f"results/runs/{first.suite}"}


def _measured(records: Iterable[Record], measurement: str) -> bool:
    return all(measurement in record.measurements for record in records)


def _agreement_row(suite: Suite, record: Record, theirs: dict[int, Record]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "tier": record.experiment.tier,
        "arm": record.experiment.arm,
        "seed": record.seed,
        "measurement": suite.primary,
        "unit": record.measurements[suite.primary].unit,
        "yours": value_of(record, suite.primary),
        "agreement": "cannot say",
    }
    same = theirs.get(record.seed)
    if same is None or same.experiment != record.experiment:
        return row
    row["committed"] = value_of(same, suite.primary)
    row["yours_minus_committed"] = row["yours"] - row["committed"]
    if row["yours"] == row["committed"]:
        return {**row, "agreement": "identical"}
    if len(theirs) > 1:
        row["committed_sd"] = stdev(value_of(r, suite.primary) for r in theirs.values())
        near = abs(row["yours_minus_committed"]) <= 3 * row["committed_sd"]
        row["agreement"] = "agrees" if near else "differs"
    return row


def _frame(rows: Sequence[dict[str, Any]], *, first: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the columns of all of them; what is absent is NA, not NaN."""
    found = list(dict.fromkeys(name for row in rows for name in row))
    names = [n for n in first if n in found] + [n for n in found if n not in first]
    columns = {name: [row.get(name) for row in rows] for name in names}
    return pd.DataFrame({n: pd.array(cells, dtype=_dtype(cells)) for n, cells in columns.items()})


def _dtype(cells: Sequence[Any]) -> str:
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds <= {int}:
        return "Int64"
    return "Float64" if kinds <= {int, float} else "string"
