"""Write the zero-shot scores of a model down, once, and read them back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.errors import UserError
from eval.outputs import write_table
from eval.record import Measurement

__all__ = ["ModelScores", "load_scores", "write_scores"]

_SCHEMA = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelScores:
    """One call of `eval-model`."""

    model: str
    weights: str
    """sha256 of the weights."""
    precision: str
    provenance: dict[str, Any]
    """Code, packages and machine; `zero_shot` holds the tasks' versions, hashes and sources."""
    measurements: dict[str, Measurement]
    """TASK/NAME of every task."""
    missing: tuple[str, ...]
    """Tasks that were asked for and could not be had, one line each."""
    wall_s: float

    @property
    def key(self) -> str:
        """Return the identity: what was evaluated on what."""
        tasks = self.provenance["zero_shot"]["tasks"]
        content = [self.weights, self.precision, {t: o["task_hash"] for t, o in tasks.items()}]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write_scores(store: Path, scores: ModelScores, examples: pd.DataFrame) -> Path:
    """Write record and examples below `store`/zero_shot.

    Raises: UserError if the record exists.
    """
    path = store / "zero_shot" / f"{scores.model.replace('/', '--')}-{scores.key}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"schema": _SCHEMA, **asdict(scores)}
    text = json.dumps(content, allow_nan=False, indent=1, sort_keys=True) + "\n"
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UserError(
            f"{path} exists already: these weights were scored on these examples; delete it to "
            "score them again"
        ) from None
    write_table(path.with_suffix(".csv.gz"), examples)
    return path


def load_scores(store: Path) -> list[ModelScores]:
    """Return the records below `store`/zero_shot, by file name.

    Raises: UserError for a file of another schema.
    """
    return [_parse(path) for path in sorted((store / "zero_shot").glob("*.json"))]


def _parse(path: Path) -> ModelScores:
    content = json.loads(path.read_text())
    if content.pop("schema", None) != _SCHEMA:
        raise UserError(f"{path} has another schema than {_SCHEMA}, which this code reads")
    measurements = {k: Measurement(**m) for k, m in content["measurements"].items()}
    missing = tuple(content["missing"])
    return ModelScores(**{**content, "measurements": measurements, "missing": missing})
