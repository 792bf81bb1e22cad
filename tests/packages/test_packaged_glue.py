"""The rows of GLUE's kind that packages carry: how many there are, and that none leaks."""

from __future__ import annotations

import pytest

from eval.data.glue import load_labelled
from eval.data.glue_files import package_rows
from tests.packages.glue_counts import counted, pairs, plain, recorded_rows


@pytest.mark.parametrize("task", ["sst2", "snli"])
def test_the_rows_are_as_many_as_is_recorded(task: str) -> None:
    (row,) = recorded_rows("package", task)
    assert counted(task, "package", row["reported_split"]) == row
    assert len(package_rows(task, "train")) == row["training_rows"]


def test_no_sentence_of_sst2_is_measured_on_that_was_trained_on() -> None:
    reported = {plain(text) for text in load_labelled("sst2", "validation", "package").first}
    everything = [plain(row["sentence"]) for row in package_rows("sst2", "train")]
    assert len(reported & set(everything)) > 500  # the package does hold most of them
    for split in ("train", "held_out"):
        for text in map(plain, load_labelled("sst2", split, "package").first):
            assert text not in reported
            assert not any(other in text for other in reported if len(other) >= 8)
            assert not any(text in other for other in reported if len(text) >= 8)


def test_no_pair_of_snli_is_measured_on_that_was_trained_on() -> None:
    reported = pairs(load_labelled("snli", "test", "package"))
    for split in ("train", "held_out"):
        assert not reported & pairs(load_labelled("snli", split, "package"))
