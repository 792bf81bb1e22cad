"""The task of an experiment, by what it learns."""

from __future__ import annotations

from eval.spec import Experiment
from eval.tasks import language
from eval.tasks.classification import ClassificationTask
from eval.tasks.masked import MaskedTask
from eval.tasks.task import Task

__all__ = ["prepare", "task_of"]


def task_of(experiment: Experiment, seed: int) -> Task:
    """Return the task, with its data read and tokenised.

    Raises: UserError for data that cannot be had.
    """
    if experiment.objective == "labels":
        return ClassificationTask(experiment)
    if experiment.objective == "images":
        return _of_images(experiment, seed)
    if experiment.objective == "masked":
        return MaskedTask(experiment, seed)
    return language.LanguageTask(experiment)


def prepare(experiment: Experiment) -> None:
    """Fetch and tokenise once, before several processes want the same files.

    Raises: UserError for what cannot be had, before any run begins.
    """
    if experiment.objective == "labels":
        ClassificationTask(experiment)
    elif experiment.objective == "images":
        _of_images(experiment, seed=0)
    elif experiment.objective == "masked":
        MaskedTask(experiment, seed=0)
    else:
        language.prepare(experiment)


def _of_images(experiment: Experiment, seed: int) -> Task:
    from eval.tasks.images import ImageTask  # timm takes seconds to import

    return ImageTask(experiment, seed)
