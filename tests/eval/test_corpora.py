"""Corpora and windows: every token once, in order, whichever cache they come from."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from eval.data.text import CORPORA, corpus, load_split
from eval.data.windows import token_windows
from eval.errors import UserError
from eval.models.named import load_tokenizer
from eval.paths import ROOT
from tests.eval.packages import declare, put_by_hand, zip_bytes

TEXT = "A window of tokens; then na\u00efve caf\u00e9s, \u65e5\u672c\u8a9e and \U0001f642.\n" * 20
SPLITS = ("train", "validation", "test")


@pytest.fixture
def tokenizer(smoke: Path) -> object:
    """Return the tokenizer of the smoke tier."""
    return load_tokenizer("tiny-llama", "checkout")


def ids_of(tokenizer: object, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]


@pytest.mark.parametrize("length", [1, 7, 32, 100])
def test_windows_are_the_consecutive_tokens_and_the_incomplete_one_is_dropped(
    tokenizer: object, length: int
) -> None:
    ids = ids_of(tokenizer, TEXT)
    windows = token_windows(tokenizer, TEXT, length)[:]
    assert windows.shape == (len(ids) // length, length)
    assert windows.dtype == np.int32
    assert windows.reshape(-1).tolist() == ids[: len(ids) // length * length]


def test_a_text_of_exactly_one_window_is_one_window(tokenizer: object) -> None:
    ids = ids_of(tokenizer, TEXT)
    assert token_windows(tokenizer, TEXT, len(ids))[:].tolist() == [ids]


def test_a_text_shorter_than_a_window_is_refused(tokenizer: object) -> None:
    num = len(ids_of(tokenizer, TEXT))
    with pytest.raises(UserError, match=f"{num} tokens, fewer than one window of {num + 1}"):
        token_windows(tokenizer, TEXT, num + 1)
    with pytest.raises(UserError, match="0 tokens"):
        token_windows(tokenizer, "", 8)


def test_cached_tokens_equal_a_fresh_tokenisation(
    tokenizer: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = token_windows(tokenizer, TEXT, 16)[:].tolist()
    fresh = load_tokenizer("tiny-llama", "checkout")
    monkeypatch.setattr(
        type(fresh), "__call__", lambda *arguments, **options: pytest.fail("tokenised again")
    )
    assert token_windows(fresh, TEXT, 16)[:].tolist() == first
    assert token_windows(fresh, TEXT, 8)[:].reshape(-1, 16).tolist() == first


def test_another_text_or_tokenizer_does_not_get_these_tokens(tokenizer: object) -> None:
    cached = token_windows(tokenizer, TEXT, 8)[:].tolist()
    other = "B" + TEXT[1:]
    assert token_windows(tokenizer, other, 8)[0].tolist() == ids_of(tokenizer, other)[:8]
    tokenizer.add_tokens(["window"])  # type: ignore[attr-defined]
    changed = token_windows(tokenizer, TEXT, 8)[:]
    assert changed.reshape(-1).tolist() == ids_of(tokenizer, TEXT)[: changed.size]
    assert changed.tolist() != cached


def test_an_interrupted_tokenisation_leaves_no_tokens(
    tokenizer: object, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted((cache / "tokens").iterdir())

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("numpy.save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            token_windows(tokenizer, TEXT, 8)
    assert sorted((cache / "tokens").iterdir()) == before
    assert len(token_windows(tokenizer, TEXT, 8))


def test_the_splits_of_the_repositorys_prose_are_disjoint_and_whole() -> None:
    splits = [load_split("repository-prose", split, "checkout") for split in SPLITS]
    assert " ".join(splits) == (ROOT / "LICENSE").read_text(encoding="utf-8")
    lengths = [len(text.split(" ")) for text in splits]
    total = sum(lengths)
    assert [round(n / total, 2) for n in lengths] == [0.6, 0.2, 0.2]
    assert min(map(len, splits)) > 1000


def test_the_splits_of_the_repositorys_prose_are_the_same_each_time() -> None:
    first, second = ([load_split("repository-prose", s, "checkout") for s in SPLITS] for _ in "ab")
    assert first == second


def test_every_smoke_split_fills_the_windows_that_a_run_reads(tokenizer: object) -> None:
    for split, wanted in (("train", 4), ("validation", 8), ("test", 8)):
        text = load_split("repository-prose", split, "checkout")
        assert len(token_windows(tokenizer, text, 32)) >= wanted


def test_a_packaged_corpus_is_the_unpacked_text(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {"train": TEXT, "valid": "held out \u00e9\n", "test": " = A title = \n\n"}
    files = {f"p/{n}.raw.gz": gzip.compress(t.encode()) for n, t in texts.items()}
    members = {name: name.removeprefix("p/") for name in files}
    fake = declare(monkeypatch, zip_bytes(files), name="wikitext-2-raw", members=members)
    put_by_hand(cache, fake, zip_bytes(files))
    for split, name in (("train", "train"), ("validation", "valid"), ("test", "test")):
        assert load_split("wikitext-2-raw", split, "package") == texts[name]


def test_unknown_corpora_and_splits_name_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown corpus 'piles'; known are wikitext-2-raw"):
        corpus("piles")
    with pytest.raises(UserError, match="unknown corpus"):
        load_split("piles", "train", "package")
    with pytest.raises(UserError, match="unknown split 'dev'; splits are train, validation, test"):
        load_split("repository-prose", "dev", "checkout")


def test_a_source_that_does_not_have_the_corpus_is_refused() -> None:
    with pytest.raises(UserError, match="'wikitext-2-raw' cannot be had from source 'checkout'"):
        load_split("wikitext-2-raw", "train", "checkout")


@pytest.mark.parametrize("name", [n for n, c in CORPORA.items() if c.hub is not None])
def test_every_hub_corpus_is_pinned_to_a_commit(name: str) -> None:
    hub = CORPORA[name].hub
    assert hub is not None
    if name == "ptb":  # a script, which the hub serves as its own conversion, without a commit
        assert hub[2] == "refs/convert/parquet"
        return
    assert len(hub[2]) == 40
    assert set(hub[2]) <= set("0123456789abcdef")
