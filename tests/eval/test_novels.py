"""English novels from the user's folder: whole novels are held out, whatever form they come in."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from eval.data.novels import load_novels
from eval.data.text import corpus_identity, load_documents, load_split
from eval.errors import UserError
from tests.eval.packages import declare, put_by_hand, zip_bytes

SPLITS = ("train", "validation", "test")
WIKITEXT = {"train": " = T = \n", "valid": " = V = \n", "test": " = E = \n"}
NOVELS = {
    f"{chr(97 + n % 26)}{n:02d}_Novel_1{n:03d}.txt": f"Novel {n}, na\u00efve.\n" for n in range(45)
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty folder of novels."""
    monkeypatch.setenv("RLTD_LOCAL", str(tmp_path / "local"))
    place = tmp_path / "local" / "english-novels"
    place.mkdir(parents=True)
    return place


def as_files(folder: Path, novels: dict[str, bytes]) -> None:
    for name, content in novels.items():
        (folder / name).write_bytes(content)


def as_archive(folder: Path, novels: dict[str, bytes]) -> None:
    """Write the archive, its members in no order, below two folders."""
    with tarfile.open(folder / "novels.tar.xz", "w:xz") as archive:
        for name, content in reversed(novels.items()):
            member = tarfile.TarInfo(f"novels/of-{len(content) % 2}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def encoded(novels: dict[str, str] = NOVELS) -> dict[str, bytes]:
    return {name: text.encode() for name, text in novels.items()}


def splits() -> dict[str, list[str]]:
    return {split: list(load_novels(split)) for split in SPLITS}


FORMS = {"files": as_files, "archive": as_archive}


@pytest.mark.parametrize("form", FORMS)
def test_of_every_twenty_novels_two_whole_ones_are_held_out(folder: Path, form: str) -> None:
    FORMS[form](folder, encoded())
    in_order = [NOVELS[name] for name in sorted(NOVELS)]
    found = splits()
    assert found["test"] == [in_order[n] for n in (0, 20, 40)]
    assert found["validation"] == [in_order[n] for n in (10, 30)]
    held_out = {*found["test"], *found["validation"]}
    assert found["train"] == [text for text in in_order if text not in held_out]
    assert sorted(text for split in found.values() for text in split) == sorted(in_order)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, text: text,
        lambda name, text: text.replace("\n", "\r\n"),
        lambda name, text: "\ufeff" + text,
        lambda name, text: text + "last words",
    ],
    ids=["plain", "line ends of DOS", "byte order mark", "no last line end"],
)
def test_archive_and_folder_give_the_same_novels(
    folder: Path, change: Callable[[str, str], str]
) -> None:
    novels = encoded({name: change(name, text) for name, text in NOVELS.items()})
    as_files(folder, novels)
    from_files = splits()
    for file in folder.glob("*.txt"):
        file.unlink()
    as_archive(folder, novels)
    assert splits() == from_files


@pytest.mark.parametrize("form", FORMS)
def test_the_note_on_where_they_come_from_is_no_novel(folder: Path, form: str) -> None:
    # The published archive has it, too.
    FORMS[form](folder, encoded({"SOURCE.txt": "100 English novels, from ...", **NOVELS}))
    with_note = splits()
    FORMS[form](folder, encoded())
    (folder / "SOURCE.txt").unlink(missing_ok=True)
    assert splits() == with_note


def test_a_folder_that_has_no_novels_is_one_clear_error(folder: Path) -> None:
    (folder / "SOURCE.txt").write_text("where they would come from")
    with pytest.raises(UserError, match=r"no novels in .*english-novels: it should hold") as caught:
        load_novels("train")
    assert "\n" not in str(caught.value)
    folder.joinpath("SOURCE.txt").unlink()
    folder.rmdir()
    with pytest.raises(UserError, match=r"no novels in .*english-novels"):
        load_novels("train")


def test_without_a_local_folder_the_error_says_how_to_give_one() -> None:
    with pytest.raises(UserError, match=r"--folder PATH \(or RLTD_LOCAL\)"):
        load_documents("english-novels", "train", "local")


@pytest.mark.parametrize("source", ["package", "hub", "checkout"])
@pytest.mark.parametrize("name", ["english-novels", "novels-and-wikitext-2"])
def test_novels_are_had_from_a_local_folder_alone(name: str, source: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' cannot be had from source '{source}'"):
        load_documents(name, "train", source)
    with pytest.raises(UserError, match=f"'{name}' cannot be had from source '{source}'"):
        corpus_identity(name, source)


@pytest.fixture
def wikitext(cache: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put a made-up WikiText-2 into the cache; return its sha256."""
    files = {f"p/{n}.raw.gz": gzip.compress(t.encode(), mtime=0) for n, t in WIKITEXT.items()}
    members = {name: name.removeprefix("p/") for name in files}
    fake = declare(monkeypatch, zip_bytes(files), name="wikitext-2-raw", members=members)
    put_by_hand(cache, fake, zip_bytes(files))
    return fake.sha256


def test_a_corpus_of_two_is_the_novels_and_then_the_other_text(folder: Path, wikitext: str) -> None:
    as_files(folder, encoded())
    for split, name in zip(SPLITS, ("train", "valid", "test")):
        documents = list(load_documents("novels-and-wikitext-2", split, "local"))
        assert documents == [*load_novels(split), WIKITEXT[name]]
        assert load_split("novels-and-wikitext-2", split, "local") == "".join(documents)


def test_a_corpus_of_two_is_identified_by_both(folder: Path, wikitext: str) -> None:
    as_files(folder, encoded())
    novels = corpus_identity("english-novels", "local")
    assert novels.startswith("local:")
    assert corpus_identity("novels-and-wikitext-2", "local") == f"{novels} and package:{wikitext}"


def identity() -> str:
    corpus_identity.cache_clear()
    return corpus_identity("english-novels", "local")


@pytest.mark.parametrize("position", [0, 3, 10], ids=["test", "train", "validation"])
def test_a_changed_letter_of_any_split_is_another_corpus(folder: Path, position: int) -> None:
    as_files(folder, encoded())
    before = identity()
    assert identity() == before
    changed = folder / sorted(NOVELS)[position]
    changed.write_text(changed.read_text().replace("N", "M", 1))
    assert identity() != before


def test_a_text_that_moves_to_the_next_novel_is_another_corpus(folder: Path) -> None:
    # The end token between the two then stands elsewhere: other tokens, other numbers.
    as_files(folder, encoded())
    before, (one, other) = identity(), sorted(NOVELS)[2:4]
    (folder / other).write_text(NOVELS[one][-3:] + NOVELS[other])
    (folder / one).write_text(NOVELS[one][:-3])
    assert identity() != before


def test_a_text_that_moves_to_the_next_split_is_another_corpus(folder: Path) -> None:
    as_files(folder, encoded())
    before, last_of_train, first_of_validation = identity(), sorted(NOVELS)[44], sorted(NOVELS)[10]
    (folder / first_of_validation).write_text(
        NOVELS[last_of_train][-3:] + NOVELS[first_of_validation]
    )
    (folder / last_of_train).write_text(NOVELS[last_of_train][:-3])
    assert identity() != before


def test_a_novel_that_changes_its_split_is_another_corpus(folder: Path) -> None:
    as_files(folder, encoded())
    before = identity()
    (folder / sorted(NOVELS)[-1]).rename(folder / "A_first.txt")
    assert identity() != before
