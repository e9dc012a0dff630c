"""Bars of macrostates by cluster."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from ferrocyte.pl import composition_frame, plot_composition
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal

STATES = pd.Series(pd.Categorical(["m", "m", None, "n", "n", "n"], ["m", "n"]))
CLUSTERS = pd.Series(pd.Categorical(["x", "y", "x", "x", "x", None], ["x", "y", "z"]))


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_counts():
    """Cell 2 is in no state and cell 5 in no cluster."""
    table = composition_frame(STATES, CLUSTERS)
    assert table.index.tolist() == ["m", "n"]
    assert table.columns.tolist() == ["x", "y", "z"]
    assert_array_equal(table, [[1, 1, 0], [2, 0, 0]])


def test_proportions_and_weights():
    shares = pd.DataFrame({"x": [1, 0.5, 1, 0.25, 0, 1], "y": [0, 0.5, 0, 0.75, 1, 0]})
    assert_allclose(composition_frame(STATES, shares), [[1.5, 0.5], [1.25, 1.75]])
    weights = [2, 4, 9, 1, 1, 3]
    assert_allclose(composition_frame(STATES, shares, weights), [[4, 2], [3.25, 1.75]])
    assert_allclose(composition_frame(STATES, CLUSTERS, weights), [[2, 4, 0], [2, 0, 0]])


def test_lengths():
    with pytest.raises(InvalidDataError, match="same cells, found 6, 5 and 6"):
        composition_frame(STATES, CLUSTERS[:5])


def test_a_rectangle_for_each_share_that_is_not_zero():
    colors = {"x": "#ff0000", "y": "#00ff00", "z": "#0000ff"}
    ax = plot_composition(composition_frame(STATES, CLUSTERS), colors=colors, show=False)
    drawn = [(round(p.get_x() + p.get_width() / 2, 9), p.get_y(), p.get_height(), to_hex(p.get_facecolor()))
             for p in ax.patches]  # fmt: skip
    assert sorted(drawn) == [(0, 0, 1, "#ff0000"), (0, 1, 1, "#00ff00"), (1, 0, 2, "#ff0000")]
    assert {round(p.get_width(), 9) for p in ax.patches} == {0.8}
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["x", "y"]  # z has no cell
    assert [t.get_text() for t in ax.get_xticklabels()] == ["m", "n"]
    assert ax.get_ylabel() == "frequency"


def test_keywords(tmp_path):
    ax = plot_composition(
        composition_frame(STATES, CLUSTERS), width=0.5, title="T", labelrot=30, legend_loc=None,
        figsize=(3, 2), dpi=50, save=tmp_path / "bars",
    )  # fmt: skip
    assert {p.get_width() for p in ax.patches} == {0.5}
    assert ax.get_title() == "T"
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {30}
    assert ax.get_legend() is None
    assert ax.figure.get_size_inches().tolist() == [3, 2]
    assert (tmp_path / "bars.png").exists()
    for wrong in (0, 1.5):
        with pytest.raises(InvalidOptionError, match="width"):
            plot_composition(composition_frame(STATES, CLUSTERS), width=wrong)
    with pytest.raises(InvalidOptionError, match="Invalid modifier"):
        plot_composition(composition_frame(STATES, CLUSTERS), legend_loc="upper right side")


def test_bars_are_as_high_as_their_states_have_cells():
    rng = np.random.default_rng(0)
    states = pd.Series(pd.Categorical(rng.choice(list("abcd"), 100)))
    clusters = pd.Series(pd.Categorical(rng.choice(list("uvwxyz"), 100)))
    ax = plot_composition(composition_frame(states, clusters), show=False)
    tops = [
        max(p.get_y() + p.get_height() for p in ax.patches if abs(p.get_x() + 0.4 - i) < 0.1)
        for i in range(4)
    ]
    assert_allclose(tops, states.value_counts()[list("abcd")])
