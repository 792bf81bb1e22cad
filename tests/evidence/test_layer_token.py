"""The LayerToken learning rate: what the page says of it, and its figure."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from eval.evidence.claims.findings import sentence
from eval.evidence.contrasts import CONTRASTS, STEP_LR
from eval.evidence.layer_token import has_layer_token, plot_layer_token
from eval.evidence.pages import suite_page
from eval.evidence.paper.published import load_claims
from eval.evidence.part import Part
from eval.evidence.plots import save, schedule_data
from eval.evidence.report import build
from tests.evidence.synthetic import make_failed, write_store
from tests.evidence.test_contrasts import evidence


@pytest.mark.parametrize("name", ["gpt_pretrain", "bert_pretrain"])
def test_a_page_that_has_the_claim_says_what_became_of_it(name: str) -> None:
    suite, records = evidence()
    suite = dataclasses.replace(suite, name=name)
    part = Part(suite=suite, records=tuple(records), left_out=())
    (claim,) = [c for c in load_claims() if c.suite == name and c.against == STEP_LR]
    page, told = suite_page([part], {"cpu": ""}), sentence(claim, part)
    assert f"**{claim.short}: {told}.**" in page
    assert f"Ours at tier cpu: {told}." in page
    without = tuple(r for r in records if r.experiment.arm != STEP_LR)
    page = suite_page([dataclasses.replace(part, records=without)], {"cpu": ""})
    assert f"**{claim.short}" not in page


@pytest.mark.parametrize("arm", ["baseline", "random_ltd", "lr_control"])
def test_without_one_of_three_arms_there_is_no_layer_token_part(arm: str) -> None:
    suite, records = evidence()
    assert has_layer_token(records)
    rest = [r for r in records if r.experiment.arm != arm]
    assert not has_layer_token(rest)
    assert not has_layer_token([*rest, make_failed(suite.arm(arm), 0)])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write records and curves once."""
    folder = tmp_path_factory.mktemp("store")
    write_store(folder, evidence()[1])
    return folder


def lines_of(axes: Any) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]


def test_rate_and_kept_length_of_both_arms_are_drawn(store: Path) -> None:
    suite, records = evidence()
    data = schedule_data(suite, records, store)
    figure = plot_layer_token(suite, records, store)
    left, right = figure.axes
    assert left.get_yscale() == "log"
    for axes, name in ((left, "lr"), (right, "kept")):
        drawn = lines_of(axes)
        rows = [data[data["arm"] == arm] for arm in ("baseline", "random_ltd")]
        assert drawn == [(list(r["step"]), list(r[name])) for r in rows]
        below, above = axes.lines
        assert below.get_linewidth() > 2 * above.get_linewidth()  # both are seen where equal
    assert set(data["seed"]) == {0}
    assert left.get_ylim()[0] > 0
    assert "tier cpu" in figure.get_suptitle()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["baseline", "random-LTD"]
    assert plt.get_fignums() == []


def test_the_figure_is_repeated_byte_for_byte(store: Path, tmp_path: Path) -> None:
    suite, records = evidence()
    made = []
    for name, order in (("one", records), ("two", records[::-1])):
        figure = plot_layer_token(suite, order, store)
        svg, _ = save(figure, tmp_path / name / "x", schedule_data(suite, order, store))
        made.append(svg.read_bytes())
    assert made[0] == made[1]
    assert b"<dc:date>" not in made[0]


@pytest.mark.parametrize("whole", [True, False])
def test_the_page_has_the_part_only_where_there_are_runs_for_it(
    tmp_path: Path, whole: bool
) -> None:
    suite, records = evidence(seeds=(0, 1))
    records = [r for r in records if whole or r.experiment.arm != "lr_control"]
    readme, summary = tmp_path / "README.md", tmp_path / "summary"
    readme.write_text("no block\n")
    write_store(tmp_path / "store", records)
    build(tmp_path / "store", summary, readme, find=lambda name, tier: suite)
    page = (summary / "gpt_finetune.md").read_text()
    for words in ("Dropping and learning rate taken apart", "the LR control has that curve"):
        assert (words in page) == whole
    for arm, against, meaning in CONTRASTS:
        assert (meaning in page) == (whole or "lr_control" not in (arm, against))
    assert (summary / "gpt_finetune-cpu-layer-token.svg").exists() == whole
    assert ("gpt_finetune-cpu-layer-token.svg" in page) == whole
    assert "Zero-shot" not in page
