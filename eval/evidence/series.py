"""The numbers that the figures draw, as tables: what lies beside each figure as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.errors import UserError
from eval.evidence.arms import arm_looks
from eval.evidence.grid import common, finished
from eval.evidence.stats import BASELINE, SHORTENED, TREATMENT, interval, paired
from eval.record import Record
from eval.spec import Suite, on_cpu

__all__ = ["MEAN", "curve_data", "read_curve", "schedule_data", "verdict_data"]

MEAN = "mean"
"""In the place of a seed: the mean over the seeds."""


def curve_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return the validation losses by arm, seed and step, and their means over the seeds.

    A step that not every seed of an arm has evaluated has no mean. The time of the mean is the
    seeds' median: a run that stood still for minutes would bend it.
    """
    numbers = ["step", "layer_tokens", "time_s", "val_nll"]
    frames = []
    for arm, runs in _drawn(records).items():
        curves = [_timed(store, r).dropna(subset="val_nll").filter(numbers) for r in runs.values()]
        for seed, curve in [*zip(map(str, runs), curves), (MEAN, _mean(curves))]:
            frames.append(curve.assign(arm=arm, n=len(runs), seed=seed))
    return _table(frames, records, ["arm", "n", "seed", *numbers])


def schedule_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return kept length and learning rate of every step, of the first seed of each arm."""
    frames = []
    for arm, runs in _drawn(records).items():
        seed, record = next(iter(runs.items()))
        curve = read_curve(store, record).dropna(subset=["kept", "lr"])
        frames.append(curve.assign(arm=arm, seed=seed, kept=curve["kept"].astype("int64")))
    return _table(frames, records, ["arm", "seed", "step", "kept", "lr"])


def verdict_data(suite: Suite, records: Sequence[Record], store: Path) -> pd.DataFrame:
    """Return the paired differences by seed, and mean and 90 % interval where n > 1.

    Every arm is compared with the baseline, and random-LTD with the shortened baseline too.
    """
    runs = _drawn(records)
    pairs = [(arm, BASELINE) for arm in runs if arm != BASELINE]
    pairs += [(TREATMENT, SHORTENED)]
    rows = [row for arm, against in pairs for row in _differences(suite, records, arm, against)]
    names = ["arm", "against", "n", "seed", "unit", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=names).astype({"low": "Float64", "high": "Float64"})
    return _table([table.assign(margin=suite.margin)], records, [*names, "margin"])


def _drawn(records: Sequence[Record]) -> dict[str, dict[int, Record]]:
    """Return the arms that have a finished run, in the order to show them."""
    runs = {arm: seeds for arm, seeds in finished(records).items() if seeds}
    if not runs:
        raise UserError("no run has finished, so there is nothing to draw; run the suite first")
    return {arm: runs[arm] for arm in arm_looks(runs)}


def read_curve(store: Path, record: Record) -> pd.DataFrame:
    """Return a run's curve.

    Raises: UserError if its file is gone.
    """
    path = store / (record.curve or "")
    if not path.is_file():
        raise UserError(f"the curve {path} of run {record.key} is missing; restore it from git")
    return pd.read_csv(path)


def _timed(store: Path, record: Record) -> pd.DataFrame:
    """Return a run's curve with the time that it took of its core, or of its GPU.

    On a CPU that runs share, a run's wall-clock is mostly that of the others.
    """
    curve, cost = read_curve(store, record), record.cost
    share = 1.0
    if cost is not None and on_cpu(record.experiment.tier) and cost.train_wall_s:
        share = cost.train_cpu_s / cost.train_wall_s
    return curve.assign(time_s=share * curve["wall_s"])


def _mean(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    steps: Any = pd.concat(curves).groupby("step")
    means = steps.mean().assign(time_s=steps["time_s"].median())
    return means[steps.size() == len(curves)].reset_index()


def _table(
    frames: Sequence[pd.DataFrame], records: Sequence[Record], columns: Sequence[str]
) -> pd.DataFrame:
    table = pd.concat(frames, ignore_index=True).filter(list(columns))
    table.insert(0, "tier", records[0].experiment.tier)
    return table


def _differences(
    suite: Suite, records: Sequence[Record], arm: str, against: str
) -> Iterator[dict[str, object]]:
    both = common(records, arm, against)
    differences = paired(
        both,
        arm,
        against,
        measurement=suite.primary,
        higher_is_better=suite.higher_is_better,
    )
    unit = both[0].measurements[suite.primary].unit if both else ""
    row = {"arm": arm, "against": against, "n": len(differences), "unit": unit}
    for seed, difference in differences.items():
        yield {**row, "seed": str(seed), "difference": difference}
    if len(differences) > 1:
        found = interval(differences.values())
        mean = {"difference": found.mean, "low": found.low, "high": found.high}
        yield {**row, "seed": MEAN, **mean}
