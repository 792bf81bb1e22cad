"""Hub data sets: a local copy is read as the hub would serve it, and checked before."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from eval.data.hub import load_hub_split, local_copy
from eval.data.text import load_split
from eval.errors import UserError

REPOSITORY = "Salesforce/wikitext"
LINES = {
    "train": ["", " = A title = \n", "", " The text , na\u00efve \u65e5\u672c . \n"] * 3,
    "validation": [" Held out . \n"],
    "test": [" Tested on \U0001f642 . \n", ""],
}
CARD = """---
configs:
- config_name: wikitext-103-raw-v1
  data_files: [{split: test, path: wikitext-103-raw-v1/test-*}]
- config_name: wikitext-2-raw-v1
  data_files:
  - {split: test, path: wikitext-2-raw-v1/test-*}
  - {split: train, path: wikitext-2-raw-v1/train-*}
  - {split: validation, path: wikitext-2-raw-v1/validation-*}
---
# A copy
"""


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a local copy with the layout of the hub's repository and its manifest."""
    monkeypatch.setenv("RLTD_LOCAL", str(tmp_path / "copies"))
    folder = tmp_path / "copies" / REPOSITORY
    data = folder / "wikitext-2-raw-v1"
    data.mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    (folder / "wikitext-103-raw-v1").mkdir()
    (folder / "wikitext-103-raw-v1" / "test-00000-of-00001.jsonl").write_text('{"text": "no"}\n')
    for split, lines in LINES.items():
        rows = "".join(json.dumps({"text": line}) + "\n" for line in lines)
        (data / f"{split}-00000-of-00001.jsonl").write_text(rows)
    write_manifest(folder)
    return folder


def write_manifest(folder: Path, *, mark: str = " ") -> None:
    """Write what `sha256sum` prints; `mark` is "*" for its binary mode."""
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()} {mark}{file.relative_to(folder)}\n"
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != "manifest.sha256"
    ]
    (folder / "manifest.sha256").write_text("".join(lines))


def data_file(folder: Path, split: str = "train") -> Path:
    return folder / "wikitext-2-raw-v1" / f"{split}-00000-of-00001.jsonl"


@pytest.mark.parametrize("split", LINES)
def test_a_local_copy_gives_the_joined_text(copy: Path, split: str) -> None:
    assert load_split("wikitext-2-raw", split, "local") == "".join(LINES[split])


def test_a_local_copy_is_read_from_its_parquet_files(copy: Path) -> None:
    for split, lines in LINES.items():
        data_file(copy, split).unlink()
        frame = pd.DataFrame({"text": lines})
        frame.to_parquet(data_file(copy, split).with_suffix(".parquet"))
    shutil.rmtree(copy / "wikitext-103-raw-v1")
    (copy / "README.md").write_text(CARD.replace("wikitext-103-raw-v1/", "wikitext-2-raw-v1/"))
    write_manifest(copy)
    assert load_split("wikitext-2-raw", "train", "local") == "".join(LINES["train"])


def test_a_changed_copy_is_read_anew_and_not_from_a_cache(copy: Path) -> None:
    assert load_split("wikitext-2-raw", "test", "local") == "".join(LINES["test"])
    data_file(copy, "test").write_text(json.dumps({"text": "another and longer text\n"}))
    write_manifest(copy)
    assert load_split("wikitext-2-raw", "test", "local") == "another and longer text\n"


@pytest.mark.parametrize("mark", [" ", "*"])
def test_a_copy_that_agrees_with_its_manifest_is_taken(copy: Path, mark: str) -> None:
    (copy / "manifest.sha256").unlink()
    write_manifest(copy, mark=mark)
    assert local_copy(REPOSITORY) == copy


def test_a_copy_without_a_manifest_is_taken(copy: Path) -> None:
    (copy / "manifest.sha256").unlink()
    assert local_copy(REPOSITORY) == copy


def test_a_corrupted_file_is_refused(copy: Path) -> None:
    file = data_file(copy)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"differs from manifest\.sha256; copy it") as caught:
        load_split("wikitext-2-raw", "train", "local")
    assert str(file) in str(caught.value)


def test_a_file_that_the_manifest_names_and_nobody_copied_is_refused(copy: Path) -> None:
    data_file(copy).unlink()
    with pytest.raises(UserError, match="copy it from the hub again") as caught:
        local_copy(REPOSITORY)
    assert str(data_file(copy)) in str(caught.value)


def test_a_missing_repository_is_one_clear_error(copy: Path) -> None:
    with pytest.raises(UserError, match=r"no local copy of someone/else: .* does not exist"):
        local_copy("someone/else")


@pytest.mark.parametrize("value", [None, "", "/nowhere/at/all"])
def test_a_folder_of_copies_that_is_not_there_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("RLTD_LOCAL", value)
    with pytest.raises(UserError, match=r"give it with --folder PATH \(or RLTD_LOCAL\)") as caught:
        load_split("wikitext-2-raw", "train", "local")
    assert ("there is no folder /nowhere/at/all" in str(caught.value)) == bool(value)


@pytest.mark.parametrize(("name", "split"), [("wikitext-9", "train"), ("wikitext-2-raw-v1", "dev")])
def test_a_configuration_or_split_that_the_copy_lacks_is_one_clear_error(
    copy: Path, name: str, split: str
) -> None:
    with pytest.raises(UserError, match=f"could not serve {REPOSITORY}") as caught:
        load_hub_split(REPOSITORY, name, "main", split=split, source="local")
    assert "\n" not in str(caught.value)


def test_data_that_cannot_be_read_is_one_clear_error(copy: Path) -> None:
    data_file(copy).write_text('{"text": "cut sh')
    write_manifest(copy)
    with pytest.raises(UserError, match=f"could not serve {REPOSITORY}") as caught:
        load_split("wikitext-2-raw", "train", "local")
    assert "\n" not in str(caught.value)


def test_the_hub_when_offline_is_one_clear_error() -> None:
    message = rf"'hub' could not serve {REPOSITORY} .*HF_HUB_OFFLINE.*--source package"
    with pytest.raises(UserError, match=message) as caught:
        load_split("wikitext-2-raw", "train", "hub")
    assert "\n" not in str(caught.value)
