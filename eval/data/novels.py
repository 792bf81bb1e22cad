"""A hundred English novels from a folder of the user's: the archive they are published as."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

from eval.errors import UserError
from eval.paths import local_dir

__all__ = ["load_novels"]

_FOLDER, _NOTE = "english-novels", "SOURCE.txt"
_HELD_OUT = {0: "test", 10: "validation"}
"""Of every twenty novels, in the order of their names, the two that are not trained on."""


def load_novels(split: str) -> Iterator[str]:
    """Return the novels of a split, each one document; whole novels are held out.

    They lie in the local folder, in `english-novels`, as `*.txt` or in a `*.tar.xz` of them.

    Raises: UserError if neither is there.
    """
    folder = local_dir() / _FOLDER
    archives, files = sorted(folder.glob("*.tar.xz")), sorted(folder.glob("*.txt"))
    texts = [file for file in files if file.name != _NOTE]
    if not archives and not texts:
        raise UserError(
            f"there are no novels in {folder}: it should hold *.txt files or a *.tar.xz of them "
            "(the corpus 100_english_novels of computationalstylistics on GitHub)"
        )
    novels = _from_archive(archives[0]) if archives else _from_files(texts)
    return (text for i, text in enumerate(novels) if _HELD_OUT.get(i % 20, "train") == split)


def _from_archive(path: Path) -> Iterator[str]:
    with tarfile.open(path) as archive:
        members = {Path(m.name).name: m for m in archive.getmembers() if m.isfile()}
        for name in sorted(members):
            if name.endswith(".txt") and name != _NOTE:
                source = archive.extractfile(members[name])
                assert source is not None
                yield _text(source.read())


def _from_files(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        yield _text(path.read_bytes())


def _text(content: bytes) -> str:
    return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
