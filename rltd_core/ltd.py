"""RandomLTD: attach random layerwise token dropping to a model, count, resume, detach.

Letters: L layers, B batch, S sequence, K kept, D width.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rltd_core.checks import (
    check_arguments,
    real_tokens,
    refuse_other_layout,
    refuse_other_positions,
    refuse_other_shape,
    refuse_second_attachment,
    refuse_short_schedule,
    refuse_without_mask,
)
from rltd_core.compute import TransformerCost
from rltd_core.deepspeed import read_deepspeed
from rltd_core.forward import Forwards, TrainingForward, draw_generator
from rltd_core.policies import Policy, random_per_layer
from rltd_core.schedule import KeptLength
from rltd_core.stack import dropping_layers, find_stack, transformer_cost, whole
from rltd_core.surgery import DroppingLayer

__all__ = ["RandomLTD"]

_FORGOTTEN = 256
"""Training forwards without a step after which a user is told."""
_COUNTED = ("tokens", "layer_tokens", "effective_tokens")
_COUNTERS = ("steps", "forwards", *_COUNTED, *(f"pending_{name}" for name in _COUNTED))


class RandomLTD:
    """Make the middle layers of `model` compute a random subset of the tokens while training.

    Attaches on construction, to all layers but the first and the last unless `layers` names
    others. Drops only in training mode and while the kept length is below the sequence length;
    evaluation and every forward that is handed a cache, as in `generate`, run the plain model. What
    runs without a cache in training mode drops and counts, without gradients, too: call `eval()`
    before it. Call `step()` once after each optimizer step.

    The draw comes from a private generator keyed by (seed, data-parallel rank, forward), so it
    takes nothing from the global generators, differs between ranks and is repeated by a resumed
    run on the same kind of device.

    Options:
        layers: numbers of the dropping layers, from 0.
        policy: which tokens stay; see `rltd_core.policies`.
        protected: that many first positions are kept in every draw, such as class tokens.
        padding_aware: draw padding, as the model's 2-D attention_mask marks it, only where a
            sample has fewer real tokens than are kept.
        process_group: the data-parallel ranks, if they are not all ranks.

    Paper: sections 1 and 2.
    Warns after 256 training forwards without a step, and at a step without any.
    Raises: TypeError for an argument of another type; ValueError for a model of no known family,
        with fewer than 3 layers, with layer numbers out of range, or with random-LTD attached.
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: KeptLength,
        *,
        seed: int = 0,
        layers: Iterable[int] | None = None,
        policy: Policy = random_per_layer,
        protected: int = 0,
        padding_aware: bool = False,
        process_group: dist.ProcessGroup | None = None,
    ) -> None:
        check_arguments(model, schedule, policy, protected)
        self.schedule = schedule
        self.seed = whole(seed, "seed must be an integer")
        self.steps = self.tokens = self.layer_tokens = self.effective_tokens = 0
        self.pending_tokens = self.pending_layer_tokens = self.pending_effective_tokens = 0
        self._attached = True
        self._forwards_since_step = 0
        self._told_uncounted = self._looked_at_positions = False
        self._device: torch.device | None = None
        self._stack = find_stack(model)
        owner, all_layers = self._stack.owner, self._stack.layers
        refuse_second_attachment(owner)
        refuse_other_layout(self._stack)
        refuse_short_schedule(schedule, self._stack)
        if padding_aware:
            refuse_without_mask(self._stack)
        self.layers = dropping_layers(len(all_layers), layers)
        self.cost: TransformerCost = transformer_cost(model, self._stack, len(self.layers))
        self._policy = policy
        self._protected = operator.index(protected)
        self._padding_aware = padding_aware
        self._group = process_group
        self._forwards = Forwards(self._stack, begin=self._begin, end=self._end)
        self._dropping = [
            DroppingLayer(
                all_layers[index], self._stack.family, partial(self._forwards.kept_BK, ordinal)
            )
            for ordinal, index in enumerate(self.layers)
        ]

    @classmethod
    def from_deepspeed(
        cls,
        model: nn.Module,
        config: Mapping[str, Any] | str | Path,
        *,
        clamp: bool = False,
        **options: Any,
    ) -> Self:
        """Attach with the schedule and the layers of DeepSpeed's whole JSON.

        `clamp` is that of `KeptLength.from_deepspeed`, `options` are those of the constructor. Not
        taken over, because the model tells them: model_type, model_mask_name.

        Raises: ValueError for a malformed configuration, or one for another model.
        """
        read = read_deepspeed(config)
        schedule = KeptLength.from_deepspeed(read, clamp=clamp)
        if not read.batch_first:
            raise ValueError(
                "hidden_state_order is seq_batch_dim; the known families are batch-first"
            )
        found = len(find_stack(model).layers)
        if read.num_layers != found:
            raise ValueError(f"total_layer_num is {read.num_layers}, the model has {found} layers")
        return cls(model, schedule, layers=read.layers, **options)

    @property
    def kept(self) -> int:
        """The current kept length, in tokens."""
        return self.schedule(self.steps if self.schedule.unit == "steps" else self.tokens)

    @property
    def kept_LBK(self) -> Tensor | None:
        """The positions kept in the latest training forward, or None if it dropped nothing."""
        forward = self._forwards.current
        return forward.kept_LBK if forward else None

    @property
    def forwards(self) -> int:
        """Training forwards so far, accumulated ones and those of this rank alone."""
        return self._forwards.count

    def step(self) -> None:
        """Commit the forwards since the last step, over all ranks, and advance the schedule."""
        counts = [getattr(self, f"pending_{name}") for name in _COUNTED]
        if _distributed():
            # Where the hidden states are: FSDP may keep the parameters on the CPU.
            device = self._device or next(self._stack.owner.parameters()).device
            total = torch.tensor(counts, dtype=torch.int64, device=device)
            dist.all_reduce(total, group=self._group)
            counts = total.tolist()
        if not counts[0]:
            self._tell_uncounted()
        for name, count in zip(_COUNTED, counts):
            setattr(self, name, getattr(self, name) + count)
            setattr(self, f"pending_{name}", 0)
        self.steps += 1
        self._forwards_since_step = 0
        self._forwards.stepped()

    def state_dict(self) -> dict[str, int]:
        """Return all that a resumed run needs to count and draw on exactly."""
        return {"seed": self.seed, **{name: getattr(self, name) for name in _COUNTERS}}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where `state` was taken; schedule, layers and policy are this object's own.

        Raises: ValueError if entries are missing or unknown, or if it was made with another seed;
            nothing is changed then.
        """
        expected = {"seed", *_COUNTERS}
        if state.keys() != expected:
            raise ValueError(
                f"not a RandomLTD state: missing {sorted(expected - state.keys())}, "
                f"unknown {sorted(state.keys() - expected)}"
            )
        if state["seed"] != self.seed:
            raise ValueError(
                f"the state was made with seed {state['seed']}, this object has seed "
                f"{self.seed}; construct it with seed={state['seed']}"
            )
        counters = {name: operator.index(state[name]) for name in _COUNTERS}
        self._forwards.count = counters.pop("forwards")
        for name, value in counters.items():
            setattr(self, name, value)

    def is_attached_to(self, model: nn.Module) -> bool:
        """Whether `model` holds the layers that this object drops tokens in, until detached."""
        return self._attached and any(module is self._stack.owner for module in model.modules())

    def detach(self) -> None:
        """Give the model back as it was. Detaching twice does nothing."""
        self._attached = False
        self._forwards.detach()
        for layer in self._dropping:
            layer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        return (
            f"RandomLTD({self._stack.family.name}, {len(self.layers)} of "
            f"{self.cost.num_layers} layers, step {self.steps}: kept {self.kept} "
            f"of {self.schedule.full})"
        )

    def _begin(self, forward: TrainingForward, hidden_BSD: Tensor) -> None:
        batch, length = forward.shape
        self._device = hidden_BSD.device
        if length > self.schedule.full:
            raise ValueError(
                f"this batch is {length} tokens long, but the schedule is full at "
                f"{self.schedule.full}: it would never train at full length; raise `full`"
            )
        if self._padding_aware and forward.by_part:
            raise ValueError(
                "padding_aware reads the mask that the model is called with: call "
                f"{type(self._stack.owner).__name__} itself, not one of its methods"
            )
        kept = self.kept
        if kept < length:
            forward.kept_LBK = self._draw(forward, batch, length, kept, hidden_BSD.device)
        forward.tokens = batch * length
        forward.layer_tokens = batch * self.cost.layer_tokens(kept, length)
        forward.effective_tokens = batch * self.cost.effective_tokens(kept, length)

    def _end(self, forward: TrainingForward) -> None:
        self._forwards_since_step += 1
        if self._forwards_since_step == _FORGOTTEN:
            warnings.warn(
                f"{_FORGOTTEN} training forwards without ltd.step(): the schedule stands still; "
                "call it after every optimizer step",
                stacklevel=2,
            )
        self.pending_tokens += forward.tokens
        self.pending_layer_tokens += forward.layer_tokens
        self.pending_effective_tokens += forward.effective_tokens

    def _draw(
        self, forward: TrainingForward, batch: int, length: int, kept: int, device: torch.device
    ) -> Tensor:
        rank = dist.get_rank(self._group) if _distributed() else 0
        generator = draw_generator(device, seed=self.seed, rank=rank, forward=forward.number)
        kept_LBK = self._policy(
            len(self.layers),
            batch,
            length,
            kept,
            generator=generator,
            valid_BS=real_tokens(forward.attention_mask) if self._padding_aware else None,
            protected=self._protected,
        )
        refuse_other_shape(kept_LBK, (len(self.layers), batch, kept), self._policy)
        if not self._looked_at_positions and not torch.compiler.is_compiling():
            refuse_other_positions(kept_LBK, length, self._policy)  # once: a GPU waits for it
            self._looked_at_positions = True
        return kept_LBK

    def _tell_uncounted(self) -> None:
        if not self._told_uncounted:
            self._told_uncounted = True
            warnings.warn(
                "ltd.step() found no training forward since the last one, so nothing was counted "
                "and a LayerToken learning rate stands still. The model may be in eval(), be "
                "detached, be handed a cache (prefix tuning), or have been compiled before "
                "random-LTD was attached",
                stacklevel=3,
            )


def _distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
