"""The weights that recorded runs begin with: those of records, from the repository first."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from eval.data.fetch import sha256_of
from eval.errors import UserError
from eval.execute import execute
from eval.identity import kept_folder, run_key, trained_folder
from eval.paths import RESULTS, WEIGHTS
from eval.record import load_record, load_records, record_path
from eval.runner import run_suite
from eval.starts import is_committed, pretrained_sha256
from eval.suites import SUITES, suite
from tests.eval.experiments import whole_run

FINETUNING = suite("bert_pretrain_sst2", "smoke")
FIRST, SECOND = suite("bert_pretrain", "smoke").arm("random_ltd"), FINETUNING.arm("random_ltd")
SIZE_LIMIT_BYTES = 10_000_000


def test_committed_weights_come_before_those_of_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = tmp_path / "weights"
    monkeypatch.setattr("eval.identity.WEIGHTS", committed)
    record = whole_run(FIRST, tmp_path)
    kept = kept_folder(FIRST, 0)
    assert trained_folder(FIRST, 0) == kept
    assert kept.is_relative_to(cache)
    shutil.copytree(kept, committed / kept.name)
    shutil.rmtree(kept)
    assert trained_folder(FIRST, 0) == committed / kept.name
    assert pretrained_sha256(SECOND, 0) == record.hashes["trained_weights"]
    whole_run(FIRST, tmp_path / "again")  # keeps its own in the cache all the same
    assert sha256_of(kept / "model.safetensors") == record.hashes["trained_weights"]
    assert trained_folder(FIRST, 0) == committed / kept.name


def test_the_committed_weights_are_those_of_the_committed_records() -> None:
    declared = [suite(name, "cpu") for name in SUITES if "cpu" in SUITES[name].declared]
    kept = {(e, seed) for s in declared for e in s.arms if e.keep for seed in s.seeds}
    records = {
        trained_folder(e, seed).name: record_path(RESULTS, e, seed, run_key(e, seed))
        for e, seed in kept
        if is_committed(e, seed)
    }
    assert sorted(records) == sorted(folder.name for folder in WEIGHTS.iterdir())
    for name, path in records.items():
        found = sha256_of(WEIGHTS / name / "model.safetensors")
        assert load_record(path).hashes["trained_weights"] == found


def test_the_committed_weights_stay_small() -> None:
    assert sum(p.stat().st_size for p in WEIGHTS.rglob("*") if p.is_file()) < SIZE_LIMIT_BYTES


def test_a_recorded_run_begins_with_the_weights_of_the_record_or_not_at_all(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "results"
    monkeypatch.setattr("eval.runner.RESULTS", store)
    monkeypatch.setattr("eval.runner.is_dirty", lambda: False)
    first = execute(
        FIRST,
        0,
        store=store,
        scratch=tmp_path / "scratch",
        on_step=lambda journal: None,
        should_stop=lambda: False,
    )
    assert first is not None
    one, other = (
        replace(FINETUNING, arms=(replace(SECOND, arm=name),)) for name in ("random_ltd", "twin")
    )
    (record,) = run_suite(one, seeds=[0], store=store)
    assert record.hashes["pretrained_weights"] == first.hashes["trained_weights"]
    weights_file = trained_folder(FIRST, 0) / "model.safetensors"
    content = weights_file.read_bytes()
    weights_file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        UserError, match=r"are not those of .*random_ltd-seed0.*; delete the folder"
    ):
        run_suite(other, seeds=[0], store=store)
    assert len(load_records(store, "bert_pretrain_sst2")) == 1
    run_suite(other, seeds=[0], store=out)  # a run of your own may begin with what there is
