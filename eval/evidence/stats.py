"""Whether random-LTD keeps the quality: paired differences, intervals, and the rule that judges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from eval.errors import UserError
from eval.evidence.formatting import number, signed, words
from eval.evidence.grid import common, finished, require_paired, unfinished, value_of
from eval.evidence.intervals import Interval, Quality, interval, non_inferiority, oriented
from eval.record import Record
from eval.spec import Suite

__all__ = [
    "BASELINE",
    "ENOUGH_SEEDS",
    "JUDGED",
    "SHORTENED",
    "TREATMENT",
    "Interval",
    "Outcome",
    "Quality",
    "Verdict",
    "interval",
    "judge",
    "non_inferiority",
    "oriented",
    "outcome",
    "paired",
]

BASELINE, TREATMENT, SHORTENED = "baseline", "random_ltd", "shortened_baseline"
JUDGED = (BASELINE, TREATMENT, SHORTENED)
"""The arms that a verdict compares."""
ENOUGH_SEEDS = 5
"""Seeds without which nothing is called evidence: with 3, a true difference of zero is found
non-inferior at a margin of two standard deviations in 71 of 100 experiments, with 5 in 97."""

Outcome = Literal[
    "supported in direction",
    "explained by shorter training",
    "not supported",
    "undecided",
    "no evidence",
]


_HOW_READ = " Differences are means over seeds with 90 % intervals; positive is better."
_HOW_READ_ONE = " One seed has no interval; positive is better."


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the records say about the claim. Differences are oriented: positive is better."""

    tier: str
    outcome: Outcome
    sentence: str
    seeds: tuple[int, ...]
    """Seeds that finished in all three arms; only these are judged."""
    left_out: tuple[tuple[str, int], ...]
    """Arm and seed of the runs without which a started seed is incomplete."""
    progress: float | None
    """What the baseline gained over its own starting point, or over the arm without the training
    that is asked about: mean over the seeds. None if neither is known."""
    learned: bool
    """(a) The progress exceeds two margins."""
    quality: Quality | None
    """(b) random-LTD against the baseline; None without an interval."""
    quality_interval: Interval | None
    superior: bool
    """random-LTD is better than the baseline: reported, but no part of the rule."""
    shortened_interval: Interval | None
    beats_shortened: bool
    """(c) random-LTD is better than the baseline cut to the same layer tokens."""

    @property
    def n(self) -> int:
        """Return the number of judged seeds."""
        return len(self.seeds)

    @property
    def enough(self) -> bool:
        """Return whether there are enough seeds to call this evidence."""
        return self.n >= ENOUGH_SEEDS


def paired(
    records: Iterable[Record], arm: str, against: str, *, measurement: str, higher_is_better: bool
) -> dict[int, float]:
    """Return the oriented differences between two arms by seed.

    Raises: UserError if a seed finished in one arm only, its two runs did not see the same, or a
        run lacks the measurement.
    """
    runs = finished(records)
    ours, theirs = runs.get(arm, {}), runs.get(against, {})
    if odd := sorted(ours.keys() ^ theirs.keys()):
        raise UserError(f"seeds {odd} finished in only one of the arms {arm} and {against}")
    for seed, record in ours.items():
        require_paired(record, theirs[seed])
    return {
        seed: oriented(
            value_of(ours[seed], measurement),
            value_of(theirs[seed], measurement),
            higher_is_better=higher_is_better,
        )
        for seed in ours
    }


def outcome(
    *, n: int, complete: bool, learned: bool, quality: Quality | None, beats_shortened: bool
) -> Outcome:
    """Return the verdict on the claim: supported only if all of it holds."""
    if n < ENOUGH_SEEDS:
        return "no evidence"
    if not complete or not learned:
        return "undecided"
    if quality == "inferior":
        return "not supported"
    if quality != "non-inferior":
        return "undecided"
    return "supported in direction" if beats_shortened else "explained by shorter training"


def judge(suite: Suite, records: Sequence[Record]) -> Verdict:
    """Apply the suite's declared rule to the seeds that finished in all three arms.

    Raises: UserError without records, or for records that must not be mixed.
    """
    if suite.margin is None:
        raise ValueError(f"suite {suite.name} is a pilot: without a margin there is no verdict")
    runs, arms = finished(records), JUDGED
    if not runs:
        raise UserError(f"no records of suite {suite.name}: run ./rltd reproduce first")
    seeds = tuple(sorted(set.intersection(*(set(runs.get(arm, {})) for arm in arms))))
    started = {r.seed for r in records if r.experiment.arm in arms}
    judged = [r for r in records if r.seed in seeds and r.status == "ok"]
    quality_interval = _contrast(suite, judged, BASELINE) if len(seeds) > 1 else None
    shortened_interval = _contrast(suite, judged, SHORTENED) if len(seeds) > 1 else None
    quality = quality_interval and non_inferiority(quality_interval, suite.margin)
    progress = _progress(suite, judged)
    learned = progress is not None and progress > 2 * suite.margin
    beats_shortened = shortened_interval is not None and shortened_interval.low > 0
    left_out = unfinished(records, arms, started)
    result = outcome(
        n=len(seeds),
        complete=not left_out,
        learned=learned,
        quality=quality,
        beats_shortened=beats_shortened,
    )
    verdict = Verdict(
        tier=records[0].experiment.tier,
        outcome=result,
        sentence="",
        seeds=seeds,
        left_out=left_out,
        progress=progress,
        learned=learned,
        quality=quality,
        quality_interval=quality_interval,
        superior=quality_interval is not None and quality_interval.low > 0,
        shortened_interval=shortened_interval,
        beats_shortened=beats_shortened,
    )
    return replace(verdict, sentence=_sentence(suite, verdict, judged))


def _contrast(suite: Suite, records: Sequence[Record], against: str) -> Interval:
    return interval(_differences(suite, records, against))


def _differences(
    suite: Suite, records: Sequence[Record], against: str, arm: str = TREATMENT
) -> list[float]:
    better = suite.higher_is_better
    found = paired(records, arm, against, measurement=suite.primary, higher_is_better=better)
    return list(found.values())


def _progress(suite: Suite, judged: Sequence[Record]) -> float | None:
    if suite.untrained is None:
        before, after = suite.progress
        gains = [
            oriented(
                value_of(r, after), value_of(r, before), higher_is_better=suite.higher_is_better
            )
            for r in judged
            if r.experiment.arm == BASELINE
        ]
    else:
        gains = _differences(
            suite, common(judged, BASELINE, suite.untrained), suite.untrained, BASELINE
        )
    return fmean(gains) if gains else None


def _sentence(suite: Suite, verdict: Verdict, judged: Sequence[Record]) -> str:
    where = f"tier {verdict.tier}, n = {verdict.n} seed" + "s" * (verdict.n != 1)
    if absent := {BASELINE, TREATMENT, SHORTENED} - {e.arm for e in suite.arms}:
        return f"No verdict (tier {verdict.tier}): the suite has no {', '.join(sorted(absent))}."
    if not verdict.n:
        return f"No evidence ({where}): no seed has finished in all the arms compared."
    unit = judged[0].measurements[suite.primary].unit
    if unit == "fraction":
        unit = f"in {words(suite.primary)}"
    full, short = (_found(suite, judged, against, unit=unit) for against in (BASELINE, SHORTENED))
    margin = f"{suite.margin:g} {unit}"
    match verdict.outcome:
        case "supported in direction":
            said = (
                f"Supported in direction at {where}: random-LTD is non-inferior to the baseline "
                f"({full}, margin {margin}) and better than the baseline shortened to the same "
                f"layer tokens ({short})."
            )
        case "explained by shorter training":
            said = (
                f"The saving is explained by shorter training ({where}): random-LTD is "
                f"non-inferior to the baseline ({full}, margin {margin}), but not shown to be "
                f"better than the baseline shortened to the same layer tokens ({short})."
            )
        case "not supported":
            said = (
                f"Not supported: inferior to the baseline by more than the margin of {margin} "
                f"({where}; {full}). Against the baseline shortened to the same layer tokens: "
                f"{short}."
            )
        case "undecided":
            said = (
                f"Undecided ({where}): {_why_undecided(suite, verdict, unit)} ({full}). Against "
                f"the baseline shortened to the same layer tokens: {short}."
            )
        case "no evidence":
            said = (
                f"No evidence ({where}; {ENOUGH_SEEDS} are needed): so far random-LTD against the "
                f"baseline is {full}, against the shortened baseline {short}."
            )
    also = " It is also better than the baseline." if verdict.superior and verdict.enough else ""
    return said + also + (_HOW_READ if verdict.n > 1 else _HOW_READ_ONE)


def _found(suite: Suite, judged: Sequence[Record], against: str, *, unit: str) -> str:
    differences = _differences(suite, judged, against)
    if len(differences) < 2:
        return f"{signed(differences[0])} {unit}"
    return f"{interval(differences)} {unit}"


def _why_undecided(suite: Suite, verdict: Verdict, unit: str) -> str:
    if verdict.left_out:
        cells = ", ".join(f"{arm} seed {seed}" for arm, seed in verdict.left_out)
        return f"these runs failed or are missing: {cells}"
    if verdict.progress is None:
        return f"no run of arm {suite.untrained} tells whether there was anything to lose"
    if not verdict.learned:
        over = f" over the arm {words(suite.untrained)}" if suite.untrained else " in training"
        return (
            f"the baseline gained {number(verdict.progress)} {unit}{over}, not more than two "
            f"margins of {suite.margin:g}, so that the comparison says nothing"
        )
    return f"the interval holds losses on both sides of the margin of {suite.margin:g}"
