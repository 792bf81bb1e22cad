"""random-LTD: train transformers on a random, growing subset of the tokens in every middle layer.

The method of arXiv 2211.11586 in plain PyTorch. Start with `RandomLTD`.
"""

from rltd_core.compute import TransformerCost
from rltd_core.lr import ClockLR, LayerTokenLR
from rltd_core.ltd import RandomLTD
from rltd_core.policies import Policy, random_per_layer, replay
from rltd_core.schedule import KeptLength
from rltd_core.tokens import gather_tokens, sample_kept, scatter_tokens

__all__ = [
    "ClockLR",
    "KeptLength",
    "LayerTokenLR",
    "Policy",
    "RandomLTD",
    "TransformerCost",
    "gather_tokens",
    "random_per_layer",
    "replay",
    "sample_kept",
    "scatter_tokens",
]
