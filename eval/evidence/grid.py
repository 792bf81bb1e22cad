"""Which runs may be compared: the grid of arms and seeds, without mixing what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from eval.errors import UserError
from eval.record import Record

__all__ = ["common", "finished", "require_paired", "saves_itself", "unfinished", "value_of"]

_SAME_IN_ALL_ARMS = ("batch_order", "evaluated_text", "evaluated_images")
_BEGUN_WITH = ("initial_weights", "pretrained_weights")


def finished(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    """Return the finished runs by arm and seed, both sorted, whatever the order of the records.

    Raises: UserError if the records mix suites or tiers, an arm mixes specifications, or a seed
        finished twice in an arm: such numbers must not meet in one cell.
    """
    records = list(records)
    for field in ("suite", "tier"):
        found = sorted({getattr(r.experiment, field) for r in records})
        if len(found) > 1:
            raise UserError(
                f"records of {field}s {', '.join(found)} must not be mixed in one table"
            )
    runs: dict[str, dict[int, Record]] = {}
    for record in sorted(records, key=lambda r: (r.experiment.arm, r.seed, r.key)):
        arm = runs.setdefault(record.experiment.arm, {})
        if record.status == "ok":
            _require_comparable(record, arm)
            arm[record.seed] = record
    return runs


def unfinished(
    records: Iterable[Record], arms: Iterable[str], seeds: Iterable[int]
) -> tuple[tuple[str, int], ...]:
    """Return each (arm, seed) of a grid without a finished run; a failed run is not finished."""
    done = {(r.experiment.arm, r.seed) for r in records if r.status == "ok"}
    wanted = [(arm, seed) for arm in arms for seed in sorted(seeds)]
    return tuple(cell for cell in wanted if cell not in done)


def common(records: Iterable[Record], arm: str, against: str) -> list[Record]:
    """Return the finished runs of two arms on the seeds that finished in both."""
    runs = finished(records)
    ours, theirs = runs.get(arm, {}), runs.get(against, {})
    return [
        run
        for seeds in (ours, theirs)
        for seed, run in seeds.items()
        if seed in ours and seed in theirs
    ]


def value_of(record: Record, measurement: str) -> float:
    """Return a measured value of a run.

    Raises: UserError if the run did not measure it.
    """
    if measurement not in record.measurements:
        raise UserError(
            f"the run of arm {record.experiment.arm}, seed {record.seed} ({record.key}) lacks the "
            f"measurement {measurement!r}; it has {sorted(record.measurements)}"
        )
    return record.measurements[measurement].value


def require_paired(one: Record, other: Record) -> None:
    """Check that two runs of a seed began, learned from and were measured on the same.

    They may begin with other weights only where each arm has a pretraining of its own.

    Raises: UserError if a hash differs, or neither run says what it began with.
    """
    begun = _BEGUN_WITH if _pretraining(one) == _pretraining(other) else ()
    for name in (*_SAME_IN_ALL_ARMS, *begun):
        if one.hashes.get(name) != other.hashes.get(name):
            raise UserError(
                f"the runs {one.key} and {other.key} of seed {one.seed} differ in {name}: they are "
                "no pair; run both again with the same code and data"
            )
    if not any(one.hashes.get(name) for name in _BEGUN_WITH):
        raise UserError(f"the run {one.key} does not say what it began with; run it again")


def saves_itself(records: Iterable[Record]) -> bool:
    """Whether what an arm saves is saved in these runs, and not in a pretraining of its own."""
    before = [record.experiment.pretrained for record in records]
    return all(one == before[0] for one in before)


def _pretraining(record: Record) -> tuple[object, int]:
    e = record.experiment
    return e.pretrained, record.seed if e.pretrained_seed is None else e.pretrained_seed


def _require_comparable(record: Record, arm: Mapping[int, Record]) -> None:
    name = record.experiment.arm
    for other in arm.values():
        if other.experiment != record.experiment:
            raise UserError(
                f"arm {name} holds runs of two specifications ({other.key}, {record.key}); keep "
                "the records of one"
            )
    if record.seed in arm:
        raise UserError(
            f"arm {name} finished seed {record.seed} twice ({arm[record.seed].key}, "
            f"{record.key}); keep one of the two records"
        )
