"""Figure of the criteria for the number of macrostates."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidTypeError
from ferrocyte.pl import n_states_frame, plot_n_states
from numpy.testing import assert_array_equal

TABLE = pd.DataFrame(
    {
        "n_states": [4, 2, 3],
        "eigengap": [0.125, 0.25, 0.5],
        "purity": [np.nan, np.nan, np.nan],
        "smallest_state": [10, 30, 20],
        "problem": ["a tiny state", "", ""],
        "why": ["", "", "the largest eigengap"],
    }
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize("table", [TABLE, TABLE.set_index("n_states")])
def test_table(table):
    numbers = n_states_frame(table)
    assert numbers.index.tolist() == [2, 3, 4]
    assert numbers.columns.tolist() == ["eigengap", "smallest_state", "recommended", "has_problem"]
    assert_array_equal(numbers["eigengap"], [0.25, 0.5, 0.125])
    assert numbers["recommended"].tolist() == [False, True, False]
    assert numbers["has_problem"].tolist() == [False, False, True]


def test_nothing_to_draw():
    with pytest.raises(InvalidDataError, match="suggest_n_states"):
        n_states_frame(TABLE[["n_states", "why"]])
    with pytest.raises(InvalidDataError, match="suggest_n_states"):
        n_states_frame(TABLE[:0])


def test_one_panel_per_criterion():
    axes = plot_n_states(TABLE, show=False)
    assert [ax.get_title() for ax in axes] == ["eigengap", "smallest state"]
    line = next(line for line in axes[0].lines if len(line.get_xdata()) == 3)
    assert_array_equal(line.get_data(), [[2, 3, 4], [0.25, 0.5, 0.125]])
    hollow, mark = axes[0].lines[-2:]
    assert_array_equal(hollow.get_data(), [[4], [0.125]])
    assert hollow.get_markerfacecolor() == "white"
    assert_array_equal(mark.get_data(), [[3], [0.5]])
    assert axes[0].figure.get_suptitle() == "3 macrostates: the largest eigengap"


def test_without_a_recommendation():
    axes = plot_n_states(TABLE.drop(columns="why"), show=False)
    assert axes[0].figure.get_suptitle() == ""
    assert plot_n_states(TABLE.assign(why=None), show=False)[0].figure.get_suptitle() == ""


def test_keywords(tmp_path):
    axes = plot_n_states(
        TABLE, title="T", ncols=1, figsize=(3, 5), dpi=50, linewidth=4, save=tmp_path / "numbers"
    )
    assert axes[0].figure.get_suptitle() == "T"
    assert axes[0].get_position().x0 == axes[1].get_position().x0
    assert axes[0].figure.get_size_inches().tolist() == [3, 5]
    assert 4 in [line.get_linewidth() for line in axes[0].lines]
    assert (tmp_path / "numbers.png").exists()


def test_unknown_keywords():
    with pytest.raises(InvalidTypeError, match="nonsense"):
        plot_n_states(TABLE, nonsense=1)
    assert plt.get_fignums() == []
