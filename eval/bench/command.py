"""`./rltd bench step`: measure, print the table, and write the record where asked."""

from __future__ import annotations

import os
from argparse import Namespace

import torch

from eval.bench.records import write_bench
from eval.bench.shapes import TIERS, Shape, shape
from eval.bench.step import Timing, measure
from eval.errors import UserError
from eval.evidence.bench_page import noise_note, step_table
from eval.evidence.formatting import to_markdown
from eval.paths import OUT, RESULTS, shown
from eval.provenance import is_dirty

__all__ = ["bench_step"]


def bench_step(options: Namespace) -> int:
    """Time the shapes of a tier, or those named. Every run is written down, in out/ or results/."""
    if options.record and is_dirty() is not False:
        raise UserError("--record needs a clean git checkout; commit first, or leave it out")
    if options.record and options.models:
        raise UserError("--record takes the models of a tier, not --models")
    if options.rounds < 1:
        raise UserError(f"--rounds must be at least 1, got {options.rounds}")
    shapes = _shapes(options)
    if options.threads or "OMP_NUM_THREADS" not in os.environ:  # which torch obeys by itself
        torch.set_num_threads(options.threads or os.cpu_count() or 1)
    device = options.device or ("cuda" if options.tier == "gpu" else "cpu")
    precision = options.precision or ("bfloat16" if device == "cuda" else "float32")
    print(f"{device}, {torch.get_num_threads()} threads, {precision}, {options.rounds} rounds\n")
    timings: list[Timing] = []
    for each, kept in shapes:
        timing = measure(each, kept, rounds=options.rounds, device=device, precision=precision)
        print(to_markdown(step_table([timing])) + noise_note(timing), flush=True)
        timings.append(timing)
    tier = "own" if options.models else options.tier
    print(f"wrote {shown(write_bench(RESULTS if options.record else OUT, tier, timings))}")
    return 0


def _shapes(options: Namespace) -> list[tuple[Shape, list[int]]]:
    """Return what to time, each with its kept lengths."""
    if not options.models and (options.length or options.batch):
        raise UserError("--length and --batch are for --models; a tier has its own")
    names = options.models or TIERS[options.tier]
    sized = [shape(name).sized(length=options.length, batch=options.batch) for name in names]
    return [(s, sorted({_kept(s, f) for f in options.kept}, reverse=True)) for s in sized]


def _kept(of: Shape, fraction: float) -> int:
    if not 0 < fraction < 1:
        raise UserError(f"--kept takes fractions between 0 and 1, got {fraction:g}")
    return max(1, round(fraction * of.length))
