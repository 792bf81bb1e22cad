"""Read DeepSpeed's JSON: `data_efficiency.data_routing.random_ltd`, as it is.

Source: the configuration that DeepSpeed's Data Efficiency library documents.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["DeepSpeedConfig", "read_deepspeed"]

_SWITCHES = ("data_efficiency", "data_efficiency.data_routing")
_SECTION = "data_efficiency.data_routing.random_ltd"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeepSpeedConfig:
    """What DeepSpeed's random-LTD section says, under our words."""

    enabled: bool
    """The innermost switch, the only one that DeepSpeed obeys."""
    start: int
    full: int
    ramp_steps: int
    quantum: int
    num_layers: int
    """All layers of the model."""
    layers: tuple[int, ...]
    """Numbers of the dropping layers, from 0."""
    batch_first: bool
    """Whether hidden states are (batch, sequence, width)."""


def read_deepspeed(config: DeepSpeedConfig | Mapping[str, Any] | str | Path) -> DeepSpeedConfig:
    """Read DeepSpeed's whole configuration, given as a mapping or as the path of its JSON file.

    What has been read already is returned as it is.

    Warns where an outer `enabled` is off while the inner one is on: DeepSpeed drops all the same.
    Raises: ValueError that names the entry that is missing or malformed.
    """
    if isinstance(config, DeepSpeedConfig):
        return config
    if not isinstance(config, Mapping):
        config = _load(Path(config))
    section = _Entries(config, _SECTION)
    enabled = section.flag("enabled")
    for outer in _SWITCHES:
        if enabled and not _Entries(config, outer).flag("enabled"):
            warnings.warn(
                f"{outer}.enabled is not true, but {_SECTION}.enabled is: DeepSpeed ignores the "
                "outer switch and drops tokens, and so does this schedule",
                stacklevel=3,
            )
    if _Entries(config, _SECTION + ".layer_token_lr_schedule", optional=True).flag("enabled"):
        raise ValueError(
            f"{_SECTION}.layer_token_lr_schedule.enabled is true, which DeepSpeed never "
            "implemented; switch it off and use rltd_core.LayerTokenLR"
        )
    return _schedule(config, section, enabled=enabled)


def _schedule(config: Mapping[str, Any], section: _Entries, *, enabled: bool) -> DeepSpeedConfig:
    schedule = _Entries(config, _SECTION + ".random_ltd_schedule")
    ramp = _Entries(config, _SECTION + ".random_ltd_schedule.schedule_config")
    schedule.one_of("schedule_type", ("fixed_linear",))
    read = DeepSpeedConfig(
        enabled=enabled,
        start=schedule.count("min_value"),
        full=schedule.count("max_value"),
        ramp_steps=ramp.count("require_steps"),
        quantum=ramp.count("seq_per_step"),
        num_layers=section.count("total_layer_num"),
        layers=section.layers("random_ltd_layer_id"),
        batch_first=section.one_of("hidden_state_order", ("batch_seq_dim", "seq_batch_dim"))
        == "batch_seq_dim",
    )
    if read.start > read.full:
        raise ValueError(
            f"{_SECTION}.random_ltd_schedule.min_value is {read.start}, above max_value {read.full}"
        )
    if read.layers[-1] >= read.num_layers:
        raise ValueError(
            f"{_SECTION}.random_ltd_layer_id names layer {read.layers[-1]}, but total_layer_num is "
            f"{read.num_layers}; layers count from 0"
        )
    number = section.count("random_ltd_layer_num")
    if number != len(read.layers):
        raise ValueError(
            f"{_SECTION}.random_ltd_layer_num is {number}, but random_ltd_layer_id names "
            f"{len(read.layers)} layers"
        )
    return read


def _load(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read the DeepSpeed configuration {path}: {error}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(config, Mapping):
        raise ValueError(f"{path} must hold a JSON object, got {type(config).__name__}")
    return config


class _Entries:
    """One section of the configuration, by its dotted path, with every entry checked."""

    def __init__(self, config: Mapping[str, Any], path: str, *, optional: bool = False) -> None:
        self._path = path
        found: Any = config
        for name in path.split("."):
            if isinstance(found, Mapping) and (name in found or optional):
                found = found.get(name, {})
            else:
                raise ValueError(f"the DeepSpeed configuration has no section {path}")
        if not isinstance(found, Mapping):
            raise ValueError(f"{path} must be a JSON object, got {found!r}")
        self._entries: Mapping[str, Any] = found

    def flag(self, name: str) -> bool:
        value = self._entries.get(name, False)
        if not isinstance(value, bool):
            raise ValueError(f"{self._path}.{name} must be true or false, got {value!r}")
        return value

    def count(self, name: str) -> int:
        value = self._get(name)
        if not _is_int(value) or value < 1:
            raise ValueError(f"{self._path}.{name} must be a whole number from 1, got {value!r}")
        return value

    def one_of(self, name: str, known: tuple[str, ...]) -> str:
        value = self._get(name)
        if value not in known:
            raise ValueError(f"{self._path}.{name} must be {' or '.join(known)}, got {value!r}")
        return value

    def layers(self, name: str) -> tuple[int, ...]:
        value = self._get(name)
        if not isinstance(value, list | tuple) or not value or not all(map(_is_int, value)):
            raise ValueError(f"{self._path}.{name} must be a list of layer numbers, got {value!r}")
        if list(value) != sorted(set(value)) or value[0] < 0:
            raise ValueError(
                f"{self._path}.{name} must name layers once each, ascending from 0, got {value!r}"
            )
        return tuple(value)

    def _get(self, name: str) -> Any:
        if name not in self._entries:
            raise ValueError(f"{self._path}.{name} is missing")
        return self._entries[name]


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
