"""The figure of finetuning perplexity: ours drawn, the authors' written beside it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from eval.evidence.canvas import save
from eval.evidence.drawn import draw
from eval.evidence.paper.published import AUTHORS_TIER, load_reported
from eval.evidence.part import Part
from eval.evidence.perplexity import has_perplexity, perplexity_data, plot_perplexity
from eval.evidence.series import MEAN, curve_data
from eval.record import Record
from eval.spec import Suite
from eval.suites import SUITES
from eval.suites.gpt_finetune_paper import FINETUNE_PAPER
from tests.evidence.synthetic import make_records, make_suite, write_store

Evidence = tuple[Suite, list[Record], Path]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    declared, store = make_suite(), tmp_path_factory.mktemp("store")
    records = make_records(declared)
    write_store(store, records)
    return declared, records, store


def without_published(evidence: Evidence) -> Evidence:
    """Return the same runs under a name of which the authors published nothing."""
    declared, records, store = evidence
    return dataclasses.replace(declared, name="gpt_finetune_of_ours"), records, store


def test_a_seeds_perplexity_is_that_of_its_loss_and_the_mean_is_over_perplexities(
    evidence: Evidence,
) -> None:
    data: Any = perplexity_data(*evidence)
    losses: Any = curve_data(*evidence)
    for arm in ("baseline", "random_ltd"):
        here = data[(data["arm"] == arm) & (data["step"] == 50)].set_index("seed")["perplexity"]
        nll = losses[(losses["arm"] == arm) & (losses["step"] == 50)].set_index("seed")["val_nll"]
        exact = [math.exp(nll[str(seed)]) for seed in range(5)]
        assert list(here[list("01234")]) == pytest.approx(exact, abs=5e-5)
        assert here[MEAN] == pytest.approx(sum(exact) / 5, abs=5e-5)
        assert here[MEAN] > math.exp(nll[MEAN])


def test_the_authors_numbers_are_the_published_rows_and_have_no_place_on_the_axis(
    evidence: Evidence,
) -> None:
    data: Any = perplexity_data(*evidence)
    theirs = data[data["tier"] == AUTHORS_TIER]
    published = [r for r in load_reported() if r.measurement == "perplexity"]
    assert list(theirs["perplexity"]) == [r.value for r in published]
    assert theirs[["step", "layer_tokens", "seed", "n"]].isna().all(axis=None)
    ours = data[data["tier"] == "cpu"]
    for axes in plot_perplexity(*evidence).axes:
        lines: Any = axes.lines
        assert sorted(y for line in lines for y in line.get_ydata()) == sorted(ours["perplexity"])


def test_the_authors_numbers_are_written_with_their_model_and_text(evidence: Evidence) -> None:
    whole, end = plot_perplexity(*evidence).axes
    (note,) = whole.texts
    assert note.get_text() == (
        "The authors' GPT-2 350M on PTB,\nnot on this axis:\nbaseline 16.11, random-LTD 15.9"
    )
    assert not end.texts
    assert whole.get_title(loc="left") == "small-gpt on prose"
    assert whole.get_ylabel() == "validation perplexity (per token)"
    assert whole.get_xlabel() == end.get_xlabel() == "layer tokens (thousands)"
    bare, _ = plot_perplexity(*without_published(evidence)).axes
    assert not bare.texts


def test_the_second_panel_shows_every_point_of_the_second_half(evidence: Evidence) -> None:
    data = perplexity_data(*evidence)
    last = max(data["layer_tokens"].dropna())
    later = data[(data["layer_tokens"] >= last / 2).fillna(value=False)]
    _, end = plot_perplexity(*evidence).axes
    (left, right), (low, high) = end.get_xlim(), end.get_ylim()
    assert left * 1e3 == pytest.approx(last / 2)
    assert last < right * 1e3
    assert low < min(later["perplexity"])
    assert max(later["perplexity"]) < high


def test_it_is_drawn_where_perplexity_is_what_a_suite_is_about(
    evidence: Evidence, tmp_path: Path
) -> None:
    made = {name: [make() for make in entry.declared.values()] for name, entry in SUITES.items()}
    drawn = {name for name, suites in made.items() if any(map(has_perplexity, suites))}
    assert drawn == set(FINETUNE_PAPER)
    assert not has_perplexity(dataclasses.replace(make_suite(), margin=None))
    declared, records, store = evidence
    part = Part(suite=declared, records=tuple(records), left_out=())
    assert "(gpt_finetune-cpu-perplexity.svg)" in draw(part, store, tmp_path)
    other, *_ = without_published(evidence)
    assert "perplexity" not in draw(dataclasses.replace(part, suite=other), store, tmp_path)


@pytest.mark.parametrize("change", [lambda found: found, without_published])
def test_it_is_repeated_byte_for_byte_and_holds_no_missing_number(
    evidence: Evidence, tmp_path: Path, change
) -> None:
    changed = change(evidence)
    written = []
    for name in ("one", "two"):
        data = perplexity_data(*changed)
        paths = save(plot_perplexity(*changed), tmp_path / name / "perplexity", data)
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert b"nan" not in written[0][1].lower()
    declared, records, store = changed
    reverse = perplexity_data(declared, records[::-1], store)
    pd.testing.assert_frame_equal(reverse, perplexity_data(*changed))
