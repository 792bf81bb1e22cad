"""Models and tokenizers by name, from a package, the hub or a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from eval.data.assets import asset
from eval.data.fetch import fetch, publish, sha256_of
from eval.data.hub import local_copy
from eval.data.text import load_split
from eval.errors import UserError
from eval.paths import cache_dir
from eval.spec import Experiment
from eval.torchvision_repair import ensure_torchvision

ensure_torchvision()

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

from eval.scratch import SCRATCH, initialise, trained_tokenizer  # noqa: E402
from eval.tiny import make_tiny_llama  # noqa: E402

__all__ = [
    "MODELS",
    "CausalModel",
    "from_hub",
    "load_causal_model",
    "load_folder",
    "load_tokenizer",
    "model_identity",
    "model_of",
    "tokenizer_of",
    "weights_folder",
    "weights_sha256",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CausalModel:
    """One pretrained decoder, and what each source calls it."""

    name: str
    asset: str | None = None
    """Name of the package asset, a GGUF file."""
    hub: tuple[str, str] | None = None
    """Repository and revision on the hub."""


MODELS: dict[str, CausalModel] = {
    m.name: m
    for m in (
        CausalModel(
            name="smollm2-135m-instruct",
            asset="smollm2-135m-instruct",
            hub=("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac"),
        ),
        CausalModel(
            name="gpt2",
            hub=("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
        ),
        CausalModel(
            name="gpt2-medium",
            hub=("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
        ),
        CausalModel(name="tiny-llama"),
    )
}


def model_of(experiment: Experiment, seed: int) -> Any:
    """Return the model that a run begins with; from scratch, the seed gives its weights."""
    if experiment.model in SCRATCH:
        return initialise(SCRATCH[experiment.model], seed)
    return load_causal_model(experiment.model, experiment.source)


def tokenizer_of(experiment: Experiment) -> Any:
    """Return the model's tokenizer; a model from scratch may have one trained on its corpus."""
    scratch = SCRATCH.get(experiment.model)
    if scratch is None:
        return load_tokenizer(experiment.model, experiment.source)
    if scratch.tokenizer is not None:
        return load_tokenizer(scratch.tokenizer, experiment.source)
    return AutoTokenizer.from_pretrained(
        trained_tokenizer(scratch, experiment.data, experiment.source)
    )


@cache
def model_identity(name: str, source: str) -> str:
    """Return what identifies a model without a download; anything local by its content's sha256.

    Raises: UserError for an unknown model.
    """
    if name in SCRATCH:
        return SCRATCH[name].identity
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; known are {', '.join([*MODELS, *SCRATCH])}")
    model = MODELS[name]
    if source == "package" and model.asset is not None:
        return f"package:{asset(model.asset).sha256}"
    if source == "hub" and model.hub is not None:
        return "hub:{}@{}".format(*model.hub)
    return f"{source}:{weights_sha256(name, source)}"


def load_causal_model(name: str, source: str) -> Any:
    """Return the model in float32, with the sdpa attention, in training mode."""
    transformers_logging.disable_progress_bar()  # the runner has the one bar
    folder = weights_folder(name, source)
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").train()


def load_tokenizer(name: str, source: str) -> Any:
    """Return the model's own (fast) tokenizer."""
    return AutoTokenizer.from_pretrained(weights_folder(name, source))


def load_folder(folder: Path) -> tuple[Any, Any]:
    """Return model and tokenizer of any checkpoint, in evaluation mode, on the GPU if there is one.

    The weights are float32, in whatever precision they were saved.
    """
    transformers_logging.disable_progress_bar()
    options: dict[str, Any] = {"attn_implementation": "sdpa", "dtype": torch.float32}
    model: Any = AutoModelForCausalLM.from_pretrained(folder, **options).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.to(device), AutoTokenizer.from_pretrained(folder)


def weights_folder(name: str, source: str) -> Path:
    """Return a folder with config, safetensors and tokenizer, made or fetched if need be.

    Raises: UserError for an unknown model or a source that does not have it.
    """
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; known are {', '.join(MODELS)}")
    model = MODELS[name]
    if source == "checkout" and name == "tiny-llama":
        return _tiny()
    if source == "package":
        if model.asset is None:
            raise UserError(
                f"no package carries {name}; use --source hub, or --source local --folder PATH"
            )
        return _converted(model.asset)
    if model.hub is None or source == "checkout":
        raise UserError(f"model {name!r} cannot be had from source {source!r}")
    return local_copy(model.hub[0]) if source == "local" else from_hub(*model.hub)


def _tiny() -> Path:
    """Make the untrained model of the `smoke` tier, once."""
    folder = cache_dir() / "models" / "tiny-llama"
    if not (folder / "manifest.json").exists():
        with publish(folder) as partial:
            make_tiny_llama(load_split("repository-prose", "train", "checkout"), partial)
    return folder


def _converted(name: str) -> Path:
    """Turn the asset's GGUF file into float32 safetensors, once."""
    folder = cache_dir() / "models" / f"{name}-{asset(name).sha256[:12]}"
    if not (folder / "manifest.json").exists():
        gguf = fetch(name)
        with publish(folder) as partial:
            _convert_gguf(gguf, "model.gguf", partial)
    return folder


def _convert_gguf(folder: Path, gguf_file: str, target: Path) -> None:
    transformers_logging.disable_progress_bar()
    quantised = AutoModelForCausalLM.from_pretrained(folder, gguf_file=gguf_file)
    # transformers marks a model read from GGUF as quantised, and then refuses to save it, although
    # its weights are plain float32 by now: move them into a model that never was.
    config = quantised.config.to_dict()
    for entry in ("quantization_config", "_name_or_path", "dtype"):
        config.pop(entry, None)
    clean = AutoModelForCausalLM.from_config(type(quantised.config)(**config))
    clean.load_state_dict(quantised.state_dict())
    clean.save_pretrained(target)
    AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file).save_pretrained(target)


def from_hub(repository: str, revision: str | None) -> Path:
    """Return the folder of a hub repository's weights, configuration and tokenizer.

    Raises: UserError if the hub cannot serve it.
    """
    from huggingface_hub import snapshot_download

    wanted = ["*.json", "*.safetensors", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
    except (OSError, ValueError) as error:
        raise UserError(
            f"the hub could not serve {repository} ({str(error).splitlines()[0]}); check the "
            "network and HF_HUB_OFFLINE, or use --source package"
        ) from error


def weights_sha256(name: str, source: str) -> str:
    """Return the sha256 of the model's weights file, for the record and the run's key."""
    files = sorted(weights_folder(name, source).glob("*.safetensors"))
    return "+".join(sha256_of(file) for file in files)
