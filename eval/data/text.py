"""Text corpora by name, as documents."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from eval.data.assets import asset
from eval.data.fetch import fetch
from eval.data.hub import load_hub_split
from eval.data.novels import load_novels
from eval.errors import UserError
from eval.paths import ROOT

__all__ = [
    "CORPORA",
    "SPLITS",
    "Corpus",
    "corpus",
    "corpus_identity",
    "load_documents",
    "load_split",
]

SPLITS = ("train", "validation", "test")
_WIKITEXT = ("Salesforce/wikitext", "b08601e04326c79dfdd32d625aee71d232d685c3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Corpus:
    """One corpus, and what each source calls it."""

    name: str
    form: Literal["text", "rows", "documents"] = "text"
    """One text; or rows, tokenised one by one and strung together; or documents, with the
    tokenizer's end token between them."""
    asset: str | None = None
    """Name of the package asset, with the files train, valid and test `.raw.gz`."""
    hub: tuple[str, str | None, str] | None = None
    """Repository, configuration and revision on the hub."""
    column: str = "text"
    """Column of the hub's rows."""
    parts: tuple[tuple[str, str], ...] = ()
    """Other corpora that it consists of, each with its source."""


CORPORA: dict[str, Corpus] = {
    c.name: c
    for c in (
        Corpus(
            name="wikitext-2-raw",
            asset="wikitext-2-raw",
            hub=(_WIKITEXT[0], "wikitext-2-raw-v1", _WIKITEXT[1]),
        ),
        Corpus(
            name="wikitext-103-raw",
            form="rows",
            hub=(_WIKITEXT[0], "wikitext-103-raw-v1", _WIKITEXT[1]),
        ),
        # The authors' script tokenises sentence by sentence. The hub serves this data set's
        # original, a script, only as the conversion that it makes itself.
        Corpus(
            name="ptb",
            form="rows",
            hub=("ptb-text-only/ptb_text_only", None, "refs/convert/parquet"),
            column="sentence",
        ),
        # The Pile without the parts that were taken down.
        Corpus(
            name="pile",
            form="documents",
            hub=("monology/pile-uncopyrighted", None, "3be90335b66f24456a5d6659d9c8d208c0357119"),
        ),
        Corpus(name="english-novels", form="documents"),
        Corpus(
            name="novels-and-wikitext-2",
            form="documents",
            parts=(("english-novels", "local"), ("wikitext-2-raw", "package")),
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

    Raises: what `load_documents` raises.
    """
    return "".join(load_documents(name, split, source))


def load_documents(name: str, split: str, source: str) -> Iterator[str]:
    """Return the documents or rows of one split; a corpus that is one text has one.

    Raises: UserError for an unknown corpus or split, or a source that does not have it.
    """
    wanted = corpus(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; splits are {', '.join(SPLITS)}")
    if wanted.parts and source == "local":
        return (text for part, its in wanted.parts for text in load_documents(part, split, its))
    if wanted.name == "repository-prose":
        return iter([_repository_prose(split)])
    if wanted.name == "english-novels" and source == "local":
        return load_novels(split)
    if source == "package" and wanted.asset is not None:
        return iter([_unpacked(wanted.asset, split)])
    if source in {"hub", "local"} and wanted.hub is not None:
        return _from_hub(wanted, split, source)
    raise UserError(f"corpus {name!r} cannot be had from source {source!r}")


@cache
def corpus_identity(name: str, source: str) -> str:
    """Return what identifies a corpus: a pinned package or revision, else the content's sha256."""
    wanted = corpus(name)
    if wanted.parts and source == "local":
        return " and ".join(corpus_identity(*part) for part in wanted.parts)
    if source == "package" and wanted.asset is not None:
        return f"package:{asset(wanted.asset).sha256}"
    if source == "hub" and wanted.hub is not None:
        repository, configuration, revision = wanted.hub
        return f"hub:{repository}/{configuration}@{revision}"
    digest = hashlib.sha256()
    for place, split in enumerate(SPLITS):
        digest.update(b"\0" * bool(place))
        for number, document in enumerate(load_documents(name, split, source)):
            digest.update(b"\1" * bool(number))
            digest.update(document.encode())
    return f"{source}:{digest.hexdigest()}"


def _unpacked(name: str, split: str) -> str:
    path = fetch(name) / f"{split.replace('validation', 'valid')}.raw.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return file.read()


def _from_hub(wanted: Corpus, split: str, source: str) -> Iterator[str]:
    assert wanted.hub is not None
    repository, configuration, revision = wanted.hub
    rows = load_hub_split(repository, configuration, revision, split=split, source=source)
    if wanted.form == "text":
        return iter(["".join(rows[wanted.column])])
    return (row[wanted.column] for row in rows)


def _repository_prose(split: str) -> str:
    # The licence is the one long text here that nobody edits, so its splits stay as they are.
    words = (ROOT / "LICENSE").read_text(encoding="utf-8").split(" ")
    cut = {"train": (0, 60), "validation": (60, 80), "test": (80, 100)}[split]
    return " ".join(words[len(words) * cut[0] // 100 : len(words) * cut[1] // 100])
