"""DeepSpeed's JSON is read whole: its schedule, its layers, its switches, and its mistakes."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rltd_core import KeptLength, RandomLTD
from tests.core.reference import layer_list
from tests.core.tiny import LAYERS, LENGTH, tiny_model, token_ids

LTD = "data_efficiency.data_routing.random_ltd"
SCHEDULE = LTD + ".random_ltd_schedule"
OUTER = ("data_efficiency", "data_efficiency.data_routing")


def shipped(
    layers: int = LAYERS,
    minimum: int = 8,
    maximum: int = LENGTH,
    steps: int = 10,
    quantum: int = 4,
    ids: list[int] | None = None,
) -> dict[str, Any]:
    """Return a whole configuration with the vocabulary of peers.md (d)."""
    ids = list(range(1, layers - 1)) if ids is None else ids
    random_ltd = {
        "enabled": True,
        "total_layer_num": layers,
        "random_ltd_layer_num": len(ids),
        "random_ltd_layer_id": ids,
        "model_mask_name": "attention_mask",
        "model_type": "decoder",
        "hidden_state_order": "batch_seq_dim",
        "random_ltd_schedule": {
            "min_value": minimum,
            "max_value": maximum,
            "schedule_type": "fixed_linear",
            "schedule_config": {"require_steps": steps, "seq_per_step": quantum},
        },
    }
    return {
        "train_batch_size": 4,
        "optimizer": {"type": "Adam", "params": {"lr": 1e-4}},
        "data_efficiency": {
            "enabled": True,
            "seed": 1234,
            "data_routing": {"enabled": True, "random_ltd": random_ltd},
        },
    }


def changed(
    path: str, value: Any = None, *, config: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return a configuration with one entry set, or without it where the value is None."""
    config = copy.deepcopy(config or shipped())
    *sections, name = path.split(".")
    found = config
    for section in sections:
        found = found.setdefault(section, {})
    if value is None:
        del found[name]
    else:
        found[name] = value
    return config


def schedule_of(minimum: int, maximum: int, steps: int, quantum: int) -> KeptLength:
    return KeptLength(
        start=minimum, full=maximum, ramp_steps=steps, quantum=quantum, rounding="deepspeed"
    )


@pytest.mark.parametrize(
    ("layers", "values"),
    [
        (12, (128, 1024, 400, 8)),
        (24, (128, 1024, 393, 8)),
        (12, (32, 197, 3910, 8)),
        (24, (128, 2048, 133_333, 16)),
        (24, (128, 512, 2_000_000, 16)),
    ],
    ids=["gpt2", "gpt2-medium", "cifar", "gpt3", "bert"],
)
def test_a_shipped_recipe_is_read_from_a_mapping_and_from_its_file(
    layers: int, values: tuple[int, int, int, int], tmp_path: Path
) -> None:
    # peers.md (c).
    config = shipped(layers, *values)
    file = tmp_path / "ds_config.json"
    file.write_text(json.dumps(config))
    for given in (config, file, str(file)):
        assert KeptLength.from_deepspeed(given) == schedule_of(*values)
    assert config == shipped(layers, *values)


def test_the_clamp_is_an_option() -> None:
    config = shipped(minimum=10, quantum=8)
    plain, clamped = (KeptLength.from_deepspeed(config, clamp=c) for c in (False, True))
    assert (plain.rounding, clamped.rounding) == ("deepspeed", "deepspeed-clamped")
    assert (plain(0), clamped(0)) == (8, 16)
    low = shipped(minimum=8, quantum=16)
    assert KeptLength.from_deepspeed(low, clamp=True)(0) == 16


def test_entries_of_others_are_not_needed() -> None:
    config = changed(LTD + ".model_type")
    config = changed(LTD + ".model_mask_name", config=config)
    assert KeptLength.from_deepspeed(config) == schedule_of(8, LENGTH, 10, 4)
    off = changed(LTD + ".layer_token_lr_schedule", {"enabled": False, "warmup_type": "linear"})
    assert KeptLength.from_deepspeed(off) == schedule_of(8, LENGTH, 10, 4)


def attached(config: dict[str, Any]) -> RandomLTD:
    return RandomLTD.from_deepspeed(tiny_model(), config)


READERS = pytest.mark.parametrize("read", [KeptLength.from_deepspeed, attached])


@READERS
@pytest.mark.parametrize("value", [False, None], ids=["false", "missing"])
@pytest.mark.parametrize("outer", OUTER)
def test_an_outer_switch_that_is_off_is_warned_about_once_and_ignored(
    outer: str, value: bool | None, read: Callable[[Any], KeptLength | RandomLTD]
) -> None:
    config = changed(f"{outer}.enabled", value)
    with pytest.warns(UserWarning, match=f"{outer}.enabled is not true, but {LTD}.enabled") as seen:
        made = read(config)
    assert len(seen) == 1
    assert (made(0) if isinstance(made, KeptLength) else made.kept) == 8


def test_a_warning_points_at_the_line_that_reads() -> None:
    config, model = changed("data_efficiency.enabled", False), tiny_model()
    for read in (KeptLength.from_deepspeed, lambda c: RandomLTD.from_deepspeed(model, c)):
        with pytest.warns(UserWarning, match="DeepSpeed ignores the outer switch") as seen:
            read(config)
        assert {w.filename for w in seen} == {__file__}


@READERS
@pytest.mark.parametrize("value", [False, None], ids=["false", "missing"])
def test_the_inner_switch_alone_turns_dropping_off_without_a_word(
    value: bool | None, read: Callable[[Any], KeptLength | RandomLTD]
) -> None:
    config = changed(LTD + ".enabled", value)
    for outer in OUTER:
        config = changed(f"{outer}.enabled", False, config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = read(config)
    assert (made(0) if isinstance(made, KeptLength) else made.kept) == LENGTH


@READERS
def test_nothing_is_said_where_every_switch_is_on(
    read: Callable[[Any], KeptLength | RandomLTD],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read(shipped())


COUNTS = (
    SCHEDULE + ".min_value",
    SCHEDULE + ".max_value",
    SCHEDULE + ".schedule_config.require_steps",
    SCHEDULE + ".schedule_config.seq_per_step",
    LTD + ".total_layer_num",
    LTD + ".random_ltd_layer_num",
)
SECTIONS = ("data_efficiency", *OUTER[1:], LTD, SCHEDULE, SCHEDULE + ".schedule_config")
MALFORMED = [
    *((path, value) for path in COUNTS for value in (None, "LTD_MIN", "8", 0, -8, True, 8.0, [8])),
    *((path, value) for path in SECTIONS for value in (None, [], "on", 3)),
    *((f"{LTD}.random_ltd_layer_id", v) for v in (None, 1, "1,2,3", [], {}, [1, "2"], [1, True])),
    *((f"{LTD}.random_ltd_layer_id", v) for v in ([2, 1, 3], [1, 2, 2], [-1, 1, 2], [1, 2.0, 3])),
    *((f"{LTD}.enabled", v) for v in ("LTD_ENABLED", "true", 1, {})),
    *((f"{outer}.enabled", v) for outer in OUTER for v in ("true", 1, 0)),
    *((f"{SCHEDULE}.schedule_type", v) for v in (None, "fixed_root", "", 1, ["fixed_linear"])),
    *((f"{LTD}.hidden_state_order", v) for v in (None, "bsh", 1)),
    *((f"{LTD}.layer_token_lr_schedule.enabled", v) for v in (True, "false", 0)),
    *((f"{LTD}.layer_token_lr_schedule", v) for v in ([], "off", True)),
    (f"{LTD}.random_ltd_layer_num", 4),
    (f"{LTD}.random_ltd_layer_num", 2),
]


@READERS
@pytest.mark.parametrize(("path", "value"), MALFORMED, ids=str)
def test_a_malformed_entry_is_one_error_that_names_it(
    path: str, value: Any, read: Callable[[Any], object]
) -> None:
    with pytest.raises(ValueError, match=re.escape(path)):
        read(changed(path, value))


@READERS
@pytest.mark.parametrize(("minimum", "quantum"), [(LENGTH + 1, 4), (3, 4)], ids=["above", "below"])
def test_a_minimum_that_cannot_be_is_named(
    minimum: int, quantum: int, read: Callable[[Any], object]
) -> None:
    with pytest.raises(ValueError, match=f"min_value.*{minimum}"):
        read(shipped(minimum=minimum, quantum=quantum))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{'single': 'quotes'}", "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[1, 2]", "must hold a JSON object, got list"),
        (b"null", "must hold a JSON object, got NoneType"),
    ],
)
def test_a_file_that_holds_no_configuration_is_named(
    content: bytes, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "ds_config.json"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"ds_config.json.*{message}"):
        KeptLength.from_deepspeed(file)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ValueError, match=f"cannot read .* {re.escape(str(path))}"):
            KeptLength.from_deepspeed(path)


def lengths_seen(model: nn.Module) -> list[int]:
    """Return the number of tokens that every layer of a gpt2 computes in one forward."""
    seen: list[int] = []
    handles = [
        layer.ln_1.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[1]))
        for layer in layer_list(model)
    ]
    model(token_ids())
    for handle in handles:
        handle.remove()
    return seen


def test_the_named_layers_drop_on_the_schedule_and_the_others_do_not() -> None:
    model = tiny_model()
    ltd = RandomLTD.from_deepspeed(model, shipped(ids=[0, 3]), seed=7)
    assert (ltd.layers, ltd.seed, ltd.schedule) == ((0, 3), 7, schedule_of(8, LENGTH, 10, 4))
    for kept in (8, 8, 8, 12, 12):  # 8 + 1.6 a step, down to a multiple of 4
        assert lengths_seen(model) == [kept, LENGTH, LENGTH, kept, LENGTH]
        ltd.step()


def test_a_configuration_that_is_off_attaches_and_drops_nothing() -> None:
    model = tiny_model()
    ltd = RandomLTD.from_deepspeed(model, changed(LTD + ".enabled", False))
    assert lengths_seen(model) == LAYERS * [LENGTH]
    assert ltd.kept_LBK is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (shipped(layers=6), "total_layer_num is 6, the model has 5 layers"),
        (changed(LTD + ".hidden_state_order", "seq_batch_dim"), "hidden_state_order is seq_batch"),
        (shipped(ids=[1, 5]), "random_ltd_layer_id names layer 5, but total_layer_num is 5"),
    ],
    ids=["layers", "order", "ids"],
)
def test_a_configuration_for_another_model_is_refused(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model = tiny_model()
    with pytest.raises(ValueError, match=message):
        RandomLTD.from_deepspeed(model, config)
    with torch.no_grad():
        assert lengths_seen(model) == LAYERS * [LENGTH]
    RandomLTD.from_deepspeed(model, shipped())
