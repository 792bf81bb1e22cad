"""Zero-shot scores: the model is evaluated as it is, by itself, and everything is put back."""

from __future__ import annotations

import logging
import os
import random
from pathlib import Path
from typing import Any

import lm_eval
import numpy as np
import pandas as pd
import pytest
import torch

from eval.checkpoint import generators
from eval.data.task_data import TASK_DATA
from eval.data.task_folder import lay_down
from eval.errors import UserError
from eval.models.named import load_folder
from eval.models.tiny import make_tiny_llama
from eval.tasks.zero_shot import ZeroShot, zero_shot
from rltd_core import KeptLength, RandomLTD
from tests.eval.packages import contents
from tests.eval.task_rows import ROWS, Row


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a small decoder of 512 positions, far from uniform predictions."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny"
    folder.mkdir()
    make_tiny_llama(" ".join(str(rows) for rows in ROWS.values()), folder)
    return perturbed(folder, 0)


def perturbed(folder: Path, seed: int) -> Path:
    """Write the checkpoint again with noise on its weights."""
    model, _ = load_folder(folder)
    model.config.max_position_embeddings = 512  # triviaqa generates up to 256 tokens
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def loaded(checkpoint: Path) -> tuple[Any, Any]:
    """Return model and tokenizer, with attention dropout where the model is in training mode."""
    model, tokenizer = load_folder(checkpoint)
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    return model.train(), tokenizer


@pytest.fixture
def local(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lay all rows down as copies of the hub's repositories, for the source `local`."""
    return put(monkeypatch, ROWS)


def put(patch: pytest.MonkeyPatch, tables: dict[str, list[Row]]) -> Path:
    """Make these rows, and no others, what the source `local` has."""
    folder, _ = lay_down(tables)
    patch.setenv("RLTD_LOCAL", str(folder))
    return folder


def score(loaded: tuple[Any, Any], *tasks: str, **options: Any) -> ZeroShot:
    """Evaluate on the local rows."""
    return zero_shot(*loaded, tasks, sources=("local",), **options)


def fail(*_: Any) -> None:
    """Stand in for a forward that does not fit into memory."""
    raise RuntimeError("out of memory")


def assert_same(one: ZeroShot, other: ZeroShot) -> None:
    """Assert equality to the last bit."""
    pd.testing.assert_frame_equal(one.examples, other.examples, check_exact=True)
    assert one.scores == other.scores


def flattened(state: dict[str, Any]) -> list[Any]:
    return [x.tolist() if isinstance(x, torch.Tensor) else x for v in state.values() for x in v]


def test_random_ltd_changes_nothing_while_it_is_attached(loaded: Any, local: Path) -> None:
    tasks = ("hellaswag", "lambada_openai", "wikitext", "triviaqa")
    plain = score(loaded, *tasks)
    schedule = KeptLength(start=8, full=512, ramp_steps=1000)
    ltd = RandomLTD(loaded[0], schedule, seed=0)
    before = ltd.state_dict()
    assert_same(score(loaded, *tasks), plain)
    assert ltd.state_dict() == before
    assert ltd.kept == 8
    ltd.detach()


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_generators_are_put_back(loaded: Any, local: Path, training: bool) -> None:
    model = loaded[0].train(training)
    random.seed(5), np.random.seed(6), torch.manual_seed(7)
    np.random.standard_normal()  # leaves half a pair in the generator
    before, modes = flattened(generators()), []
    handle = model.register_forward_pre_hook(lambda module, _: modes.append(module.training))
    score(loaded, "copa")
    handle.remove()
    assert set(modes) == {False}
    assert flattened(generators()) == before
    assert all(module.training is training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("task", ["copa", "wikitext", "triviaqa"])
def test_an_evaluation_in_training_mode_is_impossible(
    loaded: Any, local: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(loaded[0], "eval", lambda: loaded[0])
    with pytest.raises(AssertionError, match="put into training mode while evaluated"):
        score(loaded, task)


def test_a_second_model_gets_its_own_answers(loaded: Any, checkpoint: Path, local: Path) -> None:
    first = score(loaded, "piqa")
    other = load_folder(checkpoint)
    with torch.no_grad():
        for parameter in other[0].parameters():
            parameter.mul_(-1)
    second = score(other, "piqa", "piqa")
    assert list(second.examples["doc_id"]) == list(range(6))
    assert (second.examples["answer_nats"] != first.examples["answer_nats"]).all()
    assert_same(score(loaded, "piqa"), first)


def test_other_rows_of_a_task_are_read_anew(
    loaded: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, {"piqa": ROWS["piqa"]})
    first = score(loaded, "piqa")
    put(monkeypatch, {"piqa": ROWS["piqa"][::-1][:4]})
    second = score(loaded, "piqa")
    assert first.scores[0].rows == 6
    assert second.scores[0].rows == 4
    assert second.scores[0].task_hash != first.scores[0].task_hash


def test_nothing_is_written_where_lm_eval_keeps_its_caches(
    loaded: Any, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    package = Path(lm_eval.__file__).parent
    before = {p for p in package.rglob("*") if p.suffix != ".pyc"}
    score(loaded, "copa")
    assert {p for p in package.rglob("*") if p.suffix != ".pyc"} == before
    assert contents(tmp_path / "here") == {}


@pytest.mark.parametrize("git", [None, "/elsewhere/.git"])
@pytest.mark.parametrize("how", ["fine", "no memory", "no tokenizer"])
def test_everything_is_put_back_also_after_an_error(
    loaded: Any, local: Path, monkeypatch: pytest.MonkeyPatch, how: str, git: str | None
) -> None:
    model, tokenizer = loaded
    monkeypatch.delenv("GIT_DIR", raising=False)
    if git:
        monkeypatch.setenv("GIT_DIR", git)
    before = (Path.cwd(), os.environ.get("GIT_DIR"), flattened(generators()))
    if how == "fine":
        score(loaded, "copa")
    else:
        if how == "no memory":
            model.register_forward_pre_hook(fail)
        used = (model, "a name" if how == "no tokenizer" else tokenizer)
        with pytest.raises((RuntimeError, AssertionError, OSError)):
            score(used, "copa")
    assert (Path.cwd(), os.environ.get("GIT_DIR"), flattened(generators())) == before
    assert logging.getLogger("lm_eval").level != logging.ERROR
    assert all(module.training for module in model.modules())


def test_tasks_without_data_are_named_and_the_others_run(
    loaded: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, {"copa": ROWS["copa"]})
    found = score(loaded, "race", "copa", "record")
    assert [s.task for s in found.scores] == ["copa"]
    assert [m.task for m in found.missing] == ["race", "record"]
    assert all("\n" not in str(m) for m in found.missing)
    with pytest.raises(UserError, match=r"race: no data from local.*; piqa: no data from local"):
        score(loaded, "race", "piqa")


def test_a_model_too_short_for_an_answer_is_told_of_it_and_the_others_run(
    loaded: Any, local: Path
) -> None:
    loaded[0].config.max_position_embeddings = 256  # what triviaqa's answers may take
    found = score(loaded, *ROWS, rows=2)
    assert {s.task for s in found.scores} == ROWS.keys() - {"triviaqa"}
    (short,) = found.missing
    assert str(short).startswith(
        "triviaqa: answers of up to 256 tokens do not fit into the model's"
    )
    with pytest.raises(UserError, match=r"triviaqa: .* evaluate a model with more positions"):
        score(loaded, "triviaqa")
    assert loaded[0].training


def test_a_single_row_is_nothing_to_measure_on(
    loaded: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, {"copa": ROWS["copa"][:1], "piqa": ROWS["piqa"]})
    found = score(loaded, "copa", "piqa")
    assert [s.task for s in found.scores] == ["piqa"]
    (line,) = map(str, found.missing)
    assert line.startswith("copa: a standard error needs at least 2 rows, local has 1; ")


@pytest.mark.parametrize("rows", [1, 0, -1])
def test_fewer_than_two_rows_are_refused(loaded: Any, cache: Path, rows: int) -> None:
    with pytest.raises(UserError, match=f"at least 2 rows of a task .* got {rows}"):
        score(loaded, "copa", rows=rows)
    assert not cache.exists()


def test_rows_are_the_first_ones(loaded: Any, local: Path) -> None:
    # One batch holds one length, so that the other requests of a batch do not matter.
    all_of_them, some = (score(loaded, "copa", rows=rows, batch=1) for rows in (None, 3))
    pd.testing.assert_frame_equal(some.examples, all_of_them.examples[:3], check_exact=True)
    (one,) = some.scores
    assert (one.rows, one.rows_published, one.split) == (3, 100, TASK_DATA["copa"].split)
    assert {m.n for m in one.measurements.values()} == {3}
