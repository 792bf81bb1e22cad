"""Whatever committed record is deleted, the report says so first, of a suite also when repeated."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eval import record as records
from eval.evidence import report
from eval.evidence.claims import tables
from eval.evidence.lost import missing_lines
from eval.evidence.part import stored_parts
from eval.evidence.report import Report, build, stale
from eval.explain.savings import savings
from eval.paths import RESULTS
from eval.record import load_record
from eval.suites import suite as find_suite
from eval.suites import tiers_of

SAVINGS = functools.cache(savings)
SMALLEST, NEIGHBOUR = "vit_pretrain", "gpt_finetune_spread"
SUITES = sorted(folder.name for folder in (RESULTS / "runs").iterdir())
BLOCKS = ("bench_step", "zero_shot", SMALLEST)
DOCUMENT = "".join(f"<!-- headline: {b} -->\nold\n<!-- /headline -->\n" for b in BLOCKS)


def copy(store: Path, *names: str) -> Path:
    """Link some of the committed results, and their tables, into a folder."""
    for name in names:
        shutil.copytree(RESULTS / name, store / name, copy_function=os.symlink)
        table = RESULTS / "summary" / f"{Path(name).name}.csv"
        (store / "summary").mkdir(exist_ok=True)
        if table.exists() and not (store / "summary" / table.name).exists():
            shutil.copy(table, store / "summary")
    return store


def runs_of(*suites: str) -> list[str]:
    return [f"{kind}/{name}" for name in dict.fromkeys(suites) for kind in ("runs", "curves")]


@contextmanager
def without(path: Path) -> Iterator[None]:
    """Take a file away, and put it back."""
    aside = path.rename(path.with_suffix(".aside"))
    yield
    aside.rename(path)


def lines(store: Path, summary: str = "summary") -> set[str]:
    parts = stored_parts(store, find_suite)
    return set(missing_lines(store, store / summary, parts, find_suite))


@pytest.fixture(autouse=True)
def each_record_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "load_record", functools.cache(load_record))


@pytest.mark.parametrize("name", SUITES)
def test_a_run_without_its_record_is_named(name: str, tmp_path: Path) -> None:
    store = copy(tmp_path / "store", *runs_of(name, NEIGHBOUR if name == SMALLEST else SMALLEST))
    paths = sorted((store / "runs" / name).glob("*.json"))
    before = lines(store)
    for path in paths:
        record = load_record(path)
        e = record.experiment
        cell, tier = f"{e.arm} seed {record.seed}", f"{name}, tier {e.tier}: no finished run of "
        in_grid = e in find_suite(name, e.tier).arms
        with without(path):
            new = lines(store) - before
            assert len(new) == 1, path
            (line,) = new
            if in_grid:
                assert line.startswith(tier), path
                assert cell in line.removeprefix(tier).split(", "), path
            else:
                assert line.endswith(f"no record of the curve of {path.stem}"), path
    assert paths
    assert lines(store) == before


def test_a_suite_or_tier_of_which_nothing_is_left_is_named(tmp_path: Path) -> None:
    store = copy(tmp_path / "store", *runs_of(SMALLEST, "gpt_pretrain"))
    for path in (store / "runs" / "gpt_pretrain").glob("*.json"):
        if load_record(path).experiment in find_suite("gpt_pretrain", "cpu").arms:
            path.unlink()
    (line,) = lines(store)
    assert line.startswith("gpt_pretrain, tier cpu: no finished run of baseline seed 0, ")
    shutil.rmtree(store / "runs" / "gpt_pretrain")
    shutil.rmtree(store / "curves" / "gpt_pretrain")
    assert lines(store) == {line}
    assert lines(store, "no summary") == set()


def test_a_tier_that_never_ran_is_not_named(tmp_path: Path) -> None:
    assert {"cpu", "gpu"} <= set(tiers_of(SMALLEST))
    store = copy(tmp_path / "store", *runs_of(SMALLEST), "bench", "zero_shot")
    assert lines(store) == lines(store, "no summary") == set()


def test_scores_without_their_record_are_named(tmp_path: Path) -> None:
    store = copy(tmp_path / "store", *runs_of(SMALLEST), "zero_shot")
    paths = sorted((store / "zero_shot").glob("*.json"))
    for path in paths:
        with without(path):
            assert lines(store) == {f"zero_shot: no record of {path.stem}"}
    assert paths


def test_timings_without_their_record_are_named(tmp_path: Path) -> None:
    store = copy(tmp_path / "store", *runs_of(SMALLEST), "bench")
    shutil.copy(RESULTS / "summary" / "bench_step.csv", store / "summary")
    paths = sorted((store / "bench").glob("*.json"))
    for path in paths:
        _, tier, moment = path.stem.split("-")
        with without(path):
            (line,) = lines(store)
        assert line.startswith(f"bench_step, tier {tier}: no record of ")
        assert moment in line.replace("-", "").replace(":", "")
    assert paths


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with its report, of two small suites, the timings and the scores; no figures."""
    monkeypatch.setattr(report, "draw", lambda *_: "")
    monkeypatch.setattr(report, "write_paper_page", lambda _: None)
    monkeypatch.setattr(tables, "savings", SAVINGS)
    store = copy(tmp_path / "store", *runs_of(SMALLEST, NEIGHBOUR), "bench", "zero_shot")
    (tmp_path / "README.md").write_text(DOCUMENT)
    assert rebuilt(store).missing == ()
    assert "old" not in (tmp_path / "README.md").read_text()
    return store


def rebuilt(store: Path) -> Report:
    return build(store, store / "summary", store.parent / "README.md")


@pytest.mark.parametrize(
    ("deleted", "first", "again"),
    [
        (
            f"runs/{SMALLEST}",
            "vit_pretrain, tier cpu: no finished run of baseline seed 0",
            "vit_pretrain: no record of the curve of baseline-seed0-",
        ),
        ("bench", "bench_step, tier cpu: no record of 2", "bench_step: no records"),
        ("zero_shot", "zero_shot: no record of smollm2-", "zero_shot: no record of smollm2-"),
    ],
    ids=["run", "timings", "scores"],
)
def test_what_is_gone_is_said_first_in_its_block_and_again(
    built: Path, deleted: str, first: str, again: str
) -> None:
    (path,) = (built / deleted).glob("*.json")
    path.unlink()
    assert next(iter(rebuilt(built))).startswith(f"incomplete: {first}")
    document = (built.parent / "README.md").read_text()
    name = first.partition(":")[0].partition(",")[0]
    assert f"<!-- headline: {name} -->\nIncomplete: {name}: no record" in document
    assert not (built / "summary" / f"{name}.md").exists()
    assert stale(built, built / "summary", built.parent / "README.md") == []
    assert next(iter(rebuilt(built))).startswith(f"incomplete: {again}")
    assert (built.parent / "README.md").read_text() == document


def test_scores_that_are_left_stand_below_what_is_gone(built: Path) -> None:
    examples = next((built / "zero_shot").glob("*.csv.gz"))
    shutil.copy(examples, examples.with_name("another-0.csv.gz"))
    assert rebuilt(built).missing == ("zero_shot: no record of another-0",)
    told = "Incomplete: zero_shot: no record of another-0.\n\n"
    page = (built / "summary" / "zero_shot.md").read_text()
    assert page.startswith(f"# Models scored zero-shot\n\n{told}## smollm2")
    assert f"{told}smollm2" in (built.parent / "README.md").read_text()


def test_a_page_without_any_other_trace_is_named(built: Path) -> None:
    (built / "summary" / "glue.md").write_text("of records that are gone")
    assert rebuilt(built).missing == ("glue: no records",)
