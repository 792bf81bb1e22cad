"""What of the dropped tokens is padding: savings counted over real tokens alone.

Letters: T steps, N lengths that rows have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from eval.evidence.arms import arm_looks
from eval.evidence.formatting import percent
from eval.evidence.part import Part
from eval.evidence.tables import suite_table
from eval.paths import RESULTS, lengths_file
from eval.spec import Experiment

__all__ = ["padding_sentence", "real_tokens_dropped"]

_SAVED = "layer_token_saving_frac"


def real_tokens_dropped(
    experiment: Experiment, tokens_N: np.ndarray, rows_N: np.ndarray
) -> tuple[float, float]:
    """Return what a dropping layer drops on average, of a row's real tokens and of all its tokens.

    Rows have `tokens_N` real tokens, `rows_N` of them each, and are padded to one length. A draw
    that looks at padding keeps real tokens first; one that does not keeps each token as often as
    the others, except protected ones, which are real.
    """
    e, full = experiment, experiment.kept.full
    kept_T1 = np.array([[min(e.kept(step), full)] for step in range(e.steps)])
    if e.padding_aware:
        kept_TN = np.minimum(tokens_N, kept_T1)
    else:
        share_T1 = (kept_T1 - e.protected) / (full - e.protected)
        kept_TN = e.protected + (tokens_N - e.protected) * share_T1
    weights_N = rows_N / rows_N.sum()
    real = float(((tokens_N - kept_TN).mean(axis=0) * weights_N).sum())
    return real, float(full - kept_T1.mean())


def padding_sentence(part: Part, store: Path = RESULTS) -> str:
    """Say how much of the rows is padding, and what each arm saves of the real tokens.

    Nothing without an arm that looks at padding, or where the rows' lengths are not kept.
    """
    path = lengths_file(part.suite.name, part.tier, store)
    aware = any(e.padding_aware for e in part.suite.arms)
    if not (aware and path.is_file()):
        return ""
    lengths = pd.read_csv(path)
    tokens_N, rows_N = lengths["tokens"].to_numpy(), lengths["rows"].to_numpy()
    length = part.suite.arms[0].length
    mean = float((tokens_N * rows_N).sum() / rows_N.sum())
    table = suite_table(part.suite, part.records).set_index("arm").to_dict("index")
    told = []
    for arm, look in arm_looks(table).items():
        real, dropped = real_tokens_dropped(part.suite.arm(arm), tokens_N, rows_N)
        if dropped:
            saved = table[arm][_SAVED] * (real / mean) / (dropped / length)
            told.append(
                f"{look.label} {percent(saved)} ({percent(1 - real / dropped)} of what it drops "
                "is padding)"
            )
    return (
        f"Padding: {percent(1 - mean / length)} of the tokens of the training rows. Saved of the "
        f"real tokens alone, in all layers: {'; '.join(told)}."
    )
