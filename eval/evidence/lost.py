"""Records that are gone: a file beside them, the summary or a document shows that they were there.

Suites are declared at tiers that were never run, so a declaration alone does not say it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.bench.records import load_bench
from eval.evidence.part import Part, part_of
from eval.evidence.tables import missing
from eval.record import record_path
from eval.spec import Suite, Tier
from eval.suites import SUITES

__all__ = ["lost_parts", "lost_runs", "lost_scores", "lost_timings", "missing_lines"]


def lost_runs(store: Path, parts: Sequence[Part]) -> dict[str, str]:
    """Name, suite by suite, the curves whose records are gone and which no part's gaps name."""
    found = {}
    for folder in sorted((store / "curves").glob("*")):
        of = [part for part in parts if part.suite.name == folder.name]
        named = tuple(begin for part in of for begin in _names(part))
        alone = [n for n in _alone(folder, store / "runs" / folder.name) if not n.startswith(named)]
        if alone:
            found[folder.name] = f"{folder.name}: no record of the curve of {', '.join(alone)}"
    return found


def lost_scores(store: Path) -> dict[str, str]:
    """Name the scored examples of models whose records are gone."""
    alone = _alone(store / "zero_shot", store / "zero_shot")
    return {"zero_shot": f"zero_shot: no record of {', '.join(alone)}"} if alone else {}


def lost_parts(
    summary_dir: Path, parts: Sequence[Part], find: Callable[[str, Tier], Suite]
) -> list[Part]:
    """Return the suites and tiers that the summary has a table of and the parts lack."""
    here = {(part.suite.name, part.tier) for part in parts}
    shown = {name: {row["tier"] for row in _rows(summary_dir / f"{name}.csv")} for name in SUITES}
    return [
        part_of(find(name, tier), [])
        for name, suite in SUITES.items()
        for tier in suite.declared
        if tier in shown[name] and (name, tier) not in here
    ]


def lost_timings(summary_dir: Path, store: Path) -> list[str]:
    """Name the timings that the summary's table has and the store has not."""
    here = {(record.tier, record.provenance["created"]) for record in load_bench(store)}
    shown = {(row["tier"], row["created"]) for row in _rows(summary_dir / "bench_step.csv")}
    return [f"bench_step, tier {tier}: no record of {at}" for tier, at in sorted(shown - here)]


def missing_lines(
    store: Path,
    summary_dir: Path,
    parts: Sequence[Part],
    find: Callable[[str, Tier], Suite],
    unfilled: Sequence[str] = (),
) -> tuple[str, ...]:
    """Name everything missing, cell by cell where that is known, each once.

    `unfilled` names pages and blocks for which nothing was made.
    """
    every = [*parts, *lost_parts(summary_dir, parts, find)]
    lines = [gap for part in every for gap in part.gaps]
    lines += [*lost_runs(store, every).values(), *lost_scores(store).values()]
    lines += lost_timings(summary_dir, store)
    begun = {line.partition(":")[0].partition(",")[0] for line in lines}
    rest = [name for name in dict.fromkeys(unfilled) if name not in begun]
    return (*lines, *(f"{name}: no records" for name in rest))


def _names(part: Part) -> list[str]:
    """Return what the names of the files of a part's missing runs begin with."""
    cells = missing(part.suite, part.records)
    return [record_path(Path(), part.suite.arm(arm), seed, "").stem for arm, seed in cells]


def _alone(tables: Path, records: Path) -> list[str]:
    """Return the names of the compressed tables that have no record, finished or failed."""
    kept = {p.name.removesuffix(".json").removesuffix(".failed") for p in records.glob("*.json")}
    return sorted({p.name.removesuffix(".csv.gz") for p in tables.glob("*.csv.gz")} - kept)


def _rows(table: Path) -> list[dict[str, str]]:
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))
