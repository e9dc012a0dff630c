"""Figure of the coarse transition matrix: order, one colour scale for what is shown, rows below."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, NotComputedError
from ferrocyte.pl import coarse_frame, plot_coarse_T
from numpy.testing import assert_allclose, assert_array_equal

NAMES = ["a", "b", "c"]
T = pd.DataFrame([[0.75, 0.125, 0.125], [0.5, 0.25, 0.25], [0.0, 0.5, 0.5]], index=NAMES, columns=NAMES)
PI = pd.Series([0.25, 0.625, 0.125], index=NAMES)
START = pd.Series([0.0625, 0.9375, 0.0], index=NAMES)


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("stability", ["b", "c", "a"]),  # 1/4, 1/2, 3/4
        ("incoming", ["c", "a", "b"]),  # 3/8, 1/2, 5/8
        ("outgoing", ["a", "c", "b"]),  # 1/4, 1/2, 3/4
        ("stat_dist", ["c", "a", "b"]),  # 1/8, 1/4, 5/8
        (None, ["a", "b", "c"]),
    ],
)
def test_order(order, expected):
    table = coarse_frame(T, PI, START, order=order)
    assert table.columns.tolist() == expected
    assert table.loc["transitions"].index.tolist() == expected
    assert_array_equal(table.loc["transitions"], T.loc[expected, expected])
    assert_array_equal(table.loc[("stationary", "")], PI[expected])
    assert_array_equal(table.loc[("initial", "")], START[expected])


def test_ties_stay_as_they_come():
    even = pd.DataFrame(np.full((3, 3), 1 / 3), index=NAMES, columns=NAMES)
    for order in ("stability", "incoming", "outgoing"):
        assert coarse_frame(even, order=order).columns.tolist() == NAMES


def test_what_can_not_be_ordered():
    with pytest.raises(InvalidOptionError, match="Invalid option 'size' for `order`"):
        coarse_frame(T, order="size")
    with pytest.raises(NotComputedError, match="no coarse stationary distribution"):
        coarse_frame(T, order="stat_dist")
    with pytest.raises(InvalidDataError, match="stationary distribution"):
        coarse_frame(T, PI[::-1])
    with pytest.raises(InvalidDataError, match="same names"):
        coarse_frame(T[["c", "b", "a"]])


def test_squares_and_numbers():
    ax = plot_coarse_T(coarse_frame(T, order=None), show=False)
    (image,) = ax.images
    assert_array_equal(image.get_array(), T)
    assert [t.get_text() for t in ax.texts][:3] == ["0.75", "0.12", "0.12"]
    assert [t.get_text() for t in ax.get_xticklabels()] == NAMES
    assert [t.get_text() for t in ax.get_yticklabels()] == NAMES
    assert ax.get_title() == "coarse-grained transition matrix"
    assert ax.get_ylim() == (2.5, -0.5)


def test_distributions_are_rows_below():
    ax = plot_coarse_T(coarse_frame(T, PI, START, order=None), show=False)
    matrix, stationary, initial = ax.images
    assert_array_equal(stationary.get_array(), [PI])
    assert_array_equal(initial.get_array(), [START])
    tops = [image.get_extent()[3] for image in ax.images]
    assert tops[0] < matrix.get_extent()[2] < tops[1] < stationary.get_extent()[2] < tops[2]
    assert ax.get_ylim()[0] == initial.get_extent()[2]
    assert [t.get_text() for t in ax.get_yticklabels()][3:] == [
        "stationary\ndistribution",
        "initial\ndistribution",
    ]
    assert len(ax.texts) == 15


@pytest.mark.parametrize(
    ("parts", "limits"),
    [
        (["transitions"], (0, 0.75)),
        (["transitions", "stationary"], (0, 0.75)),
        (["transitions", "initial"], (0, 0.9375)),
        (["transitions", "stationary", "initial"], (0, 0.9375)),
    ],
)
def test_colours_are_scaled_by_what_is_shown(parts, limits):
    """0.9375 is in the initial distribution only: it counts where, and only where, that is shown."""
    table = coarse_frame(T, PI, START)
    ax = plot_coarse_T(table[table.index.get_level_values(0).isin(parts)], show=False)
    assert len(ax.images) == len(parts)
    assert {image.get_clim() for image in ax.images} == {limits}


def test_colour_bar_is_one_more_axes():
    assert len(plot_coarse_T(coarse_frame(T), show=False).figure.axes) == 2
    assert len(plot_coarse_T(coarse_frame(T), show_cbar=False, show=False).figure.axes) == 1


def test_keywords(tmp_path):
    ax = plot_coarse_T(
        coarse_frame(T), cmap="magma", xtick_rotation=90, title="T", figsize=(4, 3), dpi=50,
        text_kwargs={"fontsize": 5, "color": "red"}, vmin=-1, vmax=1, save=tmp_path / "coarse",
    )  # fmt: skip
    assert ax.images[0].cmap.name == "magma"
    assert ax.images[0].get_clim() == (-1, 1)
    assert {t.get_rotation() for t in ax.get_xticklabels()} == {90}
    assert ax.get_title() == "T"
    assert {(t.get_fontsize(), t.get_color()) for t in ax.texts} == {(5, "red")}
    assert_allclose(ax.figure.get_size_inches(), [4, 3])
    assert (tmp_path / "coarse.png").exists()
    assert len(plot_coarse_T(coarse_frame(T), annotate=False, show=False).texts) == 0


def test_numbers_can_be_read_on_their_squares():
    ax = plot_coarse_T(coarse_frame(T, order=None), cmap="gray", show=False)
    assert ax.texts[0].get_color() == "#000000"  # the highest value, on white
    assert ax.texts[6].get_color() == "#ffffff"  # the lowest, on black


def test_names_are_inside_the_figure():
    long = ["a long name of a state", "another long name", "c"]
    ax = plot_coarse_T(coarse_frame(T.set_axis(long).set_axis(long, axis=1)), figsize=(4, 4), show=False)
    ax.figure.draw_without_rendering()
    box = ax.get_tightbbox()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.y1 <= ax.figure.bbox.y1
