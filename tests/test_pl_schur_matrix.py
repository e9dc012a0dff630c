"""Figure of a Schur matrix: what is zero by its shape stays empty, complex pairs are framed."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte.pl import plot_schur_matrix, schur_frame
from matplotlib.patches import Rectangle
from numpy.testing import assert_array_equal

# 1, then a pair 0.5 +- i/4, then 0.25
R = np.array([[1, 0.5, 0.25, 0], [0, 0.5, 0.25, -0.5], [0, -0.25, 0.5, 0.125], [0, 0, 0, 0.25]])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_table():
    table = schur_frame(R)
    assert table.index.tolist() == table.columns.tolist() == [1, 2, 3, 4]
    empty = [[False] * 4, [True, False, False, False], [True, False, False, False], [True, True, True, False]]
    assert_array_equal(table.isna(), empty)
    assert_array_equal(table.to_numpy()[~np.array(empty)], R[~np.array(empty)])
    assert R[3, 0] == 0  # the input is as it was


def test_what_is_no_matrix():
    with pytest.raises(InvalidDataError, match="square"):
        schur_frame(R[:2])
    with pytest.raises(InvalidDataError, match="finite"):
        schur_frame(np.where(R == 1, np.nan, R))


def test_squares_numbers_and_frames():
    ax = plot_schur_matrix(schur_frame(R), show=False)
    (image,) = ax.images
    assert_array_equal(np.ma.getmaskarray(image.get_array()), schur_frame(R).isna())
    assert image.get_clim() == (-0.5, 1.0)
    # every number that is not empty; a zero in the upper triangle is one
    assert [t.get_text() for t in ax.texts] == [
        "1.00", "0.50", "0.25", "0.00", "0.50", "0.25", "-0.50", "-0.25", "0.50", "0.12", "0.25",
    ]  # fmt: skip
    assert [t.get_position() for t in ax.texts][4:6] == [(1, 1), (2, 1)]
    frames = [p for p in ax.patches if isinstance(p, Rectangle)]
    assert [(p.get_xy(), p.get_width(), p.get_height()) for p in frames] == [((0.5, 0.5), 2, 2)]
    assert len(ax.figure.axes) == 2  # a colour bar
    assert ax.get_title() == "schur matrix"
    assert [t.get_text() for t in ax.get_xticklabels()] == ["1", "2", "3", "4"]


def test_no_minus_before_zero():
    ax = plot_schur_matrix(schur_frame([[1, -0.001], [0, 0.5]]), show=False)
    assert [t.get_text() for t in ax.texts] == ["1.00", "0.00", "0.50"]


def test_keywords(tmp_path):
    ax = plot_schur_matrix(
        schur_frame(R), title="T", cmap="magma", annotate=False, cbar=False, vmin=-1, vmax=2, alpha=0.5,
        figsize=(3, 3), dpi=50, save=tmp_path / "schur.pdf",
    )  # fmt: skip
    assert len(ax.texts) == 0
    assert len(ax.figure.axes) == 1
    assert ax.images[0].get_clim() == (-1, 2)
    assert ax.images[0].cmap.name == "magma"
    assert ax.images[0].get_alpha() == 0.5
    assert (tmp_path / "schur.pdf").exists()
    assert plot_schur_matrix(schur_frame(R), fmt=".1f", show=False).texts[0].get_text() == "1.0"
    with pytest.raises(InvalidOptionError, match="no colour map"):
        plot_schur_matrix(schur_frame(R), cmap="veridis")
    with pytest.raises(InvalidTypeError, match="colour"):
        plot_schur_matrix(schur_frame(R), colour="red")
    assert plt.get_fignums() == [1, 2]  # what failed left no empty figure


def test_many_vectors_have_readable_ticks():
    ax = plot_schur_matrix(schur_frame(np.triu(np.ones((60, 60)))), annotate=False, show=False)
    assert len(ax.get_xticks()) <= 25
