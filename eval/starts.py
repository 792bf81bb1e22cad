"""What a run begins with: a model, and the tokenizer that goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from eval.data.fetch import sha256_of
from eval.data.glue_tasks import glue_task
from eval.errors import UserError
from eval.identity import trained_folder
from eval.models.classifier import load_classifier
from eval.models.decoders import SCRATCH, initialise, trained_tokenizer
from eval.models.encoders import (
    SCRATCH_ENCODERS,
    initialise_encoder,
    trained_encoder_tokenizer,
)
from eval.models.named import load_causal_model, load_tokenizer, weights_folder
from eval.paths import WEIGHTS
from eval.spec import Experiment

__all__ = [
    "is_committed",
    "is_trained",
    "model_of",
    "pretrained_sha256",
    "pretraining",
    "tokenizer_of",
]


def model_of(experiment: Experiment, seed: int) -> Any:
    """Return the model that a run begins with; from scratch, the seed gives its weights.

    Raises: UserError if it begins with the weights of a run that is not done.
    """
    e = experiment
    if e.objective == "images":
        from eval.models.vision import vit_of  # timm takes seconds to import

        return vit_of(e, seed, _pretrained_folder(e, seed))
    if e.objective == "labels":
        folder = _pretrained_folder(e, seed) or weights_folder(e.model, e.weights_source)
        return load_classifier(folder, glue_task(e.data).classes, seed, e.dropout)
    if e.model in SCRATCH:
        return initialise(SCRATCH[e.model], seed)
    if e.model in SCRATCH_ENCODERS:
        return initialise_encoder(SCRATCH_ENCODERS[e.model], seed, e.dropout or 0.0)
    return load_causal_model(e.model, e.weights_source)


def tokenizer_of(experiment: Experiment) -> Any:
    """Return the model's tokenizer; a model from scratch may have one trained on its corpus."""
    e = experiment.pretrained or experiment
    encoder = SCRATCH_ENCODERS.get(e.model)
    scratch = encoder or SCRATCH.get(e.model)
    if scratch is None:
        return load_tokenizer(e.model, e.weights_source)
    if scratch.tokenizer is not None:
        return load_tokenizer(scratch.tokenizer, e.weights_source)
    if encoder is not None:
        return AutoTokenizer.from_pretrained(trained_encoder_tokenizer(encoder, e.data, e.source))
    return AutoTokenizer.from_pretrained(trained_tokenizer(SCRATCH[e.model], e.data, e.source))


def pretraining(experiment: Experiment, seed: int) -> tuple[Experiment, int] | None:
    """Return the run, with its seed, whose trained weights a run begins with; None without."""
    first, own = experiment.pretrained, experiment.pretrained_seed
    return None if first is None else (first, seed if own is None else own)


def is_committed(experiment: Experiment, seed: int) -> bool:
    """Whether the trained model of a run is in the repository."""
    return trained_folder(experiment, seed).is_relative_to(WEIGHTS)


def is_trained(experiment: Experiment, seed: int) -> bool:
    """Whether there is the trained model of a run."""
    return (trained_folder(experiment, seed) / "manifest.json").exists()


def pretrained_sha256(experiment: Experiment, seed: int) -> str | None:
    """Return the sha256 of the trained weights that a run begins with; None without such."""
    folder = _pretrained_folder(experiment, seed)
    return None if folder is None else sha256_of(folder / "model.safetensors")


def _pretrained_folder(experiment: Experiment, seed: int) -> Path | None:
    found = pretraining(experiment, seed)
    if found is None:
        return None
    if not is_trained(*found):
        first, its_seed = found
        raise UserError(
            f"{experiment.suite} {experiment.arm} begins with the weights of {first.suite} "
            f"{first.arm}, seed {its_seed}, which are not in the cache; ./rltd run "
            f"{experiment.suite} --tier {experiment.tier} trains them first"
        )
    return trained_folder(*found)
