"""Arms of equal compute: the steps that a budget of layer tokens buys, dropping or not."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace

from eval.spec import Experiment
from rltd_core import KeptLength, TransformerCost

__all__ = [
    "at_warmup_fraction",
    "authors_warmup_steps",
    "layer_tokens",
    "shortened_steps",
    "steps_to_effective_tokens",
    "steps_within_layer_tokens",
    "three_arms",
]


def layer_tokens(experiment: Experiment, *, num_layers: int) -> int:
    """Return the layer tokens of a run: all layers but the first and the last drop."""
    return _cost(num_layers).run_layer_tokens(
        experiment.kept,
        num_steps=experiment.steps,
        batch=experiment.batch,
        length=experiment.length,
    )


def shortened_steps(experiment: Experiment, *, num_layers: int) -> int:
    """Return the steps at full length that cost the layer tokens of a run, rounded up.

    Rounded in favour of the shortened baseline.
    """
    a_step = num_layers * experiment.batch * experiment.length
    return -(-layer_tokens(experiment, num_layers=num_layers) // a_step)


def steps_within_layer_tokens(experiment: Experiment, budget: int, *, num_layers: int) -> int:
    """Return the most steps that a run may have within a budget of layer tokens."""

    def used(steps: int) -> int:
        return layer_tokens(replace(experiment, steps=steps), num_layers=num_layers)

    return bisect_right(_counts(used, budget), budget, key=used)


def steps_to_effective_tokens(experiment: Experiment, target: int, *, num_layers: int) -> int:
    """Return the fewest whole steps that consume `target` effective tokens.

    Paper: section 3.3, what the authors' scripts count. They look after every forward, so that
        their run may end within a step that this one finishes.
    """
    size = {"batch": experiment.batch, "length": experiment.length}

    def used(steps: int) -> int:
        return _cost(num_layers).run_effective_tokens(experiment.kept, num_steps=steps, **size)

    return bisect_left(_counts(used, target), target, key=used) + 1


def authors_warmup_steps(dropping: Experiment, *, num_layers: int) -> int:
    """Return the steps after which a run has the layer tokens that end the authors' warmup.

    They count the warmup at full length (`authors_form`), so that a run that drops warms up for
    more steps; a control with its rates does, too.
    """
    full = KeptLength(start=dropping.length, full=dropping.length, ramp_steps=0)
    warmup = replace(dropping, kept=full, steps=dropping.optimization.warmup_steps)
    budget = layer_tokens(warmup, num_layers=num_layers)
    return steps_within_layer_tokens(dropping, budget, num_layers=num_layers)


def at_warmup_fraction(experiment: Experiment, *, steps: int) -> Experiment:
    """Return the experiment with other steps, whose warmup is the same fraction of the run."""
    plan = experiment.optimization
    warmup = round(plan.warmup_steps * steps / experiment.steps)
    return replace(experiment, steps=steps, optimization=replace(plan, warmup_steps=warmup))


def three_arms(
    baseline: Experiment, ramp: KeptLength, *, num_layers: int
) -> tuple[Experiment, Experiment, Experiment]:
    """Return baseline, random-LTD, and the baseline stopped at random-LTD's layer tokens."""
    dropping = replace(baseline, arm="random_ltd", kept=ramp)
    steps = shortened_steps(dropping, num_layers=num_layers)
    return baseline, dropping, replace(baseline, arm="shortened_baseline", steps=steps)


def _cost(num_layers: int) -> TransformerCost:
    """Return what layer tokens need of a model: no more than its layers."""
    return TransformerCost(
        num_layers=num_layers,
        num_dropping=num_layers - 2,
        block_weights=0,
        attention_width=0,
        head_weights=0,
    )


def _counts(used: Callable[[int], int], budget: int) -> range:
    """Return counts of steps from 1 on, the last of which exceeds the budget."""
    last = 1
    while used(last) <= budget:
        last *= 2
    return range(1, last + 1)
