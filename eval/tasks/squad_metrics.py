"""The two functions of transformers 4 that lm-eval's definition of ReCoRD still imports.

They compare an answer with a gold answer as SQuAD's evaluation does: in lower case, without
punctuation and articles, word by word.
"""

from __future__ import annotations

import importlib.util
import re
import string
import sys
from collections import Counter
from types import ModuleType

__all__ = ["compute_exact", "compute_f1", "ensure_squad_metrics"]

_PACKAGE = "transformers.data.metrics"


def ensure_squad_metrics() -> None:
    """Provide the module where transformers no longer has it; else do nothing."""
    if _PACKAGE in sys.modules or importlib.util.find_spec(_PACKAGE) is not None:
        return
    package, module = ModuleType(_PACKAGE), ModuleType(f"{_PACKAGE}.squad_metrics")
    for function in (compute_exact, compute_f1):
        module.__dict__[function.__name__] = function
    package.__dict__["squad_metrics"] = module
    sys.modules |= {_PACKAGE: package, f"{_PACKAGE}.squad_metrics": module}


def compute_exact(gold: str, predicted: str) -> int:
    """Return 1 if both are the same words, else 0."""
    return int(_words(gold) == _words(predicted))


def compute_f1(gold: str, predicted: str) -> float:
    """Return the harmonic mean of precision and recall over words; two empty answers agree."""
    ours, theirs = _words(predicted), _words(gold)
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


def _words(text: str) -> list[str]:
    plain = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()
