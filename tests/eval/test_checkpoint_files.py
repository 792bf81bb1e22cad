"""The files of a checkpoint: complete or absent, verified before anything is read."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from eval.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from eval.data.fetch import sha256_of
from eval.errors import UserError
from tests.eval.experiments import assert_same_weights, weights

FILES = ("model.safetensors", "optimizer.pt", "generators.pt", "state.json", "hashes.json")
STATE = {"journal": {"step": 3}, "lr": {"last": 0.1}}


def trained_model(seed: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Return a model with tied weights and its optimizer after one step."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    model[1].weight = model[0].weight
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def moments(optimizer: torch.optim.Optimizer) -> list[Any]:
    return [dict(s) for s in optimizer.state_dict()["state"].values()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the checkpoint of step 3."""
    save_checkpoint(tmp_path / "run", 3, *trained_model(0), STATE)
    return tmp_path / "run" / "step-00000003"


def test_loading_gives_back_weights_optimizer_generators_and_state(tmp_path: Path) -> None:
    model, optimizer = trained_model(0)
    save_checkpoint(tmp_path, 7, model, optimizer, STATE)
    expected = draws()
    other, other_optimizer = trained_model(1)
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert load_checkpoint(newest, other, other_optimizer) == STATE
    assert draws() == expected
    assert_same_weights(weights(other), weights(model))
    torch.testing.assert_close(moments(other_optimizer), moments(optimizer), rtol=0, atol=0)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["a flipped bit", "cut short", "deleted", "emptied"])
def test_a_damaged_checkpoint_is_refused_and_nothing_of_it_is_loaded(
    folder: Path, name: str, damage: str
) -> None:
    file = folder / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "deleted":
        file.unlink()
    else:
        shorter = b"" if damage == "emptied" else file.read_bytes()[:-1]
        file.write_bytes(bytes(content) if damage == "a flipped bit" else shorter)
    model, optimizer = trained_model(1)
    before = weights(model), moments(optimizer), torch.get_rng_state(), random.getstate()
    with pytest.raises(UserError, match=r"is damaged .*delete that folder") as caught:
        load_checkpoint(folder, model, optimizer)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert_same_weights(weights(model), before[0])
    torch.testing.assert_close(moments(optimizer), before[1], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before[2])
    assert random.getstate() == before[3]


def test_a_new_checkpoint_replaces_the_one_before_it(folder: Path) -> None:
    save_checkpoint(folder.parent, 4, *trained_model(0), STATE)
    assert [p.name for p in folder.parent.iterdir()] == ["step-00000004"]


def test_the_newest_checkpoint_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    for step in (9, 100, 20):
        (tmp_path / f"step-{step:08d}").mkdir()
    assert latest_checkpoint(tmp_path) == tmp_path / "step-00000100"


@pytest.mark.parametrize("written", ["torch.save", "eval.checkpoint.sha256_of", "json.dumps"])
def test_a_checkpoint_cut_off_while_it_is_written_leaves_the_one_before_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    def die(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    model, optimizer = trained_model(0)
    with monkeypatch.context() as patch:
        patch.setattr(written, die)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(folder.parent, 4, model, optimizer, STATE)
    assert list(folder.parent.iterdir()) == [folder]
    assert load_checkpoint(folder, *trained_model(1)) == STATE


def test_a_disk_that_fills_up_is_the_users_to_mend_and_the_last_checkpoint_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:  # what safetensors raises on a full disk
        raise SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        )

    monkeypatch.setattr("eval.checkpoint.save_model", full)
    with pytest.raises(UserError, match="no space left"):
        save_checkpoint(folder.parent, 4, *trained_model(0), STATE)
    assert list(folder.parent.iterdir()) == [folder]


def test_a_checkpoint_holds_no_number_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        save_checkpoint(tmp_path, 1, *trained_model(0), {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_tensors_are_read_without_unpickling_objects(folder: Path) -> None:
    for name in ("optimizer.pt", "generators.pt"):
        assert torch.load(folder / name, weights_only=True)
    torch.save({"state": Path("an object")}, folder / "optimizer.pt")
    hashes = json.loads((folder / "hashes.json").read_text())
    hashes["optimizer.pt"] = sha256_of(folder / "optimizer.pt")
    (folder / "hashes.json").write_text(json.dumps(hashes))
    with pytest.raises(Exception, match="Weights only load failed"):
        load_checkpoint(folder, *trained_model(1))
