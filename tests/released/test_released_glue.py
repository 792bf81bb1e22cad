"""The rows of GLUE's release, in the folder RLTD_LOCAL: how many there are, and that none leaks."""

from __future__ import annotations

import pytest

from eval.data.glue import load_labelled
from eval.data.glue_files import released_rows
from eval.paths import local_dir
from tests.packages.glue_counts import counted, pairs, plain, recorded_rows


@pytest.mark.parametrize("task", ["sst2", "cola", "mrpc", "stsb", "rte"])
def test_the_rows_are_as_many_as_is_recorded(task: str) -> None:
    (row,) = recorded_rows("local", task)
    assert counted(task, "local", row["reported_split"]) == row
    assert len(released_rows(task, "train", local_dir())) == row["training_rows"]


@pytest.mark.parametrize("task", ["sst2", "cola", "mrpc", "stsb", "rte"])
def test_no_text_is_measured_on_that_was_trained_on(task: str) -> None:
    reported = pairs(load_labelled(task, "validation", "local"))
    for split in ("train", "held_out"):
        assert not reported & pairs(load_labelled(task, split, "local"))


def test_the_release_does_hold_texts_twice() -> None:
    reported = {plain(row["sentence"]) for row in released_rows("cola", "validation", local_dir())}
    train = [plain(row["sentence"]) for row in released_rows("cola", "train", local_dir())]
    assert sum(text in reported for text in train) == recorded_rows("local", "cola")[0]["leaked"]
