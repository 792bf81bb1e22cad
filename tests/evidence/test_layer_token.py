"""Dropping and learning rate taken apart: paired differences that add up, and their figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from eval.evidence.arms import ARMS
from eval.evidence.intervals import interval
from eval.evidence.layer_token import (
    CONTRASTS,
    STEP_LR,
    contrast_sentence,
    contrast_table,
    has_contrasts,
    layer_token_verdict,
    plot_layer_token,
)
from eval.evidence.plots import save, schedule_data
from eval.evidence.report import build
from eval.record import Record
from eval.spec import Suite
from tests.evidence.synthetic import (
    make_experiment,
    make_failed,
    make_record,
    make_suite,
    write_store,
)

BETTER = {
    "baseline": 0.0,
    "random_ltd": 0.030,
    "shortened_baseline": -0.050,
    "lr_control": 0.020,
    STEP_LR: -0.015,
    "random_ltd_equal_layer_tokens": 0.060,
    "baseline_higher_peak": 0.010,
}
"""By how many bits per byte each arm is better than the baseline, by construction."""
COLUMN = "bits per byte [90 % interval]"
SEEDS = (0, 1, 2, 3, 4)


def evidence(seeds: Sequence[int] = SEEDS) -> tuple[Suite, list[Record]]:
    """Return the arms; what a seed shares is far larger than what tells the arms apart."""
    arms = tuple(make_experiment(arm) for arm in BETTER)
    suite = dataclasses.replace(make_suite(seeds=seeds), arms=arms)
    records = [
        make_record(arm, seed, 1.2 + 0.1 * seed - BETTER[arm.arm] + 0.001 * ((seed * i) % 3))
        for i, arm in enumerate(arms)
        for seed in seeds
    ]
    return suite, records


def of(records: Sequence[Record], arm: str) -> dict[int, float]:
    return {
        r.seed: r.measurements["bits_per_byte"].value for r in records if r.experiment.arm == arm
    }


def differences(records: Sequence[Record], arm: str, against: str) -> list[float]:
    """Return by seed how many bits the arm needs less than the other one."""
    ours, theirs = of(records, arm), of(records, against)
    return [theirs[seed] - ours[seed] for seed in ours if seed in theirs]


def test_each_row_is_a_paired_difference_of_two_arms() -> None:
    suite, records = evidence()
    table = contrast_table(suite, records)
    assert list(table.columns) == ["difference", "effect of", "n", COLUMN]
    assert len(table) == len(CONTRASTS) == 7
    for row, (arm, against, meaning) in zip(table.to_dict("records"), CONTRASTS, strict=True):
        assert row["difference"] == f"{ARMS[arm].label} - {ARMS[against].label}"
        assert row["effect of"] == meaning
        assert (row["n"], row[COLUMN]) == (5, str(interval(differences(records, arm, against))))


def test_what_is_better_by_construction_has_a_positive_sign() -> None:
    suite, records = evidence()
    cells = contrast_table(suite, records)[COLUMN]
    for cell, (arm, against, _) in zip(cells, CONTRASTS, strict=True):
        better = BETTER[arm] > BETTER[against]
        assert cell.startswith("+" if better else "-")
        low, high = cell.partition("[")[2].rstrip("]").split(", ")
        assert float(high) - float(low) < 0.005  # paired: the seeds alone spread over 0.4
        assert (float(low) > 0) == better
        assert (float(high) > 0) == better


def test_higher_is_better_turns_every_sign() -> None:
    suite, records = evidence()
    turned = contrast_table(dataclasses.replace(suite, higher_is_better=True), records)[COLUMN]
    signs = [cell[0] for cell in contrast_table(suite, records)[COLUMN]]
    assert [{"+": "-", "-": "+"}[cell[0]] for cell in turned] == signs


def test_the_two_ways_to_take_the_method_apart_add_up() -> None:
    suite, records = evidence()
    cells = contrast_table(suite, records)[COLUMN]
    means = {
        (arm, against): float(cell.split()[0])
        for cell, (arm, against, _) in zip(cells, CONTRASTS, strict=True)
    }
    whole = means["random_ltd", "baseline"]
    for part in (STEP_LR, "lr_control"):
        # Each cell is rounded to four digits.
        together = means[part, "baseline"] + means["random_ltd", part]
        assert together == pytest.approx(whole, abs=1.5e-4)


def test_only_seeds_of_both_arms_are_compared() -> None:
    suite, records = evidence()
    lost = [r for r in records if (r.experiment.arm, r.seed) != ("lr_control", 1)]
    table = contrast_table(suite, [*lost, make_failed(suite.arm("lr_control"), 1)])
    assert list(table["n"]) == [5, 5, 4, 5, 4, 5, 5]
    for cell, (arm, against, _) in zip(table[COLUMN], CONTRASTS, strict=True):
        assert cell == str(interval(differences(lost, arm, against)))


def test_the_sentence_says_what_the_rate_and_its_curve_change() -> None:
    suite, records = evidence()
    said = contrast_sentence(suite, records)
    assert said.startswith("Taken apart, in bits/byte: LayerToken LR in place of LR by steps")
    for arm, against in (
        ("random_ltd", STEP_LR),
        ("lr_control", "baseline"),
        (STEP_LR, "baseline"),
    ):
        assert f": {interval(differences(records, arm, against))}" in said


def test_the_claim_about_the_rate_is_judged_by_the_rate_alone() -> None:
    suite, records = evidence()
    found = interval(differences(records, "random_ltd", STEP_LR))
    assert found.low > 0
    told = f"LayerToken LR against LR by steps, n = 5: {found} bits/byte"
    assert layer_token_verdict(suite, records) == f"supported in direction; {told}"
    turned = layer_token_verdict(dataclasses.replace(suite, higher_is_better=True), records)
    assert turned.startswith("contradicted; ")
    few = [r for r in records if r.seed < 3]
    assert layer_token_verdict(suite, few).startswith("no evidence (n < 5); ")
    without = [r for r in records if r.experiment.arm != STEP_LR]
    assert layer_token_verdict(suite, without).startswith("no evidence: ")


def test_one_seed_has_no_interval() -> None:
    suite, records = evidence(seeds=(2,))
    cells = contrast_table(suite, records)[COLUMN]
    assert cells[0] == f"{differences(records, 'random_ltd', 'baseline')[0]:+.4f} (no interval)"
    assert all(cell.endswith(" (no interval)") for cell in cells)


def test_arms_without_a_run_have_no_row() -> None:
    suite, records = evidence()
    kept = [r for r in records if r.experiment.arm != "random_ltd_equal_layer_tokens"]
    assert has_contrasts(kept)
    assert len(contrast_table(suite, kept)) == 6


@pytest.mark.parametrize("arm", ["baseline", "random_ltd", STEP_LR, "lr_control"])
def test_without_one_of_the_four_arms_there_is_nothing_to_take_apart(arm: str) -> None:
    suite, records = evidence()
    assert has_contrasts(records)
    rest = [r for r in records if r.experiment.arm != arm]
    assert not has_contrasts(rest)
    assert not has_contrasts([*rest, make_failed(suite.arm(arm), 0)])


def test_the_table_does_not_depend_on_the_order_of_the_records() -> None:
    suite, records = evidence()
    pd.testing.assert_frame_equal(
        contrast_table(suite, records[::-1]), contrast_table(suite, records)
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write records and curves once."""
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, evidence()[1])
    return folder


def lines_of(axes: Any) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_rate_and_kept_length_of_both_arms_are_drawn(store: Path) -> None:
    suite, records = evidence()
    data = schedule_data(suite, records, store)
    figure = plot_layer_token(suite, records, store)
    left, right = figure.axes
    assert left.get_yscale() == "log"
    for axes, name in ((left, "lr"), (right, "kept")):
        drawn = lines_of(axes)
        rows = [data[data["arm"] == arm] for arm in ("baseline", "random_ltd")]
        assert drawn == [(list(r["step"]), list(r[name])) for r in rows]
        below, above = axes.lines
        assert below.get_linewidth() > 2 * above.get_linewidth()  # both are seen where equal
    assert set(data["seed"]) == {0}
    assert left.get_ylim()[0] > 0
    assert "tier cpu" in figure.get_suptitle()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["baseline", "random-LTD"]
    assert plt.get_fignums() == []


def test_the_figure_is_repeated_byte_for_byte(store: Path, tmp_path: Path) -> None:
    suite, records = evidence()
    made = []
    for name, order in (("one", records), ("two", records[::-1])):
        figure = plot_layer_token(suite, order, store)
        svg, png, _ = save(figure, tmp_path / name / "x", schedule_data(suite, order, store))
        made.append(svg.read_bytes())
        assert png.read_bytes().startswith(b"\x89PNG")
    assert made[0] == made[1]
    assert b"<dc:date>" not in made[0]


@pytest.mark.parametrize("whole", [True, False])
def test_the_page_has_the_part_only_where_there_are_runs_for_it(
    tmp_path: Path, whole: bool
) -> None:
    suite, records = evidence(seeds=(0, 1))
    records = [r for r in records if whole or r.experiment.arm != "lr_control"]
    readme, summary = tmp_path / "README.md", tmp_path / "summary"
    readme.write_text("no block\n")
    write_store(tmp_path / "store", records)
    build(tmp_path / "store", summary, readme, find=lambda name, tier: suite)
    page = (summary / "gpt_finetune.md").read_text()
    for words in ("Dropping and learning rate taken apart", *(c[2] for c in CONTRASTS)):
        assert (words in page) == whole
    assert (summary / "gpt_finetune-cpu-layer-token.svg").exists() == whole
    assert ("gpt_finetune-cpu-layer-token.svg" in page) == whole
    assert "Zero-shot" not in page
