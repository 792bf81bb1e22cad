"""The report: tables, figures and verdicts, rebuilt from the records byte for byte."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.bench.records import load_bench
from eval.evidence.bench_page import bench_headline, bench_page, bench_table
from eval.evidence.blocks import BLOCKS, filled, unfilled
from eval.evidence.canvas import save
from eval.evidence.claims.page import claims_headline, claims_page, cost_sentence
from eval.evidence.claims.plot import claims_data, plot_claims
from eval.evidence.claims.tables import claim_table, in_order, question_table
from eval.evidence.drawn import draw
from eval.evidence.glue.differences import glue_data, glue_parts
from eval.evidence.glue.page import figure_name, glue_groups, glue_headline, glue_page
from eval.evidence.glue.plot import plot_glue
from eval.evidence.lost import lost_runs, lost_scores, missing_lines
from eval.evidence.pages import headline, suite_page, yours_page
from eval.evidence.paper.page import write_paper_page
from eval.evidence.paper.published import load_claims
from eval.evidence.part import Part, part_of, require_records, stored_parts
from eval.evidence.rows.page import rows_markdown
from eval.evidence.tables import suite_table
from eval.evidence.zero_shot.anchors import load_anchors, zero_shot_headline, zero_shot_page
from eval.model_eval.records import load_scores
from eval.paths import OUT, RESULTS, ROOT, shown
from eval.record import load_records
from eval.spec import Suite, Tier
from eval.suites import suite as find_suite

__all__ = ["DOCUMENTS", "Report", "build", "committed_parts", "stale", "yours"]

DOCUMENTS = (ROOT / "README.md", ROOT / "EVIDENCE.md")
"""Written by hand, but for their blocks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What to know before reading, what the records say, and what was written.

    Iterating gives the lines to print, in that order.
    """

    missing: tuple[str, ...]
    left_out: tuple[str, ...]
    verdicts: tuple[str, ...]
    written: tuple[Path, ...]

    def __iter__(self) -> Iterator[str]:
        yield from (f"incomplete: {line}" for line in self.missing)
        yield from (f"left out: {line}" for line in self.left_out)
        yield from self.verdicts
        yield from (f"wrote {shown(path)}" for path in self.written if path.suffix == ".md")


def build(
    store_from: Path = RESULTS,
    summary_dir: Path = RESULTS / "summary",
    *documents: Path,
    find: Callable[[str, Tier], Suite] = find_suite,
) -> Report:
    """Write tables and figures of every suite with records, and the blocks of the documents.

    These are `DOCUMENTS`, unless others are named. What the summary and the blocks show, and the
    store no longer has, is missing.

    Raises: UserError if the store has no records.
    """
    parts = stored_parts(store_from, find)
    documents = documents or DOCUMENTS
    summary_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        blocks = _make(parts, store_from, made)
        orphans = _orphans(made, summary_dir)
        empty = [path.stem for path in orphans if path.suffix == ".md" and path.stem in BLOCKS]
        empty += [name for each in documents for name in unfilled(each.read_text(), blocks)]
        missing = missing_lines(store_from, summary_dir, parts, find, empty)
        written = _publish(made, summary_dir)
    for path in orphans:
        path.unlink()
    for document in documents:
        document.write_text(filled(document.read_text(), blocks))
    return _report(parts, missing, (*written, *documents))


def stale(
    store_from: Path = RESULTS,
    summary_dir: Path = RESULTS / "summary",
    *documents: Path,
    find: Callable[[str, Tier], Suite] = find_suite,
) -> list[Path]:
    """Return the files that `build` would change or remove, without changing them."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        copies = [Path(shutil.copy(each, made / each.name)) for each in documents or DOCUMENTS]
        build(store_from, made / "summary", *copies, find=find)
        pairs = [(path, summary_dir / path.name) for path in sorted((made / "summary").iterdir())]
        pairs += zip(copies, documents or DOCUMENTS, strict=True)
        differing = [there for here, there in pairs if not _same(here, there)]
        return differing + _orphans(made / "summary", summary_dir)


def yours(
    suites: Sequence[Suite],
    store: Path = OUT,
    committed: Path = RESULTS,
    to: Path = OUT / "report",
    *,
    find: Callable[[str, Tier], Suite] = find_suite,
) -> Report:
    """Write your own runs of the suites beside the committed ones, with figures of yours.

    The suites may have lost arms that were not run; the committed runs answer the whole ones.

    Raises: UserError if no suite has a run of yours.
    """
    parts = [part_of(suite, load_records(store, suite.name), some_seeds=True) for suite in suites]
    whole = [find(suite.name, suite.arms[0].tier) for suite in suites]
    known = {
        (suite.name, suite.arms[0].tier): part_of(suite, load_records(committed, suite.name))
        for suite in whole
    }
    require_records(parts, store)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        for name, group in _by_suite(parts).items():
            figures = {part.tier: draw(part, store, made) for part in group}
            page = yours_page([(part, known[name, part.tier]) for part in group], figures)
            (made / f"{name}.md").write_text(page)
        written = _publish(made, to)
    return _report(parts, [gap for part in parts for gap in part.gaps], written)


def committed_parts() -> list[Part]:
    """Return every suite and tier with committed records."""
    return stored_parts(RESULTS, find_suite)


def _make(parts: Sequence[Part], store: Path, to: Path) -> dict[str, str]:
    """Write all pages, tables and figures; return the documents' blocks by their names.

    What the store itself shows to be gone stands first in both.
    """
    write_paper_page(to)
    lost = lost_runs(store, parts) | lost_scores(store)
    blocks = _suites(parts, store, to) | _claims(parts, store, to, lost.values())
    blocks |= _glue(parts, to) | _bench(parts, store, to) | _zero_shot(store, to)
    for name, line in lost.items():
        told = f"Incomplete: {line}.\n"
        blocks[name] = "\n".join(filter(None, (told, blocks.get(name))))
        if (page := to / f"{name}.md").exists():
            title, rest = page.read_text().split("\n", 1)
            page.write_text(f"{title}\n\n{told}{rest}")
    return blocks


def _suites(parts: Sequence[Part], store: Path, to: Path) -> dict[str, str]:
    """Write page, table and figures of every suite; return the README's blocks by their names."""
    blocks = {}
    for name, group in _by_suite(parts).items():
        figures = {part.tier: draw(part, store, to) for part in group}
        rows = {part.tier: rows_markdown(part.suite, part.records, store) for part in group}
        drawn = {t: "\n".join(filter(None, (rows[t], figures[t]))) for t in figures}
        (to / f"{name}.md").write_text(suite_page(group, drawn))
        _write_table(pd.concat([suite_table(p.suite, p.records) for p in group]), to, name)
        blocks[name] = headline(group)
    return blocks


def _claims(parts: Sequence[Part], store: Path, to: Path, lost: Iterable[str]) -> dict[str, str]:
    claims = load_claims()
    parts = in_order(claims, parts)
    table = claim_table(claims, parts, load_bench(store), store)
    _write_table(table, to, "claims")
    gaps = [*(gap for part in parts for gap in part.gaps), *lost]
    questions, cost = question_table(claims, parts), cost_sentence(parts)
    (to / "claims.md").write_text(claims_page(table, questions, claims, gaps, cost))
    data = claims_data(parts)
    if len(data):
        save(plot_claims(parts), to / "claims-verdicts", data)
    return {"claims": claims_headline(table, questions, gaps, cost)}


def _glue(parts: Sequence[Part], to: Path) -> dict[str, str]:
    glue = glue_parts(parts)
    if not glue:
        return {}
    (to / "glue.md").write_text(glue_page(glue))
    for here in glue_groups(glue):
        if len(data := glue_data(here)):
            save(plot_glue(here), to / figure_name(here), data)
    return {"glue": glue_headline(glue)}


def _bench(parts: Sequence[Part], store: Path, to: Path) -> dict[str, str]:
    timings = load_bench(store)
    if not timings:
        return {}
    (to / "bench_step.md").write_text(bench_page(timings))
    _write_table(bench_table(timings), to, "bench_step")
    return {"bench_step": bench_headline(timings, parts)}


def _zero_shot(store: Path, to: Path) -> dict[str, str]:
    scores, anchors = load_scores(store), load_anchors()
    if not scores:
        return {}
    (to / "zero_shot.md").write_text(zero_shot_page(scores, anchors))
    return {"zero_shot": zero_shot_headline(scores, anchors)}


def _write_table(table: pd.DataFrame, to: Path, name: str) -> None:
    table.to_csv(to / f"{name}.csv", index=False, lineterminator="\n")


def _by_suite(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Group the parts that have records."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        if part.records:
            groups.setdefault(part.suite.name, []).append(part)
    return groups


def _report(parts: Sequence[Part], missing: Iterable[str], written: Sequence[Path]) -> Report:
    return Report(
        missing=tuple(missing),
        left_out=tuple(line for part in parts for line in part.left_out),
        verdicts=tuple(f"{part.suite.name}: {part.conclusion}" for part in parts if part.records),
        written=tuple(written),
    )


def _publish(made: Path, to: Path) -> tuple[Path, ...]:
    """Copy what changed."""
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted(made.iterdir()):
        if not _same(path, to / path.name):
            shutil.copyfile(path, to / path.name)
    return tuple(to / path.name for path in sorted(made.iterdir()))


def _orphans(made: Path, there: Path) -> list[Path]:
    """Return the files of suites that have no records any more."""
    return [path for path in sorted(there.iterdir()) if not (made / path.name).exists()]


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
