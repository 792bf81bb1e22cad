"""The plan of a suite: exact counts, stated assumptions, no download."""

from __future__ import annotations

import pytest

from eval.__main__ import main
from eval.errors import UserError
from eval.models.named import MODELS
from eval.plan import Machine, arm_costs, plan_lines
from eval.spec import Tier
from eval.suites import SUITES, suite
from tests.eval.experiments import arm, whole_run

DECLARED = [(name, tier) for name, entry in SUITES.items() for tier in entry.declared]


@pytest.mark.parametrize(("name", "tier"), DECLARED)
def test_every_declared_suite_has_a_plan_or_says_what_is_missing(name: str, tier: Tier) -> None:
    declared = suite(name, tier)
    model = MODELS.get(declared.arms[0].model)
    if model is not None and model.asset is not None:
        said = rf"not in the cache; run \./rltd assets --fetch {model.asset}"
        with pytest.raises(UserError, match=said):
            arm_costs(declared)
        return
    costs = arm_costs(declared)
    assert [c.arm for c in costs] == [e.arm for e in declared.arms]
    text = "\n".join(plan_lines(declared, Machine()))
    assert all(e.arm in text for e in declared.arms)
    assert "Assumed:" in text


def test_the_headline_costs_what_the_paper_says_in_layer_tokens() -> None:
    costs = {c.arm: c for c in arm_costs(suite("gpt_pretrain", "paper"))}
    layer_tokens = costs["random_ltd"].layer_tokens / costs["random_ltd"].num_layers
    assert round(layer_tokens / 1e9, 1) == 209.0
    assert round(costs["baseline"].tokens / 1e9, 1) == 300.0
    # 6 FLOPs for a matrix weight and token, and attention: 12 layers L, width D, length S.
    inside, head = 24 * 12 * 2048**2, 50257 * 2048
    flops = 6 * (inside + head) + 12 * 24 * 2048 * 2048
    assert costs["baseline"].flops == costs["baseline"].tokens * flops


@pytest.mark.usefixtures("smoke")
def test_the_plan_of_a_run_is_what_its_record_says(tmp_path: object) -> None:
    planned = {c.arm: c for c in arm_costs(suite("gpt_finetune", "smoke"))}
    for name in ("random_ltd", "shortened_baseline"):
        cost = whole_run(arm(name), tmp_path).cost  # type: ignore[arg-type]
        assert cost is not None
        plan = planned[name]
        assert (plan.steps, plan.tokens, plan.layer_tokens, plan.flops) == (
            cost.steps,
            cost.tokens,
            cost.layer_tokens,
            cost.flops,
        )


def test_hours_are_flops_over_the_reached_rate() -> None:
    machine = Machine(gpus=8, tflops=100.0, utilisation=0.5)
    assert machine.gpu_hours(36 * 10**17, "bf16") == pytest.approx(20.0)
    assert Machine().gpu_hours(989 * 36 * 10**14, "bf16") == pytest.approx(2.5)
    assert Machine().peak("no") < Machine().peak("bf16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["gpt_pretrain", "--gpus", "0"], "--gpus of at least 1"),
        (["gpt_pretrain", "--mfu", "1.5"], "--mfu in 0..1"),
        (["gpt_pretrain", "--gpus", "48"], "48 processes cannot share evenly"),
        (["nonsense"], "unknown suite 'nonsense'"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *options]) == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_table_space_and_assumptions(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--gpus", "64", "--gpu-tflops", "312", "--mfu", "0.3"]
    assert main(["plan", "gpt_pretrain", "--tier", "paper", *options]) == 0
    printed = capsys.readouterr().out
    row = next(line for line in printed.splitlines() if line.startswith("random_ltd "))
    assert "300.0 B" in row
    assert "209.0 B" in row
    assert "30.3 %" in row
    assert "a peak of 312 TFLOP/s a GPU in bfloat16 (as given)" in printed
    assert "0.3 of it reached" in printed
    assert row.endswith(" 3.7 days")  # 1.91e21 FLOPs at 64 x 312e12 x 0.3 a second
    assert "26.31 GB for weights" in printed  # 20 bytes for each of 1.3157 B parameters


def test_what_takes_seconds_is_told_in_seconds_of_one_gpu(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "gpt_pretrain", "--tier", "cpu"]) == 0
    printed = capsys.readouterr().out
    (row,) = [line for line in printed.splitlines() if line.startswith("baseline ")]
    hours = Machine().gpu_hours(arm_costs(suite("gpt_pretrain"))[0].flops, "bf16")
    assert row.endswith(f" {3600 * hours:.1f} s")
    assert "1 GPUs" not in printed
