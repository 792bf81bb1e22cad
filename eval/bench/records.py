"""Write timings down, once, with the machine they were taken on, and read them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from eval.bench.step import StepTime, Timing
from eval.errors import UserError
from eval.provenance import origin
from rltd_core import TransformerCost

__all__ = ["BenchRecord", "load_bench", "write_bench"]

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRecord:
    """One call of `bench step`."""

    tier: str
    provenance: dict[str, Any]
    timings: tuple[Timing, ...]


def write_bench(store: Path, tier: str, timings: Sequence[Timing]) -> Path:
    """Write the timings to `store`/bench, under the tier and the time.

    Raises: UserError if that record exists.
    """
    provenance = origin()
    moment = provenance["created"].replace("-", "").replace(":", "")[:15]
    path = store / "bench" / f"step-{tier}-{moment}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "schema": _SCHEMA,
        "tier": tier,
        "provenance": provenance,
        "timings": [asdict(timing) for timing in timings],
    }
    try:
        with path.open("x") as file:
            json.dump(content, file, allow_nan=False, separators=(",", ":"))
            file.write("\n")
    except FileExistsError:
        raise UserError(f"{path} exists already; records are written once") from None
    return path


def load_bench(store: Path) -> list[BenchRecord]:
    """Return the records in `store`/bench, in the order they were taken.

    Raises: UserError for a file of another schema.
    """
    paths = sorted((store / "bench").glob("step-*.json"))
    records = [_parse(path) for path in paths]
    return sorted(records, key=lambda record: record.provenance["created"])


def _parse(path: Path) -> BenchRecord:
    content = json.loads(path.read_text())
    if content.get("schema") != _SCHEMA:
        raise UserError(f"{path} has schema {content.get('schema')}, this code reads {_SCHEMA}")
    timings = tuple(
        Timing(
            **{
                **timing,
                "cost": TransformerCost(**timing["cost"]),
                "steps": tuple(StepTime(**step) for step in timing["steps"]),
            }
        )
        for timing in content["timings"]
    )
    return BenchRecord(tier=content["tier"], provenance=content["provenance"], timings=timings)
