"""Windows over shards against a plain list of tokens, and what lies in the cache.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.data import windows
from eval.data.text import CORPORA, Corpus
from eval.data.windows import Windows, corpus_windows, token_windows
from eval.errors import UserError

END = 0
DOCUMENTS = ["one two three ", "four", "", "five six seven eight nine "]


class Letters:
    """A tokenizer whose tokens are the code points of the letters."""

    eos_token_id = END

    def __init__(self, size: int = 300, name: str = "letters") -> None:
        self.size, self.name, self.texts = size, name, list[str]()

    def __len__(self) -> int:
        return self.size

    def __call__(self, texts: list[str], **options: object) -> dict[str, list[list[int]]]:
        self.texts += texts
        return {"input_ids": [[ord(letter) for letter in text] for text in texts]}

    @property
    def backend_tokenizer(self) -> Letters:
        return self

    def to_str(self) -> str:
        return self.name


def plain_ids(documents: Iterable[str], form: str) -> list[int]:
    """Return the tokens of a corpus by the plainest loop."""
    ids: list[int] = []
    for number, document in enumerate(documents):
        if number > 0 and form == "documents":
            ids.append(END)
        for letter in document:
            ids.append(ord(letter))
    return ids


def plain_windows(ids: list[int], length: int) -> list[list[int]]:
    """Return the consecutive windows of a list."""
    return [ids[begin : begin + length] for begin in range(0, len(ids) - length + 1, length)]


@contextmanager
def made_up(
    documents: Iterable[str], *, form: Any = "documents", shard: int = 2**26, identity: str = "one"
) -> Iterator[Path]:
    """Declare a corpus with these documents, and shards of so many tokens; give the empty cache."""
    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", cache)
        patch.setattr(windows, "SHARD_TOKENS", shard)
        patch.setattr(windows, "load_documents", lambda name, split, source: iter(documents))
        patch.setattr(windows, "corpus_identity", lambda name, source: identity)
        patch.setitem(CORPORA, "made-up", Corpus(name="made-up", form=form))
        yield Path(cache)


def cut(tokenizer: Any, length: int) -> Windows:
    return corpus_windows(tokenizer, "made-up", "train", "local", length)


def folders(cache: Path) -> list[Path]:
    """Return what lies in the cache's folder of tokens, hidden or not."""
    return sorted((cache / "tokens").iterdir()) if (cache / "tokens").exists() else []


TEXTS = st.lists(st.text("abcdefgh", max_size=12), min_size=1, max_size=9)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(TEXTS, st.sampled_from(["documents", "rows"]), st.integers(1, 30), st.integers(1, 9))
def test_any_cutting_into_shards_gives_the_windows_of_one_list(
    documents: list[str], form: str, shard: int, length: int
) -> None:
    ids = plain_ids(documents, form)
    with made_up(documents, form=form, shard=shard):
        if len(ids) < length:
            with pytest.raises(UserError, match=f"{len(ids)} tokens, fewer than one window"):
                cut(Letters(), length)
            return
        found = cut(Letters(), length)
        assert found[:].tolist() == plain_windows(ids, length)
        assert len(found) == len(ids) // length


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(1, 7), st.data())
def test_an_index_means_what_it_means_to_an_array(
    shard: int, length: int, data: st.DataObject
) -> None:
    with made_up(DOCUMENTS, shard=shard):
        found = cut(Letters(), length)
        expected_NS = np.asarray(plain_windows(plain_ids(DOCUMENTS, "documents"), length))
        n = len(expected_NS)
        number = data.draw(st.integers(-n, n - 1))
        some = data.draw(st.lists(st.integers(-n, n - 1), max_size=5))
        for which in (number, np.int64(number), data.draw(st.slices(n)), np.asarray(some, int)):
            assert np.array_equal(found[which], expected_NS[which]), which
            assert found[which].shape == expected_NS[which].shape
            assert found[which].dtype == np.int32


@pytest.mark.parametrize("number", [6, 7, -7, -8])
def test_a_window_that_there_is_not_is_an_index_error(number: int) -> None:
    with made_up(["x" * 33], shard=4):
        found = cut(Letters(), 5)
        assert len(list(found)) == len(found) == 6
        with pytest.raises(IndexError):
            found[number]


def test_windows_run_on_over_the_borders_of_shards() -> None:
    with made_up(["abcdefghijklmnopqrst"], shard=3) as cache:
        found = cut(Letters(), 7)
        assert ["".join(map(chr, window)) for window in found] == ["abcdefg", "hijklmn"]
        assert len(list(folders(cache)[0].glob("*.npy"))) == 7  # a window lies in up to four


@pytest.mark.parametrize(
    ("form", "expected"),
    [("documents", b"one two three \0four\0\0five six seven eight nine "), ("rows", None)],
)
def test_only_documents_have_the_end_token_between_them(form: str, expected: bytes | None) -> None:
    with made_up(DOCUMENTS, form=form):
        found = cut(Letters(), 1)[:].reshape(-1)
        assert found.tolist() == list(expected or "".join(DOCUMENTS).encode())


class Separating(Letters):
    """One without an end token, as BERT's."""

    eos_token_id = None
    sep_token_id: int | None = 7


def test_a_separator_stands_in_for_an_end_token_that_is_not_there() -> None:
    with made_up(["a", "b"]) as cache:
        assert cut(Separating(), 1)[:].reshape(-1).tolist() == [ord("a"), 7, ord("b")]
        assert cut(Letters(), 1)[:].reshape(-1).tolist() == [ord("a"), END, ord("b")]
        assert len(folders(cache)) == 2  # what was cut without a separator is not read again
        nothing = Separating()
        nothing.sep_token_id = None
        with pytest.raises(ValueError, match="neither an end nor a separator"):
            cut(nothing, 1)


def test_more_documents_than_are_tokenised_at_once_have_one_end_between_any_two(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "_TEXTS_AT_ONCE", 2)
    with made_up(["a", "b", "c", "d", "e"]):
        assert bytes(cut(Letters(), 1)[:].reshape(-1).tolist()) == b"a\0b\0c\0d\0e"


def test_one_text_has_no_end_token() -> None:
    with made_up([]):
        assert bytes(token_windows(Letters(), "a text", 1)[:].reshape(-1).tolist()) == b"a text"


@pytest.mark.parametrize(
    ("vocabulary", "dtype"), [(2, np.uint16), (2**16, np.uint16), (2**16 + 1, np.int32)]
)
def test_shards_take_two_bytes_a_token_where_the_vocabulary_allows(
    vocabulary: int, dtype: type
) -> None:
    largest = chr(vocabulary - 1)
    with made_up(["a" + largest]) as cache:
        found = cut(Letters(size=vocabulary), 2)
        (file,) = folders(cache)[0].glob("*.npy")
        assert np.load(file).dtype == dtype
        assert found[0].tolist() == [ord("a"), vocabulary - 1]
        assert found[0].dtype == np.int32


def test_the_manifest_says_what_the_shards_hold() -> None:
    with made_up(DOCUMENTS, shard=10) as cache:
        cut(Letters(), 4)
        (folder,) = folders(cache)
        content = json.loads((folder / "shards.json").read_text())
        assert [s["file"] for s in content["shards"]] == sorted(
            p.name for p in folder.glob("*.npy")
        )
        tokens = [np.load(folder / s["file"]).tolist() for s in content["shards"]]
        assert [s["tokens"] for s in content["shards"]] == list(map(len, tokens))
        assert [i for shard in tokens for i in shard] == plain_ids(DOCUMENTS, "documents")
        for shard in content["shards"]:
            found = hashlib.sha256((folder / shard["file"]).read_bytes()).hexdigest()
            assert shard["sha256"] == found
        assert content["corpus"] == "one train"
        assert content["tokenizer"] == hashlib.sha256(b"letters").hexdigest()


def test_an_interruption_after_the_first_shard_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def documents() -> Iterator[str]:
        yield "a" * 100
        raise KeyboardInterrupt

    monkeypatch.setattr(windows, "_TEXTS_AT_ONCE", 1)
    with made_up(documents(), shard=10) as cache:
        with pytest.raises(KeyboardInterrupt):
            cut(Letters(), 4)
        assert folders(cache) == []


def test_tokens_are_made_once_for_every_length() -> None:
    first = Letters()
    with made_up(DOCUMENTS) as cache:
        cut(first, 4)
        again = Letters()
        assert cut(again, 7)[:].tolist() == plain_windows(plain_ids(DOCUMENTS, "documents"), 7)
        assert (first.texts, again.texts) == (DOCUMENTS, [])
        assert len(folders(cache)) == 1


@pytest.mark.parametrize("change", ["corpus", "split", "tokenizer"])
def test_another_corpus_split_or_tokenizer_gets_other_shards(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made_up(DOCUMENTS) as cache:
        cut(Letters(), 4)
        if change == "corpus":
            monkeypatch.setattr(windows, "corpus_identity", lambda name, source: "two")
        tokenizer = Letters(name="others" if change == "tokenizer" else "letters")
        split = "test" if change == "split" else "train"
        corpus_windows(tokenizer, "made-up", split, "local", 4)
        assert tokenizer.texts == DOCUMENTS
        assert len(folders(cache)) == 2
