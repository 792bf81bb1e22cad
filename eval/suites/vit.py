"""The suites of images, by name."""

from __future__ import annotations

from eval.suites.declared import Declared
from eval.suites.vit_finetune import (
    FINETUNE_QUESTION,
    PRETRAIN_QUESTION,
    vit_finetune_cpu,
    vit_finetune_pilot,
    vit_finetune_smoke,
    vit_pretrain_cpu,
    vit_pretrain_smoke,
)
from eval.suites.vit_large import (
    SCRATCH_QUESTION,
    VIT_PAPER,
    vit_finetune_gpu,
    vit_pretrain_gpu,
    vit_scratch,
)

__all__ = ["VIT_SUITES"]

VIT_SUITES: dict[str, Declared] = {
    "vit_pretrain": Declared(
        PRETRAIN_QUESTION,
        {"smoke": vit_pretrain_smoke, "cpu": vit_pretrain_cpu, "gpu": vit_pretrain_gpu},
    ),
    "vit_finetune": Declared(
        FINETUNE_QUESTION,
        {
            "smoke": vit_finetune_smoke,
            "cpu": vit_finetune_cpu,
            "gpu": vit_finetune_gpu,
            "paper": VIT_PAPER["vit_finetune"],
        },
    ),
    "vit_finetune_pilot": Declared(
        "Which learning rate serves the arms of vit_finetune?", {"cpu": vit_finetune_pilot}
    ),
    "vit_scratch": Declared(SCRATCH_QUESTION, {"gpu": vit_scratch}),
    **{
        name: Declared(FINETUNE_QUESTION, {"paper": declared})
        for name, declared in VIT_PAPER.items()
        if name != "vit_finetune"
    },
}
