"""Which figures a suite's page has, and their writing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eval.data.images import image_set
from eval.evidence.canvas import save
from eval.evidence.images.plots import plot_accuracy, plot_cost, plot_recovery
from eval.evidence.images.series import accuracy_data, cost_data, recovery_data
from eval.evidence.layer_token import has_layer_token, plot_layer_token
from eval.evidence.part import Part
from eval.evidence.perplexity import has_perplexity, perplexity_data, plot_perplexity
from eval.evidence.plots import (
    curve_data,
    plot_curves,
    plot_schedule,
    plot_verdict,
    schedule_data,
    verdict_data,
)
from eval.evidence.zero_shot.plot import bars_data, plot_zero_shot
from eval.evidence.zero_shot.scores import has_tasks
from eval.models.vits import vit

__all__ = ["draw"]

_FIGURES = {
    "verdict": (plot_verdict, verdict_data, "Paired differences against the margin"),
    "accuracy": (plot_accuracy, accuracy_data, "Accuracy of all tokens, and the kept length"),
    "recovery": (plot_recovery, recovery_data, "Accuracy beside the authors' run"),
    "cost": (plot_cost, cost_data, "Accuracy against the compute that is saved"),
    "curves": (plot_curves, curve_data, "Validation loss against compute and against time"),
    "perplexity": (plot_perplexity, perplexity_data, "Validation perplexity against layer tokens"),
    "schedule": (plot_schedule, schedule_data, "Kept length and learning rate"),
    "layer-token": (plot_layer_token, schedule_data, "Learning rate and kept length on one axis"),
    "zero-shot": (plot_zero_shot, bars_data, "Zero-shot scores beside chance"),
}
_ONLY_IF: dict[str, Callable[[Part], bool]] = {
    "verdict": lambda part: part.suite.margin is not None,
    "accuracy": lambda part: _drops_images(part),
    "recovery": lambda part: _drops_images(part) and _is_like_the_authors(part),
    "cost": lambda part: _drops_images(part),
    "perplexity": lambda part: has_perplexity(part.suite),
    "schedule": lambda part: (
        part.suite.margin is not None and _drops(part) and not _drops_images(part)
    ),
    "layer-token": lambda part: has_layer_token(part.records) and _drops(part),
    "zero-shot": lambda part: has_tasks(part.records),
}


def draw(part: Part, store: Path, to: Path) -> str:
    """Write the figures of a part and return the Markdown that shows them."""
    lines = []
    if part.has_runs:
        for kind, (plot, data_of, caption) in _FIGURES.items():
            if kind in _ONLY_IF and not _ONLY_IF[kind](part):
                continue
            data = data_of(part.suite, part.records, store)
            if len(data):
                stem = f"{part.suite.name}-{part.tier}-{kind}"
                save(plot(part.suite, part.records, store), to / stem, data)
                lines.append(f"![{caption}]({stem}.svg)\n")
    return "\n".join(lines)


def _drops(part: Part) -> bool:
    """Whether a run drops tokens: where none does, all arms have one schedule."""
    kept = [record.experiment.kept for record in part.records]
    return any(k.start < k.full for k in kept)


def _is_like_the_authors(part: Part) -> bool:
    """Whether a pretrained model is finetuned on CIFAR-10, as in the authors' run."""
    e = part.suite.arms[0]
    from_scratch = e.pretrained is None and vit(e.model).hub is None
    return not from_scratch and image_set(e.data).whole in {"cifar10", "digits"}


def _drops_images(part: Part) -> bool:
    e = part.suite.arms[0]
    return e.objective == "images" and part.suite.margin is not None and _drops(part)
