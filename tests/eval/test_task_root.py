"""The folder of task data: lm-eval's own definitions find in it what the hub would give them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from datasets import ClassLabel, Dataset, load_dataset
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from eval.data import task_root as module
from eval.data.fetch import fetch
from eval.data.task_data import TASK_DATA, task_data
from eval.data.task_folder import TRAINING_TEXT
from eval.data.task_root import Missing, task_root
from eval.errors import UserError
from tests.eval.packages import contents
from tests.eval.task_files import HUB, put_packages, put_releases
from tests.eval.test_task_data import DEFINITIONS

SOURCES = ("package", "local", "hub")
FOLDERS = "hellaswag lambada winogrande piqa arc anli openbookqa race glue/rte wikitext webqs"
SUPER_GLUE = [f"super_glue/{name}" for name in ("boolq", "copa", "wsc", "multirc")]
PROBLEM = {"question": "Who _ ?", "answer": "C", "options": ["a", "b", "c", "d"]}
COPIES: dict[str, list[dict[str, Any]]] = {
    "anli_r1": [{"premise": "P.", "hypothesis": f"H{n}.", "label": n} for n in range(3)],
    "webqs": [{"question": "who ?", "answers": ["Bo", "Ann"]}, {"question": "x", "answers": ["y"]}],
    "race": [{"article": "Once.", "problems": str([PROBLEM, PROBLEM])}] * 2,
}
"""Rows of copies of hub repositories."""
_EVALUATE: Any = lm_eval.simple_evaluate  # its decorators hide its signature


@pytest.fixture
def packages(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put both packages into the cache's downloads."""
    put_packages(monkeypatch, cache)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the original releases and copies of hub repositories."""
    made = tmp_path / "local"
    monkeypatch.setenv("RLTD_LOCAL", str(made))
    put_releases(made)
    for task, rows in COPIES.items():
        put_copy(made, task, rows)
    return made


def put_copy(folder: Path, task: str, rows: list[dict[str, Any]], split: str = "") -> None:
    """Write the copy of a hub repository with one configuration, in the hub's parquet."""
    entry = task_data(task)
    config, split = entry.config or "plain", split or entry.split
    file = folder / entry.dataset / config / f"{split}-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    data = Dataset.from_list(rows)
    if isinstance(rows[0].get("label"), int):
        data = data.cast_column("label", ClassLabel(names=["e", "n", "c"]))
    data.to_parquet(file)
    files = [{"split": split, "path": f"{config}/{split}-*"}]
    card = json.dumps([{"config_name": config, "data_files": files}])
    (folder / entry.dataset / "README.md").write_text(f"---\nconfigs: {card}\n---\n")


def laid(root: Path, task: str) -> list[dict[str, Any]]:
    """Return what `datasets` finds in the folder under the names of the definition."""
    entry = task_data(task)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return load_dataset(entry.dataset, entry.config)[entry.split].to_list()


def evaluate(root: Path, tasks: Sequence[str], shots: int = 0) -> dict[str, Any]:
    """Run lm-eval's own definitions in the folder, on an untrained GPT-2."""
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(["a text"], vocab_size=260, special_tokens=["<|end|>"])
    ends = {"eos_token": "<|end|>", "pad_token": "<|end|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, **ends)
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"n_layer": 1, "n_embd": 8, "n_head": 1, "n_positions": 512}
    model = GPT2LMHeadModel(GPT2Config(**sizes, vocab_size=260, bos_token_id=0, eos_token_id=0))
    wrapped = HFLM(pretrained=model.eval(), tokenizer=tokenizer, batch_size=4, device="cpu")  # type: ignore
    paths: list[str | Path] = [DEFINITIONS / name for name in [*FOLDERS.split(), *SUPER_GLUE]]
    manager = TaskManager(include_defaults=False, include_path=paths)
    options = {"num_fewshot": shots, "limit": 2, "bootstrap_iters": 0, "log_samples": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        found = _EVALUATE(model=wrapped, tasks=list(tasks), task_manager=manager, **options)
    assert found is not None
    return dict(found)


def prompts(results: dict[str, Any], task: str, number: int = 0) -> list[tuple[str, str]]:
    """Return context and continuation of every request of a document."""
    (sample,) = [s for s in results["samples"][task] if s["doc_id"] == number]
    return [tuple(request) for request in sample["arguments"]]


def test_packaged_rows_are_found_under_the_names_of_the_hub(packages: None) -> None:
    root, served, missing = task_root(list(HUB), SOURCES)
    assert missing == []
    assert [s.task for s in served] == list(HUB)
    for entry, rows in zip(served, HUB.values(), strict=True):
        assert (entry.source, entry.rows) == ("package", 2)
        assert laid(root, entry.task) == rows
        data = task_data(entry.task)
        file = root / data.dataset / (data.config or "default") / f"{data.split}.jsonl"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == entry.sha256
        assert [json.loads(line) for line in file.read_text().splitlines()] == rows


def test_lm_eval_runs_its_own_definitions_on_the_folder(packages: None, folder: Path) -> None:
    tasks = [*HUB, "wsc", "multirc", *COPIES]
    root, served, missing = task_root(tasks, ("package", "local"))
    assert missing == []
    results = evaluate(root, tasks)
    for entry in served:
        task = entry.task
        assert results["n-samples"][task] == {"original": entry.rows, "effective": 2}
        assert results["configs"][task]["dataset_path"] == task_data(task).dataset
        assert f"{task_data(task).metric},none" in results["results"][task]
    assert prompts(results, "hellaswag", 1)[1] == ("Singing: Man 1. He", " is. here.")
    assert prompts(results, "arc_easy")[2] == ("Question: Which is 0?\nAnswer: it\nAnswer:", " c")
    assert prompts(results, "boolq", 1)[0][0].startswith("T -- x 1\nQuestion: y.\nQuestion: is it")
    assert prompts(results, "lambada_openai") == [("I say so , he", " said")]
    assert prompts(results, "winogrande")[0] == ("Ann saw Bo as Ann", " sat.")
    assert prompts(results, "rte")[0][0].endswith("B. True or False?\nAnswer:")
    assert '"*it*" refer to "*The pie*"?' in prompts(results, "wsc")[0][0]
    assert prompts(results, "multirc", 1)[0][1] == ' a "b"\nIs the answer correct? yes'
    assert prompts(results, "webqs")[0] == ("Question: who ?\nAnswer:", " Ann")
    assert prompts(results, "race")[0][0].endswith("Answer: c\nWho _ ?")
    golds = {task: [s["target"] for s in results["samples"][task]] for task in tasks}
    assert golds["arc_easy"] == [2, 4]
    assert golds["boolq"] == golds["rte"] == golds["piqa"] == [0, 1]
    assert (golds["wsc"], golds["multirc"]) == ([1, 0], [1, 0])


def test_examples_are_never_drawn_from_the_evaluated_rows(packages: None) -> None:
    root, _, _ = task_root(["arc_easy", "piqa"], ["package"])
    for context, _ in prompts(evaluate(root, ["arc_easy"], shots=1), "arc_easy"):
        assert context.startswith(f"Question: {TRAINING_TEXT}\nAnswer: {TRAINING_TEXT}\n\nQ")
    for task, shots in (("arc_easy", 2), ("piqa", 1)):
        with pytest.raises(ValueError, match="Sample larger than population"):
            evaluate(root, [task], shots=shots)


def test_a_copy_of_the_hub_goes_before_a_release(folder: Path) -> None:
    other = [{**row, "premise": "Other."} for row in HUB["copa"]]
    put_copy(folder, "copa", other)
    root, served, missing = task_root(["copa", "boolq", "anli_r1"], ["local"])
    assert missing == []
    assert laid(root, "copa") == other
    assert laid(root, "boolq") == HUB["boolq"]  # the copy of its repository lacks it
    assert laid(root, "anli_r1") == COPIES["anli_r1"]
    assert [(s.source, s.rows) for s in served] == [("local", 2), ("local", 2), ("local", 3)]


def test_a_first_row_that_lacks_values_keeps_the_types(folder: Path) -> None:
    rows = [{"premise": None, "tags": []}, {"premise": "P.", "tags": ["t"]}]
    (folder / "facebook").rename(folder / "other")
    put_copy(folder, "anli_r1", rows)
    root, _, missing = task_root(["anli_r1"], ["local"])
    assert missing == []
    assert laid(root, "anli_r1") == rows


@pytest.mark.parametrize("sources", [("package", "local"), ("local", "package")])
def test_the_first_source_that_has_a_task_serves_it(
    packages: None, folder: Path, sources: tuple[str, ...]
) -> None:
    _, served, _ = task_root(["lambada_openai", "piqa", "wsc"], sources)
    assert [s.source for s in served] == [sources[0], "package", "local"]
    assert served[0].rows == (2 if sources[0] == "package" else 1)


def test_another_split_is_never_served(folder: Path) -> None:
    put_copy(folder, "arc_easy", HUB["arc_easy"], split="validation")
    put_copy(folder, "hellaswag", HUB["hellaswag"], split="train")
    _, served, missing = task_root(["arc_easy", "hellaswag", "anli_r2"], ["local"])
    assert served == []
    assert [m.task for m in missing] == ["arc_easy", "hellaswag", "anli_r2"]


def test_missing_tasks_are_one_line_each_and_others_still_work(packages: None) -> None:
    root, served, missing = task_root(["triviaqa", "piqa", "record"], SOURCES)
    assert [s.task for s in served] == ["piqa"]
    assert laid(root, "piqa") == HUB["piqa"]
    for line, task in zip(missing, ("triviaqa", "record"), strict=True):
        assert line.reason == "no data from package, local, hub"
        assert str(line).startswith(f"{task}: no data from package, local, hub; run hf download ")
        assert f"hf download {task_data(task).dataset} --repo-type dataset" in str(line)
        assert "no package carries it" in str(line)
        assert "HF_HUB_OFFLINE is set" in str(line)
        assert "\n" not in str(line)


def test_a_download_that_fails_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def no_network(name: str) -> Path:
        asked.append(name)
        raise UserError(f"cannot download\n{name}")

    monkeypatch.setattr(module, "fetch", no_network)
    _, served, missing = task_root(["piqa", "copa", "wikitext"], ["package"])
    assert served == []
    assert asked == ["zero-shot-tasks", "wikitext-2-raw"]
    wanted = {m.task: m.remedy.split(" and ")[0] for m in missing}
    assert wanted["piqa"] == wanted["copa"] == "run ./rltd assets --fetch zero-shot-tasks"
    assert wanted["wikitext"] == "run ./rltd assets --fetch wikitext-2-raw"
    assert all("\n" not in str(m) and "cannot download" in str(m) for m in missing)
    task_root(["piqa"], ["package"])
    assert len(asked) == 3  # but again in the next call


@pytest.mark.parametrize("offline", ["1", "true", "ON"])
def test_the_hub_is_asked_by_datasets_itself(monkeypatch: pytest.MonkeyPatch, offline: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", offline)
    assert [m.task for m in task_root(["race"], ["hub"])[2]] == ["race"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    root, (served,), missing = task_root(["race"], ["hub"])
    assert (served.source, served.rows, served.sha256, missing) == ("hub", None, None, [])
    assert set(contents(root)) == {"manifest.json"}


def test_a_hub_task_beside_packaged_ones_of_its_repository_is_laid_down(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    asked: list[Any] = []

    def hub(*where: Any, split: str, source: str) -> Dataset:
        asked.append((*where, split, source))
        if "wsc.fixed" in where:
            raise UserError("the hub does not answer")
        return Dataset.from_list([{"answer": "x", "label": 1}])

    monkeypatch.setattr(module, "load_hub_split", hub)
    tasks = ["copa", "multirc", "wsc", "race"]
    root, served, (missing,) = task_root(tasks, ["package", "hub"])
    assert asked == [
        ("aps/super_glue", "multirc", "main", "validation", "hub"),
        ("aps/super_glue", "wsc.fixed", "main", "validation", "hub"),
    ]
    found = [("copa", "package", 2), ("multirc", "hub", 1), ("race", "hub", None)]
    assert [(s.task, s.source, s.rows) for s in served] == found
    assert laid(root, "multirc") == [{"answer": "x", "label": 1}]
    assert laid(root, "copa") == HUB["copa"]
    assert (missing.task, "the hub does not answer" in str(missing)) == ("wsc", True)


def test_equal_content_is_an_equal_folder(
    packages: None, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, served, _ = task_root(["copa", "piqa", "copa"], SOURCES)
    assert [s.task for s in served] == ["copa", "piqa"]
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*")}
    assert task_root(["piqa", "copa"], ["package"])[0] == first
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*")} == before
    assert task_root(["piqa"], ["package"])[0] != first
    (first / "baber/piqa/default/validation.jsonl").write_text("cut sh")
    assert task_root(["copa", "piqa"], ["package"])[0] == first
    assert laid(first, "piqa") == HUB["piqa"]
    changed = [{**HUB["copa"][0], "label": 1}, HUB["copa"][1]]
    put_packages(monkeypatch, cache, {**HUB, "copa": changed})
    second, _, _ = task_root(["copa", "piqa"], SOURCES)
    assert second != first
    assert laid(second, "copa") == changed
    assert {path.parent for path in (first, second)} == {cache / "tasks"}


def test_an_unknown_task_or_source_is_refused_before_anything_is_fetched(
    packages: None, cache: Path
) -> None:
    with pytest.raises(UserError, match="unknown task 'sglue_rte'"):
        task_root(["piqa", "sglue_rte"], SOURCES)
    with pytest.raises(UserError, match="unknown source 'nowhere'; sources are package, local"):
        task_root(["piqa"], ["package", "nowhere"])
    assert not (cache / "assets").exists()
    assert fetch("zero-shot-tasks").is_dir()


def test_missing_is_a_sentence() -> None:
    line = Missing(task="race", reason="no data from the hub", remedy="run this")
    assert str(line) == "race: no data from the hub; run this"
    assert len(TASK_DATA) == 20
