"""The blocks of the documents: what the report writes between two comments of the hand-written."""

from __future__ import annotations

import re
from collections.abc import Mapping

from eval.errors import UserError
from eval.suites import SUITES

__all__ = ["BLOCKS", "filled", "unfilled", "with_headline"]

BLOCKS = frozenset({*SUITES, "bench_step", "claims", "glue", "zero_shot"})
"""What can be shown; blocks of other names are left alone."""
_END = "<!-- /headline -->"


def with_headline(text: str, name: str, content: str) -> str:
    """Return a document with the suite's headline block replaced; without one, unchanged.

    Raises: UserError if the block is not closed.
    """
    begin = f"<!-- headline: {name} -->"
    if begin not in text:
        return text
    block = re.compile(re.escape(begin) + r"(?:(?!<!-- headline:).)*?" + re.escape(_END), re.DOTALL)
    if not block.search(text):
        raise UserError(f"the block {begin} is not closed; add {_END} below it")
    return block.sub(lambda _: f"{begin}\n{content}{_END}", text)


def filled(text: str, blocks: Mapping[str, str]) -> str:
    """Return a document with all of its blocks replaced; one for which nothing was made says so."""
    empty = {name: f"Incomplete: {name}: no records.\n" for name in unfilled(text, blocks)}
    for name, block in (dict(blocks) | empty).items():
        text = with_headline(text, name, block)
    return text


def unfilled(text: str, blocks: Mapping[str, str]) -> list[str]:
    """Return the names of a document's blocks for which nothing was made."""
    found = re.findall(r"<!-- headline: (\w+) -->", text)
    return [name for name in found if name in BLOCKS and name not in blocks]
