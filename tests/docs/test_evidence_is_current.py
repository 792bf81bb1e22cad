"""What is computed from the committed records is what is committed."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from eval.evidence.report import stale
from eval.paths import NOTEBOOKS, RESULTS
from eval.record import load_records
from eval.suites import SUITES, suite

SIZE_LIMIT_BYTES = 20_000_000
COPY_LIMIT_BYTES = 1_000_000


def test_a_rebuild_from_the_committed_records_changes_no_byte() -> None:
    assert stale() == []


def test_every_committed_record_belongs_to_a_declared_experiment() -> None:
    """A record of an earlier revision stays, and belongs to an arm that there still is."""
    for folder in sorted((RESULTS / "runs").iterdir()):
        tiers = SUITES[folder.name].declared
        declared = [e for tier in tiers for e in suite(folder.name, tier).arms]
        newest = {(e.tier, e.arm): e.revision for e in declared}
        for record in load_records(RESULTS, folder.name):
            e = record.experiment
            known = e in declared or e.revision < newest[e.tier, e.arm]
            assert known, (folder.name, record.key)
            assert record.provenance["dirty"] is False
            assert record.curve is None or (RESULTS / record.curve).exists()


def test_results_stay_small() -> None:
    files = [p for p in RESULTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < SIZE_LIMIT_BYTES


@pytest.mark.parametrize("source", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_the_executed_copy_of_a_notebook_is_of_this_notebook(source: Path) -> None:
    copy = RESULTS / "executed" / source.name
    written, executed = (nbformat.read(path, as_version=4) for path in (source, copy))
    assert [c.source for c in executed.cells] == [c.source for c in written.cells]
    outputs = [o for c in executed.cells if c.cell_type == "code" for o in c.outputs]
    assert outputs
    assert {o.output_type for o in outputs} <= {"execute_result", "display_data"}
    assert copy.stat().st_size < COPY_LIMIT_BYTES
