"""random-LTD in Hugging Face's Trainer: a callback. The only module that imports transformers."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rltd_core.ltd import RandomLTD

__all__ = ["RandomLTDCallback"]

_ENTRY = "random_ltd"


class RandomLTDCallback(TrainerCallback):
    """Step a RandomLTD with the Trainer, log what it keeps, save and resume it.

    Attach `RandomLTD` to the model before the Trainer is made, then hand `RandomLTDCallback(ltd)`
    to it. Each entry of the log with a training loss gains `ltd_kept` (tokens, of the step to
    come) and `ltd_layer_tokens`; `trainer_state.json` carries the counters, so that a run resumed
    from a checkpoint counts and draws on exactly. For the LayerToken learning rate, hand the
    Trainer `optimizers=(optimizer, LayerTokenLR(optimizer, ltd, ...))`.

    The reporters of `report_to` run before any callback and miss the two; hand them over after it:
    `report_to="none", callbacks=[RandomLTDCallback(ltd), TensorBoardCallback()]`.

    A second `train()` counts on. One after a `train()` that broke off, as `auto_find_batch_size`
    makes them, begins with the counters that the first began with.

    Raises: ValueError when training begins, if the Trainer trains another model than the one
        `ltd` is attached to, or resumes from a checkpoint without its counters.
    """

    def __init__(self, ltd: RandomLTD) -> None:
        self.ltd = ltd
        self._begun_with: dict[str, int] | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the model, and continue where a checkpoint stopped."""
        model = kwargs.get("model")
        if model is not None and not self.ltd.is_attached_to(model):
            raise ValueError(
                "the Trainer trains another model than the one that RandomLTD is attached to, or "
                "RandomLTD was detached; pass the attached model itself, not model_init"
            )
        saved = _entries(state).get(_ENTRY) if state.global_step > 0 else self._begun_with
        if saved is not None:
            self.ltd.load_state_dict(saved)
        elif state.global_step > 0 and state.global_step != self.ltd.steps:
            raise ValueError(
                f"the checkpoint of step {state.global_step} holds no random-LTD counters; start "
                "anew from its weights, or call ltd.load_state_dict(...) before train()"
            )
        self._begun_with = self.ltd.state_dict()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note that training did not break off."""
        self._begun_with = None

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the step; the Trainer steps the learning rate after this."""
        self.ltd.step()
        _entries(state)[_ENTRY] = self.ltd.state_dict()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Add the kept length and the layer tokens to the entry of the log."""
        entry = {"ltd_kept": self.ltd.kept, "ltd_layer_tokens": self.ltd.layer_tokens}
        logs = kwargs.get("logs") or {}
        if "loss" in logs:
            logs.update(entry)
            state.log_history[-1].update(entry)


def _entries(state: TrainerState) -> dict[str, Any]:
    # A plain entry, not the Trainer's own mechanism, which would build the callback anew.
    entries: Any = state.stateful_callbacks
    return entries
