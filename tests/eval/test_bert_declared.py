"""Finetuning on GLUE as it is declared: the paper's protocol, arms that are what they are called,
pilots on rows of their own, and the path of the paper's settings at toy size."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest

from eval.data.assets import ASSETS
from eval.data.glue_tasks import GLUE
from eval.identity import asset_hashes
from eval.paths import RESULTS
from eval.spec import Experiment, Suite, Tier
from eval.suites import SUITES, suite
from eval.suites.budget import layer_tokens
from rltd_core import KeptLength
from tests.eval.experiments import whole_run
from tests.eval.glue_rows import put_release

ROWS = {
    "mnli": 392_702,
    "qqp": 363_846,
    "qnli": 104_743,
    "sst2": 67_349,
    "cola": 8_551,
    "stsb": 5_749,
    "mrpc": 3_668,
    "rte": 2_490,
}
"""Training rows of the eight tasks, as GLUE was released."""
LAYERS = {
    "bert-large-uncased": 24,
    "minilm-l6": 6,
    "tiny-bert": 5,
    "bert-large": 24,
    "bert-29m": 12,
    "bert-2m": 6,
    "bert-1m": 6,
    "bert-toy": 4,
}
DECLARED: list[tuple[str, Tier]] = [
    (name, tier) for name, entry in SUITES.items() for tier in entry.declared
]
GLUE_SUITES = [
    (name, tier)
    for name, tier in DECLARED
    if name.startswith("bert_glue_") and not name.endswith("_pilot")
]
PILOTS = [
    (name, tier)
    for name, tier in DECLARED
    if name.startswith("bert_glue_") and name.endswith("_pilot")
]
THREE = ("baseline", "random_ltd", "shortened_baseline")
FIVE = (*THREE, "random_ltd_padding_aware", "random_ltd_cls")


def differing(one: Experiment, other: Experiment) -> set[str]:
    """Return the fields, but for the name, in which two arms differ."""
    names = {field.name for field in fields(Experiment)} - {"arm"}
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def settings(experiment: Experiment) -> Experiment:
    """Return the experiment without its names, its code and the rows it is measured on."""
    return replace(experiment, suite="", arm="", eval_split="", revision=0)


def paper_suites(ending: str = "") -> list[Suite]:
    return [suite(f"bert_glue_{task}{ending}", "paper") for task in ROWS]


def assert_shortened(short: Experiment, baseline: Experiment, dropping: Experiment) -> None:
    """Assert that a baseline is stopped where random-LTD's layer tokens are used up."""
    assert differing(short, baseline) - {"optimization"} == {"steps"}
    warmup = baseline.optimization.warmup_steps
    assert replace(short.optimization, warmup_steps=warmup) == baseline.optimization
    shorter = short.optimization.warmup_steps
    assert abs(shorter * baseline.steps - warmup * short.steps) <= baseline.steps / 2  # rounded
    num_layers = LAYERS[baseline.model]
    ours, theirs = (layer_tokens(e, num_layers=num_layers) for e in (short, dropping))
    assert ours == num_layers * short.steps * short.batch * short.length
    assert 0 <= ours - theirs < num_layers * short.batch * short.length
    assert short.steps < baseline.steps


def test_every_suite_of_encoders_at_the_papers_settings_is_a_glue_task() -> None:
    found = {
        name
        for name, tier in DECLARED
        if tier == "paper" and name.startswith("bert_") and not name.startswith("bert_pretrain")
    }
    assert found == {f"bert_glue_{task}{ending}" for task in ROWS for ending in ("", "_pilot")}


def test_the_papers_finetuning_is_three_epochs_of_the_published_rows() -> None:
    # Paper: section 5.2, and the authors' scripts.
    for declared in [*paper_suites(), *paper_suites("_pilot")]:
        baseline = declared.arms[0]
        epochs, rest = divmod(baseline.steps, -(-ROWS[baseline.data] // 32))
        assert (epochs, rest, baseline.batch, baseline.accumulation) == (3, 0, 32, 1)
        assert (baseline.length, baseline.model) == (128, "bert-large-uncased")
        assert (baseline.source, baseline.model_source, baseline.pretrained) == ("hub", None, None)
        plan = baseline.optimization
        assert abs(10 * plan.warmup_steps - baseline.steps) <= 5
        assert (plan.weight_decay, plan.shape, plan.clock) == (0.1, "linear", "steps")
        assert baseline.dropout is None  # the checkpoint's own
        assert declared.seeds == (1234, 1235, 1236, 1237, 1238)


def test_the_paper_chooses_among_four_learning_rates() -> None:
    for declared, pilot in zip(paper_suites(), paper_suites("_pilot"), strict=True):
        rates = [e.optimization.peak_lr for e in pilot.arms]
        assert rates == [2e-5, 3e-5, 4e-5, 5e-5]
        assert {e.optimization.peak_lr for e in declared.arms} <= set(rates)
        for e in pilot.arms:
            assert differing(e, pilot.arms[0]) <= {"optimization"}
            assert e.arm == f"baseline_lr{e.optimization.peak_lr:g}"


@pytest.mark.parametrize(("name", "tier"), GLUE_SUITES)
def test_what_is_reported_is_the_papers_metric_on_the_published_rows(name: str, tier: Tier) -> None:
    declared = suite(name, tier)
    task = GLUE[declared.arms[0].data]
    metrics = {"cola": "matthews_correlation", "stsb": "spearman"}
    metric = metrics.get(task.name, "accuracy")
    assert declared.primary == metric
    assert declared.progress == (f"start_{metric}", f"held_out_{metric}")
    assert {(e.eval_split, e.eval_windows) for e in declared.arms} == {(task.validation[0], None)}
    assert declared.higher_is_better
    assert declared.margin is not None


@pytest.mark.parametrize(("name", "tier"), GLUE_SUITES)
def test_glue_arms_differ_in_exactly_what_their_names_say(name: str, tier: Tier) -> None:
    arms = {e.arm: e for e in suite(name, tier).arms}
    assert tuple(arms) in {THREE, FIVE}
    assert len(arms) == 5 or tier == "cpu"
    baseline, dropping = arms["baseline"], arms["random_ltd"]
    assert differing(dropping, baseline) == {"kept"}
    assert baseline.kept == KeptLength(start=baseline.length, full=baseline.length, ramp_steps=0)
    assert dropping.kept.start == pytest.approx(baseline.length / 4, abs=0.5)
    assert dropping.kept.ramp == pytest.approx(baseline.steps / 2, abs=0.5)
    assert_shortened(arms["shortened_baseline"], baseline, dropping)
    if len(arms) == 5:
        aware, first = arms["random_ltd_padding_aware"], arms["random_ltd_cls"]
        assert differing(aware, dropping) == {"padding_aware"}
        assert differing(first, dropping) == {"protected"}
        assert (aware.padding_aware, first.protected) == (True, 1)
    assert {(e.protected, e.padding_aware) for e in (baseline, dropping)} == {(0, False)}


@pytest.mark.parametrize(("name", "tier"), PILOTS)
def test_glue_pilots_read_rows_that_the_evidence_does_not_report_and_small_ones_other_seeds(
    name: str, tier: Tier
) -> None:
    pilot, declared = suite(name, tier), suite(name.removesuffix("_pilot"), tier)
    assert {e.eval_split for e in pilot.arms} == {"held_out"}
    assert pilot.primary == declared.primary
    assert pilot.margin is None
    if tier == "paper":  # Paper: every learning rate was tried with the five published seeds
        assert pilot.seeds == declared.seeds
    else:
        assert not set(pilot.seeds) & set(declared.seeds)


@pytest.mark.parametrize(("name", "tier"), PILOTS)
def test_what_a_suite_declares_was_tried_in_its_pilot(name: str, tier: Tier) -> None:
    pilot, declared = suite(name, tier), suite(name.removesuffix("_pilot"), tier)
    tried = {settings(e) for e in pilot.arms}
    arms = THREE if (name, tier) == ("bert_glue_sst2_pilot", "cpu") else ("baseline",)
    assert {settings(declared.arm(each)) for each in arms} <= tried
    assert len(tried) == len(pilot.arms)


@pytest.mark.parametrize("task", ["cola", "mrpc", "stsb", "rte"])
def test_the_small_encoder_is_the_packages_wherever_the_rows_come_from(
    task: str, local_folder: Path
) -> None:
    put_release(local_folder, task)
    baseline = suite(f"bert_glue_{task}").arm("baseline")
    hashes = asset_hashes(baseline)
    assert hashes["model"] == f"package:{ASSETS['minilm-l6'].sha256}"
    assert hashes["data"].startswith("local:")


def toy(experiment: Experiment) -> Experiment:
    """Return the experiment on a toy encoder and made-up rows, its ramp and warmup scaled."""
    e, steps, length = experiment, 8, 24
    scale = steps / e.steps
    ramp = round(e.kept.ramp * scale)
    return replace(
        e,
        model="tiny-bert",
        model_source="checkout",
        source="local",
        length=length,
        batch=4,
        steps=steps,
        kept=KeptLength(start=length * e.kept.start // 128, full=length, ramp_steps=ramp),
        optimization=replace(
            e.optimization, warmup_steps=round(e.optimization.warmup_steps * scale)
        ),
        curve_every=4,
    )


@pytest.mark.parametrize("name", FIVE)
@pytest.mark.parametrize("task", ["stsb", "cola", "mnli"])  # a score, two classes, three
def test_every_glue_arm_of_the_paper_runs_at_toy_size(
    task: str, name: str, tmp_path: Path, local_folder: Path
) -> None:
    put_release(local_folder, task)
    declared = suite(f"bert_glue_{task}", "paper")
    experiment = toy(declared.arm(name))
    record = whole_run(experiment, tmp_path)
    assert record.cost is not None
    assert record.cost.layer_tokens == layer_tokens(experiment, num_layers=5)
    reported = GLUE[task].validation
    first = record.measurements[declared.primary]
    assert (first.split, first.n) == (reported[0], 6)
    for split in reported[1:]:
        assert record.measurements[f"{declared.primary}_{split}"].split == split
    rows = pd.read_csv(tmp_path / "store" / str(record.examples))
    assert list(rows["split"]) == [split for split in reported for _ in range(6)]
    assert set(declared.progress) <= record.measurements.keys()


def test_a_pilot_of_the_paper_reads_no_reported_row(tmp_path: Path, local_folder: Path) -> None:
    put_release(local_folder, "mnli")
    pilot = suite("bert_glue_mnli_pilot", "paper")
    record = whole_run(toy(pilot.arms[0]), tmp_path)
    assert {found.split for found in record.measurements.values()} == {"held_out"}
    assert record.measurements[pilot.primary] == record.measurements[pilot.progress[1]]


@pytest.mark.parametrize("row", pd.read_csv(RESULTS / "glue_rows.csv").to_dict("records"))
def test_the_rows_that_a_small_suite_states_are_those_that_were_counted(row: dict) -> None:
    assert row["training_rows"] == row["leaked"] + row["held_out"] + row["train"]
    assert row["held_out"] == min(1000, (row["train"] + row["held_out"]) // 10)
    full = "_full" * ((row["task"], row["source"]) == ("sst2", "local"))
    declared = suite(f"bert_glue_{row['task']}{full}", "cpu")
    assert declared.arms[0].source == row["source"]
    assert any(f" {row['train']:,} " in note for note in declared.caveats), declared.caveats
