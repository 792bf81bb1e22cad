"""What is saved of the real tokens, against draws of the policy itself."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.evidence.padding import padding_sentence, real_tokens_dropped
from eval.evidence.part import Part
from eval.paths import RESULTS, lengths_file
from eval.spec import Experiment
from eval.suites import suite
from eval.tasks.lengths import lengths_of
from rltd_core import KeptLength
from rltd_core.policies import random_per_layer
from tests.evidence.synthetic import make_experiment, make_records, make_suite

TOKENS, ROWS = np.array([3, 7, 12]), np.array([4, 2, 2])


def dropping(**changes: object) -> Experiment:
    ramp = KeptLength(start=4, full=12, ramp_steps=6)
    settings = {"length": 12, "batch": 8, "steps": 8, "kept": ramp, "objective": "labels"}
    return make_experiment("random_ltd", **settings | changes)


def drawn(experiment: Experiment, layers: int = 400) -> tuple[float, float]:
    """Return what each layer drops of a row's real tokens and of all, drawn step by step."""
    lengths = torch.tensor(np.repeat(TOKENS, ROWS))
    valid_BS = torch.arange(12) < lengths[:, None]
    generator, real, dropped = torch.Generator().manual_seed(0), 0.0, 0.0
    for step in range(experiment.steps):
        kept = experiment.kept(step)
        kept_LBK = random_per_layer(
            layers,
            len(lengths),
            12,
            kept,
            generator=generator,
            valid_BS=valid_BS if experiment.padding_aware else None,
            protected=experiment.protected,
        )
        of_real = valid_BS.expand(layers, -1, -1).gather(2, kept_LBK).sum().item()
        real += valid_BS.sum().item() / len(lengths) - of_real / layers / len(lengths)
        dropped += 12 - kept
    return real / experiment.steps, dropped / experiment.steps


@pytest.mark.parametrize(
    "changes",
    [{}, {"padding_aware": True}, {"protected": 1}, {"protected": 1, "padding_aware": True}],
)
def test_the_means_are_those_of_many_draws(changes: dict[str, object]) -> None:
    of = dropping(**changes)
    assert real_tokens_dropped(of, TOKENS, ROWS) == pytest.approx(drawn(of), abs=0.02)


def test_a_draw_that_does_not_look_at_padding_drops_as_much_of_it_as_of_the_rest() -> None:
    real, dropped = real_tokens_dropped(dropping(), TOKENS, ROWS)
    mean = (TOKENS * ROWS).sum() / ROWS.sum()
    assert real / dropped == pytest.approx(mean / 12)
    aware, same = real_tokens_dropped(dropping(padding_aware=True), TOKENS, ROWS)
    assert (same, aware) < (dropped + 1e-9, real)


def test_the_sentence_is_told_where_an_arm_looks_at_padding_and_lengths_are_kept(
    tmp_path: Path,
) -> None:
    arms = tuple(
        dataclasses.replace(dropping(), arm=arm, kept=kept, padding_aware=arm.endswith("aware"))
        for arm, kept in {
            "baseline": KeptLength(start=12, full=12, ramp_steps=0),
            "random_ltd": dropping().kept,
            "random_ltd_padding_aware": dropping().kept,
            "shortened_baseline": KeptLength(start=12, full=12, ramp_steps=0),
        }.items()
    )
    of = dataclasses.replace(make_suite(), arms=arms)
    means = {e.arm: 1.0 for e in arms}
    records = [r for r in make_records(make_suite()) if r.experiment.arm in means]
    part = Part(
        suite=of,
        records=tuple(dataclasses.replace(r, experiment=of.arm(r.experiment.arm)) for r in records),
        left_out=(),
    )
    assert padding_sentence(part, tmp_path) == ""
    path = lengths_file(of.name, "cpu", tmp_path)
    path.parent.mkdir()
    path.write_text("tokens,rows\n3,4\n7,2\n12,2\n")
    said = padding_sentence(part, tmp_path)
    assert said.startswith("Padding: 47.9 % of the tokens")  # a mean of 6.25 of 12
    assert "random-LTD" in said
    without = dataclasses.replace(part, suite=dataclasses.replace(of, arms=arms[:2]))
    assert padding_sentence(without, tmp_path) == ""


def test_the_lengths_of_a_suite_are_its_training_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RLTD_CACHE", str(tmp_path))
    first = suite("bert_glue_sst2", "smoke").arms[0]
    found = lengths_of(first)
    assert found["rows"].sum() > 10
    assert found["tokens"].between(3, first.length).all()


def test_the_committed_lengths_are_of_as_many_rows_as_the_suite_names() -> None:
    (path,) = (RESULTS / "lengths").iterdir()
    rows = sum(int(line.split(",")[1]) for line in path.read_text().splitlines()[1:])
    assert f"{rows:,} snippets" in " ".join(suite("bert_glue_sst2").caveats)
