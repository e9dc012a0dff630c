"""Figure of eigenvalues: the table behind it, points, the line in the gap."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ferrocyte._errors import InvalidOptionError
from ferrocyte.pl import plot_spectrum, spectrum_frame
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal

# Two eigenvalues above the gap, then a complex pair and a real one.
FOUND = {"D": np.array([1, 0.75, 0.25 + 0.5j, 0.25 - 0.5j, 0.125]), "eigengap": 1}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def points(ax):
    return [c for c in ax.collections if isinstance(c, PathCollection)]


def dashed(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--"]


def test_table():
    table = spectrum_frame(FOUND)
    assert table.index.tolist() == [1, 2, 3, 4, 5]
    assert_array_equal(table["real"], [1, 0.75, 0.25, 0.25, 0.125])
    assert_array_equal(table["imag"], [0, 0, 0.5, -0.5, 0])
    assert_allclose(table["modulus"], [1, 0.75, np.sqrt(0.3125), np.sqrt(0.3125), 0.125])
    assert table["complex"].tolist() == [False, False, True, True, False]
    assert table["above_gap"].tolist() == [True, True, False, False, False]
    assert len(spectrum_frame(FOUND, 3)) == 3
    assert len(spectrum_frame(FOUND, 30)) == 5


@pytest.mark.parametrize("n", [0, -1])
def test_n_is_positive(n):
    with pytest.raises(InvalidOptionError, match="to be positive"):
        spectrum_frame(FOUND, n)


@pytest.mark.parametrize("real_only", [None, True])
def test_real_parts_by_rank(real_only):
    ax = plot_spectrum(spectrum_frame(FOUND), real_only=real_only, show=False)
    real, pair = points(ax)
    assert_array_equal(real.get_offsets(), [[1, 1], [2, 0.75], [5, 0.125]])
    assert_array_equal(pair.get_offsets(), [[3, 0.25], [4, 0.25]])
    assert to_hex(real.get_facecolors()[0]) != to_hex(pair.get_facecolors()[0])
    assert ax.get_title() == "real parts of the top 5 eigenvalues"
    assert ax.get_xlabel() == "index"
    assert ax.get_ylabel() == r"$\mathrm{Re}(\lambda_i)$"
    (line,) = dashed(ax)
    assert line.get_xdata() == [2.5, 2.5]


def test_complex_plane():
    ax = plot_spectrum(spectrum_frame(FOUND), real_only=False, show=False)
    real, pair = points(ax)
    assert_array_equal(real.get_offsets(), [[1, 0], [0.75, 0], [0.125, 0]])
    assert_array_equal(pair.get_offsets(), [[0.25, 0.5], [0.25, -0.5]])
    (line,) = dashed(ax)
    assert line.get_xdata() == [0.5, 0.5]
    circle = next(line for line in ax.lines if line.get_linestyle() == "-")
    assert_allclose(np.hypot(*circle.get_data()), 1)
    assert ax.get_aspect() == 1


def test_no_line_where_all_are_above_the_gap():
    ax = plot_spectrum(spectrum_frame(FOUND, 2), real_only=False, show=False)
    assert dashed(ax) == []


def test_without_the_gap():
    assert dashed(plot_spectrum(spectrum_frame(FOUND), show_eigengap=False, show=False)) == []


def test_ticks():
    assert plot_spectrum(spectrum_frame(FOUND), show=False).get_xticks().tolist() == [1, 2, 3, 4, 5]
    many = {"D": np.linspace(1, 0, 60), "eigengap": 3}
    assert len(plot_spectrum(spectrum_frame(many), show=False).get_xticks()) == 60
    assert len(plot_spectrum(spectrum_frame(many), show_all_xticks=False, show=False).get_xticks()) < 20


def test_legend():
    assert plot_spectrum(spectrum_frame(FOUND), show=False).get_legend() is None
    ax = plot_spectrum(spectrum_frame(FOUND), legend_loc="upper right", show=False)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "real eigenvalue", "complex eigenvalue", "eigengap",
    ]  # fmt: skip
    with pytest.raises(InvalidOptionError, match="Invalid legend position"):
        plot_spectrum(spectrum_frame(FOUND), legend_loc="somewhere")


def test_style_size_and_file(tmp_path):
    ax = plot_spectrum(
        spectrum_frame(FOUND),
        title="T",
        marker="s",
        figsize=(3, 2),
        dpi=60,
        s=7,
        save=tmp_path / "a/spectrum",
    )
    assert ax.get_title() == "T"
    assert_array_equal(points(ax)[0].get_sizes(), [7])
    assert len(points(ax)[0].get_paths()[0].vertices) == 5  # a square
    assert ax.figure.get_size_inches().tolist() == [3, 2]
    assert ax.figure.dpi == 60
    assert (tmp_path / "a/spectrum.png").stat().st_size > 1000
    _, mine = plt.subplots()
    assert plot_spectrum(spectrum_frame(FOUND), ax=mine, show=False) is mine
