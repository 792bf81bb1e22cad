"""What every test of the experiments needs: a cache and an output folder of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import datasets.config
import pytest
from accelerate.state import AcceleratorState, GradientState

from eval.data import image_files, images
from eval.data.glue import glue_identity
from eval.data.text import corpus_identity, load_split
from eval.data.windows import corpus_windows, token_windows
from eval.models.named import load_tokenizer, model_identity
from eval.models.vits import vit_identity

_PLACES = (
    *("eval.runner", "eval.pool", "eval.commands", "eval.status", "eval.doctor"),
    *("eval.model_eval.command", "eval.reproduce", "eval.evidence.html_report"),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty cache, and no folder of local copies."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RLTD_CACHE", str(folder))
    monkeypatch.delenv("RLTD_LOCAL", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    return folder


@pytest.fixture
def local_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty folder that of `--source local`."""
    place = tmp_path / "local"
    place.mkdir()
    monkeypatch.setenv("RLTD_LOCAL", str(place))
    return place


@pytest.fixture(autouse=True)
def forget_what_was_hashed() -> None:
    """Let the test change local files: a process hashes a data set or a model once."""
    corpus_identity.cache_clear()
    glue_identity.cache_clear()
    model_identity.cache_clear()
    vit_identity.cache_clear()
    for of_images in (images._whole, images.image_identity, image_files.local_identity):
        of_images.cache_clear()


@pytest.fixture(autouse=True)
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test its own `out/`, in this process and in those it starts."""
    folder = tmp_path / "out"
    monkeypatch.setenv("RLTD_OUT", str(folder))
    for module in _PLACES:
        monkeypatch.setattr(f"{module}.OUT", folder)
    monkeypatch.setattr("eval.runner._AGAIN", folder / "pretraining")
    return folder


@pytest.fixture(autouse=True)
def forget_the_last_accelerator() -> None:
    """Let the test choose precision and accumulation: accelerate keeps both for a process."""
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def smoke_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the model and the tokens of the smoke tier once for all tests."""
    folder = tmp_path_factory.mktemp("smoke") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", str(folder))
        tokenizer = load_tokenizer("tiny-llama", "checkout")
        for split in ("train", "validation", "test"):
            token_windows(tokenizer, load_split("repository-prose", split, "checkout"), 32)
            corpus_windows(tokenizer, "repository-prose", split, "checkout", 32)
    return folder


@pytest.fixture
def smoke(cache: Path, smoke_cache: Path) -> Path:
    """Put model and tokens of the smoke tier into the test's own cache."""
    shutil.copytree(smoke_cache, cache)
    return cache
