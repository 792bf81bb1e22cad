"""Experiments by name. A suite is a function from a tier to its arms; see the modules here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from eval.errors import UserError
from eval.spec import Suite, Tier
from eval.suites.bert_glue import GLUE_SUITES
from eval.suites.bert_pretrain import QUESTION as BERT_QUESTION
from eval.suites.bert_pretrain import bert_pretrain_cpu, bert_pretrain_smoke
from eval.suites.bert_pretrain_large import bert_pretrain_gpu, bert_pretrain_paper
from eval.suites.bert_pretrain_pilots import PILOT_SUITES
from eval.suites.bert_transfer import TRANSFER_SUITES
from eval.suites.declared import Declared
from eval.suites.gpt import (
    gpt_finetune_cpu,
    gpt_finetune_pilot,
    gpt_finetune_smoke,
    gpt_finetune_spread,
)
from eval.suites.gpt_finetune_paper import FINETUNE_PAPER, QUESTION
from eval.suites.gpt_paper import gpt_pretrain_paper_1_3b, gpt_pretrain_paper_350m
from eval.suites.gpt_pretrain import gpt_pretrain_cpu, gpt_pretrain_gpu, gpt_pretrain_smoke
from eval.suites.gpt_pretrain_pilots import (
    gpt_pretrain_pilot,
    gpt_pretrain_spread,
    gpt_pretrain_spread_2,
)
from eval.suites.vit import VIT_SUITES

__all__ = ["HEADLINE", "LONG", "SUITES", "Declared", "suite", "tiers_of"]


SUITES: dict[str, Declared] = {
    "gpt_finetune": Declared(
        "Does finetuning with random-LTD reach the baseline's loss with less compute?",
        {
            "smoke": gpt_finetune_smoke,
            "cpu": gpt_finetune_cpu,
            "paper": FINETUNE_PAPER["gpt_finetune"],
        },
    ),
    "gpt_finetune_pilot": Declared(
        "Which learning rate and ramp serve the arms of gpt_finetune?",
        {"cpu": gpt_finetune_pilot},
    ),
    "gpt_finetune_spread": Declared(
        "How much do the paired differences of gpt_finetune vary over seeds?",
        {"cpu": gpt_finetune_spread},
    ),
    "gpt_pretrain_pilot": Declared(
        "Which learning rate and first kept length serve the arms of gpt_pretrain?",
        {"cpu": gpt_pretrain_pilot},
    ),
    "gpt_pretrain_spread": Declared(
        "What are the saved layer tokens of gpt_pretrain worth?",
        {"cpu": gpt_pretrain_spread},
    ),
    "gpt_pretrain_spread_2": Declared(
        "What are the saved layer tokens of gpt_pretrain worth, at the settings of revision 2?",
        {"cpu": gpt_pretrain_spread_2},
    ),
    "gpt_pretrain": Declared(
        "Does pretraining with random-LTD reach the baseline's loss with fewer layer tokens?",
        {
            "smoke": gpt_pretrain_smoke,
            "cpu": gpt_pretrain_cpu,
            "gpu": gpt_pretrain_gpu,
            "paper": gpt_pretrain_paper_1_3b,
        },
    ),
    "gpt_pretrain_350m": Declared(
        "Does pretraining with random-LTD reach the baseline's loss at the paper's smaller size?",
        {"paper": gpt_pretrain_paper_350m},
    ),
    **GLUE_SUITES,
    "bert_pretrain": Declared(
        BERT_QUESTION,
        {
            "smoke": bert_pretrain_smoke,
            "cpu": bert_pretrain_cpu,
            "gpu": bert_pretrain_gpu,
            "paper": bert_pretrain_paper,
        },
    ),
    **PILOT_SUITES,
    **TRANSFER_SUITES,
    **VIT_SUITES,
    **{
        name: Declared(QUESTION, {"paper": declared})
        for name, declared in FINETUNE_PAPER.items()
        if name != "gpt_finetune"
    },
}
HEADLINE = (
    "gpt_pretrain",
    "gpt_finetune",
    "bert_pretrain",
    "bert_pretrain_sst2",
    "bert_glue_sst2",
)
"""The suites that `./rltd reproduce` runs."""
LONG = ("vit_finetune",)
"""Those it runs where they are named, and at the smoke tier: with them it would take too long."""


def tiers_of(name: str) -> Mapping[Tier, Callable[[], Suite]]:
    """Return the tiers that a suite is declared at, each with its declaration.

    Raises: UserError for an unknown suite.
    """
    if name not in SUITES:
        near = get_close_matches(name, SUITES) or [s for s in SUITES if s.startswith(name)]
        meant = f"did you mean {' or '.join(near[:3])}? " if near else ""
        raise UserError(f"unknown suite {name!r}; {meant}./rltd list names all")
    return SUITES[name].declared


def suite(name: str, tier: Tier = "cpu") -> Suite:
    """Return a suite at a tier.

    Raises: UserError for an unknown suite, or a tier it is not declared at.
    """
    tiers = tiers_of(name)
    if tier not in tiers:
        raise UserError(f"suite {name} is declared at {', '.join(tiers)}, not at {tier}")
    return tiers[tier]()
