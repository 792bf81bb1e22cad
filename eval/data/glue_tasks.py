"""GLUE: the eight tasks of the paper's average, and SNLI."""

from __future__ import annotations

from dataclasses import dataclass

from eval.errors import UserError

__all__ = ["GLUE", "GlueTask", "glue_task"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GlueTask:
    """One task: its columns, its classes, and how it is scored."""

    name: str
    """Configuration on the hub."""
    title: str
    """As the benchmark writes it."""
    first: str
    second: str | None
    """Column of the second sentence, where there is one."""
    classes: int
    """Number of classes; 1 where a score is predicted (STS-B)."""
    metrics: tuple[str, ...]
    """The official ones; the first is what the paper's average takes."""
    train_rows: int
    """Published number of rows."""
    validation: tuple[str, ...] = ("validation",)
    """Splits that are reported; MNLI has two."""


# Paper: section 5.2 for the metric of each column; counts are those of the GLUE release.
GLUE: dict[str, GlueTask] = {
    task.name: task
    for task in (
        GlueTask(
            name="mnli",
            title="MNLI",
            first="premise",
            second="hypothesis",
            classes=3,
            metrics=("accuracy",),
            train_rows=392_702,
            validation=("validation_matched", "validation_mismatched"),
        ),
        GlueTask(
            name="qqp",
            title="QQP",
            first="question1",
            second="question2",
            classes=2,
            metrics=("accuracy", "f1"),
            train_rows=363_846,
        ),
        GlueTask(
            name="qnli",
            title="QNLI",
            first="question",
            second="sentence",
            classes=2,
            metrics=("accuracy",),
            train_rows=104_743,
        ),
        GlueTask(
            name="sst2",
            title="SST-2",
            first="sentence",
            second=None,
            classes=2,
            metrics=("accuracy",),
            train_rows=67_349,
        ),
        GlueTask(
            name="cola",
            title="CoLA",
            first="sentence",
            second=None,
            classes=2,
            metrics=("matthews_correlation",),
            train_rows=8_551,
        ),
        GlueTask(
            name="stsb",
            title="STS-B",
            first="sentence1",
            second="sentence2",
            classes=1,
            metrics=("spearman", "pearson"),
            train_rows=5_749,
        ),
        GlueTask(
            name="mrpc",
            title="MRPC",
            first="sentence1",
            second="sentence2",
            classes=2,
            metrics=("accuracy", "f1"),
            train_rows=3_668,
        ),
        GlueTask(
            name="rte",
            title="RTE",
            first="sentence1",
            second="sentence2",
            classes=2,
            metrics=("accuracy",),
            train_rows=2_490,
        ),
        # Not of GLUE: MNLI's kind of pairs, for the source that has no other ones.
        GlueTask(
            name="snli",
            title="SNLI",
            first="premise",
            second="hypothesis",
            classes=3,
            metrics=("accuracy",),
            train_rows=99_890,
            validation=("test",),
        ),
    )
}


def glue_task(name: str) -> GlueTask:
    """Look a task up by name.

    Raises: UserError with the known names.
    """
    if name not in GLUE:
        raise UserError(f"unknown GLUE task {name!r}; known are {', '.join(GLUE)}")
    return GLUE[name]
