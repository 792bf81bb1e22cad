"""What an experiment is: one frozen dataclass, whose content is its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from eval.errors import UserError
from rltd_core import KeptLength

__all__ = [
    "Experiment",
    "Optimization",
    "Source",
    "Suite",
    "Tier",
    "content_key",
    "from_source",
    "on_cpu",
]

Tier = Literal["smoke", "cpu", "gpu", "paper"]
Source = Literal["package", "hub", "local", "checkout"]

_ADDED_LATER = {
    "": {
        "tasks": (),
        "task_rows": None,
        "checkpointing": False,
        "objective": "language",
        "protected": 0,
        "padding_aware": False,
        "dropout": None,
        "model_source": None,
        "pretrained": None,
        "pretrained_seed": None,
        "keep": False,
        "augmentation": None,
        "patch_drop": 0.0,
    },
    "kept": {"ramp_tokens": None, "rounding": "exact"},
    "optimization": {
        "clock_kept": None,
        "authors_form": False,
        "optimizer": "adamw",
        "momentum": 0.0,
    },
}
"""Fields that did not exist when records were written, at the value that changes nothing; by the
part of the experiment they belong to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimization:
    """An optimizer with gradient clipping and one learning-rate curve."""

    peak_lr: float
    shape: Literal["constant", "linear", "cosine", "thirds"]
    """Decay after the warmup."""
    clock: Literal["steps", "layer_tokens"]
    """What the learning rate counts."""
    warmup_steps: int
    minimum: float = 0.0
    """Fraction of the peak at the end of the decay."""
    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0
    """With AdamW of what has two axes or more: matrices, and an image model's class token and
    positions, but no biases and norms. With SGD of all weights."""
    clip: float = 1.0
    """Largest global gradient norm."""
    clock_kept: KeptLength | None = None
    """Count the layer tokens of a run with this schedule, not this run's own: the rates of its
    steps are then those of the other run (the LR control)."""
    authors_form: bool = False
    """LayerToken LR as the authors' scripts compute it; see `rltd_core.LayerTokenLR`."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.0
    """Of SGD."""

    def __post_init__(self) -> None:
        if self.clock == "steps" and (self.clock_kept is not None or self.authors_form):
            raise ValueError("clock_kept and authors_form are for the clock layer_tokens")
        if self.clock_kept is not None and self.authors_form:
            raise ValueError("give clock_kept or authors_form, not both")


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """One run, but for its seed. Arms of a suite differ in exactly the fields that name them."""

    suite: str
    arm: str
    tier: Tier
    revision: int
    """Raised when the suite's code changes its numbers; part of the key."""
    model: str
    data: str
    source: Source
    """Where model and data come from; `checkout`: made from files of this repository."""
    length: int
    """Tokens in a training sequence."""
    batch: int
    """Sequences in an optimizer step, over all processes and accumulated forwards."""
    accumulation: int
    """Forwards an optimizer step is split into."""
    steps: int
    """Optimizer steps."""
    kept: KeptLength
    optimization: Optimization
    precision: Literal["no", "bf16"]
    """Autocast of the forward; weights and optimizer state are float32."""
    eval_split: str
    eval_windows: int | None
    """Windows of `length` tokens, or examples, of the evaluated split that the final measurement
    reads; None for all."""
    curve_windows: int
    """Windows of the validation split, or examples held out, read for each point of the curve."""
    curve_every: int
    """Optimizer steps between two points of the curve."""
    tasks: tuple[str, ...] = ()
    """lm-eval's names of the zero-shot tasks that the trained model is measured on."""
    task_rows: int | None = None
    """Rows of each task that are read, the first ones; None for all."""
    checkpointing: bool = False
    """Activation checkpointing: layers run again in the backward, to save memory."""
    objective: Literal["language", "labels", "masked", "images"] = "language"
    """What is learned: the next token of a text, the labels of a GLUE task, masked tokens, or the
    labels of images."""
    protected: int = 0
    """First positions that are never dropped, such as [CLS]."""
    padding_aware: bool = False
    """Draw padding only where a sample has fewer real tokens than are kept."""
    dropout: float | None = None
    """Of the model; None for its own."""
    model_source: Source | None = None
    """Where the model comes from, if not from where the data does."""
    pretrained: Experiment | None = None
    """The run whose trained weights this one begins with."""
    pretrained_seed: int | None = None
    """Its seed; None for this run's own."""
    keep: bool = False
    """Keep the trained model in the cache, for runs that begin with it."""
    augmentation: str | None = None
    """How training images are changed; see `eval.data.augmentations`."""
    patch_drop: float = 0.0
    """Fraction of the patches that timm's patch dropout takes out before all layers."""

    @property
    def weights_source(self) -> Source:
        """Return where the model and its tokenizer come from."""
        return self.model_source or self.source

    @property
    def computed(self) -> KeptLength:
        """Return the kept length, where timm's patch dropout has shortened all layers, too."""
        if not self.patch_drop:
            return self.kept
        entering = 1 + max(1, int((self.length - 1) * (1 - self.patch_drop)))
        return replace(self.kept, start=entering, full=entering)

    def __post_init__(self) -> None:
        if self.kept.full != self.length:
            raise ValueError(f"kept.full is {self.kept.full}, the length {self.length}")
        if self.optimization.clock_kept and self.optimization.clock_kept.full != self.length:
            raise ValueError(
                f"clock_kept.full is {self.optimization.clock_kept.full}, the length {self.length}"
            )
        if self.batch % self.accumulation:
            raise ValueError(f"batch {self.batch} is no multiple of {self.accumulation}")
        if self.pretrained is not None and self.objective not in ("labels", "images"):
            raise ValueError(f"a run with the objective {self.objective} begins with no other run")
        if self.pretrained is None and self.pretrained_seed is not None:
            raise ValueError("pretrained_seed is for a run that begins with another one")
        if (self.augmentation is not None) != (self.objective == "images"):
            raise ValueError("augmentation is for the objective images, which needs one")
        if not 0 <= self.patch_drop < 1:
            raise ValueError(f"patch_drop is a fraction below 1, got {self.patch_drop}")
        if self.patch_drop and self.kept.start < self.kept.full:
            raise ValueError("patch_drop is for a run without random-LTD")
        if self.steps < 1 or self.curve_every < 1:
            raise ValueError("steps and curve_every must be at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as it goes into the record and its key.

        A field added later is left out at its default, so that older records keep their keys.
        """
        data = asdict(self)
        for part, defaults in _ADDED_LATER.items():
            content = data[part] if part else data
            for name, default in defaults.items():
                if content[name] == default:
                    del content[name]
        if "tasks" in data:
            data["tasks"] = list(data["tasks"])  # as JSON has it
        if self.pretrained is not None:
            data["pretrained"] = self.pretrained.to_dict()
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Experiment:
        """Rebuild the experiment of a record."""
        plan = dict(data["optimization"])
        if "clock_kept" in plan:
            plan["clock_kept"] = KeptLength(**plan["clock_kept"])
        parts: dict[str, Any] = {
            "kept": KeptLength(**data["kept"]),
            "optimization": Optimization(**plan),
        }
        if "pretrained" in data:
            parts["pretrained"] = cls.from_dict(data["pretrained"])
        return cls(**{**data, **parts, "tasks": tuple(data.get("tasks", ()))})


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A question, its arms, and the rule that judges the answer, all declared before the runs."""

    name: str
    question: str
    arms: tuple[Experiment, ...]
    seeds: tuple[int, ...]
    """The seeds of the committed evidence."""
    primary: str
    """The measurement the verdict is about."""
    progress: tuple[str, str]
    """The primary measurement before and after training, on the same examples: whether the baseline
    learned anything, which the margin judges, too."""
    higher_is_better: bool
    untrained: str | None = None
    """The arm without the training that the question is about. If there is one, what the baseline
    learned is its lead over this arm, on the primary measurement."""
    margin: float | None = None
    """Largest loss on the primary measurement that still counts as the same quality; None for a
    pilot, which has no verdict."""
    margin_reason: str = ""
    caveats: tuple[str, ...] = field(default=())
    """What every table of this suite must say below it."""

    def __post_init__(self) -> None:
        before, after = self.progress
        measured = f"_{self.primary}"
        if before != f"start{measured}" or before == after or not after.endswith(measured):
            raise ValueError(
                f"the progress of suite {self.name}, {before} to {after}, is held against the "
                f"margin of {self.primary}, so it must be in that measurement"
            )

    def with_arms(self, names: Sequence[str]) -> Suite:
        """Return the suite with these of its arms alone.

        Raises: UserError for an arm that it does not have.
        """
        return replace(self, arms=tuple(self.arm(name) for name in names))

    def arm(self, name: str) -> Experiment:
        """Return the experiment of an arm.

        Raises: UserError with the known names.
        """
        for experiment in self.arms:
            if experiment.arm == name:
                return experiment
        raise UserError(
            f"suite {self.name} has no arm {name!r}; it has {', '.join(e.arm for e in self.arms)}"
        )


def from_source(experiment: Experiment, source: Source) -> Experiment:
    """Return the experiment with data and model from a source, and what it begins with, too.

    A pretraining that is declared from another source than the experiment keeps its own.
    """
    before = experiment.pretrained
    if before is not None and before.source == experiment.source:
        before = replace(before, source=source)
    return replace(experiment, source=source, pretrained=before)


def on_cpu(tier: str) -> bool:
    """Whether the runs of a tier are of a size for a CPU."""
    return tier in ("smoke", "cpu")


def content_key(experiment: Experiment, seed: int, assets: dict[str, str]) -> str:
    """Hash everything that decides a run's numbers: spec, seed, and the sha256 of its assets."""
    content = {"experiment": experiment.to_dict(), "seed": seed, "assets": assets}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
