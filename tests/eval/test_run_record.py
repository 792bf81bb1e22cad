"""The record of a run: written once, read strictly, never with a number missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from eval.errors import UserError
from eval.record import (
    Cost,
    Measurement,
    Record,
    failed_path,
    load_record,
    load_records,
    record_path,
    write_record,
)
from tests.eval.experiments import ARMS, arm

OPTIONAL = {"error", "examples"}
NOT_FINITE = [float("nan"), float("inf"), -float("inf")]
BITS = Measurement(value=4.25, unit="bits/byte", split="test", n=8, standard_error=0.125)


def a_record(**changes: Any) -> Record:
    """Return the record of a finished run with some fields changed."""
    cost = Cost(
        steps=12,
        tokens=1536,
        layer_tokens=6048,
        flops=10**9,
        train_wall_s=0.25,
        train_cpu_s=0.2,
        eval_wall_s=0.1,
        peak_memory_bytes=10**8,
    )
    record = Record(
        key="0123456789abcdef",
        experiment=arm(),
        seed=0,
        status="ok",
        provenance={"commit": None, "dirty": None, "packages": {"torch": "2.13.0"}},
        cost=cost,
        measurements={"bits_per_byte": BITS},
        hashes={"initial_weights": "ab"},
        curve="curves/gpt_finetune/x.csv",
    )
    return replace(record, **changes)


def failed_record(**changes: Any) -> Record:
    """Return the record of a failed run with some fields changed."""
    nothing = {"cost": None, "measurements": {}, "hashes": {}, "curve": None}
    return a_record(status="failed", error="Traceback\nRunFailed: why", **nothing, **changes)


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("record", [a_record(), failed_record()], ids=["ok", "failed"])
def test_a_record_survives_its_file(tmp_path: Path, record: Record) -> None:
    path = write_record(tmp_path, record)
    assert load_record(path) == record
    assert load_record(path).to_json() == path.read_text()


def test_a_record_without_zero_shot_examples_does_not_name_their_file(tmp_path: Path) -> None:
    # So that records from before there were any stay as they are.
    assert "examples" not in json.loads(write_record(tmp_path / "a", a_record()).read_text())
    named = a_record(examples="examples/gpt_finetune/x.csv.gz")
    path = write_record(tmp_path / "b", named)
    assert json.loads(path.read_text())["examples"] == named.examples
    assert load_record(path) == named


def test_a_record_lies_at_suite_arm_seed_and_key(tmp_path: Path) -> None:
    expected = tmp_path / "runs/gpt_finetune/random_ltd-seed0-0123456789abcdef.json"
    record = a_record()
    assert record_path(tmp_path, record.experiment, record.seed, record.key) == expected
    assert write_record(tmp_path, record) == expected
    assert write_record(tmp_path, failed_record()) == failed_path(expected)
    assert files(tmp_path) == sorted([expected.name, failed_path(expected).name])


def test_the_file_is_sorted_and_readable_by_everyone(tmp_path: Path) -> None:
    path = write_record(tmp_path, a_record())
    data = json.loads(path.read_text())
    assert path.read_text() == json.dumps(data, indent=1, sort_keys=True) + "\n"
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("record", [a_record(), failed_record()], ids=["ok", "failed"])
def test_a_second_write_is_refused_and_the_first_stays(tmp_path: Path, record: Record) -> None:
    path = write_record(tmp_path, record)
    before = path.read_bytes()
    with pytest.raises(UserError, match="written once; delete it") as caught:
        write_record(tmp_path, replace(record, provenance={"commit": "another"}))
    assert str(path) in str(caught.value)
    assert path.read_bytes() == before
    assert files(tmp_path) == [path.name]


@pytest.mark.parametrize("value", NOT_FINITE)
@pytest.mark.parametrize("field", ["value", "standard_error"])
def test_a_measurement_that_is_no_number_is_refused(
    tmp_path: Path, field: str, value: float
) -> None:
    measurements = {"bits_per_byte": replace(BITS, **{field: value})}
    with pytest.raises(UserError, match=r"bits_per_byte.* is not a finite number"):
        write_record(tmp_path, a_record(measurements=measurements))
    assert files(tmp_path) == []


@pytest.mark.parametrize("value", NOT_FINITE)
def test_a_cost_that_is_no_number_is_refused_and_leaves_no_file(
    tmp_path: Path, value: float
) -> None:
    cost = a_record().cost
    assert cost is not None
    with pytest.raises((UserError, ValueError)):
        write_record(tmp_path, a_record(cost=replace(cost, train_wall_s=value)))
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "record",
    [a_record(cost=None), a_record(measurements={}), replace(failed_record(), error=None)],
    ids=["no cost", "no measurement", "no error"],
)
def test_a_record_that_does_not_say_what_it_must_is_refused(tmp_path: Path, record: Record) -> None:
    with pytest.raises(ValueError, match=r"has a cost|says why"):
        write_record(tmp_path, record)
    assert files(tmp_path) == []


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[str], str]:
    """Return an edit of a file's text that changes its data."""

    def edit(text: str) -> str:
        data = json.loads(text)
        change(data)
        return json.dumps(data)

    return edit


def without(*path: str) -> Callable[[str], str]:
    def change(data: dict[str, Any]) -> None:
        for name in path[:-1]:
            data = data[name]
        del data[path[-1]]

    return edited(change)


def with_value(value: Any, *path: str) -> Callable[[str], str]:
    def change(data: dict[str, Any]) -> None:
        for name in path[:-1]:
            data = data[name]
        data[path[-1]] = value

    return edited(change)


BITS_PATH = ("measurements", "bits_per_byte")
DAMAGE: dict[str, Callable[[str], str]] = {
    "empty": lambda text: "",
    "cut short": lambda text: text[: len(text) // 2],
    "no JSON": lambda text: "{" + text,
    "a list": lambda text: "[]",
    "null": lambda text: "null",
    "another schema": with_value(2, "schema"),
    "an extra field": with_value(1, "extra"),
    "an extra field of the experiment": with_value(1, "experiment", "extra"),
    "an extra field of the schedule": with_value(1, "experiment", "kept", "extra"),
    "an extra field of the cost": with_value(1, "cost", "extra"),
    "an extra field of a measurement": with_value(1, *BITS_PATH, "extra"),
    "a measurement short of a field": without(*BITS_PATH, "n"),
    "an impossible schedule": with_value(99, "experiment", "kept", "start"),
    "an unknown status": with_value("fine", "status"),
    "no measurement": with_value({}, "measurements"),
    "NaN measured": with_value(float("nan"), *BITS_PATH, "value"),
    "an infinite error": with_value(float("inf"), *BITS_PATH, "standard_error"),
    "NaN seconds": with_value(float("nan"), "cost", "train_wall_s"),
    "text measured": with_value("4.25", *BITS_PATH, "value"),
    "no schema": without("schema"),
    **{f"no {f.name}": without(f.name) for f in fields(Record) if f.name not in OPTIONAL},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    path = write_record(tmp_path, a_record())
    path.write_text(DAMAGE[damage](path.read_text()))
    with pytest.raises(UserError, match="restore it from git, or delete it") as caught:
        load_record(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_records_come_sorted_by_arm_and_seed(tmp_path: Path) -> None:
    wanted = [(name, seed) for name in sorted(ARMS) for seed in (0, 2, 10)]
    for name, seed in reversed(wanted):
        write_record(tmp_path, a_record(experiment=arm(name), seed=seed))
    loaded = load_records(tmp_path, "gpt_finetune")
    assert [(r.experiment.arm, r.seed) for r in loaded] == wanted


def test_a_store_without_records_has_none(tmp_path: Path) -> None:
    assert load_records(tmp_path, "gpt_finetune") == []
