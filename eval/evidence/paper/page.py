"""The page of the paper itself: its diagrams, its schedule, its savings, all computed anew."""

from __future__ import annotations

from pathlib import Path

from eval.evidence.canvas import save
from eval.evidence.formatting import to_markdown
from eval.explain.clocks import authors_illustration, plot_illustration
from eval.explain.layer_diagram import layer_diagram_data, layer_maps, plot_layer_diagrams
from eval.explain.savings import plot_saving_by_ramp, savings, shown_savings

__all__ = ["write_paper_page"]

_PAGE = """\
# The paper, computed anew

What the paper draws and counts, without training anything. Nothing here is measured.

## Figures 1 and B.1: which layer computes which token

Real forwards of a small untrained GPT-2, half of the tokens kept in each layer that drops. In the
middle: the paper's picture of token dropping before it, where one set is taken through half of the
layers. The pictures show which layers drop, not how the set is chosen; there the choice is by loss.

![Layer by token: baseline, one set through half of the layers, random-LTD](paper-layers.svg)

## The LayerToken learning rate

The setting that the authors draw: 30 B tokens, kept length 256 to 2,048, 16 more every 0.05 B
tokens, 3e-4 to 3e-5, a tenth of warmup (Megatron-DeepSpeed history, commit 2f2b49f3,
plot_helper.ipynb; the authors' form is computed as there, for 24 layers). Theirs converts the
warmup at full length and ends the decay one warmup early; ours sums the layer tokens exactly.

![Learning rate and kept length over the iterations](paper-layer-token.svg)

## Every published saving

Ours follow the authors' definition, layer tokens; FLOPs also count attention and output head. A row
without a published figure is a setting of the authors' launch scripts.

{table}
The abstract's 33.3 % are what random-LTD's 200 B layer tokens a layer fall short of the baseline's
300 B, as the authors' own table pairs them; so they follow from where the run stops, with any ramp.
In as many steps as the baseline's, a third is saved by a ramp over about three quarters of the run,
which none of the scripts that were found has.

![Layer tokens saved against the end of the ramp](paper-savings.svg)
"""


def write_paper_page(to: Path) -> None:
    """Write the page with its figures, and the numbers of each beside it."""
    maps = layer_maps()
    save(plot_layer_diagrams(maps), to / "paper-layers", layer_diagram_data(maps))
    rates = authors_illustration()
    save(plot_illustration(rates), to / "paper-layer-token", rates)
    table = savings()
    save(plot_saving_by_ramp(table), to / "paper-savings", table)
    (to / "paper.md").write_text(_PAGE.format(table=to_markdown(shown_savings(table))))
