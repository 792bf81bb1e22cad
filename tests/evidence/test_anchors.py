"""Scores of a known model beside the published ones, each with its distance and its source."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from eval.data.task_data import TASK_DATA
from eval.errors import UserError
from eval.evidence.report import build, stale
from eval.evidence.zero_shot.anchors import (
    Anchor,
    anchor_table,
    load_anchors,
    zero_shot_headline,
    zero_shot_page,
)
from eval.model_eval.records import ModelScores, write_scores
from eval.models.named import MODELS
from eval.record import Measurement
from tests.evidence.synthetic import make_records, make_suite, write_store

ROWS = {"piqa": 500, "arc_easy": 2376}
SCORES = {"piqa/acc_norm": 0.64, "arc_easy/acc": 0.55, "arc_easy/acc_norm": 0.48}


def anchor(task: str, metric: str, value: float, model: str = "known") -> Anchor:
    named = {"id": f"{model}-{task}", "model": model, "task": task, "metric": metric}
    return Anchor(**named, value=value, unit="%", locator="Table 1", evidence="third-party notes")


ANCHORS = (
    anchor("piqa", "acc_norm", 66.8),
    anchor("arc_easy", "acc", 54.0),
    anchor("hellaswag", "acc_norm", 42.0),
    anchor("piqa", "acc_norm", 70.0, model="another"),
)


def scores(model: str = "known", missing: tuple[str, ...] = ()) -> ModelScores:
    """Return scores with a standard error of 2 %."""
    tasks = {
        task: {"source": "package", "split": TASK_DATA[task].split, "version": "1.0"}
        | {"rows": rows, "rows_published": TASK_DATA[task].rows, "task_hash": task}
        for task, rows in ROWS.items()
    }
    found = {
        name: Measurement(value=value, unit="fraction", split="test", n=500, standard_error=0.02)
        for name, value in SCORES.items()
    }
    provenance = {
        "created": "2026-01-02T03:04:05",
        "zero_shot": {"lm_eval": "0.4.13", "tasks": tasks},
    }
    return ModelScores(
        model=model,
        weights="abc",
        precision="float32",
        provenance=provenance,
        measurements=found,
        missing=missing,
        wall_s=1.0,
    )


def test_the_distance_is_in_standard_errors_of_ours() -> None:
    first, second = anchor_table(scores(), ANCHORS).to_dict("records")
    assert first == {
        "task": "piqa",
        "rows": "first 500 of 1,838",
        "metric": "acc_norm",
        "ours (standard error)": "64.0 (2.0) %",
        "published, all rows": "66.8 %",
        "distance in standard errors": "-1.4",
    }
    assert (second["metric"], second["rows"]) == ("acc", "2,376")
    assert second["distance in standard errors"] == "+0.5"
    assert anchor_table(scores("unknown"), ANCHORS).empty


def test_the_page_has_every_model_and_the_headline_those_with_published_scores() -> None:
    both = [scores(), scores("mine", missing=("race: no data from package; run this",))]
    page, block = zero_shot_page(both, ANCHORS), zero_shot_headline(both, ANCHORS)
    assert "## known, float32" in page
    assert "## mine, float32" in page
    assert "Scored 2026-01-02 with lm-eval 0.4.13; sha256 of the weights abc." in page
    assert "Not evaluated: race: no data from package; run this\n" in page
    assert page.count("Published in: Table 1 (third-party notes).") == 1
    assert "No average score" in page
    assert "known, float32:" in block
    assert "mine" not in block


def test_the_report_shows_the_scores_and_knows_when_they_changed(tmp_path: Path) -> None:
    store, summary, readme = tmp_path / "store", tmp_path / "summary", tmp_path / "README.md"
    write_store(store, make_records(make_suite()))
    readme.write_text("<!-- headline: zero_shot -->\n<!-- /headline -->\n")
    write_scores(store, scores("smollm2-135m-instruct"), pd.DataFrame({"task": ["piqa"]}))
    places = (store, summary, readme)
    build(*places, find=lambda name, tier: make_suite())
    assert "smollm2-135m-instruct, float32:" in readme.read_text()
    assert "distance in standard errors" in (summary / "zero_shot.md").read_text()
    assert stale(*places, find=lambda name, tier: make_suite()) == []
    write_scores(store, scores("mine"), pd.DataFrame({"task": ["piqa"]}))
    changed = stale(*places, find=lambda name, tier: make_suite())
    assert changed == [summary / "zero_shot.md"]


def test_the_published_scores_are_of_known_models_tasks_and_metrics() -> None:
    found = load_anchors()
    assert found
    for each in found:
        assert each.model in MODELS
        assert each.task in TASK_DATA
        assert each.metric in ("acc", "acc_norm")
        assert each.unit == "%"
        assert 0 < each.value < 100


def test_a_published_score_without_its_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "anchors.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "model", "task", "metric", "value", "unit", "locator", "evidence"])
        writer.writerow(["a", "known", "piqa", "acc", "66.9", "%", "", "third-party notes"])
    with pytest.raises(UserError, match="row 'a' has no locator"):
        load_anchors(path)
