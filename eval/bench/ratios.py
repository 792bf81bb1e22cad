"""What timings say: step-time ratios with intervals, beside FLOP and layer-token ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd
from scipy.stats import quantile_test

from eval.bench.step import AGAIN, ATTACHED, BASELINE, DROPPING, StepTime, Timing
from rltd_core import KeptLength

__all__ = ["predicted_saving", "ratios"]

_FEWEST = 5
"""With fewer rounds even the smallest and the largest are no 90 % interval of the median."""


def ratios(timings: Sequence[Timing]) -> pd.DataFrame:
    """Return one row an arm and shape: measured ratios to the baseline, and the computed ones.

    A ratio is paired with the baseline's step of the same round; shown is the median over the
    rounds, because single steps take twice as long now and then, with its distribution-free 90 %
    interval (none below 5 rounds). `compute` is forward and backward, which FLOPs count; `step`
    adds the optimizer, which they do not. `saving_over_flop_saving` is (1 - compute ratio) /
    (1 - FLOP ratio).
    """
    return pd.DataFrame([row for timing in timings for row in _rows(timing)])


def predicted_saving(timing: Timing, schedule: KeptLength, *, num_steps: int) -> float:
    """Return the fraction of a run's wall-clock that the schedule saves at the measured ratios.

    Between the measured kept lengths and the full one, where nothing is saved, the step ratio is
    interpolated linearly; below the shortest it is taken as that one's.
    """
    by_kept = {timing.length: 1.0} | {
        kept: _Ratio.of(steps, timing, _step_s).median
        for (arm, kept), steps in _arms(timing).items()
        if arm == DROPPING
    }
    lengths = sorted(by_kept)
    at_lengths = [by_kept[kept] for kept in lengths]
    segments = schedule.segments(num_steps, timing.batch * timing.length)
    spent = sum(n * float(np.interp(kept, lengths, at_lengths)) for kept, n in segments)
    return 1 - spent / num_steps


@dataclass(frozen=True, slots=True)
class _Ratio:
    median: float
    low: float | None
    high: float | None

    @classmethod
    def of(
        cls, steps: Sequence[StepTime], timing: Timing, seconds: Callable[[StepTime], float]
    ) -> _Ratio:
        baseline = {s.round: seconds(s) for s in timing.steps if s.arm == BASELINE}
        values = [seconds(s) / baseline[s.round] for s in steps]
        if len(values) < _FEWEST or steps[0].arm == BASELINE:
            return cls(median(values), None, None)
        of_median = quantile_test(values, p=0.5).confidence_interval(confidence_level=0.9)
        return cls(median(values), float(of_median.low), float(of_median.high))


def _rows(timing: Timing) -> list[dict[str, object]]:
    cost, length = timing.cost, timing.length
    rows = []
    for (arm, kept), steps in sorted(_arms(timing).items(), key=_order):
        compute, step = (_Ratio.of(steps, timing, seconds) for seconds in (_compute_s, _step_s))
        flop_ratio = cost.flops(kept, length) / cost.flops(length, length)
        optimizer_s = sum(s.optimizer_s for s in steps)
        row = {
            "shape": timing.shape,
            "length": length,
            "batch": timing.batch,
            "parameters": timing.parameters,
            "arm": arm,
            "kept": kept,
            "n": len(steps),
            "layer_token_ratio": cost.layer_tokens(kept, length) / (cost.num_layers * length),
            "flop_ratio": flop_ratio,
            "compute_ratio": compute.median,
            "compute_low": compute.low,
            "compute_high": compute.high,
            "step_ratio": step.median,
            "step_low": step.low,
            "step_high": step.high,
            "saving_over_flop_saving": None
            if flop_ratio == 1
            else (1 - compute.median) / (1 - flop_ratio),
            "optimizer_frac": optimizer_s / sum(map(_step_s, steps)),
            "step_s": sum(map(_step_s, steps)) / len(steps),
        }
        peaks = [s.peak_bytes for s in steps if s.peak_bytes is not None]
        rows.append({**row, "peak_gib": max(peaks) / 2**30 if peaks else None})
    return rows


def _arms(timing: Timing) -> dict[tuple[str, int], list[StepTime]]:
    arms: dict[tuple[str, int], list[StepTime]] = {}
    for step in timing.steps:
        arms.setdefault((step.arm, step.kept), []).append(step)
    return arms


def _order(entry: tuple[tuple[str, int], list[StepTime]]) -> tuple[int, int]:
    (arm, kept), _ = entry
    return (BASELINE, AGAIN, ATTACHED, DROPPING).index(arm), -kept


def _compute_s(step: StepTime) -> float:
    return step.forward_s + step.backward_s


def _step_s(step: StepTime) -> float:
    return _compute_s(step) + step.optimizer_s
