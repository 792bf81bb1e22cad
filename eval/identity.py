"""What identifies a run: its specification, its seed, its model and its data."""

from __future__ import annotations

from pathlib import Path

from eval.data.glue import glue_identity
from eval.data.images import image_identity
from eval.data.text import corpus_identity
from eval.models.named import model_identity
from eval.models.vits import vit_identity
from eval.paths import WEIGHTS, cache_dir
from eval.spec import Experiment, content_key

__all__ = ["asset_hashes", "kept_folder", "run_key", "trained_folder"]

_IDENTITIES = {"labels": glue_identity, "images": image_identity}


def run_key(experiment: Experiment, seed: int) -> str:
    """Return the identity of a run: the hash of spec, seed and assets."""
    return content_key(experiment, seed, asset_hashes(experiment))


def asset_hashes(experiment: Experiment) -> dict[str, str]:
    """Return what identifies a run's model and data, as far as it is known without a download.

    A package asset is its pinned sha256, a hub repository its name and revision, anything local
    the sha256 of its content.
    """
    identity = _IDENTITIES.get(experiment.objective, corpus_identity)
    of_model = vit_identity if experiment.objective == "images" else model_identity
    hashes = {
        "model": of_model(experiment.model, experiment.weights_source),
        "data": identity(experiment.data, experiment.source),
    }
    if experiment.pretrained is not None:
        hashes["pretraining_data"] = asset_hashes(experiment.pretrained)["data"]
    return hashes


def trained_folder(experiment: Experiment, seed: int) -> Path:
    """Return where the trained model of a run is read: in the repository, or else in the cache."""
    kept = kept_folder(experiment, seed)
    committed = WEIGHTS / kept.name
    return committed if committed.is_dir() else kept


def kept_folder(experiment: Experiment, seed: int) -> Path:
    """Return where a run keeps its trained model, for the runs that begin with it."""
    name = f"{experiment.suite}-{experiment.arm}-seed{seed}-{run_key(experiment, seed)}"
    return cache_dir() / "trained" / name
