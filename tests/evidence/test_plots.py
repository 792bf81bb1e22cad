"""Figures: drawn from the numbers beside them, with every arm, twice the same."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.axes import Axes

from eval.errors import UserError
from eval.evidence.arms import ARMS, arm_looks
from eval.evidence.plots import (
    curve_data,
    plot_curves,
    plot_schedule,
    plot_verdict,
    save,
    schedule_data,
    verdict_data,
)
from eval.evidence.series import MEAN, read_curve
from eval.evidence.stats import judge
from tests.evidence.synthetic import make_failed, make_records, make_suite, write_store

KINDS = {
    "curves": (plot_curves, curve_data),
    "schedule": (plot_schedule, schedule_data),
    "verdict": (plot_verdict, verdict_data),
}


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory):
    suite, store = make_suite(), tmp_path_factory.mktemp("store")
    records = make_records(suite)
    write_store(store, records)
    return suite, records, store


def drawn_values(axes: Axes) -> list[float]:
    return sorted(y for line in axes.lines for y in line.get_ydata())


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_repeated_byte_for_byte(evidence, tmp_path: Path, kind: str):
    plot, data_of = KINDS[kind]
    written = []
    for name in ("one", "two"):
        paths = save(plot(*evidence), tmp_path / name / kind, data_of(*evidence))
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert b"<dc:date>" not in written[0][0]
    assert b"nan" not in written[0][1].lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_does_not_depend_on_the_order_of_the_records(evidence, kind: str):
    suite, records, store = evidence
    data_of = KINDS[kind][1]
    pd.testing.assert_frame_equal(
        data_of(suite, records[::-1], store), data_of(suite, records, store)
    )


def test_the_drawn_mean_is_the_mean_of_the_drawn_seeds(evidence):
    data = curve_data(*evidence)
    data = data[(data["arm"] == "random_ltd") & (data["step"] == 50)]
    seeds, mean = data[data["seed"] != MEAN], data[data["seed"] == MEAN]
    assert len(seeds) == 5
    assert mean["val_nll"].item() == pytest.approx(seeds["val_nll"].mean())
    assert mean["time_s"].item() == statistics.median(seeds["time_s"])
    assert set(data["n"]) == {5}


def test_time_is_that_of_a_core_at_the_small_tiers_and_of_a_gpu_at_the_large(evidence):
    suite, records, store = evidence
    (record,) = [r for r in records if r.experiment.arm == "random_ltd" and r.seed == 0]
    wall = read_curve(store, record)["wall_s"].iloc[-1]
    slow = replace(record, cost=replace(record.cost, train_wall_s=50.0, train_cpu_s=20.0))
    large = replace(slow, experiment=replace(slow.experiment, tier="gpu"))
    for each, share in ((slow, 0.4), (large, 1.0)):
        data = curve_data(suite, [each], store).query("seed == '0'")
        assert data["time_s"].iloc[-1] == pytest.approx(share * wall)


def test_every_drawn_line_is_in_the_data(evidence):
    data = curve_data(*evidence)
    left, right = plot_curves(*evidence).axes
    assert len(left.lines) == len(data.groupby(["arm", "seed"])) == 18
    assert drawn_values(left) == sorted(data["val_nll"])
    assert drawn_values(right) == sorted(data[data["seed"] == MEAN]["val_nll"])


def test_with_many_arms_their_means_alone_are_drawn(evidence, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("eval.evidence.plots._ARMS_WITH_SEEDS", 2)
    data, figure = curve_data(*evidence), plot_curves(*evidence)
    for axes in figure.axes:
        assert drawn_values(axes) == sorted(data[data["seed"] == MEAN]["val_nll"])
    assert "each seed" not in figure.get_suptitle()


def test_the_schedule_is_what_the_runs_used(evidence):
    suite, *_ = evidence
    data = schedule_data(*evidence)
    kept = data[data["arm"] == "random_ltd"].set_index("step")["kept"]
    schedule = suite.arm("random_ltd").kept
    assert kept.to_dict() == {step: schedule(step - 1) for step in range(1, 121)}


def test_the_drawn_interval_is_the_one_of_the_verdict(evidence):
    suite, records, _ = evidence
    data = verdict_data(*evidence)
    row = data[(data["seed"] == MEAN) & (data["arm"] == "random_ltd")].set_index("against")
    verdict = judge(suite, records)
    assert verdict.quality_interval is not None
    assert row.loc["baseline", "low"] == verdict.quality_interval.low
    assert verdict.shortened_interval is not None
    assert row.loc["shortened_baseline", "high"] == verdict.shortened_interval.high


def test_one_seed_is_drawn_without_an_interval(tmp_path: Path):
    suite = make_suite(seeds=(0,))
    records = make_records(suite)
    write_store(tmp_path, records)
    data = verdict_data(suite, records, tmp_path)
    assert MEAN not in set(data["seed"])
    (axes,) = plot_verdict(suite, records, tmp_path).axes
    assert all("n = 1, no interval" in label.get_text() for label in axes.get_yticklabels())


def test_labels_name_unit_tier_and_n(evidence):
    figure = plot_curves(*evidence)
    left, right = figure.axes
    assert left.get_ylabel() == "validation loss (nats per token)"
    assert left.get_xlabel() == "layer tokens (thousands)"
    assert "seconds" in right.get_xlabel()
    assert "descriptive only" in right.get_title(loc="left")
    assert "tier cpu" in figure.get_suptitle()
    assert "(n = 5)" in figure.legends[0].get_texts()[0].get_text()


def test_failed_runs_are_not_drawn(evidence):
    suite, records, store = evidence
    with_failed = [*records, make_failed(suite.arm("random_ltd"), 9)]
    pd.testing.assert_frame_equal(
        curve_data(suite, with_failed, store), curve_data(suite, records, store)
    )
    with pytest.raises(UserError, match="no run has finished"):
        curve_data(suite, with_failed[-1:], store)


def test_a_missing_curve_is_an_error_with_its_remedy(evidence, tmp_path: Path):
    suite, records, _ = evidence
    with pytest.raises(UserError, match="restore it from git"):
        plot_curves(suite, records, tmp_path)


def test_drawing_leaves_the_global_style_alone(evidence):
    before = dict(mpl.rcParams)
    plot_curves(*evidence)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == []


def test_arms_differ_in_colour_and_unknown_ones_get_their_own():
    looks = arm_looks([*ARMS, "zeta", "alpha"])
    assert list(looks)[-2:] == ["alpha", "zeta"]
    assert len({look.color for look in looks.values()}) == len(looks)
    assert looks["baseline"] is ARMS["baseline"]
