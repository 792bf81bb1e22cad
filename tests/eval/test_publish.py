"""A folder is at its place whole or not at all, and what lay there stays until then."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from eval.data.fetch import publish
from tests.eval.packages import contents


@pytest.mark.parametrize("raised", [KeyboardInterrupt, ValueError, OSError])
def test_an_interrupted_publication_leaves_nothing(
    tmp_path: Path, raised: type[BaseException]
) -> None:
    def interrupted() -> None:
        with publish(tmp_path / "cache" / "folder") as partial:
            (partial / "file").write_text("half")
            raise raised

    with pytest.raises(raised):
        interrupted()
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_interrupted_publication_leaves_what_was_published_before(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with publish(folder) as partial:
        (partial / "file").write_text("old")
    before = contents(tmp_path)
    with pytest.raises(KeyboardInterrupt), publish(folder) as partial:  # noqa: PT012
        (partial / "file").write_text("new")
        raise KeyboardInterrupt
    assert contents(tmp_path) == before


def test_of_two_that_publish_at_once_the_last_one_stays_and_nothing_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with publish(folder) as partial:
        (partial / "file").write_text("slower")
        with publish(folder) as other:
            (other / "file").write_text("quicker")
    assert contents(folder)["file"] == b"slower"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_what_lies_there_is_whole_until_the_new_one_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    with publish(folder) as partial:
        (partial / "file").write_text("old")
    removed: list[str] = []
    rmtree = shutil.rmtree

    def watched(path: Path, **options: bool) -> None:
        if path.exists():
            removed.append((folder / "file").read_text())
        rmtree(path, **options)

    monkeypatch.setattr("eval.data.fetch.shutil.rmtree", watched)
    with publish(folder) as partial:
        (partial / "file").write_text("new")
    assert removed == ["new"]


def test_nothing_is_at_its_place_before_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    with publish(folder) as partial:
        (partial / "file").write_text("text")
        assert not folder.exists()
        assert partial.parent == folder.parent  # a rename within one disk
    assert (folder / "file").read_text() == "text"
    assert folder.stat().st_mode & 0o777 == 0o755
