"""How accurate a model is on all tokens while most are dropped, against the authors' log of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from eval.evidence.claims.findings import Finding
from eval.evidence.formatting import percent
from eval.evidence.images.series import THRESHOLD, accuracy_data, authors_data
from eval.evidence.intervals import interval
from eval.evidence.part import Part
from eval.evidence.series import MEAN
from eval.evidence.stats import ENOUGH_SEEDS, TREATMENT

__all__ = ["RECOVERY_SUITE", "recovered"]

RECOVERY_SUITE = "vit_finetune"
_POOR = 0.5
"""Below this part of the accuracy at the end, the accuracy on the way is called poor."""


def recovered(part: Part, store: Path) -> Finding:
    """Compare the last accuracy below `THRESHOLD` kept tokens with that at the end, seed by seed.

    `seen`: the interval of their ratio over seeds lies below a half; `not seen`: above it. Fewer
    than five seeds are no evidence.
    """
    data = accuracy_data(part.suite, part.records, store)
    runs: Any = data[(data["arm"] == TREATMENT) & (data["seed"] != MEAN)].groupby("seed")
    found = interval([_share(run) for _, run in runs]) if len(runs) > 1 else None
    if found is None or found.n < ENOUGH_SEEDS:
        return Finding(outcome="no evidence", n=len(runs))
    outcome = "seen" if found.high < _POOR else "not seen" if found.low > _POOR else "undecided"
    said = (
        f"with under {percent(THRESHOLD)} of the tokens kept, {percent(found.mean)} "
        f"[{percent(found.low)}, {percent(found.high)}] of the final accuracy (mean and 90 % "
        f"interval over seeds); in the authors' run {percent(_share(authors_data()))}"
    )
    return Finding(outcome=outcome, n=found.n, arms=(TREATMENT,), shown=said)


def _share(run: pd.DataFrame) -> float:
    """Return the last accuracy below the threshold over the last of all."""
    run = run.sort_values("run")
    before: Any = run[run["kept_frac"] < THRESHOLD]
    return float(before["accuracy"].iloc[-1] / run["accuracy"].iloc[-1])
