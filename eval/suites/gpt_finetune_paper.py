"""GPT finetuning at the published recipes, on PTB and WikiText-103, with the hub's GPT-2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from eval.spec import Experiment, Optimization, Suite
from eval.suites.budget import (
    at_warmup_fraction,
    shortened_steps,
    steps_to_effective_tokens,
)
from rltd_core import KeptLength

__all__ = ["FINETUNE_PAPER", "QUESTION", "Recipe", "finetune_paper"]

_LENGTH, _BATCH = 1024, 4
_LAYERS = {"gpt2": 12, "gpt2-medium": 24}
_EPOCH_STEPS = {"ptb": 262, "wikitext-103-raw": 110 * 262}
"""Steps of an epoch. WikiText-103's authors call it over 110 times as large as PTB."""
QUESTION = "Does finetuning with random-LTD reach the baseline's perplexity on the same data?"
_CAVEATS = (
    "Selection: the authors report the best validation perplexity of a run; here it is the last "
    "checkpoint's, on the same split.",
    "Perplexity is per token of GPT-2's vocabulary, over windows of 1,024 tokens, each by itself.",
    "No record exists of it here: weights and text come from the hub (--source hub, or local).",
)
_CONSTANT = (
    "Learning rate: constant, as published, so the shortened baseline is the baseline's own run, "
    "stopped early, but for a shorter warmup: nothing has decayed."
)
_OF_DATA = {
    "ptb": "Data: the hub's conversion of PTB, its sentences tokenised one by one and strung "
    "together.",
    "wikitext-103-raw": "Data: WikiText-103 raw. Its settings were not published: they are PTB's, "
    "with steps, ramp and warmup 110 times as long, as the text is.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """A published way to finetune GPT-2 on PTB; a run's parts as fractions of it."""

    epochs: int
    ramp: float
    warmup: float
    peak_lr: float
    shape: Literal["constant", "linear"]
    clock: Literal["steps", "layer_tokens"]
    """The decay by tokens is the authors'; with nothing dropped both clocks agree."""


# Paper: section 5.4; ramp and warmup over PTB's 524 and 1,310 steps.
_TUTORIAL = Recipe(
    epochs=2, ramp=400 / 524, warmup=100 / 524, peak_lr=5e-5, shape="constant", clock="steps"
)
_DATA_EFFICIENCY = Recipe(
    epochs=5, ramp=393 / 1310, warmup=0.0, peak_lr=1e-4, shape="linear", clock="layer_tokens"
)


def finetune_paper(name: str, *, model: str, data: str, recipe: Recipe) -> Suite:
    """Finetune a GPT-2 by a published recipe.

    Paper: section 5.4: 16.11 to 15.9 on PTB with gpt2-medium.
    Cost: `./rltd plan NAME --tier paper`.
    """
    constant = (_CONSTANT,) if recipe.shape == "constant" else ()
    return Suite(
        name=name,
        question=QUESTION,
        arms=_arms(_baseline(name, model, data, recipe), recipe),
        seeds=(0, 1, 2, 3, 4),
        primary="perplexity",
        progress=("start_perplexity", "validation_perplexity"),
        higher_is_better=False,
        margin=0.2,
        margin_reason="the size of the published gain: perplexity 16.11 -> 15.9 is 0.21",
        caveats=(*_CAVEATS, _OF_DATA[data], *constant),
    )


FINETUNE_PAPER: dict[str, Callable[[], Suite]] = {
    name: partial(finetune_paper, name, model=model, data=data, recipe=recipe)
    for name, model, data, recipe in (
        ("gpt_finetune", "gpt2-medium", "ptb", _DATA_EFFICIENCY),
        ("gpt_finetune_ptb_gpt2", "gpt2", "ptb", _DATA_EFFICIENCY),
        ("gpt_finetune_ptb_tutorial_gpt2", "gpt2", "ptb", _TUTORIAL),
        ("gpt_finetune_ptb_tutorial_gpt2_medium", "gpt2-medium", "ptb", _TUTORIAL),
        ("gpt_finetune_wikitext103_gpt2", "gpt2", "wikitext-103-raw", _DATA_EFFICIENCY),
        (
            "gpt_finetune_wikitext103_gpt2_medium",
            "gpt2-medium",
            "wikitext-103-raw",
            _DATA_EFFICIENCY,
        ),
    )
}
"""The suites of tier `paper`, by name."""


def _baseline(name: str, model: str, data: str, recipe: Recipe) -> Experiment:
    steps = recipe.epochs * _EPOCH_STEPS[data]
    return Experiment(
        suite=name,
        arm="baseline",
        tier="paper",
        revision=1,
        model=model,
        data=data,
        source="hub",
        length=_LENGTH,
        batch=_BATCH,
        accumulation=2,
        steps=steps,
        kept=KeptLength(start=_LENGTH, full=_LENGTH, ramp_steps=0),
        optimization=Optimization(
            peak_lr=recipe.peak_lr,
            shape=recipe.shape,
            clock=recipe.clock,
            warmup_steps=round(recipe.warmup * steps),
        ),
        precision="no",
        eval_split="validation",
        eval_windows=512,  # more than the split has: all of it
        curve_windows=64,
        curve_every=max(20, steps // 50),
    )


def _arms(baseline: Experiment, recipe: Recipe) -> tuple[Experiment, ...]:
    """Return baseline; random-LTD on the same data; both at the other's compute.

    The authors' tutorial runs random-LTD until the tokens that it consumed per layer are those of
    the baseline: the last arm.
    """
    num_layers, e = _LAYERS[baseline.model], baseline
    kept = KeptLength(
        start=128,
        full=_LENGTH,
        ramp_steps=round(recipe.ramp * e.steps),
        quantum=8,
        rounding="deepspeed",
    )
    dropping = replace(e, arm="random_ltd", kept=kept)
    short = shortened_steps(dropping, num_layers=num_layers)
    tokens = e.steps * e.batch * e.length
    more = steps_to_effective_tokens(dropping, tokens, num_layers=num_layers)
    return (
        e,
        dropping,
        replace(at_warmup_fraction(e, steps=short), arm="shortened_baseline"),
        replace(dropping, arm="random_ltd_equal_layer_tokens", steps=more),
    )
