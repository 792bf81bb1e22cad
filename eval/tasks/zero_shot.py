"""Zero-shot scores by lm-eval's own, unmodified task definitions, on data that lies here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from eval.data.task_data import task_data
from eval.data.task_root import Missing, Served, task_root
from eval.errors import UserError
from eval.record import Measurement
from eval.tasks.examples import example_table, measure
from eval.tasks.squad_metrics import ensure_squad_metrics
from eval.tasks.surroundings import evaluation_mode, generators_kept, quiet, working_in

ensure_squad_metrics()

import lm_eval  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402
from lm_eval.utils import hash_string  # noqa: E402

__all__ = ["TaskScore", "ZeroShot", "zero_shot"]


_DEFINITIONS = {
    "lambada_openai": "lambada",
    "arc_challenge": "arc",
    "arc_easy": "arc",
    "anli_r1": "anli",
    "anli_r2": "anli",
    "anli_r3": "anli",
    "boolq": "super_glue/boolq",
    "copa": "super_glue/copa",
    "rte": "glue/rte",
    "wsc": "super_glue/wsc",
    "multirc": "super_glue/multirc",
    "record": "super_glue/record",
}
"""Folders of lm-eval's definitions that do not have the task's name."""
_GENERATED = {"triviaqa"}
"""Tasks whose answers are generated; of the others likelihoods are compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskScore:
    """One task: what was read, and how the model did."""

    task: str
    source: str
    split: str
    rows: int
    """Rows evaluated, the first ones of the split."""
    rows_published: int
    version: str
    """Of lm-eval's definition."""
    task_hash: str
    """lm-eval's hash over the documents, prompts and answers evaluated."""
    measurements: dict[str, Measurement]

    def origin(self) -> dict[str, Any]:
        """Return what a record says about where the numbers come from."""
        names = ("source", "split", "rows", "rows_published", "version", "task_hash")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroShot:
    """The scores of a model, and the tasks that could not be had."""

    scores: tuple[TaskScore, ...]
    missing: tuple[Missing, ...]
    examples: pd.DataFrame
    """One row an example; see `eval.tasks.examples`."""

    def measurements(self) -> dict[str, Measurement]:
        """Return all measurements, each as TASK/NAME."""
        return {
            f"{score.task}/{name}": measurement
            for score in self.scores
            for name, measurement in score.measurements.items()
        }

    def origin(self) -> dict[str, Any]:
        """Return versions, hashes and sources, for the record."""
        tasks = {score.task: score.origin() for score in self.scores}
        return {"lm_eval": metadata.version("lm_eval"), "tasks": tasks}


def zero_shot(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    *,
    sources: Sequence[str],
    rows: int | None = None,
    batch: int = 16,
    precision: str = "no",
) -> ZeroShot:
    """Evaluate the model on the tasks that the sources can serve, in evaluation mode.

    `rows` limits every task to its first rows. The model's mode and the global random generators,
    which lm-eval seeds, are put back. Nothing is cached: neither requests nor responses.

    A task whose answers are longer than the model, or with a single row, is named among the
    missing.

    Raises: UserError for an unknown task, for fewer than two rows, or if no task can be had.
    """
    if rows is not None and rows < 2:
        raise UserError(f"need at least 2 rows of a task for a standard error, got {rows}")
    root, served, missing = task_root(tasks, sources)
    if not served:
        raise UserError("; ".join(map(str, missing)))
    with evaluation_mode(model), generators_kept(), quiet():
        wrapped = _EvaluationMode(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=batch,
            mixed_precision_dtype="bfloat16" if precision == "bf16" else None,
        )
        refused = [no for s in served if (no := _refusal(wrapped, s))]
        served = _without(served, refused)
        results = _harness(wrapped, served, root, rows)
    tables = {s.task: example_table(s.task, results["samples"][s.task]) for s in served}
    scores = [_score(s, results, tables[s.task]) for s in served]
    return ZeroShot(
        scores=tuple(scores), missing=(*missing, *refused), examples=pd.concat(tables.values())
    )


_BASE: Any = HFLM  # its decorators hide its signature, as `simple_evaluate`'s do
_EVALUATE: Any = lm_eval.simple_evaluate


class _EvaluationMode(_BASE):
    """lm-eval's model, which refuses to answer in training mode."""

    def _model_call(self, *arguments: Any, **named: Any) -> torch.Tensor:
        assert not self.model.training, "the model was put into training mode while evaluated"
        return super()._model_call(*arguments, **named)

    def _model_generate(self, *arguments: Any, **named: Any) -> torch.Tensor:
        assert not self.model.training, "the model was put into training mode while evaluated"
        return super()._model_generate(*arguments, **named)

    def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> Any:
        """Answer with a progress bar on a terminal only: in a log it hides the last message."""
        hidden = disable_tqdm or not sys.stderr.isatty()
        return super().loglikelihood(requests, disable_tqdm=hidden)


def _refusal(model: Any, served: Served) -> Missing | None:
    """Say why this model cannot be measured on these rows, if it cannot."""
    if served.rows is not None and served.rows < 2:
        reason = f"a standard error needs at least 2 rows, {served.source} has {served.rows}"
        return Missing(task=served.task, reason=reason, remedy="add rows, or leave the task out")
    if served.task in _GENERATED and model.max_length <= model.max_gen_toks:
        reason = (
            f"answers of up to {model.max_gen_toks} tokens do not fit into the model's "
            f"{model.max_length}"
        )
        remedy = "evaluate a model with more positions, or leave the task out"
        return Missing(task=served.task, reason=reason, remedy=remedy)
    return None


def _without(served: list[Served], refused: list[Missing]) -> list[Served]:
    """Return what is left.

    Raises: UserError if nothing is.
    """
    left = [s for s in served if s.task not in {m.task for m in refused}]
    if not left:
        raise UserError("; ".join(map(str, refused)))
    return left


def _harness(model: Any, served: list[Served], root: Path, rows: int | None) -> dict[str, Any]:
    names = [s.task for s in served]
    with working_in(root):
        results = _EVALUATE(
            model=model,
            tasks=names,
            task_manager=_task_manager(names),
            num_fewshot=0,
            limit=rows,
            bootstrap_iters=0,
            log_samples=True,
        )
    assert results is not None
    return dict(results)


def _score(served: Served, results: dict[str, Any], table: pd.DataFrame) -> TaskScore:
    task, samples = served.task, results["samples"][served.task]
    data = task_data(task)
    hashes = [s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples]
    return TaskScore(
        task=task,
        source=served.source,
        split=data.split,
        rows=len(table),
        rows_published=data.rows,
        version=str(results["versions"][task]),
        task_hash=hash_string("".join(hashes)),
        measurements=measure(table, split=data.split),
    )


def _task_manager(tasks: Sequence[str]) -> TaskManager:
    """Return a task manager that reads these definitions alone: reading all takes seconds."""
    package = Path(lm_eval.__file__).parent / "tasks"
    folders = sorted({package / _DEFINITIONS.get(task, task) for task in tasks})
    return TaskManager(include_defaults=False, include_path=[*folders])
