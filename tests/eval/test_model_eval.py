"""`eval-model`: any checkpoint is scored, its scores are said and written down once."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eval.__main__ import main
from eval.data.task_data import AVERAGED, TASK_DATA
from eval.errors import UserError
from eval.model_eval import command
from eval.model_eval.command import checkpoint_folder
from eval.model_eval.records import ModelScores, load_scores, write_scores
from eval.models.named import load_folder
from eval.record import Measurement
from eval.tasks.zero_shot import TaskScore, ZeroShot
from tests.eval.task_rows import ROWS
from tests.eval.test_zero_shot import checkpoint, put

__all__ = ["checkpoint"]

NO_AVERAGE = "No average score as the paper's, which is over 19 whole tasks"


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test its own `out` and `results`; let nothing be asked of a network."""
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("eval.data.task_root.fetch", refuse)
    return tmp_path


def refuse(name: str) -> Path:
    raise UserError(f"no network for {name}")


@pytest.fixture
def folder(stores: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Lay rows down, for --folder."""
    data = str(put(monkeypatch, {task: ROWS[task] for task in ("copa", "lambada_openai")}))
    monkeypatch.setenv("RLTD_LOCAL", "")
    return data


def run(*words: Any) -> int:
    return main(["eval-model", *map(str, words)])


def measured(value: float = 0.5, unit: str = "fraction") -> Measurement:
    return Measurement(value=value, unit=unit, split="test", n=4, standard_error=0.1)


def faked(tasks: tuple[str, ...], rows: int | None = None) -> ZeroShot:
    """Return scores of 0, 0.01, 0.02, ... over all published rows, or over the first ones."""
    scores = []
    for i, task in enumerate(tasks):
        data = TASK_DATA[task]
        origin = {"task": task, "source": "package", "split": "test", "version": "1.0"}
        counts = {"rows": rows or data.rows, "rows_published": data.rows}
        values = {"task_hash": task, "measurements": {data.metric: measured(i / 100)}}
        scores.append(TaskScore(**origin, **counts, **values))
    examples = pd.DataFrame({"task": list(tasks), "doc_id": 0})
    return ZeroShot(scores=tuple(scores), missing=(), examples=examples)


def test_without_a_model_the_tasks_are_listed(capsys: Any) -> None:
    assert run() == 0
    assert set(TASK_DATA) < set(capsys.readouterr().out.split())


def test_a_folder_is_scored_and_the_missing_tasks_are_named(
    checkpoint: Path, folder: str, stores: Path, capsys: Any
) -> None:
    tasks = ("copa", "lambada_openai", "race")
    assert run(checkpoint, "--tasks", *tasks, "--rows", 4, "--folder", folder) == 0
    said = capsys.readouterr().out.splitlines()
    (missing,) = [line for line in said if line.startswith("not evaluated: ")]
    assert missing.startswith("not evaluated: race: no data from package, local, hub; run hf")
    table = [[cell.strip() for cell in line.split("|")] for line in said if line.startswith("| ")]
    copa, lambada = table[2:]
    assert copa[1:6] == ["copa", "local", "validation", "first 4 of 100", "acc"]
    assert copa[7] == "50.0 %"
    assert (lambada[1], lambada[4], lambada[7]) == ("lambada_openai", "first 4 of 5,153", "")
    (scores,) = load_scores(stores / "out")
    bits = scores.measurements["copa/answer_bits_per_byte"]
    assert copa[8] == f"{bits.value:.4f} ({bits.standard_error:.2g})"
    assert copa[6].startswith(f"{100 * scores.measurements['copa/acc'].value:.1f} (")
    (average,) = [line for line in said if line.startswith("No average")]
    assert "over 19 whole tasks; here without hellaswag, triviaqa" in average
    assert "the first rows only of lambada_openai, copa." in average
    assert said[-1].startswith("wrote ")


def test_the_record_holds_what_was_scored_on_what(
    checkpoint: Path, folder: str, stores: Path
) -> None:
    assert run(checkpoint, "--tasks", "copa", "race", "--source", "local", "--folder", folder) == 0
    (scores,) = load_scores(stores / "out")
    assert (scores.model, scores.precision) == ("tiny", "float32")
    assert len(scores.weights) == 64
    assert scores.missing[0].startswith("race: no data from local")
    assert set(scores.measurements) == {"copa/acc", "copa/answer_bits_per_byte"}
    copa = scores.provenance["zero_shot"]["tasks"]["copa"]
    assert (copa["source"], copa["rows"], copa["rows_published"]) == ("local", 6, 100)
    table = pd.read_csv(stores / f"out/zero_shot/tiny-{scores.key}.csv.gz")
    assert list(table["doc_id"]) == list(range(6))
    assert table["acc"].mean() == pytest.approx(scores.measurements["copa/acc"].value)


def test_a_second_record_of_the_same_is_refused(
    checkpoint: Path, folder: str, stores: Path, capsys: Any
) -> None:
    words = (checkpoint, "--tasks", "copa", "--source", "local", "--folder", folder)
    assert run(*words) == 0
    (path,) = (stores / "out/zero_shot").glob("*.json")
    before = path.read_bytes()
    assert run(*words) == 2
    assert "these weights were scored on these examples" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert run(*words, "--rows", 3) == 0  # other examples
    assert run(*words, "--precision", "bfloat16") == 0
    found = {(s.precision, s.measurements["copa/acc"].n): s for s in load_scores(stores / "out")}
    assert set(found) == {("float32", 6), ("float32", 3), ("bfloat16", 6)}
    full, half = (
        found[precision, 6].measurements["copa/answer_bits_per_byte"].value
        for precision in ("float32", "bfloat16")
    )
    assert full != half
    assert half == pytest.approx(full, rel=4 * 2**-8)  # 8 bits of precision, a few roundings


def made(**changes: Any) -> ModelScores:
    """Return invented scores."""
    found = faked(("copa", "piqa"))
    settings: dict[str, Any] = {"model": "owner/name", "weights": "a" * 64, "precision": "float32"}
    settings |= {"provenance": {"zero_shot": found.origin()}, "missing": ("race: no data",)}
    settings |= {"measurements": found.measurements(), "wall_s": 1.5, **changes}
    return ModelScores(**settings)


def test_a_record_round_trips(tmp_path: Path) -> None:
    scores, examples = made(), faked(("copa",)).examples
    path = write_scores(tmp_path, scores, examples)
    assert path.name.startswith("owner--name-")
    assert load_scores(tmp_path) == [scores]
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 9'))
    with pytest.raises(UserError, match="another schema than 1"):
        load_scores(tmp_path)


@pytest.mark.parametrize("what", ["weights", "precision", "task_hash"])
def test_other_weights_precision_or_examples_are_another_record(what: str) -> None:
    scores = made()
    tasks = json.loads(json.dumps(scores.provenance))
    tasks["zero_shot"]["tasks"]["copa"]["task_hash"] = "other"
    other = made(provenance=tasks) if what == "task_hash" else made(**{what: "other"})
    assert other.key != scores.key
    assert dataclasses.replace(scores, wall_s=9.0, missing=()).key == scores.key


def test_equal_examples_make_an_equal_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gzip.time.time", lambda: 1e9 + len(list(tmp_path.iterdir())))
    examples = faked(("copa", "piqa")).examples.assign(answer_nats=[1 / 3, 2.0])
    files = [
        write_scores(tmp_path / name, made(wall_s=s), examples).with_suffix(".csv.gz").read_bytes()
        for s, name in enumerate(("one", "two"))
    ]
    assert files[0] == files[1]
    assert gzip.decompress(files[0]).splitlines()[1] == b"copa,0,0.333333"


def test_a_number_that_is_not_finite_leaves_nothing_behind(tmp_path: Path) -> None:
    bad = made(measurements={"copa/acc": measured(float("nan"))})
    with pytest.raises((UserError, ValueError)):
        write_scores(tmp_path, bad, faked(("copa",)).examples)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


@pytest.mark.parametrize(
    ("tasks", "rows", "said"),
    [
        ((*AVERAGED, "wikitext"), None, "Average of the 19 tasks: 9.0. "),
        (AVERAGED[1:], None, f"{NO_AVERAGE}; here without hellaswag."),
        (AVERAGED, 277, f"{NO_AVERAGE}; here the first rows only of hellaswag"),
    ],
)
def test_the_average_is_of_all_whole_tasks_or_of_none(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, tasks: Any, rows: Any, said: str
) -> None:
    monkeypatch.setattr(command, "zero_shot", lambda *_, **__: faked(tasks, rows))
    assert run(checkpoint) == 0
    printed = capsys.readouterr().out
    (line,) = [x for x in printed.splitlines() if x.startswith(("Average", "No average"))]
    assert line.startswith(said)
    assert "rte" not in line.partition("only of")[2]  # of which these rows are all


@pytest.mark.parametrize(
    ("words", "sources"),
    [
        ((), ["package", "hub"]),
        (("--folder", "."), ["package", "local", "hub"]),
        (("--source", "hub", "package"), ["hub", "package"]),
    ],
)
def test_the_options_arrive(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, words: Any, sources: list[str]
) -> None:
    asked: dict[str, Any] = {}

    def fake(model: Any, tokenizer: Any, tasks: Any, **options: Any) -> ZeroShot:
        asked.update(options, tasks=list(tasks), training=model.training)
        return faked(("copa",))

    monkeypatch.setattr(command, "zero_shot", fake)
    assert run(checkpoint, "--rows", 7, "--batch", 3, "--precision", "bfloat16", *words) == 0
    assert asked.pop("tasks") == list(TASK_DATA)
    expected = {"rows": 7, "batch": 3, "precision": "bf16", "training": False}
    assert asked == {**expected, "sources": sources}


def test_the_forward_is_in_the_precision_that_the_record_says(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = load_folder(checkpoint)
    model.bfloat16().save_pretrained(tmp_path / "half")
    tokenizer.save_pretrained(tmp_path / "half")
    kinds: list[str] = []
    found = faked(("copa",))
    fake = lambda model, *_, **__: kinds.append(str(model.dtype)) or found  # noqa: E731
    monkeypatch.setattr(command, "zero_shot", fake)
    assert run(tmp_path / "half", "--precision", "float32") == 0
    assert kinds == ["torch.float32"]


@pytest.mark.parametrize(("dirty", "place"), [(False, "results"), (True, None), (None, None)])
def test_evidence_needs_a_clean_checkout(
    checkpoint: Path, stores: Path, monkeypatch: pytest.MonkeyPatch, dirty: Any, place: Any
) -> None:
    monkeypatch.setattr(command, "is_dirty", lambda: dirty)
    monkeypatch.setattr(command, "zero_shot", lambda *_, **__: faked(("copa",)))
    assert run(checkpoint, "--record") == (0 if place else 2)
    found = {p.parents[1].name for p in stores.glob("*/zero_shot/*.json")}
    assert found == ({place} if place else set())


def test_a_checkpoint_is_a_folder_a_known_name_or_a_repository(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkpoint_folder(str(checkpoint)) == checkpoint
    hub = tmp_path
    (hub / "model.safetensors").touch()
    asked: list[Any] = []
    for load in ("from_hub", "weights_folder"):
        monkeypatch.setattr(command, load, lambda *a: asked.append(a) or hub)
    for name in ("owner/name", "gpt2", "smollm2-135m-instruct"):
        assert checkpoint_folder(name) == hub
    assert asked[0][0] == "owner/name"
    assert asked[1:] == [("gpt2", "hub"), ("smollm2-135m-instruct", "package")]


@pytest.mark.parametrize("name", ["owner/name", "gpt2"])
def test_the_record_is_called_as_the_model_was_asked_for(
    checkpoint: Path, stores: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for load in ("from_hub", "weights_folder"):  # the hub's folders are named by a commit
        monkeypatch.setattr(command, load, lambda *_: checkpoint)
    monkeypatch.setattr(command, "zero_shot", lambda *_, **__: faked(("copa",)))
    assert run(name) == 0
    (scores,) = load_scores(stores / "out")
    assert scores.model == name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere",), "'nowhere' is no folder, no repository OWNER/NAME of the hub, and none of"),
        (("{empty}",), "has no *.safetensors; save the model with save_pretrained"),
        (("{empty}", "--tasks", "sglue_rte"), "unknown task 'sglue_rte'; known are"),
        (("{model}", "--tasks", "copa", "--rows", "1"), "at least 2 rows"),
        (("{model}", "--tasks", "copa", "--source", "local"), "copa: no data from local"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    checkpoint: Path, stores: Path, capsys: Any, words: tuple[str, ...], said: str
) -> None:
    (stores / "empty").mkdir()
    assert run(*(w.format(empty=stores / "empty", model=checkpoint) for w in words)) == 2
    error = capsys.readouterr().err
    (line,) = [line for line in error.splitlines() if line.startswith("rltd: ")]
    assert said in line
    assert error.endswith(line + "\n")
    assert list(stores.glob("*/zero_shot")) == []
