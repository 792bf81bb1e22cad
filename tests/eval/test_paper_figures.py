"""The paper's figures, computed anew, show what real policies and schedules do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.evidence.paper.page import write_paper_page
from eval.explain.clocks import authors_illustration
from eval.explain.layer_diagram import layer_diagram_data, layer_maps


def test_the_maps_are_those_of_the_paper() -> None:
    maps = layer_maps()
    assert list(maps) == ["baseline", "one_set", "random_ltd"]
    assert maps["baseline"].all()
    layers, length = maps["baseline"].shape
    one_set, ours = maps["one_set"], maps["random_ltd"]
    half = layers // 2
    assert one_set[: half - 1].all()  # a half of the layers, but one
    assert (one_set[half - 1 : -1] == one_set[half - 1]).all()  # one set all the way
    assert one_set[half - 1].sum() == length // 2
    assert one_set[-1].all()
    assert ours[0].all()
    assert ours[-1].all()
    assert (ours[1:-1].sum(axis=1) == length // 2).all()
    assert len({row.tobytes() for row in ours[1:-1]}) == layers - 2  # each layer its own


def test_the_data_are_what_is_drawn() -> None:
    maps = layer_maps()
    data = layer_diagram_data(maps)
    for name, computed_LS in maps.items():
        rows = data[data["way"] == name]
        drawn = rows.pivot_table(index="layer", columns="token", values="computed")
        assert np.array_equal(drawn.to_numpy().astype(bool), computed_LS)


def test_the_illustration_is_the_authors_setting() -> None:
    table = authors_illustration()
    assert (table["kept"].min(), table["kept"].max()) == (256, 2048)
    full_at = table[table["kept"] == 2048]["step"].iloc[0]
    expected = (2048 - 256) / 16 * 50e6 / (256 * 2048)  # iterations until the full length
    assert full_at == pytest.approx(expected, abs=57_220 / 399)  # the points' distance
    last = table.iloc[-1]
    assert last["step"] * 256 * 2048 == pytest.approx(30e9, rel=1e-4)
    for clock in ("steps, tokens", "layer tokens", "layer tokens, authors' form"):
        assert table[clock].max() == pytest.approx(3e-4, rel=1e-3)
        assert last[clock] == pytest.approx(3e-5, rel=1e-6)


def test_the_page_is_repeated_byte_for_byte_and_shows_its_figures(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_paper_page(tmp_path / name)
    one, two = (sorted((tmp_path / name).iterdir()) for name in ("one", "two"))
    assert [p.name for p in one] == [p.name for p in two]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two))
    page = (tmp_path / "one" / "paper.md").read_text()
    for path in one:
        assert path.suffix != ".svg" or f"]({path.name})" in page
        assert path.suffix != ".csv" or len(pd.read_csv(path))
    assert "305,784,192" in page
