"""The report: tables, figures and verdicts, rebuilt from the records byte for byte."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.bench.records import load_bench
from eval.errors import UserError
from eval.evidence.anchors import load_anchors, zero_shot_headline, zero_shot_page
from eval.evidence.bench_page import bench_headline, bench_page, bench_table
from eval.evidence.glue import glue_data, glue_parts
from eval.evidence.glue_page import glue_headline, glue_page
from eval.evidence.glue_plots import plot_glue
from eval.evidence.layer_token import has_layer_token, plot_layer_token
from eval.evidence.pages import Part, headline, part_of, suite_page, yours_page
from eval.evidence.paired_rows import rows_markdown
from eval.evidence.plots import (
    curve_data,
    plot_curves,
    plot_schedule,
    plot_verdict,
    save,
    schedule_data,
    verdict_data,
)
from eval.evidence.tables import suite_table
from eval.evidence.vit_plots import plot_accuracy, plot_cost, plot_recovery
from eval.evidence.vit_series import accuracy_data, cost_data, recovery_data
from eval.evidence.zero_shot import has_tasks
from eval.evidence.zero_shot_plots import bars_data, plot_zero_shot
from eval.model_eval.records import load_scores
from eval.paths import OUT, RESULTS, ROOT, shown
from eval.record import load_records
from eval.spec import Suite, Tier
from eval.suites import suite as find_suite

__all__ = ["Report", "build", "stale", "with_headline", "yours"]

_TIERS: tuple[Tier, ...] = ("paper", "gpu", "cpu", "smoke")
_FIGURES = {
    "verdict": (plot_verdict, verdict_data, "Paired differences against the margin"),
    "accuracy": (plot_accuracy, accuracy_data, "Accuracy of all tokens, and the kept length"),
    "recovery": (plot_recovery, recovery_data, "Accuracy beside the authors' run"),
    "cost": (plot_cost, cost_data, "Accuracy against the compute that is saved"),
    "curves": (plot_curves, curve_data, "Validation loss against compute and against time"),
    "schedule": (plot_schedule, schedule_data, "Kept length and learning rate"),
    "layer-token": (plot_layer_token, schedule_data, "Learning rate and kept length on one axis"),
    "zero-shot": (plot_zero_shot, bars_data, "Zero-shot scores beside chance"),
}
_ONLY_IF: dict[str, Callable[[Part], bool]] = {
    "verdict": lambda part: part.suite.margin is not None,
    "accuracy": lambda part: _drops_images(part),
    "recovery": lambda part: _drops_images(part),
    "cost": lambda part: _drops_images(part),
    "schedule": lambda part: (
        part.suite.margin is not None and _drops(part) and not _drops_images(part)
    ),
    "layer-token": lambda part: has_layer_token(part.records) and _drops(part),
    "zero-shot": lambda part: has_tasks(part.records),
}


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
    readme: Path = ROOT / "README.md",
    *,
    find: Callable[[str, Tier], Suite] = find_suite,
) -> Report:
    """Write tables and figures of every suite with records, and the README's headline blocks.

    Raises: UserError if the store has no records.
    """
    parts = _load(store_from, find)
    with tempfile.TemporaryDirectory() as folder:
        made, text = Path(folder), readme.read_text()
        for name, group in _by_suite(parts).items():
            figures = {part.tier: _draw(part, store_from, made) for part in group}
            rows = {part.tier: rows_markdown(part.records, store_from) for part in group}
            drawn = {t: "\n".join(filter(None, (rows[t], figures[t]))) for t in figures}
            (made / f"{name}.md").write_text(suite_page(group, drawn))
            tables = [suite_table(part.suite, part.records) for part in group]
            pd.concat(tables).to_csv(made / f"{name}.csv", index=False, lineterminator="\n")
            text = with_headline(text, name, headline(group))
        if glue := glue_parts(parts):
            (made / "glue.md").write_text(glue_page(glue))
            for tier in dict.fromkeys(part.tier for part in glue):
                here = [part for part in glue if part.tier == tier]
                save(plot_glue(here), made / f"glue-{tier}", glue_data(here))
            text = with_headline(text, "glue", glue_headline(glue))
        if timings := load_bench(store_from):
            (made / "bench_step.md").write_text(bench_page(timings))
            table = bench_table(timings)
            table.to_csv(made / "bench_step.csv", index=False, lineterminator="\n")
            text = with_headline(text, "bench_step", bench_headline(timings))
        if scores := load_scores(store_from):
            anchors = load_anchors()
            (made / "zero_shot.md").write_text(zero_shot_page(scores, anchors))
            text = with_headline(text, "zero_shot", zero_shot_headline(scores, anchors))
        written = _publish(made, summary_dir)
    readme.write_text(text)
    return _report(parts, (*written, readme))


def stale(
    store_from: Path = RESULTS,
    summary_dir: Path = RESULTS / "summary",
    readme: Path = ROOT / "README.md",
    *,
    find: Callable[[str, Tier], Suite] = find_suite,
) -> list[Path]:
    """Return the files that `build` would change, without changing them."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        shutil.copy(readme, made / "README")
        build(store_from, made / "summary", made / "README", find=find)
        pairs = [(path, summary_dir / path.name) for path in sorted((made / "summary").iterdir())]
        pairs.append((made / "README", readme))
        return [there for here, there in pairs if not _same(here, there)]


def yours(
    suites: Sequence[Suite],
    store: Path = OUT,
    committed: Path = RESULTS,
    to: Path = OUT / "report",
) -> Report:
    """Write your own runs of the suites beside the committed ones, with figures of yours.

    Raises: UserError if no suite has a run of yours.
    """
    parts = [part_of(suite, load_records(store, suite.name), any_seed=True) for suite in suites]
    known = {
        (suite.name, suite.arms[0].tier): part_of(suite, load_records(committed, suite.name))
        for suite in suites
    }
    _require_records(parts, store)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        for name, group in _by_suite(parts).items():
            figures = {part.tier: _draw(part, store, made) for part in group}
            page = yours_page([(part, known[name, part.tier]) for part in group], figures)
            (made / f"{name}.md").write_text(page)
        written = _publish(made, to)
    return _report(parts, written)


def with_headline(text: str, name: str, content: str) -> str:
    """Return a document with the suite's headline block replaced; without one, unchanged.

    Raises: UserError if the block is not closed.
    """
    begin, end = f"<!-- headline: {name} -->", "<!-- /headline -->"
    if begin not in text:
        return text
    block = re.compile(re.escape(begin) + r"(?:(?!<!-- headline:).)*?" + re.escape(end), re.DOTALL)
    if not block.search(text):
        raise UserError(f"the block {begin} is not closed; add {end} below it")
    return block.sub(lambda _: f"{begin}\n{content}{end}", text)


def _load(store: Path, find: Callable[[str, Tier], Suite]) -> list[Part]:
    """Return the suites that have records, by name and tier."""
    parts = []
    for name in sorted({path.parent.name for path in (store / "runs").glob("*/*.json")}):
        records = load_records(store, name)
        tiers = {record.experiment.tier for record in records}
        parts += [part_of(find(name, tier), records) for tier in _TIERS if tier in tiers]
    _require_records(parts, store)
    return parts


def _require_records(parts: Sequence[Part], store: Path) -> None:
    if not any(part.records for part in parts):
        left_out = "".join(f"; left out: {line}" for part in parts for line in part.left_out)
        raise UserError(
            f"there are no records in {store / 'runs'}{left_out}; run ./rltd reproduce first"
        )


def _by_suite(parts: Sequence[Part]) -> dict[str, list[Part]]:
    """Group the parts that have records."""
    groups: dict[str, list[Part]] = {}
    for part in parts:
        if part.records:
            groups.setdefault(part.suite.name, []).append(part)
    return groups


def _report(parts: Sequence[Part], written: Sequence[Path]) -> Report:
    return Report(
        missing=tuple(line for part in parts if part.records for line in part.gaps),
        left_out=tuple(line for part in parts for line in part.left_out),
        verdicts=tuple(f"{part.suite.name}: {part.conclusion}" for part in parts if part.records),
        written=tuple(written),
    )


def _draw(part: Part, store: Path, to: Path) -> str:
    """Write the figures of a part and return the Markdown that shows them."""
    lines = []
    if any(record.status == "ok" for record in part.records):
        for kind, (plot, data_of, caption) in _FIGURES.items():
            if kind in _ONLY_IF and not _ONLY_IF[kind](part):
                continue
            data = data_of(part.suite, part.records, store)
            if len(data):
                stem = f"{part.suite.name}-{part.tier}-{kind}"
                save(plot(part.suite, part.records, store), to / stem, data)
                lines.append(f"![{caption}]({stem}.svg)\n")
    return "\n".join(lines)


def _drops(part: Part) -> bool:
    """Whether a run drops tokens: where none does, all arms have one schedule."""
    kept = [record.experiment.kept for record in part.records]
    return any(k.start < k.full for k in kept)


def _drops_images(part: Part) -> bool:
    e = part.suite.arms[0]
    return e.objective == "images" and part.suite.margin is not None and _drops(part)


def _publish(made: Path, to: Path) -> tuple[Path, ...]:
    """Copy what changed."""
    to.mkdir(parents=True, exist_ok=True)
    for path in sorted(made.iterdir()):
        if not _same(path, to / path.name):
            shutil.copyfile(path, to / path.name)
    return tuple(to / path.name for path in sorted(made.iterdir()))


def _same(one: Path, other: Path) -> bool:
    return other.is_file() and one.read_bytes() == other.read_bytes()
