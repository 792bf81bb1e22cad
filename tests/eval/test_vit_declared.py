"""Images as they are declared: arms that are what they are called, the published settings, and
their path at toy size on both local layouts."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pandas as pd
import pytest

from eval.models.vision import save_vit, vit_of
from eval.models.vits import VITS, vit
from eval.record import Record
from eval.spec import Experiment, Tier
from eval.suites import SUITES, suite
from eval.suites.budget import layer_tokens
from eval.train import TrainingRun
from rltd_core import KeptLength
from tests.eval.experiments import whole_run
from tests.eval.image_files import put_folders, put_torchvision, with_few_classes

FINETUNED: list[tuple[str, Tier]] = [
    (name, tier)
    for name, entry in SUITES.items()
    if name.startswith("vit_finetune") and not name.endswith("_pilot")
    for tier in entry.declared
]
PAPER = [name for name, tier in FINETUNED if tier == "paper"]
ARMS = (
    *("baseline", "random_ltd", "shortened_baseline"),
    *("random_ltd_class_token", "random_ltd_constant", "patch_drop"),
)


def differing(one: Experiment, other: Experiment) -> set[str]:
    """Return the fields, but for the name, in which two arms differ."""
    names = {field.name for field in fields(Experiment)} - {"arm"}
    return {name for name in names if getattr(one, name) != getattr(other, name)}


def saved(name: str) -> float:
    """Return the layer tokens that random-LTD saves at the published settings, in per cent."""
    arms = {e.arm: e for e in suite(name, "paper").arms}
    layers = vit(arms["baseline"].model).num_layers
    used = [layer_tokens(arms[arm], num_layers=layers) for arm in ("random_ltd", "baseline")]
    return 100 * (1 - used[0] / used[1])


@pytest.mark.parametrize(("name", "tier"), FINETUNED)
def test_arms_differ_in_exactly_what_their_names_say(name: str, tier: Tier) -> None:
    declared = suite(name, tier)
    arms = {e.arm: e for e in declared.arms}
    assert tuple(arms) == ARMS
    baseline, dropping = arms["baseline"], arms["random_ltd"]
    assert baseline.kept == KeptLength(start=baseline.length, full=baseline.length, ramp_steps=0)
    assert differing(dropping, baseline) == {"kept"}
    assert differing(arms["shortened_baseline"], baseline) == {"steps"}
    assert differing(arms["random_ltd_class_token"], dropping) == {"protected"}
    assert arms["random_ltd_class_token"].protected == 1
    assert differing(arms["random_ltd_constant"], dropping) == {"kept"}
    assert differing(arms["patch_drop"], baseline) == {"patch_drop"}
    assert (declared.primary, declared.higher_is_better) == ("accuracy", True)
    assert declared.margin is not None
    assert {(e.eval_split, e.eval_windows) for e in declared.arms} <= {("test", None), ("test", 32)}


@pytest.mark.parametrize("tier", ["smoke", "cpu", "gpu"])
def test_what_is_finetuned_is_pretrained_once_on_other_classes(tier: Tier) -> None:
    (first,) = suite("vit_pretrain", tier).arms
    assert first.keep
    for e in suite("vit_finetune", tier).arms:
        assert (e.pretrained, e.pretrained_seed, e.keep) == (first, 0, False)
        assert {first.data, e.data} in (
            {"cifar10_first", "cifar10_last"},
            {"digits_first", "digits_last"},
        )


def test_the_pilot_chooses_on_held_out_images_and_another_seed_what_the_evidence_has() -> None:
    pilot, declared = suite("vit_finetune_pilot"), suite("vit_finetune")
    assert {e.eval_split for e in pilot.arms} == {"held_out"}
    assert not set(pilot.seeds) & set(declared.seeds)
    rate = declared.arms[0].optimization.peak_lr
    for name in ("baseline", "random_ltd"):
        tried = pilot.arm(f"{name}_lr{rate:g}")
        assert differing(tried, declared.arm(name)) == {"suite", "eval_split"}


def test_the_published_settings_save_what_was_published() -> None:
    # Paper: section 4.2, and the log of the ViT example, whose counter had batches of 32.
    assert round(saved("vit_finetune"), 2) == 26.16
    assert round(saved("vit_finetune_large"), 2) == 28.77
    assert round(saved("vit_finetune_imagenet"), 1) == 22.3
    dropping = replace(suite("vit_finetune", "paper").arm("random_ltd"), batch=32)
    assert layer_tokens(dropping, num_layers=12) == 305_784_192


def test_the_published_recipe_is_the_authors() -> None:
    for name in PAPER:
        e = suite(name, "paper").arms[0]
        plan, imagenet = e.optimization, e.data == "imagenet"
        assert (plan.optimizer, plan.momentum, plan.clip, plan.warmup_steps) == ("sgd", 0.9, 1, 0)
        assert plan.peak_lr == (5e-5 if imagenet else 1e-4)
        assert plan.weight_decay == (1e-4 if imagenet else 5e-4)
        assert plan.shape == ("thirds" if imagenet else "constant")
        rows = {"cifar10": 50_000, "cifar100": 50_000, "imagenet": 1_281_167}[e.data]
        assert e.steps == 14 * -(-rows // e.batch)
        assert (e.batch, e.length, e.precision) == (256 if imagenet else 128, 197, "no")


def toy(experiment: Experiment) -> Experiment:
    """Return the experiment on a toy model, its ramp scaled."""
    e, steps, length = experiment, 8, 17
    ramp = max(1, round(e.kept.ramp * steps / e.steps)) if e.kept.ramp else 0
    start = max(2, length * e.kept.start // e.length)
    kept = KeptLength(start=start, full=length, ramp_steps=ramp, quantum=1 if ramp else 8)
    return replace(
        e,
        model="toy-hub",
        source="local",
        length=length,
        batch=4,
        steps=steps,
        kept=kept,
        curve_windows=4,
        curve_every=4,
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a local folder that has a toy in the place of the published weights."""
    place, repository = tmp_path / "local", "timm/vit_base_patch16_224.augreg_in21k_ft_in1k"
    monkeypatch.setenv("RLTD_LOCAL", str(place))
    with_few_classes(monkeypatch, 3)  # and then so has the head of the weights
    monkeypatch.setitem(VITS, "toy-hub", replace(vit("vit-toy"), hub=(repository, "main")))
    scratch = replace(suite("vit_finetune", "paper").arms[0], model="vit-toy", data="imagenet")
    save_vit(vit_of(scratch, 0, None), place / repository)
    return place


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("name", PAPER[:2])
def test_cifar_as_torchvision_keeps_it_trains_every_arm(
    name: str, arm: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = toy(suite(name, "paper").arm(arm))
    put_torchvision(folder, monkeypatch, experiment.data)
    check(whole_run(experiment, tmp_path), experiment, tmp_path / "store")


@pytest.mark.parametrize("arm", ["baseline", "random_ltd"])
def test_imagenet_as_folders_of_pictures_trains(
    arm: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_folders(folder, monkeypatch)
    experiment = toy(suite("vit_finetune_imagenet", "paper").arm(arm))
    check(whole_run(experiment, tmp_path), experiment, tmp_path / "store")


def test_processes_that_load_images_for_a_gpu_change_no_number(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU other processes read and change the images; here the loop is made to do so."""
    experiment = replace(toy(suite("vit_finetune", "paper").arm("random_ltd")), keep=True)
    put_torchvision(folder, monkeypatch, experiment.data)
    alone = whole_run(experiment, tmp_path / "alone")
    many = {"num_workers": 2, "multiprocessing_context": "fork"}
    monkeypatch.setattr(TrainingRun, "_loading", lambda self: many)
    helped = whole_run(experiment, tmp_path / "helped")
    assert alone.hashes == helped.hashes  # the trained weights' among them
    assert "trained_weights" in alone.hashes
    assert alone.measurements == helped.measurements


def check(record: Record, experiment: Experiment, store: Path) -> None:
    """Assert that a run trained, on the weights and images of the local folder."""
    assert record.status == "ok"
    assert record.cost is not None
    if not experiment.patch_drop:
        assert record.cost.layer_tokens == layer_tokens(experiment, num_layers=4)
    assert {"accuracy", "start_accuracy", "held_out_accuracy"} <= record.measurements.keys()
    losses = pd.read_csv(store / str(record.curve))["train_loss"].dropna()
    assert len(losses) == len(set(losses)) == experiment.steps
