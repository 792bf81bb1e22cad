"""Windows of tokens: a corpus is tokenised once, into shards that are then memory-mapped.

Letters: N windows, S sequence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from eval.data.fetch import publish, sha256_of
from eval.data.text import corpus, corpus_identity, load_documents
from eval.errors import UserError
from eval.paths import cache_dir

__all__ = ["SHARD_TOKENS", "Windows", "corpus_windows", "token_windows"]

SHARD_TOKENS = 2**26
"""Tokens of a shard; the last one is shorter."""
_MANIFEST = "shards.json"
_TEXTS_AT_ONCE = 64


class Windows:
    """Consecutive windows of `length` tokens; the incomplete last one is left out.

    Indexed by a number it gives one window, by a slice or an array of numbers several:
    ids_NS, int32. Windows run on from one shard into the next.

    Raises: UserError if the tokens do not fill one window.
    """

    def __init__(self, folder: Path, length: int) -> None:
        shards = json.loads((folder / _MANIFEST).read_text())["shards"]
        self.length = length
        self._shards = [np.load(folder / s["file"], mmap_mode="r") for s in shards]
        self._ends = np.cumsum([s["tokens"] for s in shards], dtype=np.int64)
        total = int(self._ends[-1]) if shards else 0
        if total < length:
            raise UserError(f"the text has {total} tokens, fewer than one window of {length}")
        self._num = total // length

    def __len__(self) -> int:
        return self._num

    def __getitem__(self, which: int | np.integer | slice | np.ndarray) -> np.ndarray:
        if isinstance(which, int | np.integer):
            return self._window(range(self._num)[which])
        chosen = range(self._num)[which] if isinstance(which, slice) else which
        windows = [self[int(i)] for i in chosen]
        return np.stack(windows) if windows else np.empty((0, self.length), dtype=np.int32)

    def _window(self, number: int) -> np.ndarray:
        begin, end = number * self.length, (number + 1) * self.length
        pieces = []
        place = int(np.searchsorted(self._ends, begin, side="right"))
        while begin < end:
            first = int(self._ends[place]) - len(self._shards[place])
            piece = self._shards[place][begin - first : end - first]
            pieces.append(piece)
            begin, place = begin + len(piece), place + 1
        return np.concatenate(pieces).astype(np.int32)


def corpus_windows(tokenizer: Any, name: str, split: str, source: str, length: int) -> Windows:
    """Return the windows of a corpus's split, tokenised if the cache does not hold it yet.

    Raises: UserError for an unknown corpus or split, or a source that does not have it.
    """
    identity = f"{corpus_identity(name, source)} {split}"
    documents = load_documents(name, split, source)
    end = None
    if corpus(name).form == "documents":
        end = tokenizer.eos_token_id
        if end is None:  # BERT's have none
            end = tokenizer.sep_token_id
            identity += " separated"
        if end is None:
            raise ValueError("the tokenizer has neither an end nor a separator for documents")
    return _windows(tokenizer, documents, identity, length, end=end)


def token_windows(tokenizer: Any, text: str, length: int) -> Windows:
    """Return the windows of a text."""
    identity = hashlib.sha256(text.encode()).hexdigest()
    return _windows(tokenizer, [text], identity, length, end=None)


def _windows(
    tokenizer: Any, documents: Iterable[str], identity: str, length: int, *, end: int | None
) -> Windows:
    vocabulary = hashlib.sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    key = hashlib.sha256(f"{vocabulary} {identity}".encode()).hexdigest()[:16]
    folder = cache_dir() / "tokens" / key
    if not (folder / _MANIFEST).exists():
        with publish(folder) as partial:
            dtype = np.uint16 if len(tokenizer) <= 2**16 else np.int32
            shards = _write(partial, _token_ids(tokenizer, documents, end), dtype)
            content = {"corpus": identity, "tokenizer": vocabulary, "shards": shards}
            (partial / _MANIFEST).write_text(json.dumps(content, indent=1))
    return Windows(folder, length)


def _token_ids(tokenizer: Any, documents: Iterable[str], end: int | None) -> Iterator[np.ndarray]:
    """Yield the ids of the documents; from the second one on, `end` comes between, if given."""
    between = [] if end is None else [end]
    texts, number = iter(documents), 0
    while some := list(islice(texts, _TEXTS_AT_ONCE)):
        for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]:
            yield np.asarray((between if number else []) + ids, dtype=np.int64)
            number += 1


def _write(folder: Path, ids: Iterable[np.ndarray], dtype: type) -> list[dict[str, Any]]:
    shards = []
    for tokens in _cut(ids, SHARD_TOKENS, dtype):
        file = folder / f"{len(shards):05d}.npy"
        np.save(file, tokens)
        shards.append({"file": file.name, "tokens": len(tokens), "sha256": sha256_of(file)})
    return shards


def _cut(pieces: Iterable[np.ndarray], size: int, dtype: type = np.int64) -> Iterator[np.ndarray]:
    """Join the pieces and cut the whole anew, so that a shard and a piece are held, no more."""
    shard, held = np.empty(size, dtype=dtype), 0
    for piece in pieces:
        while len(piece):
            room = size - held
            taken, piece = piece[:room], piece[room:]
            shard[held : held + len(taken)] = taken
            held += len(taken)
            if held == size:
                yield shard
                shard, held = np.empty(size, dtype=dtype), 0
    if held:
        yield shard[:held]
