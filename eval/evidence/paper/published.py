"""What the authors published: claims and numbers, each with where it was read and how well."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from eval.errors import UserError
from eval.paths import RESULTS

__all__ = [
    "AUTHORS_TIER",
    "EVIDENCE",
    "RULES",
    "Cited",
    "Claim",
    "Reported",
    "load_claims",
    "load_reported",
    "read_rows",
]

AUTHORS_TIER = "the authors'"
"""In the place of a tier, beside a published number."""
EVIDENCE = (
    "the paper",
    "authors' documentation",
    "authors' code",
    "authors' history",
    "third-party notes",
    "derived",
)
"""How a number was obtained, best first. Nothing is filled in from memory."""


RULES = ("quality", "better", "as good", "recovery", "saving", "time", "none")
"""The verdict over three arms; an arm better than another, or as good within the margin;
accuracy on all tokens while most are dropped; the saving of the paper's setting; the time of a
step; nothing that could judge it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A statement of the authors that a suite examines."""

    id: str
    suite: str
    """That examines it; `none` if nothing does."""
    rule: str
    """How it is judged: one of `RULES`."""
    arm: str
    against: str
    """The arms whose difference it is about; `none` where it is not about arms."""
    short: str
    judged: str
    """What is measured here for it."""
    paper: str
    claim: str
    locator: str
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """One published number."""

    id: str
    claim: str
    """The id of the claim it belongs to."""
    suite: str
    arm: str
    model: str
    data: str
    measurement: str
    value: float
    unit: str
    locator: str
    evidence: str


class Cited(Protocol):
    """A dataclass of one row of a table, each column a field."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """Name the row."""
        ...


Row = TypeVar("Row", bound=Cited)


def load_claims(path: Path = RESULTS / "paper" / "claims.csv") -> tuple[Claim, ...]:
    """Read the claims.

    Raises: UserError for a row that lacks anything, above all its locator or evidence grade, or
        that has an unknown rule.
    """
    rows = read_rows(path, Claim)
    for row in rows:
        if row.rule not in RULES:
            raise UserError(f"{path}: {row.id} has the rule {row.rule!r}, none of {RULES}")
    return rows


def load_reported(path: Path = RESULTS / "paper" / "reported.csv") -> tuple[Reported, ...]:
    """Read the published numbers; the claims lie beside them.

    Raises: UserError for a row that lacks anything, is no finite number, or names no known claim.
    """
    rows = read_rows(path, Reported)
    known = {claim.id for claim in load_claims(path.with_name("claims.csv"))}
    for row in rows:
        if row.claim not in known:
            raise UserError(
                f"{path}: {row.id} names the claim {row.claim!r}; known: {sorted(known)}"
            )
    return rows


def read_rows(path: Path, row_type: type[Row]) -> tuple[Row, ...]:
    """Read a table whose columns are the fields of a dataclass with id, locator and evidence.

    Raises: UserError for another table, a row that lacks anything, or an id that occurs twice.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        names = [field.name for field in fields(row_type)]
        if reader.fieldnames != names:
            raise UserError(f"{path}: the columns must be {', '.join(names)}")
        rows = tuple(row_type(**_checked(path, data)) for data in reader)
    if len({row.id for row in rows}) < len(rows):
        raise UserError(f"{path}: an id occurs twice; give each row its own")
    return rows


def _checked(path: Path, data: dict[str, Any]) -> dict[str, Any]:
    for name, value in data.items():
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{path}: row {data.get('id')!r} has no {name}; look it up, or drop it")
    if data["evidence"] not in EVIDENCE:
        raise UserError(f"{path}: evidence {data['evidence']!r} is none of {', '.join(EVIDENCE)}")
    if "value" in data:
        data = {**data, "value": _number(path, data)}
    return data


def _number(path: Path, data: dict[str, Any]) -> float:
    try:
        value = float(data["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"{path}: row {data['id']!r} has the value {data['value']!r}, no number")
    return value
