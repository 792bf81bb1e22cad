"""Tables: what is missing, what is counted, what must never meet in a cell."""

from __future__ import annotations

import dataclasses
import random
from statistics import fmean, stdev

import pandas as pd
import pytest

from eval.errors import UserError
from eval.evidence.tables import (
    beside_paper,
    missing,
    suite_table,
    to_markdown,
    yours_beside_committed,
)
from tests.evidence.synthetic import (
    make_experiment,
    make_failed,
    make_record,
    make_records,
    make_suite,
    with_value,
)


def test_a_row_holds_the_means_of_the_finished_runs():
    suite = make_suite()
    records = make_records(suite)
    table = suite_table(suite, records).set_index("arm")
    values = [
        r.measurements["bits_per_byte"].value for r in records if r.experiment.arm == "random_ltd"
    ]
    row = table.loc["random_ltd"]
    assert row["n"] == 5
    assert row["mean"] == pytest.approx(fmean(values))
    assert row["sd"] == pytest.approx(stdev(values))
    assert row["verdict"] == "non-inferior"
    assert row["low"] < row["difference"] < row["high"]
    assert 0 < row["flop_saving_frac"] < row["layer_token_saving_frac"] < 1
    assert table.loc["baseline", "layer_token_saving_frac"] == 0
    assert list(table.index) == ["baseline", "random_ltd", "shortened_baseline"]


def test_what_pretraining_saved_is_no_saving_of_the_finetuning_after_it():
    suite = make_suite()
    arms = tuple(
        make_experiment(
            e.arm,
            objective="labels",
            pretrained=make_experiment(e.arm, objective="masked"),
            kept=suite.arms[0].kept,
        )
        for e in suite.arms
    )
    begun = dataclasses.replace(suite, arms=arms)
    table = suite_table(begun, make_records(begun))
    assert {"layer_tokens", "flops"} <= set(table)
    assert not [name for name in table if name.endswith("_saving_frac")]


def test_what_is_dropped_after_one_pretraining_is_saved_by_the_arm_that_drops():
    suite = make_suite()
    after = {"objective": "labels", "pretrained": make_experiment("baseline", objective="masked")}
    arms = tuple(dataclasses.replace(e, **after) for e in suite.arms)
    begun = dataclasses.replace(suite, arms=arms)
    own = suite_table(suite, make_records(suite)).set_index("arm")
    table = suite_table(begun, make_records(begun)).set_index("arm")
    assert table.loc["random_ltd", "layer_token_saving_frac"] > 0.1
    for name in ("layer_token_saving_frac", "flop_saving_frac"):
        pd.testing.assert_series_equal(table[name], own[name])


def test_the_table_does_not_depend_on_the_order_of_the_records():
    suite = make_suite()
    records = [*make_records(suite), make_failed(suite.arm("random_ltd"), 1)]
    shuffled = random.Random(1).sample(records, len(records))
    pd.testing.assert_frame_equal(suite_table(suite, shuffled), suite_table(suite, records))


def test_missing_cells_are_named():
    suite = make_suite(seeds=(0, 1))
    records = [r for r in make_records(suite) if (r.experiment.arm, r.seed) != ("random_ltd", 1)]
    assert missing(suite, records) == (("random_ltd", 1),)
    records.append(make_failed(suite.arm("random_ltd"), 1))
    assert missing(suite, records) == (("random_ltd", 1),)
    assert missing(suite, make_records(suite)) == ()


def test_tiers_never_mix():
    suite = make_suite()
    other = make_record(make_experiment("random_ltd", tier="gpu"), 9, 1.0)
    for table in (suite_table, beside_paper):
        with pytest.raises(UserError, match="tiers cpu, gpu must not be mixed"):
            table(suite, [*make_records(suite), other])


def test_failed_runs_are_counted_and_enter_no_mean():
    suite = make_suite(seeds=range(6))
    records = make_records(suite)
    lost = [r for r in records if (r.experiment.arm, r.seed) != ("random_ltd", 0)]
    table = suite_table(suite, [*lost, make_failed(suite.arm("random_ltd"), 0)]).set_index("arm")
    row = table.loc["random_ltd"]
    assert (row["n"], row["failed"], row["pairs"]) == (5, 1, 5)
    values = [
        r.measurements["bits_per_byte"].value for r in lost if r.experiment.arm == "random_ltd"
    ]
    assert row["mean"] == pytest.approx(fmean(values))


def test_an_arm_that_only_failed_still_has_a_row():
    suite = make_suite()
    kept = [r for r in make_records(suite) if r.experiment.arm == "baseline"]
    table = suite_table(suite, [*kept, make_failed(suite.arm("random_ltd"), 0)])
    row = table.set_index("arm").loc["random_ltd"]
    assert (row["n"], row["failed"]) == (0, 1)
    assert pd.isna(row["mean"])
    assert "random-LTD" in to_markdown(table)


def test_an_unknown_arm_is_shown():
    suite = make_suite()
    extra = [make_record(make_experiment("patch_dropout"), seed, 1.21) for seed in suite.seeds]
    table = suite_table(suite, [*make_records(suite), *extra])
    assert table["arm"].iloc[-1] == "patch_dropout"
    assert "patch dropout" in to_markdown(table)


def test_one_seed_has_neither_spread_nor_interval():
    suite = make_suite(seeds=(0,))
    table = suite_table(suite, make_records(suite))
    assert not {"sd", "low", "high"} & set(table)
    text = to_markdown(table)
    assert "(no interval)" in text
    assert "no evidence (n < 5)" in text


def test_an_absent_number_is_never_nan():
    suite = make_suite()
    kept = [r for r in make_records(suite) if r.experiment.arm == "baseline"]
    table = suite_table(suite, [*kept, make_failed(suite.arm("random_ltd"), 0)])
    for text in (to_markdown(table), table.to_csv(), to_markdown(beside_paper(suite, kept))):
        assert "nan" not in text.lower()
        assert "<NA>" not in text


def test_the_paper_stands_beside_ours_for_direction_only():
    suite = make_suite()
    table = beside_paper(suite, make_records(suite))
    assert set(table["compare"]) == {"direction only"}
    assert list(table["source"]) == ["published"] * 2 + ["ours"] * 2
    assert list(table["tier"]) == ["the authors'"] * 2 + ["cpu"] * 2
    theirs = table[(table["source"] == "published") & (table["arm"] == "random_ltd")]
    assert theirs["change_frac"].item() == pytest.approx(15.9 / 16.11 - 1)
    assert theirs["where"].item().startswith("DeepSpeed")


def test_yours_is_identical_agrees_or_differs_by_the_stated_rule():
    suite = make_suite()
    committed = make_records(suite)
    spread = stdev(
        r.measurements["bits_per_byte"].value for r in committed if r.experiment.arm == "baseline"
    )
    same = next(r for r in committed if r.experiment.arm == "baseline" and r.seed == 2)
    value = same.measurements["bits_per_byte"].value

    def said(moved: float) -> str:
        yours = with_value(same, "bits_per_byte", value + moved)
        return yours_beside_committed(suite, [yours], committed)["agreement"].item()

    assert said(0) == "identical"
    assert said(2.9 * spread) == said(-2.9 * spread) == "agrees"
    assert said(3.1 * spread) == said(-3.1 * spread) == "differs"


def test_yours_without_a_committed_twin_is_left_undecided():
    suite = make_suite()
    committed = make_records(suite)
    new_seed = make_record(suite.arm("baseline"), 77, 1.2)
    changed = make_record(make_experiment("baseline", revision=2), 0, 1.2)
    for yours in (new_seed, changed):
        table = yours_beside_committed(suite, [yours], committed)
        assert table["agreement"].item() == "cannot say"
        assert "committed" not in table
    lone = [dataclasses.replace(r) for r in committed if r.seed == 0]
    moved = with_value(lone[0], "bits_per_byte", 1.0)
    assert yours_beside_committed(suite, [moved], lone)["agreement"].item() == "cannot say"


def test_headings_carry_units_and_fractions_read_as_percent():
    suite = make_suite()
    head, _, *rows = to_markdown(suite_table(suite, make_records(suite))).splitlines()
    assert "bits per byte, mean (sd)" in head
    assert "perplexity (per token)" in head
    assert "21.9 %" in rows[1]
