"""What the notebooks about the method compute and draw."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.bench.shapes import cost_of, shape
from eval.explain.advice import advice, ceilings, plan_table, plot_ceilings, plot_step_ratios
from eval.explain.clocks import (
    learning_rates,
    plot_kept_lengths,
    plot_learning_rates,
    plot_step_cost,
)
from eval.explain.kept_map import (
    computed_tokens,
    plot_kept_map,
    plot_one_layer,
    plot_times_computed,
)
from eval.explain.real_model import real_model
from eval.explain.savings import (
    CLAIMED_SAVING,
    plot_saving_by_ramp,
    ramp_for_saving,
    savings,
    shown_savings,
)
from eval.paths import RESULTS
from rltd_core import KeptLength, LayerTokenLR, RandomLTD
from tests.eval.test_bench import made_up_timing


def lines(axes: Axes) -> dict[str, Any]:
    return {str(line.get_label()): line for line in axes.get_lines()}


def in_size(figure: Figure) -> None:
    """Assert that everything that is drawn lies on the figure."""
    figure.savefig(io.BytesIO())  # lays it out
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.1
    assert box.y0 > -0.1
    assert box.x1 < width + 0.1
    assert box.y1 < height + 0.1


def test_every_published_count_comes_out_to_the_digit() -> None:
    table = savings()
    counted = table[table["quantity"].isin(["layer tokens", "effective tokens"])]
    assert len(counted) == 4
    assert list(counted["ours"]) == list(counted["published"])
    by_setting = table.set_index("setting")["layer_token_saving_frac"]
    expected = {"BERT": 0.311434, "ViT-B/16 on ImageNet": 0.2234, "ViT-B/16 on CIFAR": 0.2616}
    for start, saving in expected.items():
        (found,) = [value for name, value in by_setting.items() if str(name).startswith(start)]
        assert found == pytest.approx(saving, abs=5e-5)


def test_a_published_count_is_shown_whole_and_a_missing_one_is_left_out() -> None:
    shown = shown_savings(savings())
    assert "305,784,192" in list(shown["published"])
    assert "31.1434 %" in list(shown["ours"])
    assert not shown[["published", "ours"]].map(lambda cell: "nan" in cell.lower()).any(axis=None)


def test_every_published_saving_says_where_it_was_read() -> None:
    with (RESULTS / "paper" / "savings.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["locator"]
            assert row["evidence"] in {"authors' documentation", "authors' history"}
            assert bool(row["published"]) == bool(row["quantity"])


def test_the_ramp_that_saves_a_third_is_found_and_does() -> None:
    layers = {"num_layers": 24, "num_dropping": 22}
    fraction = ramp_for_saving(CLAIMED_SAVING, **layers, start=128, full=2048)
    schedule = KeptLength(start=128, full=2048, ramp_steps=round(fraction * 10**6), quantum=1)
    cost = cost_of(shape("gpt3-1.3b"))
    saved = cost.layer_token_saving(schedule, num_steps=10**6, length=2048)
    assert saved == pytest.approx(CLAIMED_SAVING, abs=5e-4)
    with pytest.raises(ValueError, match="saves less than 60"):
        ramp_for_saving(0.6, **layers, start=128, full=2048)
    in_size(plot_saving_by_ramp(savings()))


@pytest.mark.parametrize("authors_form", [False, True])
def test_the_drawn_learning_rate_is_the_one_that_training_uses(authors_form: bool) -> None:
    model = shape("tiny-gpt2").make(32)
    schedule = KeptLength(start=8, full=32, ramp_steps=12)
    ltd = RandomLTD(model, schedule)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    run = {"warmup": 3, "batch": 2, "length": 32, "minimum": 0.2}
    options = {"shape": "cosine", "authors_form": authors_form}
    lr = LayerTokenLR(optimizer, ltd, total=20, **options, **run)
    table = learning_rates(ltd.cost, schedule, num_steps=20, peak=0.5, decay="cosine", **run)
    drawn = table["layer tokens, authors' form" if authors_form else "layer tokens"]
    ids = torch.zeros(2, 32, dtype=torch.long)
    for step in range(21):
        assert table["step"][step] == step
        assert table["kept"][step] == ltd.kept
        assert drawn[step] == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        model(ids)
        optimizer.step()
        ltd.step()
        lr.step()
    in_size(plot_learning_rates(table))


def test_kept_lengths_are_drawn_as_the_schedule_says() -> None:
    schedule = KeptLength(start=8, full=32, ramp_steps=12)
    figure = plot_kept_lengths({"a": schedule, "b": schedule}, num_steps=20)
    for line in lines(figure.axes[0]).values():
        x, y = line.get_data()
        assert list(y) == [schedule(int(step)) for step in x]
    in_size(figure)


def test_the_cost_of_a_step_is_drawn_with_what_the_run_saves() -> None:
    cost, schedule = cost_of(shape("tiny-gpt2")), KeptLength(start=8, full=32, ramp_steps=12)
    run = {"num_steps": 20, "batch": 2, "length": 32}
    figure = plot_step_cost(cost, schedule, **run)
    saving = cost.flop_saving(schedule, **run)
    (line,) = [v for k, v in lines(figure.axes[0]).items() if k.startswith("FLOPs")]
    assert f"{saving:.1%}" in str(line.get_label())
    assert 1 - np.mean(line.get_ydata()) == pytest.approx(saving)


def test_the_kept_map_is_the_draw_of_the_latest_forward() -> None:
    model, inputs, words = real_model("smoke")
    length = len(words)
    ltd = RandomLTD(model, KeptLength(start=7, full=length, ramp_steps=9, quantum=1), layers=(1, 3))
    with pytest.raises(ValueError, match="no draw to show"):
        computed_tokens(ltd, length)
    model(**inputs)
    computed_LS = computed_tokens(ltd, length)
    assert ltd.kept_LBK is not None
    assert list(computed_LS.sum(axis=1)) == [length, 7, length, 7, length]
    for ordinal, layer in enumerate((1, 3)):
        assert np.flatnonzero(computed_LS[layer]).tolist() == ltd.kept_LBK[ordinal, 0].tolist()
    in_size(plot_kept_map(computed_LS, words))
    in_size(plot_kept_map(computed_LS))
    bars = plot_times_computed(computed_LS, 2, 7).axes[0].patches
    assert [bar.get_height() for bar in bars] == np.bincount(
        computed_LS[[1, 3]].sum(axis=0), minlength=3
    ).tolist()


def test_one_layer_is_drawn_with_its_dropped_tokens_framed() -> None:
    x_SD = torch.randn(6, 4)
    figure = plot_one_layer(x_SD, torch.tensor([1, 4]), x_SD)
    assert len(figure.axes[2].patches) == 4
    in_size(figure)


def test_the_plan_says_what_paper_flops_and_clock_save() -> None:
    timing = made_up_timing()
    schedule = KeptLength(start=8, full=32, ramp_steps=80)
    table = plan_table(timing, schedule, num_steps=100)
    run = {"num_steps": 100, "length": 32, "batch": 2}
    tokens, flops, time, noise = table["saved_frac"]
    assert noise == pytest.approx(0)
    assert tokens == timing.cost.layer_token_saving(schedule, **run)
    assert flops == timing.cost.flop_saving(schedule, **run)
    assert advice(table).startswith(f"Saves about {time:.1%}")
    table.loc[2, "saved_frac"] = 0.01
    assert advice(table).startswith("Does not pay here")


def test_measured_ratios_are_drawn_beside_the_computed_ones() -> None:
    figure = plot_step_ratios([made_up_timing()])
    drawn = lines(figure.axes[0])
    x, y = drawn["FLOPs"].get_data()
    cost = made_up_timing().cost
    assert list(x) == [0.25, 0.5, 1.0]
    assert list(y) == [cost.flops(k, 32) / cost.flops(32, 32) for k in (8, 16, 32)]
    in_size(figure)


def test_a_large_vocabulary_in_a_narrow_model_lowers_the_ceiling() -> None:
    left = plot_ceilings().axes[0]
    small, _, large = (line.get_ydata() for line in left.get_lines())
    assert all(np.asarray(large) < np.asarray(small))
    assert list(large) == sorted(large)
    table = ceilings(["gpt2", "vit-base"]).set_index("model")["ceiling"].astype(float)
    assert table["gpt2"] < 0.85 < table["vit-base"]
