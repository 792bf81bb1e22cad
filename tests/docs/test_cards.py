"""Every public object has a card, and the cards' code runs."""

from __future__ import annotations

import re

import pytest

import rltd_core
from eval.paths import ROOT
from rltd_core import hf

CARDS = (ROOT / "rltd_core" / "README.md").read_text()
HEADINGS = re.findall(r"^## (.+)$", CARDS, flags=re.MULTILINE)
PARTS = ("What.", "When.", "How.", "Cost.", "Does not.")


def test_every_public_name_has_a_card() -> None:
    named = [name for heading in HEADINGS for name in heading.split(", ")]
    assert sorted(named) == sorted([*rltd_core.__all__, *hf.__all__])


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_card_says_what_when_how_at_what_cost_and_what_not(heading: str) -> None:
    card = CARDS.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    assert re.findall(r"^\*\*(.+?)\*\*", card, flags=re.MULTILINE) == list(PARTS)


def test_the_code_of_the_cards_runs_as_one_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rltd_core.families.FAMILIES", list(rltd_core.families.FAMILIES))
    names: dict[str, object] = {"__name__": "cards"}
    for code in re.findall(r"^```python\n(.*?)^```$", CARDS, flags=re.MULTILINE | re.DOTALL):
        exec(compile(code, "rltd_core/README.md", "exec"), names)
    assert "out_BSD" in names
