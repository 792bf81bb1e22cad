"""`./rltd eval-model`: score a checkpoint on the zero-shot tasks and write the scores down."""

from __future__ import annotations

import json
import time
from argparse import Namespace
from pathlib import Path

from eval.bfloat16 import products
from eval.data.fetch import sha256_of
from eval.data.task_data import AVERAGED, notes, table, task_data
from eval.errors import UserError
from eval.evidence.formatting import to_markdown
from eval.evidence.zero_shot.scores import average_line, score_table
from eval.model_eval.records import ModelScores, write_scores
from eval.models.named import MODELS, from_hub, load_folder, weights_folder
from eval.paths import OUT, RESULTS, local_copies, shown
from eval.provenance import is_dirty, origin
from eval.tasks.zero_shot import zero_shot

__all__ = ["eval_model"]


_ENCODERS = {"bert", "roberta", "distilbert", "electra"}
"""Types that transformers would load as decoders all the same, with a head that knows nothing."""


def eval_model(options: Namespace) -> int:
    """Score a model; the tasks that cannot be had are named, the others still run."""
    if options.model is None:
        print(to_markdown(table()))
        print("\n".join(notes()))
        return 0
    if options.record and is_dirty() is not False:
        raise UserError("--record needs a clean git checkout; commit first, or leave it out")
    tasks = _tasks(options.tasks)
    folder = checkpoint_folder(options.model)
    model, tokenizer = load_folder(folder)
    precision = {"float32": "no", "bfloat16": "bf16"}[options.precision]
    begin = time.perf_counter()
    with local_copies(options.folder), products(precision):
        found = zero_shot(
            model,
            tokenizer,
            tasks,
            sources=_sources(options),
            rows=options.rows,
            batch=options.batch,
            precision=precision,
        )
    scores = ModelScores(
        model=folder.name if Path(options.model).is_dir() else options.model,
        weights="+".join(sha256_of(file) for file in sorted(folder.glob("*.safetensors"))),
        precision=options.precision,
        provenance={**origin(), "zero_shot": found.origin()},
        measurements=found.measurements(),
        missing=tuple(map(str, found.missing)),
        wall_s=round(time.perf_counter() - begin, 1),
    )
    for line in scores.missing:
        print(f"not evaluated: {line}")
    read = scores.provenance["zero_shot"]["tasks"]
    print(to_markdown(score_table(read, scores.measurements)))
    print(average_line(read, scores.measurements))
    path = write_scores(RESULTS if options.record else OUT, scores, found.examples)
    print(f"wrote {shown(path)}")
    return 0


def checkpoint_folder(model: str) -> Path:
    """Return the folder of a checkpoint: a path, a model of this suite, or a hub repository.

    Raises: UserError if it is none of them, or has no safetensors.
    """
    if Path(model).is_dir():
        folder = Path(model).resolve()
    elif model in MODELS:
        folder = weights_folder(model, "package" if MODELS[model].asset else "hub")
    elif "/" in model and not model.startswith((".", "/")):
        folder = from_hub(model, None)
    else:
        raise UserError(
            f"{model!r} is no folder, no repository OWNER/NAME of the hub, and none of "
            f"{', '.join(MODELS)}"
        )
    if _model_type(folder) in _ENCODERS:
        raise UserError(f"{model} is an encoder: it gives a text no likelihood; name a decoder")
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{folder} has no *.safetensors; save the model with save_pretrained")
    return folder


def _model_type(folder: Path) -> str | None:
    config = folder / "config.json"
    return json.loads(config.read_text()).get("model_type") if config.is_file() else None


def _tasks(names: list[str]) -> list[str]:
    tasks = [*AVERAGED, "wikitext"] if names == ["all"] else names
    for name in tasks:
        task_data(name)  # an unknown one is an error before anything is loaded
    return tasks


def _sources(options: Namespace) -> list[str]:
    if options.source:
        return options.source
    return ["package", *(["local"] if options.folder else []), "hub"]
