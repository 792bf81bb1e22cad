"""What identifies a run: every field of its spec, its seed and its assets."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from typing import Any, get_args

import pytest

from eval.paths import RESULTS, ROOT
from eval.record import failed_path, load_record, record_path
from eval.spec import Experiment, content_key, from_source
from eval.suites import suite
from rltd_core import KeptLength
from rltd_core.schedule import Rounding
from tests.eval.experiments import arm, smoke_optimization

ASSETS = {"model": "package:" + "0" * 64, "data": "hub:a/b@c"}
PART_OF_ANOTHER = {"kept", "optimization"}
ADDED_LATER: dict[str, Any] = {
    "tasks": ("piqa", "boolq"),
    "task_rows": 7,
    "checkpointing": True,
    "objective": "masked",
    "protected": 1,
    "padding_aware": True,
    "dropout": 0.1,
    "model_source": "package",
    "pretrained": arm("baseline"),
    "pretrained_seed": 0,
    "keep": True,
    "augmentation": "crops",
    "patch_drop": 0.5,
}
"""Fields that the first records do not have, with another value than their default."""
ON_LAYER_TOKENS: dict[str, Any] = {
    "clock_kept": KeptLength(start=8, full=32, ramp_steps=6),
    "authors_form": True,
}
"""Fields that make sense only with the clock `layer_tokens`."""


def begins_with(other: Experiment, **changes: Any) -> Experiment:
    """Return an arm that begins with the trained weights of another run."""
    return arm(objective="labels", pretrained=other, **changes)


def changed_specs() -> Iterator[tuple[str, Experiment]]:
    """Yield the random-LTD arm with each of its fields changed, one at a time."""
    experiment = arm()
    for field in fields(Experiment):
        if field.name == "length":
            kept = replace(experiment.kept, full=64)
            yield field.name, replace(experiment, length=64, kept=kept)
        elif field.name == "pretrained":
            yield field.name, begins_with(arm("baseline"))
        elif field.name == "pretrained_seed":
            yield field.name, begins_with(arm("baseline"), pretrained_seed=0)
        elif field.name == "augmentation":
            for name in ("crops", "strong"):
                change = replace(experiment, objective="images", augmentation=name)
                yield f"{field.name}={name}", change
        elif field.name == "patch_drop":
            for rate in (0.5, 0.25):
                yield f"{field.name}={rate}", replace(arm("baseline"), patch_drop=rate)
        elif field.name in ADDED_LATER:
            yield field.name, replace(experiment, **{field.name: ADDED_LATER[field.name]})
        elif field.name not in PART_OF_ANOTHER:
            value = another(getattr(experiment, field.name))
            yield field.name, replace(experiment, **{field.name: value})
    for name in ("start", "ramp_steps", "quantum"):  # `full` is the length
        kept = replace(experiment.kept, **{name: getattr(experiment.kept, name) + 1})
        yield f"kept.{name}", replace(experiment, kept=kept)
    in_tokens = replace(experiment.kept, ramp_steps=None, ramp_tokens=experiment.kept.ramp_steps)
    yield "kept.ramp_tokens", replace(experiment, kept=in_tokens)
    for rounding in get_args(Rounding)[1:]:
        kept = replace(experiment.kept, rounding=rounding)
        yield f"kept.rounding={rounding}", replace(experiment, kept=kept)
    for field in fields(experiment.optimization):
        if field.name not in ON_LAYER_TOKENS:
            value = another(getattr(experiment.optimization, field.name))
            optimization = replace(experiment.optimization, **{field.name: value})
            yield f"optimization.{field.name}", replace(experiment, optimization=optimization)
    for name, value in ON_LAYER_TOKENS.items():
        optimization = replace(experiment.optimization, clock="layer_tokens", **{name: value})
        yield f"optimization.{name}", replace(experiment, optimization=optimization)


def another(value: Any) -> Any:
    """Return another value of the same type; a batch of 8 is a multiple of an accumulation of 2."""
    return value + "x" if isinstance(value, str) else value * 2 if value else 0.5


CHANGES = dict(changed_specs())


def test_the_changes_below_cover_every_field() -> None:
    optimization = {f"optimization.{f.name}" for f in fields(smoke_optimization())}
    kept = {f"kept.{f.name}" for f in fields(KeptLength)} - {"kept.full"}
    own = {f.name for f in fields(Experiment)} - PART_OF_ANOTHER
    assert {name.partition("=")[0] for name in CHANGES} == optimization | kept | own


def test_a_field_added_later_leaves_the_spec_of_older_records_as_it_was() -> None:
    assert arm().to_dict()["kept"].keys() == {"start", "full", "ramp_steps", "quantum"}
    first = {field.name for field in fields(Experiment)} - ADDED_LATER.keys()
    assert arm().to_dict().keys() == first
    records = [json.loads(path.read_text()) for path in (RESULTS / "runs").rglob("*.json")]
    assert min((r["experiment"].keys() for r in records), key=len) == first


def test_committed_records_keep_their_place_their_key_and_every_byte() -> None:
    paths = sorted((RESULTS / "runs").rglob("*.json"))
    assert len(paths) >= 25
    for path in paths:
        record = load_record(path)
        experiment, data = record.experiment, json.loads(path.read_text())
        assert record.to_json() == path.read_text(), path
        assert experiment.to_dict() == data["experiment"], path
        assert content_key(experiment, record.seed, record.provenance["assets"]) == record.key
        expected = record_path(RESULTS, experiment, record.seed, record.key)
        assert path in {expected, failed_path(expected)}


@pytest.mark.parametrize("name", ADDED_LATER)
def test_a_field_added_later_is_in_the_spec_where_it_is_not_at_its_default(name: str) -> None:
    assert name not in arm().to_dict()
    value = ADDED_LATER[name]
    plain = list(value) if isinstance(value, tuple) else value  # as JSON has it
    if isinstance(value, Experiment):
        plain = value.to_dict()  # which leaves out its own defaults, too
    (change,) = [e for key, e in CHANGES.items() if key in (name, f"{name}={value}")]
    assert change.to_dict()[name] == plain


def test_every_field_of_the_run_it_begins_with_changes_the_key() -> None:
    keys = {content_key(begins_with(e), 0, ASSETS) for e in (arm(), *CHANGES.values())}
    assert len(keys) == 1 + len(CHANGES)
    assert content_key(arm(), 0, ASSETS) not in keys


@pytest.mark.parametrize("name", CHANGES)
def test_a_run_within_a_run_within_a_run_survives_json(name: str) -> None:
    nested = begins_with(begins_with(CHANGES[name], keep=True))
    again = Experiment.from_dict(json.loads(json.dumps(nested.to_dict(), allow_nan=False)))
    assert again == nested
    assert hash(again) == hash(nested)
    assert isinstance(again.pretrained, Experiment)
    assert again.pretrained.pretrained == CHANGES[name]


def test_another_source_is_that_of_what_a_run_begins_with_too() -> None:
    begun = suite("bert_pretrain_mnli", "paper").arm("random_ltd")
    moved = from_source(begun, "local")
    assert begun.pretrained
    assert moved == replace(
        begun, source="local", pretrained=replace(begun.pretrained, source="local")
    )
    own = replace(begun, pretrained=replace(begun.pretrained, source="package"))
    kept = from_source(own, "local").pretrained
    assert kept == own.pretrained
    alone = suite("bert_glue_mnli", "paper").arms[0]
    assert from_source(alone, "local") == replace(alone, source="local")


def test_the_model_comes_from_where_the_data_does_unless_said_otherwise() -> None:
    assert arm(source="local").weights_source == "local"
    assert arm(source="local", model_source="package").weights_source == "package"


@pytest.mark.parametrize("name", ON_LAYER_TOKENS)
def test_a_later_field_of_the_optimization_is_there_where_it_changes_something(name: str) -> None:
    assert name not in arm().to_dict()["optimization"]
    value = CHANGES[f"optimization.{name}"].to_dict()["optimization"][name]
    assert value == (asdict(ON_LAYER_TOKENS[name]) if name == "clock_kept" else True)


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_of_the_spec_changes_the_key(name: str) -> None:
    assert CHANGES[name] != arm()
    assert content_key(CHANGES[name], 0, ASSETS) != content_key(arm(), 0, ASSETS)


def test_no_two_changes_give_the_same_key() -> None:
    keys = {content_key(e, 0, ASSETS) for e in CHANGES.values()}
    assert len(keys) == len(CHANGES)


def test_seed_and_assets_change_the_key() -> None:
    keys = [
        content_key(arm(), 0, ASSETS),
        content_key(arm(), 1, ASSETS),
        content_key(arm(), 0, {**ASSETS, "model": "package:" + "1" * 64}),
        content_key(arm(), 0, {**ASSETS, "data": "hub:a/b@d"}),
        content_key(arm(), 0, {}),
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_is_the_hash_of_the_sorted_content() -> None:
    content = {"experiment": arm().to_dict(), "seed": 5, "assets": ASSETS}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert content_key(arm(), 5, ASSETS) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_key_does_not_depend_on_the_process() -> None:
    code = (
        "from eval.suites import suite; from eval.spec import content_key; "
        f"print(content_key(suite('gpt_finetune', 'smoke').arm('random_ltd'), 0, {ASSETS!r}))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == content_key(arm(), 0, ASSETS)


@pytest.mark.parametrize("name", CHANGES)
def test_a_spec_survives_json(name: str) -> None:
    text = json.dumps(CHANGES[name].to_dict(), allow_nan=False)
    assert Experiment.from_dict(json.loads(text)) == CHANGES[name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 16}, "kept.full is 32, the length 16"),
        ({"accumulation": 3}, "batch 4 is no multiple of 3"),
        ({"steps": 0}, "must be at least 1"),
        ({"curve_every": 0}, "must be at least 1"),
        ({"pretrained": arm("baseline")}, "the objective language begins with no other run"),
        ({"pretrained_seed": 0}, "for a run that begins with another one"),
        ({"objective": "images"}, "the objective images, which needs one"),
        ({"augmentation": "crops"}, "augmentation is for the objective images"),
        ({"patch_drop": 0.5}, "patch_drop is for a run without random-LTD"),
        ({"patch_drop": 1.0}, "a fraction below 1"),
    ],
)
def test_a_spec_that_cannot_be_run_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arm(**changes)
