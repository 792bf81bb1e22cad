"""Figures of images: accuracy beside the kept length, the authors' run, and the cost."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from eval.evidence.canvas import save
from eval.evidence.images.plots import plot_accuracy, plot_cost, plot_recovery
from eval.evidence.images.series import AUTHORS, accuracy_data, cost_data, recovery_data, reference
from eval.record import Cost, Measurement, Record
from eval.spec import Experiment, Suite
from eval.suites import suite as declared_suite
from tests.evidence.synthetic import make_record

SEEDS = (0, 1, 2)
FLOPS = {"baseline": 1000, "shortened_baseline": 790, "patch_drop": 770}
KINDS: dict[str, tuple[Callable[..., Any], Callable[..., pd.DataFrame]]] = {
    "accuracy": (plot_accuracy, accuracy_data),
    "recovery": (plot_recovery, recovery_data),
    "cost": (plot_cost, cost_data),
}
Evidence = tuple[Suite, list[Record], Path]


def accuracy(e: Experiment, seed: int, step: int) -> float:
    """Return what a curve has at a step: better with every step and every kept token."""
    kept = e.kept(max(step - 1, 0)) / e.length
    return round(0.2 + 0.5 * kept * step / 1000 + 0.01 * seed, 6)


def record(e: Experiment, seed: int) -> Record:
    score = 0.8 + 0.01 * seed - {"random_ltd": 0.01, "patch_drop": 0.03}.get(e.arm, 0.0)
    made = make_record(e, seed, 1.0)
    assert made.cost is not None
    cost: Cost = dataclasses.replace(made.cost, flops=FLOPS.get(e.arm, 785))
    scored = Measurement(value=score, unit="fraction", split="test", n=5000, standard_error=0.005)
    return dataclasses.replace(made, cost=cost, measurements={"accuracy": scored})


def write_curve(store: Path, made: Record) -> None:
    e, rows = made.experiment, []
    for step in range(e.steps + 1):
        point = step % e.curve_every == 0 or step == e.steps
        score = accuracy(e, made.seed, step) if point else None
        rows.append({"step": step, "kept": e.kept(step - 1) if step else None})
        rows[-1] |= {"val_nll": 1.0 if point else None, "val_accuracy": score}
    path = store / str(made.curve)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(path, index=False)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    suite, store = declared_suite("vit_finetune"), tmp_path_factory.mktemp("store")
    suite = dataclasses.replace(suite, seeds=SEEDS)
    records = [record(arm, seed) for arm in suite.arms for seed in SEEDS]
    for made in records:
        write_curve(store, made)
    return suite, records, store


def test_accuracy_and_kept_length_are_those_of_the_curves(evidence: Evidence) -> None:
    suite, _, _ = evidence
    data = accuracy_data(*evidence)
    ramp = suite.arm("random_ltd").kept
    budget = ceil((2 * 65 + 4 * fmean(ramp(step) for step in range(1000))) / 6)  # of six layers
    for row in data[data["seed"] != "mean"].itertuples():
        e: Any = suite.arm(str(row.arm))
        assert row.accuracy == accuracy(e, int(str(row.seed)), int(str(row.step)))
        entering = budget if e.arm == "patch_drop" else e.kept(max(int(str(row.step)) - 1, 0))
        assert row.kept_frac == pytest.approx(entering / 65, abs=1e-12)
        assert row.run == pytest.approx(int(str(row.step)) / e.steps, abs=1e-12)


def test_the_mean_is_over_the_seeds_and_only_of_steps_that_all_have(
    evidence: Evidence, tmp_path: Path
) -> None:
    suite, records, store = evidence
    data = accuracy_data(suite, records, store)
    means: Any = data.query("seed == 'mean' and arm == 'random_ltd'")
    for row in means.itertuples():
        each = [accuracy(suite.arm("random_ltd"), seed, row.step) for seed in SEEDS]
        assert row.accuracy == pytest.approx(fmean(each), abs=1e-12)
    for made in records:
        write_curve(tmp_path, made)
    path = tmp_path / str(next(r for r in records if r.experiment.arm == "random_ltd").curve)
    pd.read_csv(path).iloc[:501].to_csv(path, index=False)
    shorter: Any = accuracy_data(suite, records, tmp_path)
    steps = shorter.query("seed == 'mean' and arm == 'random_ltd'")["step"]
    assert max(steps) == 500


def test_the_reference_run_is_the_authors_fourteen_epochs(evidence: Evidence) -> None:
    points = reference()
    assert [int(p.epoch) for p in points] == list(range(1, 15))
    kept = [int(p.kept) for p in points]
    assert kept == [min(197, 32 + 16 * epoch) if epoch < 11 else 197 for epoch in range(1, 15)]
    # Poor below 0.8 of the tokens, and then it recovers: what the figure shows.
    for point in points:
        few = int(point.kept) / int(point.full) < 0.8
        assert (float(point.accuracy) < 25) == few
    theirs: Any = recovery_data(*evidence).query("arm == @AUTHORS")
    assert list(theirs["accuracy"]) == pytest.approx([float(p.accuracy) / 100 for p in points])
    assert theirs["run"].iloc[-1] == 1
    assert set(recovery_data(*evidence)["arm"]) == {"baseline", "random_ltd", AUTHORS}


def test_cost_is_the_flops_saved_beside_the_paired_difference(evidence: Evidence) -> None:
    data = cost_data(*evidence)
    assert "baseline" not in set(data["arm"])
    for row in data.itertuples():
        assert row.flop_saving_frac == pytest.approx(1 - FLOPS.get(str(row.arm), 785) / 1000)
    means: Any = data.query("seed == 'mean'").set_index("arm")["difference"]
    assert means["patch_drop"] == pytest.approx(-0.03, abs=1e-9)
    assert means["random_ltd"] == pytest.approx(-0.01, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_repeated_byte_for_byte_and_lies_on_its_paper(
    evidence: Evidence, tmp_path: Path, kind: str
) -> None:
    plot, data_of = KINDS[kind]
    written = []
    for name in ("one", "two"):
        figure = plot(*evidence)
        paths = save(figure, tmp_path / name / kind, data_of(*evidence))
        written.append([path.read_bytes() for path in paths])
        figure.savefig(io.BytesIO())  # lays it out
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.1
        assert box.y0 > -0.1
        assert box.x1 < width + 0.1
        assert box.y1 < height + 0.1
    assert written[0] == written[1]
    plt.close("all")


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_draws_the_numbers_beside_it(evidence: Evidence, kind: str) -> None:
    plot, data_of = KINDS[kind]
    data, figure = data_of(*evidence), plot(*evidence)
    if kind == "cost":
        numbers, axis = data["difference"], 0
    else:
        means: Any = data.query("seed == 'mean'") if "seed" in data else data
        numbers, axis = means["accuracy"], 1
    drawn = {round(float(point[axis]), 9) for axes in figure.axes for point in points(axes)}
    assert {round(float(value), 9) for value in numbers} <= drawn


def points(axes: Any) -> list[Any]:
    """Return every line's and every scatter's points, as (x, y)."""
    lines = [point for line in axes.get_lines() for point in line.get_xydata()]
    return lines + [point for dots in axes.collections for point in dots.get_offsets()]


def test_nothing_but_the_start_is_cut_off(evidence: Evidence) -> None:
    data, (above, _) = accuracy_data(*evidence), plot_accuracy(*evidence).axes
    low, high = above.get_ylim()
    means: Any = data.query("seed == 'mean' and step > 0")["accuracy"]
    assert all(low < mean < high for mean in means)
    assert high - low < 1.2 * (max(means) - min(means))


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_says_how_many_seeds_there_are(evidence: Evidence, kind: str) -> None:
    plot, _ = KINDS[kind]
    suite, records, store = evidence
    for seeds in (SEEDS, SEEDS[:1]):
        some = [record for record in records if record.seed in seeds]
        figure = plot(suite, some, store)
        texts = (
            figure.legends[0].get_texts() if figure.legends else figure.axes[0].get_yticklabels()
        )
        ours = [text.get_text() for text in texts if "authors" not in text.get_text()]
        assert ours
        assert all(f" (n = {len(seeds)})" in label for label in ours)
        assert ("one seed, so no interval" in figure.get_suptitle()) == (len(seeds) == 1)
