"""Timings: what is measured, what is computed from it, and how it is written down."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, LlamaConfig

from eval.__main__ import main
from eval.bench.ratios import predicted_saving, ratios
from eval.bench.records import load_bench, write_bench
from eval.bench.shapes import SHAPES, TIERS, cost_of, shape
from eval.bench.step import StepTime, Timing, measure
from eval.errors import UserError
from eval.evidence.bench_page import (
    bench_headline,
    bench_page,
    bench_table,
    noise_note,
    step_table,
)
from rltd_core import KeptLength, RandomLTD


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Give the number of threads back that the command sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


SMOKE = [shape(name) for name in TIERS["smoke"]]
COST = cost_of(shape("tiny-gpt2"))


def made_up_timing() -> Timing:
    """Return three rounds of known seconds on a machine that slows down from round to round."""
    steps = []
    for index, slow in ((1, 1.0), (2, 2.0), (3, 4.0)):
        for arm in ("baseline", "again", "attached"):
            steps.append(_step(index, arm, 32, slow * 4.0, slow))
        steps.append(_step(index, "dropping", 16, slow * 3.0 * 1.1**index, slow))
        steps.append(_step(index, "dropping", 8, slow * 2.0, slow))
    return Timing(
        shape="tiny-gpt2",
        length=32,
        batch=2,
        parameters=1,
        device="cpu",
        precision="float32",
        threads=1,
        cost=COST,
        steps=tuple(steps),
    )


def _step(index: int, arm: str, kept: int, forward_s: float, slow: float) -> StepTime:
    return StepTime(
        round=index,
        arm=arm,
        kept=kept,
        forward_s=forward_s,
        backward_s=2 * forward_s,
        optimizer_s=slow,
        peak_bytes=None,
    )


def row(kept: int, arm: str = "dropping") -> dict[str, Any]:
    (found,) = [
        r
        for r in ratios([made_up_timing()]).to_dict("records")
        if (r["arm"], r["kept"]) == (arm, kept)
    ]
    return found


@pytest.mark.parametrize("each", SMOKE, ids=lambda s: s.name)
def test_every_arm_takes_one_step_a_round_in_an_order_of_its_own(each) -> None:
    timing = measure(each, [5, 9], rounds=4)
    full = {(arm, each.length) for arm in ("baseline", "again", "attached")}
    arms = full | {("dropping", 5), ("dropping", 9)}
    orders = []
    for index in range(1, 5):
        steps = [s for s in timing.steps if s.round == index]
        assert {(s.arm, s.kept) for s in steps} == arms
        orders.append([(s.arm, s.kept) for s in steps])
    assert any(order != orders[0] for order in orders)
    assert all(min(s.forward_s, s.backward_s, s.optimizer_s) > 0 for s in timing.steps)
    assert timing.cost.num_dropping == timing.cost.num_layers - 2


def test_an_arm_drops_what_it_says_and_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    detach = RandomLTD.detach

    def record(self: RandomLTD) -> None:
        kept_LBK = self.kept_LBK
        seen.append(None if kept_LBK is None else kept_LBK.shape[-1])
        detach(self)

    monkeypatch.setattr(RandomLTD, "detach", record)
    timing = measure(SMOKE[0], [5], rounds=3)
    # The first is the look at the cost; then every attached arm of four rounds.
    assert sorted(seen[1:], key=str) == 4 * [5] + 4 * [None]
    assert timing.length == 32


@pytest.mark.parametrize("kept", [[0], [32], [5, 99]])
def test_a_kept_length_that_drops_nothing_is_refused(kept: list[int]) -> None:
    with pytest.raises(UserError, match=r"must lie in 1\.\.31"):
        measure(SMOKE[0], kept, rounds=1)


def test_a_ratio_is_the_median_of_those_paired_within_a_round() -> None:
    # 3 * 1.1**i of 4 in forward and backward, which take all but the optimizer's second.
    found = row(16)
    assert found["compute_ratio"] == pytest.approx(3 * 1.1**2 / 4)
    assert found["step_ratio"] == pytest.approx((9 * 1.1**2 + 1) / 13)
    assert row(32, "attached")["step_ratio"] == pytest.approx(1)
    assert found["step_low"] is None  # three rounds have no interval


@pytest.mark.parametrize(("rounds", "below"), [(5, 1), (8, 2), (11, 3), (20, 6)])
def test_the_interval_of_a_median_lies_between_order_statistics(rounds: int, below: int) -> None:
    """The k-th smallest of n, with P(Binomial(n, 1/2) < k) at most 5 %: from a table."""
    steps = [_step(i, "baseline", 32, 1.0, 1.0) for i in range(rounds)]
    values = [0.5 + 0.01 * (7 * i % rounds) for i in range(rounds)]
    steps += [_step(i, "dropping", 16, value, 1.0) for i, value in enumerate(values)]
    timing = replace(made_up_timing(), steps=tuple(steps))
    (found,) = [r for r in ratios([timing]).to_dict("records") if r["arm"] == "dropping"]
    low, high = sorted(values)[below - 1], sorted(values)[-below]
    assert (found["compute_low"], found["compute_high"]) == pytest.approx((low, high))


def test_the_saving_is_set_against_that_of_the_flops() -> None:
    flop_ratio = COST.flops(8, 32) / COST.flops(32, 32)
    found = row(8)
    assert found["flop_ratio"] == pytest.approx(flop_ratio)
    assert found["layer_token_ratio"] == pytest.approx((2 * 32 + 2 * 8) / (4 * 32))
    assert found["saving_over_flop_saving"] == pytest.approx((1 - 0.5) / (1 - flop_ratio))
    assert found["optimizer_frac"] == pytest.approx(1 / 7)


def test_a_run_is_predicted_step_by_step_from_the_measured_ratios() -> None:
    timing = made_up_timing()
    schedule = KeptLength(start=4, full=32, ramp_steps=20, quantum=4)
    at = {kept: r["step_ratio"] for kept, r in {4: row(8), 8: row(8), 16: row(16)}.items()}
    at[32] = 1.0
    at[12] = (at[8] + at[16]) / 2
    for i, kept in enumerate((20, 24, 28), start=1):
        at[kept] = at[16] + i * (at[32] - at[16]) / 4
    spent = sum(at[schedule(step)] for step in range(25))
    assert predicted_saving(timing, schedule, num_steps=25) == pytest.approx(1 - spent / 25)


def test_a_record_survives_and_is_written_once(tmp_path: Path) -> None:
    timing = made_up_timing()
    path = write_bench(tmp_path, "smoke", [timing])
    (record,) = load_bench(tmp_path)
    assert (record.tier, record.timings) == ("smoke", (timing,))
    assert record.provenance["hardware"]["cores"] >= 1
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(UserError, match="has schema 99"):
        load_bench(tmp_path)


def test_two_records_of_one_second_are_not_mixed_up(tmp_path: Path, monkeypatch) -> None:
    moment = {"created": "2026-01-02T03:04:05+00:00"}
    monkeypatch.setattr("eval.bench.records.origin", lambda: moment)
    write_bench(tmp_path, "smoke", [made_up_timing()])
    with pytest.raises(UserError, match="written once"):
        write_bench(tmp_path, "smoke", [made_up_timing()])


def test_the_page_shows_measured_and_computed_ratios_and_the_machine(tmp_path: Path) -> None:
    write_bench(tmp_path, "smoke", [made_up_timing()])
    records = load_bench(tmp_path)
    page, block = bench_page(records), bench_headline(records)
    assert f"{row(8)['flop_ratio']:.3f}" in page
    assert "Tier smoke" in block
    assert re.search(r"\| baseline +\|", page)
    assert not re.search(r"\| baseline +\|", block)
    assert "| baseline again |" in page
    shares = [(1 - row(k)["step_ratio"]) / (1 - row(k)["layer_token_ratio"]) for k in (8, 16)]
    assert f"saving {min(shares):.2f} to {max(shares):.2f} arrive in a whole step" in page
    assert len(bench_table(records)) == 5
    assert "peak GiB" not in step_table(records[0].timings)


def test_a_baseline_that_strays_from_itself_is_called_noise() -> None:
    timing = made_up_timing()
    assert noise_note(timing) == ""
    slow = tuple(
        replace(s, forward_s=1.2 * s.forward_s) if s.arm == "again" else s for s in timing.steps
    )
    assert "strays by 6%" in noise_note(replace(timing, steps=slow))


def test_the_command_takes_as_many_threads_as_the_environment_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eval.bench.command.OUT", tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # torch has read it before
    torch.set_num_threads(1)
    assert main(["bench", "step", "--models", "tiny-gpt2", "--rounds", "1"]) == 0
    assert "cpu, 1 threads" in capsys.readouterr().out


def test_memory_is_shown_where_it_was_measured() -> None:
    timing = made_up_timing()
    steps = tuple(replace(step, peak_bytes=3 * 2**30) for step in timing.steps)
    assert set(step_table([replace(timing, steps=steps)])["peak GiB"]) == {"3.00"}


@pytest.mark.parametrize("name", SHAPES)
def test_the_cost_of_a_shape_is_that_of_its_architecture(name: str) -> None:
    cost = cost_of(shape(name))
    layers, width = (cost.num_layers, cost.attention_width)
    published = {
        "gpt2": (12, 768), "gpt2-medium": (24, 1024), "gpt3-1.3b": (24, 2048),
        "bert-base": (12, 768), "bert-large": (24, 1024), "vit-base": (12, 768),
        "vit-large": (24, 1024),
    }  # fmt: skip
    assert (layers, width) == published.get(name, (layers, width))
    assert cost.block_weights == 12 * width**2
    assert cost.num_dropping == layers - 2


@pytest.mark.parametrize(
    ("config", "architecture"),
    [(LlamaConfig, "LlamaForCausalLM"), (BertConfig, "BertForMaskedLM")],
)
def test_a_folder_with_a_config_is_a_model(config, architecture: str, tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    config(
        **sizes, intermediate_size=64, vocab_size=99, architectures=[architecture]
    ).save_pretrained(tmp_path)
    found = shape(str(tmp_path)).sized(length=24, batch=2)
    assert type(found.make(24)).__name__ == architecture
    assert {s.kept for s in measure(found, [8], rounds=1).steps} == {8, 24}


def test_a_model_of_timm_has_its_own_length() -> None:
    tiny = shape("timm:vit_tiny_patch16_224")
    assert tiny.length == 197
    with pytest.raises(UserError, match="always has 197 tokens"):
        tiny.sized(length=64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "nonsense"], "unknown model 'nonsense'"),
        (["--models", "timm:nonsense"], "timm has no model 'nonsense'"),
        (["--models", "timm:resnet18"], "is no VisionTransformer"),
        (["--kept", "1.5"], "--kept takes fractions between 0 and 1, got 1.5"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--length", "9"], "--length and --batch are for --models"),
        (["--record", "--models", "tiny-gpt2"], "--record"),
    ],
)
def test_what_cannot_be_timed_is_one_clear_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "step", "--tier", "smoke", "--rounds", "1", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_the_table_and_writes_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eval.bench.command.OUT", tmp_path)
    assert main(["bench", "step", "--tier", "smoke", "--rounds", "2", "--threads", "1"]) == 0
    printed = capsys.readouterr().out
    assert all(each.name in printed for each in SMOKE)
    assert printed.startswith("cpu, 1 threads, float32, 2 rounds\n")
    (record,) = load_bench(tmp_path)
    assert [t.shape for t in record.timings] == list(TIERS["smoke"])
    assert {t.threads for t in record.timings} == {1}
