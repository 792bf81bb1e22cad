"""DeepSpeed's own random-LTD on a small model, as its engine sets it up, and the same model bare.

Letters: B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from deepspeed.runtime.data_pipeline.config import get_data_efficiency_config
from deepspeed.runtime.data_pipeline.data_routing.helper import convert_to_random_ltd
from deepspeed.runtime.data_pipeline.data_routing.scheduler import RandomLTDScheduler
from deepspeed.runtime.engine import DeepSpeedEngine
from torch import Tensor, nn

from rltd_core import Family

MODEL = Family(
    name="small",
    owner="SmallModel",
    layers="layers",
    token_axes={"attention_mask": (-2, -1)},
    attention_output="out",
)


class PlainOperators:
    """The three operators of DeepSpeed's extension that its wrapper calls."""

    @staticmethod
    def token_sort_(kept_LBK: Tensor, length: int) -> Tensor:
        assert int(kept_LBK.max()) < length
        return kept_LBK.copy_(kept_LBK.sort(dim=-1).values)

    @staticmethod
    def token_gather(x_BSD: Tensor, kept_BK: Tensor, batch_first: bool) -> Tensor:
        assert batch_first
        return torch.stack([x_BSD[b, kept_BK[b].long()] for b in range(len(x_BSD))])

    @staticmethod
    def token_scatter_(
        x_BSD: Tensor, new_BKD: Tensor, kept_BK: Tensor, batch_first: bool
    ) -> Tensor:
        assert batch_first
        for b in range(len(x_BSD)):
            x_BSD[b, kept_BK[b].long()] = new_BKD[b]
        return x_BSD


class SmallLayer(nn.Module):
    """Attention with a mask, and one nonlinearity: every kept token matters to every other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        query, key, value = self.qkv(hidden_states)[:, None].chunk(3, dim=-1)
        weights = (query @ key.transpose(-1, -2) + attention_mask).softmax(dim=-1)
        return hidden_states + self.out(torch.tanh((weights @ value)[:, 0]))


class SmallModel(nn.Module):
    """A stack of layers that are called as DeepSpeed's wrapper wants it, by keyword."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(SmallLayer(width) for _ in range(layers))

    def forward(self, hidden_BSD: Tensor, attention_mask: Tensor) -> Tensor:
        for layer in self.layers:
            hidden_BSD = layer(hidden_BSD, attention_mask=attention_mask)
        return hidden_BSD


class Engine:
    """The part of DeepSpeed's engine that concerns random-LTD: the methods are its own."""

    random_ltd_enabled = DeepSpeedEngine.random_ltd_enabled
    random_ltd_config = DeepSpeedEngine.random_ltd_config
    random_ltd_initialize = DeepSpeedEngine.random_ltd_initialize

    def __init__(self, model: nn.Module, config: dict[str, Any], *, batch: int) -> None:
        self.module, self.client_lr_scheduler = model, None
        efficiency = get_data_efficiency_config(config)
        self._config = SimpleNamespace(data_efficiency_config=efficiency)
        self.random_ltd_config()["global_batch_size"] = batch
        self.random_ltd_config()["micro_batch_size"] = batch
        self.random_ltd_scheduler = RandomLTDScheduler(self.random_ltd_config())
        convert_to_random_ltd(self, SmallLayer)

    @property
    def state(self) -> dict[str, Any]:
        """What DeepSpeed's scheduler knows, the latest draw too."""
        return self.random_ltd_scheduler.get_state()


def small_model(layers: int, *, seed: int = 0) -> SmallModel:
    """Return a small model in double precision; equal seeds, equal weights."""
    torch.manual_seed(seed)
    return SmallModel(layers, 8).double()


def config(
    minimum: int,
    maximum: int,
    steps: int,
    quantum: int,
    *,
    layers: int = 5,
    ids: tuple[int, ...] = (1, 2, 3),
    model_type: str = "decoder",
) -> dict[str, Any]:
    """Return the whole configuration, in the vocabulary of peers.md (d)."""
    random_ltd = {
        "enabled": True,
        "total_layer_num": layers,
        "random_ltd_layer_num": len(ids),
        "random_ltd_layer_id": list(ids),
        "model_mask_name": "attention_mask",
        "model_type": model_type,
        "hidden_state_order": "batch_seq_dim",
        "random_ltd_schedule": {
            "min_value": minimum,
            "max_value": maximum,
            "schedule_type": "fixed_linear",
            "schedule_config": {"require_steps": steps, "seq_per_step": quantum},
        },
    }
    routing = {"enabled": True, "random_ltd": random_ltd}
    return {"data_efficiency": {"enabled": True, "data_routing": routing}}
