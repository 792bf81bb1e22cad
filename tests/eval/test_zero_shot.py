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
from eval.models import load_folder
from eval.tasks.zero_shot import ZeroShot, zero_shot
from eval.tiny import make_tiny_llama
from rltd_core import KeptLength, RandomLTD
from tests.eval.packages import contents

Row = dict[str, Any]
N = range(6)
WORDS = ("rain", "a long song", "bread", "the na\u00efve cat", "an old town", "light")
NAMES = ("Ann", "Bo", "Cy", "Di", "Ed", "Flo")
PAGE = " = {} = \n \n It was {} , he said . \n = = More = = \n "
SPAN = "{} gave {} to Tom because he asked ."


def _question(column: str, n: int, num: int) -> Row:
    texts = [f"{WORDS[(n + i) % 6]} {i}" for i in range(num)]
    choices = {"text": texts, "label": list("ABCDE"[:num])}
    return {"id": f"q{n}", column: f"Which is {WORDS[n]}?"} | {
        "choices": choices,
        "answerKey": "ABCDE"[n % num],
    }


def _hellaswag(n: int) -> Row:
    endings = [f"waits for {WORDS[n]}.", "is [title] here.", f"sings {WORDS[-n]}.", "falls."]
    row = {"ctx_a": f"{NAMES[n]} is here.", "ctx_b": "he", "endings": endings}
    return {**row, "label": str(n % 4), "ind": n, "activity_label": "Singing", "ctx": "x"}


def _anli(n: int) -> Row:
    return {"premise": f"{NAMES[n]} has {WORDS[n]}.", "hypothesis": "He has it.", "label": n % 3}


def _copa(n: int) -> Row:
    row = {"premise": f"{NAMES[n]} saw {WORDS[n]}.", "choice1": "He ate.", "choice2": "It fell."}
    return {**row, "question": ("cause", "effect")[n // 2 % 2], "idx": n, "label": n % 2}


def _wsc(n: int) -> Row:
    spans = {"span1_index": 0, "span1_text": NAMES[n], "span2_index": -3, "span2_text": "he"}
    return {"text": SPAN.format(NAMES[n], WORDS[n]), **spans, "idx": n, "label": n % 2}


def _record(n: int) -> Row:
    found = {"entities": [NAMES[n], "Jo", "the old Jo"], "answers": [("Jo", NAMES[n])[n % 2]]}
    return {"passage": f"It is {WORDS[n]}.\n@highlight\nOld", "query": "@placeholder ran"} | found


def _race(n: int) -> Row:
    problem = {"question": "He saw _ .", "answer": "ABCD"[n % 4], "options": list(WORDS[:4])}
    return {"article": f"{NAMES[n]} saw {WORDS[n]}.", "problems": str([problem, problem])}


ROWS: dict[str, list[Row]] = {
    "hellaswag": [_hellaswag(n) for n in N],
    "lambada_openai": [{"text": f"so {NAMES[n]} said it is {WORDS[n]}"} for n in N],
    "winogrande": [
        {"sentence": f"{NAMES[n]} saw Jo as _ had {WORDS[n]}."}
        | {"option1": NAMES[n], "option2": "Jo", "answer": str(1 + n % 2)}
        for n in N
    ],
    "piqa": [{"goal": f"Get {w}", "sol1": "Heat.", "sol2": f"See {w}.", "label": 1} for w in WORDS],
    "arc_easy": [_question("question", n, 3 + n % 3) for n in N],
    "arc_challenge": [_question("question", n, 4) for n in N],
    "openbookqa": [_question("question_stem", n, 4) for n in N],
    "boolq": [
        {"question": f"is it {w}", "passage": f"It -- {w}.", "idx": 0, "label": len(w) % 2}
        for w in WORDS
    ],
    "copa": [_copa(n) for n in N],
    "rte": [
        {"sentence1": f"It is {WORDS[n]}.", "sentence2": "It is.", "label": n % 2, "idx": n}
        for n in N
    ],
    "wsc": [_wsc(n) for n in N],
    "multirc": [
        {"paragraph": "Once.", "question": "What is it?", "answer": w, "label": len(w) % 2}
        | {"idx": {"paragraph": 0, "question": 0, "answer": 0}}
        for w in WORDS
    ],
    **{f"anli_r{n}": [_anli((n + i) % 6) for i in N] for n in (1, 2, 3)},
    "race": [_race(n) for n in N],
    "record": [_record(n) for n in N],
    "webqs": [{"question": f"is {WORDS[n]}?", "answers": list(NAMES[: 1 + n % 3])} for n in N],
    "triviaqa": [
        {"question": f"who is {n}", "answer": {"value": n, "aliases": [n, "x"]}} for n in NAMES
    ],
    "wikitext": [{"page": PAGE.format(NAMES[n], WORDS[n] + 25 * n * " a b") + "."} for n in N],
}
"""Made-up rows of the hub's schema, six of each task."""


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
    assert list(second.examples["doc_id"]) == list(N)
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
