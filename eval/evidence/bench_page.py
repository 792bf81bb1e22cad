"""The page of the timings: measured step-time ratios beside the computed ones."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eval.bench.ratios import ratios
from eval.bench.records import BenchRecord
from eval.bench.step import AGAIN, ATTACHED, BASELINE, DROPPING, Timing
from eval.evidence.formatting import percent, to_markdown
from eval.evidence.part import Part
from eval.evidence.whole_runs import whole_runs_sentence

__all__ = ["arrived", "bench_headline", "bench_page", "bench_table", "noise_note", "step_table"]

_NOISE = 0.05
"""A baseline whose second time strays further than this says nothing about a few percent."""

_SHOWN = (
    "model",
    "kept",
    "forward + backward",
    "whole step",
    "FLOPs",
    "layer tokens",
    "saved of FLOPs' saving",
)
_EXPLAINED = """\
One training step (forward, backward, AdamW) of each arm, once a round in random order; every ratio
is paired with the baseline's step of the same round: the median over n rounds with its
distribution-free 90 % interval. *Forward + backward* is what FLOPs count; the whole step has the
optimizer too, whose share is that of the arm's own step. *Again*: the baseline a second time; what
differs from 1 is noise. *Attached*: the hooks are there and nothing is dropped. *Saved of FLOPs'
saving*: how much of the saving that FLOPs promise (attention and head counted) forward and backward
really keep; it can be above 1, because FLOPs leave out what is no matrix product.
"""


def bench_page(records: Sequence[BenchRecord]) -> str:
    """Return the page of all records."""
    lines = ["# Step times\n", _EXPLAINED]
    for record in records:
        lines += [f"## Tier {record.tier}: {_machine(record)}\n"]
        low, high = arrived(record)
        lines += [to_markdown(step_table(record.timings))]
        lines += [f"Of the layer tokens' saving {low:.2f} to {high:.2f} arrive in a whole step.\n"]
        lines += [_context(record)]
    return "\n".join(lines)


def arrived(record: BenchRecord) -> tuple[float, float]:
    """Return the least and the most of the layer tokens' saving that a whole step saves in time."""
    table = ratios(record.timings).query(f"arm == {DROPPING!r}")
    found = [
        (1 - row["step_ratio"]) / (1 - row["layer_token_ratio"]) for row in table.to_dict("records")
    ]
    return min(found), max(found)


def bench_headline(records: Sequence[BenchRecord], parts: Sequence[Part] = ()) -> str:
    """Return what the README shows: what dropping saves, by the newest record of each tier.

    Below it, what arrived in the runs of the evidence, if they are given.
    """
    newest = {record.tier: record for record in records}
    lines = []
    for record in newest.values():
        dropping = ratios(record.timings).query(f"arm == {DROPPING!r}")
        lines += [f"Tier {record.tier}, {_machine(record)}; ratios to the baseline:\n"]
        lines += [to_markdown(_written(dropping).filter(_SHOWN)), _nothing_dropped(record)]
        lines += filter(None, [whole_runs_sentence(parts, record.tier)])
    return "\n".join([*lines, "Details: [step times](results/summary/bench_step.md).\n"])


def bench_table(records: Sequence[BenchRecord]) -> pd.DataFrame:
    """Return the ratios of all records, raw."""
    tables = []
    for record in records:
        table = ratios(record.timings)
        table.insert(0, "tier", record.tier)
        table.insert(1, "created", record.provenance["created"])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def step_table(timings: Sequence[Timing]) -> pd.DataFrame:
    """Return the ratios for reading: one row an arm and model, ratios to the baseline."""
    return _written(ratios(timings))


def noise_note(timing: Timing) -> str:
    """Return a line that says so where the baseline's own second time strays, else nothing."""
    (again,) = [r for r in ratios([timing]).to_dict("records") if r["arm"] == AGAIN]
    ends = [x for x in (again["step_low"], again["step_high"]) if not pd.isna(x)]
    stray = max(abs(x - 1) for x in (again["step_ratio"], *ends))
    if stray <= _NOISE:
        return ""
    return (
        f"Noisy: the baseline's own second time strays by {stray:.0%}. More rounds, or an idle "
        "machine, before you conclude anything.\n"
    )


def _written(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for row in table.to_dict("records"):
        saved = row["saving_over_flop_saving"]
        rows.append(
            {
                "model": f"{row['shape']} ({row['parameters'] / 1e6:.3g} M), "
                f"{row['batch']} x {row['length']}",
                "kept": _kept(row),
                "n": row["n"],
                "forward + backward": _with_interval(row, "compute"),
                "whole step": _with_interval(row, "step"),
                "FLOPs": f"{row['flop_ratio']:.3f}",
                "layer tokens": f"{row['layer_token_ratio']:.3f}",
                "saved of FLOPs' saving": "" if pd.isna(saved) else f"{saved:.2f}",
                "optimizer's share": percent(row["optimizer_frac"]),
                "seconds a step": f"{row['step_s']:.3f}",
                "peak GiB": "" if pd.isna(row["peak_gib"]) else f"{row['peak_gib']:.2f}",
            }
        )
    if not any(row["peak GiB"] for row in rows):
        rows = [{k: v for k, v in row.items() if k != "peak GiB"} for row in rows]
    return pd.DataFrame(rows)


def _nothing_dropped(record: BenchRecord) -> str:
    table = ratios(record.timings)
    spans = {
        arm: f"{rows['step_ratio'].min():.3f} to {rows['step_ratio'].max():.3f}"
        for arm, rows in table.groupby("arm")
    }
    return (
        f"Attached but not dropping, a step takes {spans[ATTACHED]} of the baseline's; the "
        f"baseline's own second time, which is noise, {spans[AGAIN]}.\n"
    )


def _kept(row: dict) -> str:
    if row["arm"] in (BASELINE, AGAIN):
        return "baseline" if row["arm"] == BASELINE else "baseline again"
    if row["arm"] == ATTACHED:
        return "all (attached)"
    return f"{row['kept']} ({row['kept'] / row['length']:.2f})"


def _with_interval(row: dict, name: str) -> str:
    mean, low, high = row[f"{name}_ratio"], row[f"{name}_low"], row[f"{name}_high"]
    if pd.isna(low):
        return f"{mean:.3f}"
    return f"{mean:.3f} [{low:.3f}, {high:.3f}]"


def _machine(record: BenchRecord) -> str:
    hardware, timing = record.provenance["hardware"], record.timings[0]
    if timing.device == "cpu":
        return f"{hardware['cpu']}, {timing.threads} threads, {timing.precision}"
    return f"{hardware['gpu']}, {timing.precision}"


def _context(record: BenchRecord) -> str:
    packages = record.provenance["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "timm"))
    return f"Taken {record.provenance['created'][:10]} with {versions}.\n"
