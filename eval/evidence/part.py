"""A suite at one tier, with the records that answer it and those that do not belong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.errors import UserError
from eval.evidence.stats import judge
from eval.evidence.tables import missing
from eval.record import Record, load_records
from eval.spec import Suite, Tier, on_cpu

__all__ = ["Part", "part_of", "require_records", "stored_parts"]

_TIERS: tuple[Tier, ...] = ("paper", "gpu", "cpu", "smoke")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A suite at one tier, with the records that answer it."""

    suite: Suite
    records: tuple[Record, ...]
    left_out: tuple[str, ...]
    """Records of another specification or of an undeclared seed, a line for each reason."""

    @property
    def tier(self) -> str:
        """Return the tier of the suite's arms."""
        return self.suite.arms[0].tier

    @property
    def has_runs(self) -> bool:
        """Whether a run of it has finished."""
        return any(record.status == "ok" for record in self.records)

    def hours(self, arms: Collection[str] | None = None) -> float:
        """Return what its runs, or those of some arms, cost to train.

        Hours of one core at the small tiers, of a GPU at the larger ones.
        """
        costs = [
            r.cost
            for r in self.records
            if r.cost is not None and (arms is None or r.experiment.arm in arms)
        ]
        on_core = on_cpu(self.tier)
        return sum(c.train_cpu_s if on_core else c.train_wall_s for c in costs) / 3600

    @property
    def gaps(self) -> tuple[str, ...]:
        """Name the runs of the grid that have not finished, in one line, if there are any."""
        failed = {(r.experiment.arm, r.seed) for r in self.records if r.status == "failed"}
        cells = [
            f"{arm} seed {seed}" + " (failed)" * ((arm, seed) in failed)
            for arm, seed in missing(self.suite, self.records)
        ]
        where = f"{self.suite.name}, tier {self.tier}"
        return (f"{where}: no finished run of {', '.join(cells)}",) if cells else ()

    @property
    def conclusion(self) -> str:
        """Return what the records say about the claim, in a sentence; a pilot has no verdict."""
        if len(self.suite.arms) == 1:
            return "One arm: nothing is compared, so there is no verdict."
        if self.suite.margin is None:
            return "A pilot: it chose settings for another suite and has no verdict."
        return judge(self.suite, self.records).sentence


def part_of(suite: Suite, records: Sequence[Record], *, some_seeds: bool = False) -> Part:
    """Choose the records that the suite declares: its tier, specifications and seeds.

    With `some_seeds`, those of its seeds that the records have are the whole of it.
    """
    here = [r for r in records if r.experiment.tier == suite.arms[0].tier]
    declared = {experiment.arm: experiment for experiment in suite.arms}
    current, left_out = [], dict[str, list[str]]()
    for record in here:
        arm = record.experiment.arm
        name = f"{arm} seed {record.seed} ({record.key})"
        if declared.get(arm) != record.experiment:
            left_out.setdefault("another specification than the suite's", []).append(name)
        elif record.seed not in suite.seeds:
            left_out.setdefault("a seed that the suite does not declare", []).append(name)
        else:
            current.append(record)
    if some_seeds:
        suite = replace(suite, seeds=tuple(sorted({r.seed for r in current})))
    where = f"{suite.name}, tier {suite.arms[0].tier}"
    lines = [f"{where}: {reason}: {', '.join(names)}" for reason, names in left_out.items()]
    return Part(suite=suite, records=tuple(current), left_out=tuple(lines))


def stored_parts(store: Path, find: Callable[[str, Tier], Suite]) -> list[Part]:
    """Return the suites that have records, by name and tier.

    Raises: UserError if the store has no records.
    """
    parts = []
    for name in sorted({path.parent.name for path in (store / "runs").glob("*/*.json")}):
        records = load_records(store, name)
        tiers = {record.experiment.tier for record in records}
        parts += [part_of(find(name, tier), records) for tier in _TIERS if tier in tiers]
    require_records(parts, store)
    return parts


def require_records(parts: Sequence[Part], store: Path) -> None:
    """Check that a record answers one of the parts.

    Raises: UserError if none does.
    """
    if not any(part.records for part in parts):
        left_out = "".join(f"; left out: {line}" for part in parts for line in part.left_out)
        raise UserError(
            f"there are no records in {store / 'runs'}{left_out}; run ./rltd reproduce first"
        )
