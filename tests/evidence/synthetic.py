"""Invented records, curves and suites, so that the evidence code is tested without training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.record import Cost, Measurement, Record, write_record
from eval.spec import Experiment, Optimization, Suite, Tier
from rltd_core import KeptLength

ARM_NAMES = ("baseline", "random_ltd", "shortened_baseline")
LENGTH, BATCH, LAYERS, STEPS = 256, 4, 12, 120
PARAMETERS = 6_000_000


def make_suite(
    *, seeds: Sequence[int] = (0, 1, 2, 3, 4), margin: float = 0.02, tier: Tier = "cpu"
) -> Suite:
    """Return a suite shaped like `gpt_finetune`."""
    return Suite(
        name="gpt_finetune",
        question="Does random-LTD finetune a GPT to the quality of full-length training?",
        arms=tuple(make_experiment(arm, tier=tier) for arm in ARM_NAMES),
        seeds=tuple(seeds),
        primary="bits_per_byte",
        progress=("start_bits_per_byte", "validation_bits_per_byte"),
        higher_is_better=False,
        margin=margin,
        margin_reason="two standard deviations of the pilot",
        caveats=("The model is far smaller than the paper's.", "One data set."),
    )


def make_experiment(arm: str, *, tier: Tier = "cpu", **changes: Any) -> Experiment:
    """Return an arm of that suite."""
    dropping = arm == "random_ltd"
    settings: dict[str, Any] = {
        "suite": "gpt_finetune",
        "arm": arm,
        "tier": tier,
        "revision": 1,
        "model": "small-gpt",
        "data": "prose",
        "source": "package",
        "length": LENGTH,
        "batch": BATCH,
        "accumulation": 1,
        "steps": 92 if arm == "shortened_baseline" else STEPS,
        "kept": KeptLength(
            start=64 if dropping else LENGTH, full=LENGTH, ramp_steps=80 if dropping else 0
        ),
        "optimization": Optimization(
            peak_lr=5e-4, shape="linear", clock="steps", warmup_steps=10, minimum=0.1
        ),
        "precision": "no",
        "eval_split": "test",
        "eval_windows": 64,
        "curve_windows": 16,
        "curve_every": 10,
    }
    return Experiment(**{**settings, **changes})


def make_record(
    experiment: Experiment, seed: int, bits_per_byte: float, *, start: float = 1.60, key: str = ""
) -> Record:
    """Return a finished run with this primary value."""
    key = key or f"{experiment.arm}-{experiment.tier}-{seed}"
    return Record(
        key=key,
        experiment=experiment,
        seed=seed,
        status="ok",
        provenance={"packages": {"torch": "2.11.0"}, "hardware": {"cpu": "a CPU"}},
        cost=_cost(experiment),
        measurements={
            "bits_per_byte": _measured(bits_per_byte, "bits/byte", "test"),
            "perplexity": _measured(float(2 ** (bits_per_byte * 4.2)), "per token", "test"),
            "start_bits_per_byte": _measured(start, "bits/byte", "validation"),
            "validation_bits_per_byte": _measured(bits_per_byte + 0.01, "bits/byte", "validation"),
        },
        hashes={"initial_weights": "w", "batch_order": f"b{seed}", "evaluated_text": "e"},
        curve=f"curves/{experiment.suite}/{key}.csv",
    )


def make_failed(experiment: Experiment, seed: int) -> Record:
    """Return a run that failed."""
    return Record(
        key=f"{experiment.arm}-{experiment.tier}-{seed}-failed",
        experiment=experiment,
        seed=seed,
        status="failed",
        provenance={},
        cost=None,
        measurements={},
        hashes={},
        curve=None,
        error="the loss is not finite",
    )


def make_records(
    suite: Suite,
    *,
    quality: float = 0.0,
    over_shortened: float = 0.03,
    noise: float = 0.003,
    baseline: float = 1.20,
    start: float = 1.60,
    generator_seed: int = 7,
) -> list[Record]:
    """Return the full grid. Positive effects say that random-LTD is better.

    `quality` is its mean advantage over the baseline, `over_shortened` over the shortened one.
    """
    rng = np.random.default_rng(generator_seed)
    ltd = baseline - quality
    means = {"baseline": baseline, "random_ltd": ltd, "shortened_baseline": ltd + over_shortened}
    return [
        make_record(
            experiment, seed, means[experiment.arm] + noise * rng.standard_normal(), start=start
        )
        for seed in suite.seeds
        for experiment in suite.arms
    ]


def make_curve(record: Record) -> pd.DataFrame:
    """Return a curve that ends near the record's value."""
    experiment, rows = record.experiment, []
    rng = np.random.default_rng(1000 + record.seed)
    final = record.measurements["validation_bits_per_byte"].value * 2.9
    tokens = layer_tokens = 0
    for step in range(experiment.steps + 1):
        kept = experiment.kept(step - 1) if step else None
        if kept is not None:
            tokens += BATCH * LENGTH
            layer_tokens += BATCH * (2 * LENGTH + (LAYERS - 2) * kept)
        progress = (step / experiment.steps) ** 0.6
        drag = 0.0 if kept is None else 0.35 * (1 - kept / LENGTH) * progress
        nll = 4.6 + (final - 4.6) * progress + drag + 0.01 * rng.standard_normal()
        evaluated = step % experiment.curve_every == 0 or step == experiment.steps
        rows.append(
            {
                "step": step,
                "tokens": tokens,
                "layer_tokens": layer_tokens,
                "wall_s": round(layer_tokens / 20000 * (1 + 0.02 * record.seed), 3),
                "lr": 5e-4 * min(step / 10, 1 - 0.9 * step / experiment.steps) if step else None,
                "kept": kept,
                "train_loss": nll + 0.1 if step else None,
                "val_nll": nll if evaluated else None,
            }
        )
    return pd.DataFrame(rows)


def write_store(store: Path, records: Iterable[Record]) -> None:
    """Write records and their curves as a run would."""
    for record in records:
        write_record(store, record)
        if record.curve is not None:
            path = store / record.curve
            path.parent.mkdir(parents=True, exist_ok=True)
            make_curve(record).to_csv(path, index=False)


def with_value(record: Record, measurement: str, value: float) -> Record:
    """Return the record with another measured value."""
    changed = dataclasses.replace(record.measurements[measurement], value=value)
    return dataclasses.replace(record, measurements={**record.measurements, measurement: changed})


def _cost(experiment: Experiment) -> Cost:
    layer_tokens = sum(
        n * BATCH * (2 * LENGTH + (LAYERS - 2) * kept)
        for kept, n in experiment.kept.segments(experiment.steps)
    )
    return Cost(
        steps=experiment.steps,
        tokens=experiment.steps * BATCH * LENGTH,
        layer_tokens=layer_tokens,
        flops=layer_tokens * PARAMETERS // LAYERS + experiment.steps * 10**9,
        train_wall_s=100.0,
        train_cpu_s=99.0,
        eval_wall_s=5.0,
        peak_memory_bytes=10**9,
    )


def _measured(value: float, unit: str, split: str) -> Measurement:
    return Measurement(value=value, unit=unit, split=split, n=64, standard_error=0.01)
