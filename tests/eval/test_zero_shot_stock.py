"""Scores, errors and hashes equal those of lm-eval's own command line on the same folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from lm_eval.utils import hash_string

from eval.data.task_data import TASK_DATA, task_data
from eval.data.task_folder import lay_down
from eval.models.named import load_folder
from eval.paths import ROOT
from eval.tasks.zero_shot import TaskScore, ZeroShot, zero_shot
from tests.eval.task_rows import ROWS
from tests.eval.test_zero_shot import checkpoint

__all__ = ["checkpoint"]

TASKS = tuple(ROWS)
START = (
    "from eval.torchvision_repair import ensure_torchvision; ensure_torchvision(); "
    "from eval.tasks.squad_metrics import ensure_squad_metrics; ensure_squad_metrics(); "
    "from lm_eval.__main__ import cli_evaluate; cli_evaluate()"
)
OPTIONS = ("--device", "cpu", "--batch_size", "16", "--num_fewshot", "0", "--log_samples")
MEANS = {"acc", "acc_norm", "exact_match", "f1", "em"}
OURS = {*MEANS, "word_perplexity", "bits_per_byte", "perplexity"}


def command_line(checkpoint: Path, data: Path, to: Path, tasks: tuple[str, ...]) -> dict[str, Any]:
    """Run lm-eval in the folder with the data; return its results with the samples."""
    model = ("--model", "hf", "--model_args", f"pretrained={checkpoint},dtype=float32")
    where = ("--tasks", ",".join(tasks), "--output_path", str(to))
    settings = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    settings |= {"HF_DATASETS_CACHE": str(to / "datasets"), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-c", START, "run", *model, *where, *OPTIONS],
        cwd=data,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (results,) = to.glob("*/results_*.json")
    samples = {}
    for task in tasks:
        (file,) = results.parent.glob(f"samples_{task}_2*.jsonl")
        samples[task] = [json.loads(line) for line in file.read_text().splitlines()]
    return {**json.loads(results.read_text()), "samples": samples}


@pytest.fixture(scope="module")
def both(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, ZeroShot]:
    """Evaluate all tasks twice: by the command line, and by this project."""
    folder = tmp_path_factory.mktemp("stock")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RLTD_CACHE", str(folder / "cache"))
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "datasets")
        data, _ = lay_down(ROWS)
        stock = command_line(checkpoint, data, folder / "out", TASKS)
        patch.setenv("RLTD_LOCAL", str(data))
        ours = zero_shot(*load_folder(checkpoint), TASKS, sources=("local",))
    return stock, ours


def of(found: ZeroShot, task: str) -> TaskScore:
    (score,) = [s for s in found.scores if s.task == task]
    return score


def test_every_task_is_compared(both: tuple[Any, ZeroShot]) -> None:
    stock, ours = both
    assert set(TASKS) == set(TASK_DATA) == set(stock["results"])
    assert [s.task for s in ours.scores] == list(TASKS)
    assert ours.missing == ()
    assert stock["lm_eval_version"] == ours.origin()["lm_eval"]


@pytest.mark.parametrize("task", TASKS)
def test_every_metric_and_error_is_the_same(both: tuple[Any, ZeroShot], task: str) -> None:
    stock, score = both[0]["results"][task], of(both[1], task)
    found = {name.partition(",")[0]: v for name, v in stock.items() if "," in name}
    values = {name: v for name, v in found.items() if not name.endswith("_stderr")}
    assert task_data(task).metric in values
    for name in values.keys() - {"byte_perplexity"}:  # two to the power of bits_per_byte
        assert name in OURS
        ours = score.measurements[name]
        if name in MEANS:
            assert ours.value == pytest.approx(values[name], rel=1e-15)
            # A sum of six numbers in another order.
            assert ours.standard_error == pytest.approx(found[f"{name}_stderr"], rel=1e-13)
        else:  # sums in another order, of numbers near a hundred under the exponential
            assert ours.value == pytest.approx(values[name], rel=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_hashes_and_version_are_the_same(both: tuple[Any, ZeroShot], task: str) -> None:
    stock, score = both[0], of(both[1], task)
    assert score.task_hash == stock["task_hashes"][task]
    samples = stock["samples"][task]
    parts = [s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples]
    assert score.task_hash == hash_string("".join(parts))
    assert score.version == str(stock["versions"][task])
    assert stock["n-samples"][task] == {"original": score.rows, "effective": score.rows}
    origin = both[1].origin()["tasks"][task]
    assert origin["task_hash"] == score.task_hash
    assert (origin["source"], origin["rows"]) == ("local", 6)


@pytest.mark.parametrize("task", TASKS)
def test_every_example_is_the_same(both: tuple[Any, ZeroShot], task: str) -> None:
    samples = both[0]["samples"][task]
    table = both[1].examples[both[1].examples["task"] == task]
    assert list(table["doc_id"]) == [s["doc_id"] for s in samples] == list(range(6))
    for name in MEANS & set(samples[0]):
        assert list(table[name]) == [s[name] for s in samples]
    if task == "triviaqa":
        assert table["answer_nats"].isna().all()
        return
    for nats, sample in zip(table["answer_nats"], samples, strict=True):
        said = [
            -float(response[0][0]) if task != "wikitext" else -float(response[0])
            for response in sample["resps"]
        ]
        assert nats in said
