"""Numbers that the authors printed or published, to the digit, from their settings.

Sources: paper.md 4.2 and 4.3, peers.md (a), which quote the authors' logs, notebook and tutorial.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rltd_core import Family, KeptLength, RandomLTD, TransformerCost, random_shared
from rltd_core.families import FAMILIES, register_family

BILLION = 10**9


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One of the authors' runs: a model of `layers`, all but two of them dropping."""

    layers: int
    start: int
    full: int
    ramp: float
    """Optimizer steps; for token-indexed ramps billions of tokens for each 16 more."""
    steps: int
    batch: int
    quantum: int = 8

    @property
    def cost(self) -> TransformerCost:
        unused: dict[str, int] = {"block_weights": 1, "attention_width": 1, "head_weights": 0}
        return TransformerCost(num_layers=self.layers, num_dropping=self.layers - 2, **unused)

    @property
    def run(self) -> dict[str, int]:
        return {"num_steps": self.steps, "batch": self.batch, "length": self.full}

    def deepspeed(self) -> KeptLength:
        schedule: dict[str, Any] = {"start": self.start, "full": self.full}
        schedule |= {"ramp_steps": int(self.ramp), "quantum": self.quantum}
        return KeptLength(rounding="deepspeed", **schedule)

    def interval(self) -> KeptLength:
        interval = round(self.ramp * BILLION)
        return KeptLength.from_interval(start=self.start, full=self.full, interval_tokens=interval)

    def slow_deepspeed(self) -> Iterator[int]:
        """Yield every step's kept length. Source: paper.md 2.1, step-indexed form."""
        for step in range(self.steps):
            kept = math.floor(step / self.ramp * (self.full - self.start) + self.start)
            yield min(kept - kept % self.quantum, self.full)

    def slow_interval(self) -> Iterator[int]:
        """Yield every step's kept length. Source: paper.md 2.1, token-indexed form."""
        interval, per_step = round(self.ramp * BILLION), self.batch * self.full
        for step in range(self.steps):
            yield min(step * per_step // interval * 16 + self.start, self.full)

    def slow_layer_tokens(self, kept_lengths: Iterator[int]) -> int:
        """Source: paper.md 3.2, N(t)."""
        return sum(self.batch * (2 * self.full + (self.layers - 2) * r) for r in kept_lengths)


# The counter of the CIFAR run reads 32 from the JSON, though the loader's batch is 128.
CIFAR = Setting(layers=12, start=32, full=197, ramp=3910, steps=5474, batch=32)
CIFAR_LARGE = Setting(layers=24, start=32, full=197, ramp=3910, steps=5474, batch=32)
GPT2_MEDIUM = Setting(layers=24, start=128, full=1024, ramp=400, steps=524, batch=4)
GPT2 = Setting(layers=12, start=256, full=1024, ramp=400, steps=524, batch=4)
BERT = Setting(layers=24, start=128, full=512, ramp=38, steps=2_000_000, batch=1024)
BERT_200 = Setting(layers=24, start=200, full=512, ramp=48, steps=2_000_000, batch=1024)


@pytest.mark.parametrize(
    ("setting", "layer_tokens"),
    [(CIFAR, 305_784_192), (GPT2_MEDIUM, 35_567_104), (GPT2, 19_534_848)],
    ids=["vit-base", "gpt2-medium", "gpt2"],
)
def test_the_layer_tokens_of_the_logs(setting: Setting, layer_tokens: int) -> None:
    # paper.md 4.2; peers.md (a) and (c) for the settings.
    total = setting.cost.run_layer_tokens(setting.deepspeed(), **setting.run)
    assert total == setting.slow_layer_tokens(setting.slow_deepspeed()) == layer_tokens


@pytest.mark.parametrize(
    ("setting", "saving"),
    [(CIFAR, "26.16%"), (CIFAR_LARGE, "28.77%"), (GPT2_MEDIUM, "30.95%"), (GPT2, "24.15%")],
    ids=["vit-base", "vit-large", "gpt2-medium", "gpt2"],
)
def test_the_savings_of_finetuning(setting: Setting, saving: str) -> None:
    # paper.md 4.2.
    cost, schedule = setting.cost, setting.deepspeed()
    assert f"{cost.layer_token_saving(schedule, **setting.run):.2%}" == saving


def test_the_dense_runs_beside_them() -> None:
    for setting, dense in ((GPT2_MEDIUM, 51_511_296), (GPT2, 25_755_648)):
        full = KeptLength(start=setting.full, full=setting.full, ramp_steps=0)
        assert setting.cost.run_layer_tokens(full, **setting.run) == dense


@pytest.mark.parametrize(
    ("setting", "saving"), [(BERT, "31.1434%"), (BERT_200, "26.2261%")], ids=["128", "200"]
)
def test_the_savings_of_bert_on_a_ramp_in_tokens(setting: Setting, saving: str) -> None:
    cost, schedule = setting.cost, setting.interval()
    layer_tokens = cost.run_layer_tokens(schedule, **setting.run)
    assert layer_tokens == setting.slow_layer_tokens(setting.slow_interval())
    assert f"{cost.layer_token_saving(schedule, **setting.run):.4%}" == saving


def test_bert_is_full_at_the_iteration_of_the_configuration() -> None:
    # paper.md 2.2: `require_steps 1739502`; 4.2: the notebook, whose run has one step more,
    # prints 0.31143425.
    schedule = BERT.interval()
    assert [schedule.at_step(s, 1024 * 512) for s in (1_739_501, 1_739_502)] == [496, 512]
    more = {**BERT.run, "num_steps": 2_000_001}
    assert f"{BERT.cost.layer_token_saving(schedule, **more):.8f}" == "0.31143425"


def test_the_saving_of_the_vit_on_imagenet() -> None:
    # paper.md 4.2: 66 -> 197 over 0.8 of the run, one token at a time; blog: 77.7 % of the data.
    steps = 14 * 5005
    schedule = KeptLength(start=66, full=197, ramp_steps=steps * 8 // 10, quantum=1)
    saving = CIFAR.cost.layer_token_saving(schedule, num_steps=steps, length=197)
    assert (f"{saving:.2%}", f"{1 - saving:.1%}") == ("22.34%", "77.7%")


@pytest.mark.parametrize(
    ("raw", "ramp", "batch", "per_layer", "saving", "full_at"),
    [
        (300, 1.75, 512, "209.0", "30.3%", "70.0%"),
        (180, 1, 512, "128.0", "28.9%", "66.7%"),
        (360, 2, 512, "256.0", "28.9%", "66.7%"),
        (500, 3.85, 512, "299.8", "40.0%", "92.4%"),
        # 22.75 %: the fact sheet's 22.8 % is 309.0 of 400, rounded twice.
        (400, 1.75, 256, "309.0", "22.7%", "52.5%"),
        (300, 1.92, 512, "200.2", "33.3%", "76.8%"),
        (291, 1.75, 512, "200.0", "31.3%", "72.2%"),
    ],
)
def test_the_savings_of_gpt_pretraining(
    raw: int, ramp: float, batch: int, per_layer: str, saving: str, full_at: str
) -> None:
    # paper.md 4.3; 2.2 for 128 -> 2048 and 5.1 for the batches.
    steps = round(raw * BILLION / (batch * 2048))
    run = Setting(layers=24, start=128, full=2048, ramp=ramp, steps=steps, batch=batch)
    cost, schedule = run.cost, run.interval()
    layer_tokens = cost.run_layer_tokens(schedule, **run.run)
    assert layer_tokens == run.slow_layer_tokens(run.slow_interval())
    assert f"{layer_tokens / 24 / BILLION:.1f}" == per_layer
    assert f"{cost.layer_token_saving(schedule, **run.run):.1%}" == saving
    assert f"{schedule.ramp / (raw * BILLION):.1%}" == full_at


def test_a_third_of_the_published_comparison_is_saved_against_300_billion() -> None:
    # paper.md 4.3: about 291 B raw tokens, 1.75 B for each 16, are 200 B per layer.
    run = Setting(layers=24, start=128, full=2048, ramp=1.75, steps=277_519, batch=512)
    used = run.cost.run_layer_tokens(run.interval(), **run.run)
    assert f"{1 - used / (24 * 300 * BILLION):.1%}" == "33.3%"


GPT_STEPS = Setting(
    layers=24, start=128, full=2048, ramp=200_000, steps=286_102, batch=512, quantum=16
)
BERT_STEPS = replace(BERT, ramp=2_000_000, quantum=16)


@pytest.mark.parametrize(
    ("setting", "used"),
    [
        (CIFAR, "73.8%"),
        (replace(GPT2, start=128, steps=672), "78.1%"),
        (replace(GPT2_MEDIUM, steps=686), "76.4%"),
        (GPT_STEPS, "69.7%"),
        (BERT_STEPS, "64.2%"),
    ],
    ids=["vit-base", "gpt2", "gpt2-medium", "gpt", "bert"],
)
def test_the_layer_tokens_of_the_shipped_recipes_against_dense_steps(
    setting: Setting, used: str
) -> None:
    # peers.md (a), Accounting, and (c) for the settings.
    saving = setting.cost.layer_token_saving(setting.deepspeed(), **setting.run)
    assert f"{1 - saving:.1%}" == used


@pytest.mark.parametrize(
    ("setting", "ramp", "budget", "raw"),
    [
        (GPT_STEPS, 200_000, 300 * BILLION, "390.9"),
        (GPT_STEPS, 133_333, 200 * BILLION, "260.6"),
        (GPT_STEPS, 100_000, 150 * BILLION, "195.4"),
        (BERT_STEPS, 2_000_000, 2_000_000 * 1024 * 512, "1424.7"),
        (BERT_STEPS, 1_000_000, 1_000_000 * 1024 * 512, "712.4"),
    ],
)
def test_runs_that_spend_a_budget_of_effective_tokens_read_more_raw_ones(
    setting: Setting, ramp: int, budget: int, raw: str
) -> None:
    # paper.md 4.3, last paragraph, which rounds BERT's to whole billions.
    schedule = replace(setting, ramp=ramp).deepspeed()

    def spent(steps: int) -> int:
        run = {**setting.run, "num_steps": steps}
        return setting.cost.run_effective_tokens(schedule, **run)

    steps = bisect_left(range(10**7), budget, key=spent)
    assert f"{steps * setting.batch * setting.full / BILLION:.1f}" == raw


@pytest.mark.parametrize(
    ("layers", "micro_batches", "consumed"),
    [(12, 1344, 2_148_032), (24, 1373, 2_147_024)],
    ids=["gpt2", "gpt2-medium"],
)
def test_the_effective_tokens_of_the_tutorial(
    layers: int, micro_batches: int, consumed: int
) -> None:
    # peers.md (a), golden vectors: micro-batches of 2, and every second one is a step.
    steps, half_a_step = divmod(micro_batches, 2)
    run = Setting(layers=layers, start=128, full=1024, ramp=400, steps=steps, batch=4)
    total = run.cost.run_effective_tokens(run.deepspeed(), **run.run)
    assert total + half_a_step * 2 * 1024 == consumed
    # paper.md 3.3: rounded down to whole tokens of every sequence.
    slow = [(2 * 1024 + (layers - 2) * r) // layers for r in run.slow_deepspeed()]
    assert total == 4 * sum(slow)


class ThinLayer(nn.Module):
    """A layer of one number, so that the tutorial's whole run takes a second."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(1, 1)

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.out(hidden_states)


class Thin(nn.Module):
    """As many layers as the real model."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ThinLayer() for _ in range(layers))

    def forward(self, hidden_BSD: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_BSD = layer(hidden_BSD)
        return hidden_BSD


@pytest.fixture
def thin_family() -> Iterator[None]:
    family = Family(
        name="thin", owner="Thin", layers="layers", token_axes={}, attention_output="out"
    )
    register_family(family)
    yield
    FAMILIES.remove(family)


@pytest.mark.usefixtures("thin_family")
@pytest.mark.parametrize(
    ("layers", "micro_batches", "consumed"),
    [(12, 1344, 2_148_032), (24, 1373, 2_147_024)],
    ids=["gpt2", "gpt2-medium"],
)
def test_a_real_run_of_the_tutorial_stops_where_the_authors_run_stopped(
    layers: int, micro_batches: int, consumed: int
) -> None:
    # paper.md 5.4: it ends on 2,146,304 effective tokens, two epochs of 1,048 blocks of 1,024.
    model, hidden_BSD = Thin(layers), torch.zeros(2, 1024, 1)
    ramp = KeptLength(start=128, full=1024, ramp_steps=400, quantum=8, rounding="deepspeed")
    ltd, forwards = RandomLTD(model, ramp, policy=random_shared), 0
    with torch.no_grad():
        while ltd.effective_tokens + ltd.pending_effective_tokens < 2 * 1048 * 1024:
            model(hidden_BSD)
            forwards += 1
            if forwards % 2 == 0:
                ltd.step()
            if ltd.steps == 524 and layers == 24:
                assert ltd.layer_tokens == 35_567_104  # paper.md 4.2
    assert forwards == ltd.forwards == micro_batches
    assert ltd.pending_effective_tokens == forwards % 2 * 2 * 1024
    ltd.step()
    assert ltd.effective_tokens == consumed
