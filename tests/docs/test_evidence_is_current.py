"""What is computed from the committed records is what is committed."""

from __future__ import annotations

from eval.evidence.report import stale
from eval.paths import RESULTS
from eval.record import load_records
from eval.suites import SUITES, suite

SIZE_LIMIT_BYTES = 20_000_000


def test_a_rebuild_from_the_committed_records_changes_no_byte() -> None:
    assert stale() == []


def test_every_committed_record_belongs_to_a_declared_experiment() -> None:
    for folder in sorted((RESULTS / "runs").iterdir()):
        tiers = SUITES[folder.name].declared
        declared = [e for tier in tiers for e in suite(folder.name, tier).arms]
        for record in load_records(RESULTS, folder.name):
            assert record.experiment in declared, (folder.name, record.key)
            assert record.provenance["dirty"] is False
            assert record.curve is None or (RESULTS / record.curve).exists()


def test_results_stay_small() -> None:
    files = [p for p in RESULTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < SIZE_LIMIT_BYTES
