"""Steps of identified terminal states."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte.pl import plot_tsi, tsi_frame
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal

TABLE = pd.DataFrame(
    {
        "number_of_macrostates": [4, 3, 2, 1],
        "identified_terminal_states": [2, 2, 1, 1],
        "optimal_identification": [3, 3, 2, 1],
    }
)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_table():
    table = tsi_frame(TABLE)
    assert table["number_of_macrostates"].tolist() == [1, 2, 3, 4]
    assert table["identified_terminal_states"].tolist() == [1, 1, 2, 2]
    assert len(tsi_frame(TABLE, 2)) == 2
    with pytest.raises(InvalidOptionError, match="at most 4"):
        tsi_frame(TABLE, 5)
    with pytest.raises(InvalidOptionError, match="to be positive"):
        tsi_frame(TABLE, 0)
    with pytest.raises(InvalidDataError, match="columns"):
        tsi_frame(TABLE.iloc[:, :2])


def test_steps():
    ax = plot_tsi(tsi_frame(TABLE), label="VelocityKernel", show=False)
    found, best = ax.lines
    assert_array_equal(found.get_data(), [[1, 2, 3, 4], [1, 1, 2, 2]])
    assert_array_equal(best.get_data(), [[1, 2, 3, 4], [1, 2, 3, 3]])
    assert found.get_drawstyle() == best.get_drawstyle() == "steps-post"
    assert best.get_linestyle() == "--"
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["VelocityKernel", "optimal identification"]
    assert_allclose(ax.get_xlim(), [0.8, 4.2])
    assert_allclose(ax.get_ylim(), [0.9, 3.1])
    assert ax.get_yticks().tolist() == [1, 2, 3]


def test_keywords(tmp_path):
    ax = plot_tsi(
        tsi_frame(TABLE), x_offset=(1, 2), y_offset=(0.5, 1), figsize=(3, 2), dpi=50, linewidth=5,
        color="red", save=tmp_path / "tsi",
    )  # fmt: skip
    assert_allclose(ax.get_xlim(), [0, 6])
    assert_allclose(ax.get_ylim(), [0.5, 4])
    assert [line.get_linewidth() for line in ax.lines] == [5, 5]
    assert to_hex(ax.lines[0].get_color()) == "#ff0000" != to_hex(ax.lines[1].get_color())
    assert ax.figure.get_size_inches().tolist() == [3, 2]
    assert (tmp_path / "tsi.png").exists()


def test_one_number_of_macrostates():
    ax = plot_tsi(tsi_frame(TABLE, 1), show=False)
    assert_allclose(ax.get_xlim(), [0.8, 1.2])


def test_unknown_keywords():
    with pytest.raises(InvalidTypeError, match="nonsense"):
        plot_tsi(tsi_frame(TABLE), nonsense=1)
    assert plt.get_fignums() == []
