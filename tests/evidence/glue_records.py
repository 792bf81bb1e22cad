"""Made-up records of every GLUE suite, with arms that differ by a known amount."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from eval.evidence.part import Part, part_of
from eval.record import Measurement, Record
from eval.spec import Suite, Tier
from eval.suites import suite as declared_suite
from tests.evidence.synthetic import make_record

AVERAGED = ("sst2_full", "cola", "stsb", "mrpc", "rte")
TITLES = ("SST-2", "CoLA", "STS-B", "MRPC", "RTE")
EVERY = ("sst2", "snli", *AVERAGED)
NINE = ("sst2", "cola", "stsb", "mrpc", "rte", "mnli", "qqp", "qnli")
MISMATCHED = "accuracy_validation_mismatched"
"""As `ClassificationTask` names the second split; `test_bert_declared` has a run do it."""
WORTH = {"random_ltd": -0.004, "shortened_baseline": -0.02}
"""By how much an arm differs from the baseline, by construction and but for noise."""


def measured(value: float, split: str) -> Measurement:
    return Measurement(value=value, unit="fraction", split=split, n=872, standard_error=0.01)


def records_of(suite: Suite, *, base: float) -> Iterator[Record]:
    """Yield the whole grid of a suite, with noise of its own."""
    rng = np.random.default_rng(abs(hash(base)) % 2**32)
    for seed in suite.seeds:
        shared = base + 0.02 * rng.standard_normal()
        for arm in suite.arms:
            score = shared + WORTH.get(arm.arm, 0.0) + 0.002 * rng.standard_normal()
            found = {
                suite.primary: measured(score, "validation"),
                MISMATCHED: measured(score - 0.03, "mismatched"),
                f"start_{suite.primary}": measured(0.1, "held_out"),
                f"held_out_{suite.primary}": measured(score, "held_out"),
            }
            record = make_record(arm, seed, 1.0, key=f"{suite.name}-{arm.arm}-{seed}")
            yield dataclasses.replace(record, measurements={**record.measurements, **found})


def part(name: str, tier: Tier = "cpu", family: str = "bert_glue_") -> Part:
    suite = declared_suite(f"{family}{name}", tier)
    return part_of(suite, list(records_of(suite, base=0.7 + 0.01 * len(name))))


def score(record: Record, name: str = "") -> float:
    return 100 * record.measurements[name or part_primary(record)].value


def part_primary(record: Record) -> str:
    return next(
        n for n in ("accuracy", "matthews_correlation", "spearman") if n in record.measurements
    )


def by_seed(of: Part, arm: str, name: str = "") -> dict[int, float]:
    return {r.seed: score(r, name) for r in of.records if r.experiment.arm == arm}
