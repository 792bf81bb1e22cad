"""random-LTD: train transformers on a random, growing subset of the tokens in every middle layer.

The method of arXiv 2211.11586 in plain PyTorch. Start with `RandomLTD`; `README.md` beside this
file has a card for every name. `rltd_core.hf` holds the Hugging Face Trainer callback.
"""

from rltd_core.compute import TransformerCost
from rltd_core.families import Family, register_family
from rltd_core.lr import ClockLR, LayerTokenLR
from rltd_core.ltd import RandomLTD
from rltd_core.policies import (
    Policy,
    random_per_layer,
    random_per_sample,
    random_shared,
    replay,
)
from rltd_core.schedule import KeptLength
from rltd_core.tokens import gather_tokens, sample_kept, scatter_tokens

__all__ = [
    "ClockLR",
    "Family",
    "KeptLength",
    "LayerTokenLR",
    "Policy",
    "RandomLTD",
    "TransformerCost",
    "gather_tokens",
    "random_per_layer",
    "random_per_sample",
    "random_shared",
    "register_family",
    "replay",
    "sample_kept",
    "scatter_tokens",
]
