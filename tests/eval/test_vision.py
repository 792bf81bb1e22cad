"""What a run on images begins with, learns from, and is scored by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.metrics import accuracy_score, log_loss
from torch.nn.functional import cross_entropy

from eval.data.images import load_pictures
from eval.errors import RunFailed, UserError
from eval.models.vision import save_vit, vit_of
from eval.models.vits import VITS, vit, vit_identity
from eval.optimization import make_optimizer
from eval.plan import arm_costs
from eval.record import Record
from eval.runner import run_suite
from eval.spec import Experiment, Optimization
from eval.suites import suite
from eval.suites.budget import layer_tokens
from eval.suites.vit_arms import image_arms, scaled_ramp
from eval.tasks.images import ImageTask
from rltd_core import RandomLTD

TOY = suite("vit_pretrain", "smoke").arms[0]
FINETUNED = suite("vit_finetune", "smoke")


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_the_seed_gives_the_first_weights_and_nothing_else_does() -> None:
    first = weights(vit_of(TOY, 0, None))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    again = weights(vit_of(TOY, 0, None))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], again[name]) for name in first)
    other = weights(vit_of(TOY, 1, None))
    assert not torch.equal(first["blocks.0.attn.qkv.weight"], other["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize("name", ["vit-toy", "vit-1m", "vit-21m"])
def test_a_model_has_the_declared_size(name: str) -> None:
    wanted = vit(name)
    with torch.device("meta"):
        model = vit_of(replace(TOY, model=name), 0, None)
    assert isinstance(model, timm.models.VisionTransformer)
    assert model.patch_embed.num_patches + model.num_prefix_tokens == wanted.length
    assert (len(model.blocks), model.embed_dim) == (wanted.num_layers, wanted.width)
    assert model.blocks[0].attn.num_heads == wanted.num_heads
    assert model.patch_embed.img_size == (wanted.image_size,) * 2


def test_a_finetuned_model_has_the_earlier_weights_and_a_head_of_its_own(tmp_path: Path) -> None:
    trained = vit_of(TOY, 0, None)
    save_vit(trained, tmp_path / "kept")
    before = weights(trained)
    found = weights(vit_of(FINETUNED.arms[0], 3, tmp_path / "kept"))
    assert found.keys() == before.keys()
    for name in found:
        assert torch.equal(found[name], before[name]) == ("head" not in name), name
    again = weights(vit_of(FINETUNED.arms[0], 3, tmp_path / "kept"))
    other = weights(vit_of(FINETUNED.arms[0], 4, tmp_path / "kept"))
    assert torch.equal(found["head.weight"], again["head.weight"])
    assert not torch.equal(found["head.weight"], other["head.weight"])


def test_what_is_saved_is_a_checkpoint_of_timm(tmp_path: Path) -> None:
    model = vit_of(TOY, 0, None).eval()
    save_vit(model, tmp_path / "kept")
    config = json.loads((tmp_path / "kept" / "config.json").read_text())
    assert config["architecture"] == "vit_tiny_patch16_224"
    loaded = timm.create_model(f"local-dir:{tmp_path / 'kept'}", pretrained=True).eval()
    images = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(loaded(images), model(images), rtol=0, atol=0)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Put a toy where a local copy of the published weights lies."""
    monkeypatch.setenv("RLTD_LOCAL", str(tmp_path))
    repository = "timm/vit_base_patch16_224.augreg_in21k_ft_in1k"
    monkeypatch.setitem(VITS, "toy-hub", replace(vit("vit-toy"), hub=(repository, "main")))
    save_vit(vit_of(replace(TOY, data="cifar10"), 0, None), tmp_path / repository)
    return replace(TOY, model="toy-hub", model_source="local", data="cifar10")


def test_published_weights_keep_their_head_for_the_classes_they_are_of(
    published: Experiment,
) -> None:
    same = weights(vit_of(published, 0, None))
    assert same["head.weight"].shape[0] == 10
    assert torch.equal(same["head.weight"], weights(vit_of(published, 1, None))["head.weight"])
    other = replace(published, data="cifar100")
    heads = [weights(vit_of(other, seed, None))["head.weight"] for seed in (0, 1)]
    assert heads[0].shape[0] == 100
    assert not torch.equal(*heads)
    assert vit_identity("toy-hub", "local").startswith("local:")
    assert vit_identity("toy-hub", "hub").startswith("hub:timm/vit_base_patch16_224.augreg_in21k")


def test_published_weights_that_are_not_there_are_an_error(published: Experiment) -> None:
    lost = replace(published, model="vit_large_patch16_224")
    with pytest.raises(UserError, match="no local copy of timm/vit_large_patch16_224"):
        vit_of(lost, 0, None)


def test_scores_equal_those_of_scikit_learn() -> None:
    task, model = ImageTask(TOY, 0), vit_of(TOY, 0, None)
    found = task.measure(model)
    pictures = load_pictures(TOY.data, "test", "checkout")
    first = np.arange(TOY.eval_windows)
    images = np.stack([np.asarray(pictures.picture(n)) for n in first])
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        probabilities = model.eval()(inputs).softmax(1).numpy()
    labels = pictures.labels_N[first]
    assert found.measurements["accuracy"].value == accuracy_score(labels, probabilities.argmax(1))
    expected = log_loss(labels, probabilities, labels=range(5))
    assert found.measurements["cross_entropy"].value == pytest.approx(expected, rel=1e-5)
    assert found.examples is not None
    assert found.examples["predicted"].tolist() == probabilities.argmax(1).tolist()
    assert found.examples["row"].tolist() == pictures.rows_N[first].tolist()
    assert found.measurements["held_out_accuracy"].n == TOY.curve_windows
    assert task.validation(model)["val_accuracy"] == found.measurements["held_out_accuracy"].value
    assert model.training is False  # as it was handed over


def test_the_loss_is_the_mean_cross_entropy() -> None:
    task, model = ImageTask(TOY, 0), vit_of(TOY, 0, None)
    batch = torch.utils.data.default_collate([task.examples.example(n, n) for n in range(4)])
    logits = model(batch["images"])
    by_hand = -sum(logits[n].log_softmax(0)[batch["labels"][n]] for n in range(4)) / 4
    torch.testing.assert_close(task.loss(model, batch), by_hand)
    torch.testing.assert_close(cross_entropy(logits, batch["labels"]), by_hand)


def test_a_diverged_model_has_failed() -> None:
    model = vit_of(TOY, 0, None)
    with torch.no_grad():
        model.head.bias[0] = float("nan")
    with pytest.raises(RunFailed, match="not finite"):
        ImageTask(TOY, 0).measure(model)


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """Run the smoke tier's suite once."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("vit")
    with patch.context() as here:
        here.setenv("RLTD_CACHE", str(folder / "cache"))
        here.setattr("eval.runner.OUT", folder / "out")
        here.setattr("eval.runner._AGAIN", folder / "again")
        found = run_suite(FINETUNED, seeds=(0,), store=folder / "store", workers=1)
    return {record.experiment.arm: record for record in found}


def test_all_arms_begin_with_the_one_pretrained_model(records: dict[str, Record]) -> None:
    assert len({r.hashes["pretrained_weights"] for r in records.values()}) == 1
    assert len({r.hashes["evaluated_images"] for r in records.values()}) == 1
    full = [r for r in records.values() if r.cost and r.cost.steps == FINETUNED.arms[0].steps]
    assert len(full) == len(records) - 1
    assert len({r.hashes["batches"] for r in full}) == 1


def test_every_arm_but_the_baseline_has_the_budget_of_random_ltd(
    records: dict[str, Record],
) -> None:
    used = {arm: r.cost.layer_tokens for arm, r in records.items() if r.cost is not None}
    dropping = FINETUNED.arm("random_ltd")
    assert used["random_ltd"] == layer_tokens(dropping, num_layers=4)
    assert used["random_ltd_class_token"] == used["random_ltd"]
    a_step = 4 * dropping.batch * dropping.length
    assert 0 <= used["shortened_baseline"] - used["random_ltd"] < a_step
    a_token = dropping.batch * dropping.steps
    assert 0 <= used["random_ltd_constant"] - used["random_ltd"] < 2 * a_token  # of 2 layers
    assert 0 <= used["patch_drop"] - used["random_ltd"] < 4 * a_token
    assert used["baseline"] > 1.1 * used["random_ltd"]
    assert {c.arm: c.layer_tokens for c in arm_costs(FINETUNED)} == used


def test_the_flops_of_patch_dropout_are_those_of_shorter_sequences(
    records: dict[str, Record],
) -> None:
    arm, cost = FINETUNED.arm("patch_drop"), records["patch_drop"].cost
    model = vit_of(arm, 0, None)
    ltd = RandomLTD(model, arm.kept, seed=0)
    assert cost is not None
    entering = arm.computed.full
    assert arm.computed.start == entering < arm.length
    run = {"num_steps": arm.steps, "batch": arm.batch, "length": entering}
    assert cost.tokens == arm.steps * arm.batch * arm.length  # images are read whole
    assert cost.flops == ltd.cost.run_flops(arm.computed, **run)
    ltd.detach()
    seen: list[int] = []
    model.blocks[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0].shape[1]))
    model.train()(torch.randn(2, 3, 8, 8))
    model.eval()(torch.randn(2, 3, 8, 8))
    assert seen == [entering, arm.length]


@pytest.mark.parametrize("length", [17, 65, 197])
@pytest.mark.parametrize("steps", [12, 300, 5474])
def test_the_ramp_is_the_authors_scaled(length: int, steps: int) -> None:
    ramp = scaled_ramp(length, steps)
    assert abs(ramp.start / length - 32 / 197) <= 0.5 / length
    assert ramp.ramp_steps is not None
    assert abs(ramp.ramp_steps / steps - 3910 / 5474) <= 0.5 / steps
    if (length, steps) == (197, 5474):
        assert (ramp.start, ramp.quantum, ramp.ramp_steps) == (32, 8, 3910)
    assert ramp(steps) == length


def test_the_constant_arm_keeps_one_length_to_the_end() -> None:
    arm = FINETUNED.arm("random_ltd_constant")
    assert {arm.kept(step) for step in range(arm.steps)} == {arm.kept.start}
    assert arm.kept.start < arm.length


def test_sgd_is_that_of_torch_and_decays_every_weight() -> None:
    plan = Optimization(
        peak_lr=0.1,
        shape="constant",
        clock="steps",
        warmup_steps=0,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=5e-4,
    )
    model = vit_of(TOY, 0, None)
    optimizer: Any = make_optimizer(model, plan)
    (group,) = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.1, 0.9, 5e-4)
    assert len(group["params"]) == len(list(model.parameters()))


def test_arms_of_another_size_have_their_own_numbers() -> None:
    kept = replace(TOY.kept, start=65, full=65)
    baseline = replace(TOY, model="vit-1m", data="cifar10_last", length=65, kept=kept)
    arms = {arm.arm: arm for arm in image_arms(baseline, scaled_ramp(65, baseline.steps))}
    assert {len(arms), len(FINETUNED.arms)} == {6}
    used = layer_tokens(arms["random_ltd"], num_layers=6)
    over = layer_tokens(arms["random_ltd_constant"], num_layers=6) - used
    assert 0 <= over < 4 * baseline.batch * baseline.steps  # a token, in four layers
    assert arms["patch_drop"].computed.full < 65
