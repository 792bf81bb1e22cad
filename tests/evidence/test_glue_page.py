"""GLUE over its suites: points by task, the average by seed, and what the page must say."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from statistics import fmean

import matplotlib.pyplot as plt
import pytest

from eval.evidence.blocks import with_headline
from eval.evidence.canvas import save
from eval.evidence.glue.differences import (
    committed_glue,
    glue_data,
    glue_parts,
)
from eval.evidence.glue.page import glue_headline, glue_markdown, glue_page
from eval.evidence.glue.plot import plot_glue
from eval.evidence.intervals import interval
from eval.evidence.part import Part, part_of
from eval.evidence.report import build
from eval.evidence.zero_shot.anchors import load_anchors
from eval.paths import RESULTS
from eval.suites import suite as declared_suite
from tests.evidence.glue_records import EVERY, by_seed, part
from tests.evidence.synthetic import make_failed, make_record, write_store


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    return glue_parts([part(name) for name in reversed(EVERY)])


def test_tasks_come_in_one_order_and_pilots_are_no_tasks(parts: list[Part]) -> None:
    assert [p.suite.name for p in parts] == [f"bert_glue_{name}" for name in EVERY]
    pilot = declared_suite("bert_glue_sst2_pilot", "cpu")
    found = part_of(pilot, [make_record(pilot.arms[0], 100, 1.0)])
    assert glue_parts([found, *parts]) == parts


def test_differences_are_paired_by_seed_and_in_points(parts: list[Part]) -> None:
    data = glue_data(parts)
    assert set(data["tier"]) == {"cpu"}
    titles = ["SST-2, package", "SNLI", "SST-2", "CoLA", "STS-B", "MRPC", "RTE"]
    assert list(dict.fromkeys(data["task"])) == titles
    for of, title in zip(parts, titles, strict=True):
        for arm in (e.arm for e in of.suite.arms if e.arm != "baseline"):
            ours, theirs = by_seed(of, arm), by_seed(of, "baseline")
            rows = data[(data["task"] == title) & (data["arm"] == arm)]
            found = dict(zip(rows["seed"], rows["difference"], strict=True))
            expected = {str(seed): ours[seed] - theirs[seed] for seed in ours}
            mean = found.pop("mean")
            assert found == pytest.approx(expected, abs=1e-9)
            assert mean == pytest.approx(fmean(expected.values()), abs=1e-9)
            last = rows[rows["seed"] == "mean"].iloc[0]
            of_it = interval(expected.values())
            assert (last["low"], last["high"]) == pytest.approx((of_it.low, of_it.high), abs=1e-9)
            assert last["margin"] == (2 if title == "CoLA" else 1)


def test_the_page_names_missing_runs_before_any_table(parts: list[Part]) -> None:
    rte = parts[-1]
    records = [r for r in rte.records if (r.experiment.arm, r.seed) != ("random_ltd", 1)]
    shown = [*parts[:-1], dataclasses.replace(rte, records=tuple(records))]
    for page in (glue_page(shown), glue_headline(shown)):
        assert "bert_glue_rte, tier cpu: no finished run of random_ltd seed 1" in page
        assert page.index("no finished run") < page.index("| task")


def test_tasks_under_way_show_what_there_is(parts: list[Part], tmp_path: Path) -> None:
    rte = parts[-1]

    def only(*arms: str) -> Part:
        records = tuple(r for r in rte.records if r.experiment.arm in arms)
        return dataclasses.replace(rte, records=records)

    failed = make_failed(rte.suite.arm("baseline"), 0)
    assert glue_parts([only("random_ltd"), dataclasses.replace(rte, records=(failed,))]) == []
    lone = glue_parts([only("baseline")])
    row = next(line for line in glue_markdown(lone).splitlines() if line.startswith("| RTE"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[4:8] == ["", "", "", "1"]
    lost = make_failed(rte.suite.arm("random_ltd"), 0)
    with_failed = dataclasses.replace(lone[0], records=(*lone[0].records, lost))
    assert "NA" not in glue_markdown([with_failed]).replace("NAT", "")
    write_store(tmp_path / "store", lone[0].records)
    (tmp_path / "README.md").write_text("")
    build(tmp_path / "store", tmp_path / "summary", tmp_path / "README.md")
    assert "glue-cpu.svg" not in (tmp_path / "summary" / "glue.md").read_text()
    assert not (tmp_path / "summary" / "glue-cpu.svg").exists()


def test_every_limit_is_told_once_with_its_tasks(parts: list[Part]) -> None:
    page = glue_page(parts)
    for of in parts:
        for caveat in of.suite.caveats:
            assert page.count(caveat) == 1
    assert "- Model: MiniLM-L6" in page
    assert "- SNLI: all-MiniLM-L6-v2 was trained on pairs of SNLI" in page
    assert all(caveat in glue_headline(parts) for caveat in parts[0].suite.caveats)


def test_one_seed_has_no_interval(parts: list[Part]) -> None:
    one = [
        dataclasses.replace(p, records=tuple(r for r in p.records if r.seed == 3)) for p in parts
    ]
    table = glue_markdown(one)
    assert table.count("(no interval)") == 2 * len(parts)
    assert "fewer than two seeds" in table
    assert "mean" not in set(glue_data(one)["seed"])


def test_the_page_has_the_authors_averages_with_their_budgets(parts: list[Part]) -> None:
    page = glue_page(parts)
    for said in ("87.29", "87.32", "87.19", "1,049 B tokens", "524 B", "MNLI (two columns)"):
        assert said in page
    assert "do not compare" in page


def test_the_figure_draws_what_its_data_say_and_repeats(parts: list[Part], tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        figure = plot_glue(parts)
        svg, csv = save(figure, tmp_path / name, glue_data(parts))
        made.append((svg.read_bytes(), csv.read_bytes()))
    assert made[0] == made[1]
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()][-1] == "RTE"
    labels = [t.get_text() for t in figure.legends[0].get_texts()]
    assert labels[:2] == ["random-LTD", "shortened baseline"]
    assert len(labels) == 4
    assert plt.get_fignums() == []


def test_the_report_writes_the_page_and_the_readmes_block(
    parts: list[Part], tmp_path: Path
) -> None:
    write_store(tmp_path / "store", [r for p in parts for r in p.records])
    readme = tmp_path / "README.md"
    readme.write_text("<!-- headline: glue -->\nold\n<!-- /headline -->\n")
    build(tmp_path / "store", tmp_path / "summary", readme)
    assert readme.read_text() == with_headline(
        "<!-- headline: glue -->\n<!-- /headline -->\n", "glue", glue_headline(parts)
    )
    assert (tmp_path / "summary" / "glue.md").read_text() == glue_page(parts)
    for ending in ("svg", "csv"):
        assert (tmp_path / "summary" / f"glue-cpu.{ending}").exists()
    found = committed_glue("cpu", tmp_path / "store")
    assert [p.suite for p in found] == [p.suite for p in parts]
    assert glue_page(found) == glue_page(parts)
    assert committed_glue("paper", tmp_path / "store") == []


def test_the_page_of_the_small_encoder_names_the_published_scores_of_its_tasks() -> None:
    here = [part("sst2"), part("snli"), part("rte")]
    (line,) = (line for line in glue_markdown(here).splitlines() if "Plausible?" in line)
    assert "model card of microsoft/MiniLM-L12-H384-uncased" in line
    assert "SST-2 93, RTE 73.3, of" in line
    assert "MRPC 89.5 (metric not named there), of" in glue_markdown([part("mrpc")])
    assert "Plausible?" not in glue_markdown([part("snli")])
    assert "Plausible?" not in glue_markdown([part("sst2", "paper")])


def test_the_published_scores_are_of_glue_tasks() -> None:
    found = load_anchors(RESULTS / "glue_anchors.csv")
    assert {anchor.task for anchor in found} <= {"sst2", "cola", "rte", "mrpc"}
    assert all(anchor.unit == "points" and 50 < anchor.value < 100 for anchor in found)
