"""How many tokens the training rows of a suite have: `python -m eval.tasks.lengths SUITE ...`.

Written once into `results/lengths`, so that pages can say what is padding without any data.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from eval.paths import lengths_file, shown
from eval.spec import Experiment
from eval.suites import suite
from eval.tasks.classification import ClassificationTask

__all__ = ["lengths_of", "main"]


def lengths_of(experiment: Experiment) -> pd.DataFrame:
    """Return the number of training rows by their number of tokens, special ones included."""
    rows_N = ClassificationTask(experiment).examples.arrays["attention_mask"].sum(axis=1)
    tokens, rows = np.unique(rows_N, return_counts=True)
    return pd.DataFrame({"tokens": tokens, "rows": rows})


def main(names: list[str]) -> None:
    """Write the lengths of the rows of these suites, at tier cpu."""
    for name in names:
        first = suite(name).arms[0]
        path = lengths_file(name, first.tier)
        path.parent.mkdir(parents=True, exist_ok=True)
        lengths_of(first).to_csv(path, index=False, lineterminator="\n")
        print(shown(path))


if __name__ == "__main__":
    main(sys.argv[1:])
